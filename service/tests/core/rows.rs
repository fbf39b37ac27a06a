//! Single rows: their values, their ids, and what tells them apart.

use squall_service::core::replicator::{Replicator, ReplicatorError, SnapshotNeeded};
use squall_service::core::source::{
    Cell, Column, Lsn, Relation, Row, RowIdentity, SnapshotBegin, SnapshotTable, SourceEvent,
};
use squall_service::core::storage::{Fetch, MemoryStorage};
use squall_service::core::values::{RowError, object_id, row_to_json};

const BOOL: u32 = 16;
const TEXT: u32 = 25;
const TIMESTAMPTZ: u32 = 1184;

fn table(columns: &[(&str, u32)], replica_identity: char, key: &[usize]) -> Relation {
    let columns = columns.iter().enumerate();
    Relation {
        oid: 1,
        schema: "public".into(),
        name: "t".into(),
        replica_identity,
        columns: columns
            .map(|(index, (name, type_oid))| Column {
                name: (*name).into(),
                type_oid: *type_oid,
                in_replica_identity: replica_identity == 'f' || key.contains(&index),
            })
            .collect(),
    }
}

fn texts(texts: &[&str]) -> Row {
    texts
        .iter()
        .map(|text| Cell::Text((*text).into()))
        .collect()
}

#[test]
fn values_are_those_of_powersync() {
    for (type_oid, text, json) in [
        (BOOL, "t", "1"),
        (
            TIMESTAMPTZ,
            "2026-01-02 03:04:05.5+00",
            r#""2026-01-02 03:04:05.5Z""#,
        ),
        (
            TIMESTAMPTZ,
            "0022-09-08 21:19:28+00",
            r#""0022-09-08 21:19:28Z""#,
        ),
        (TIMESTAMPTZ, "0044-03-15 00:00:00+00 BC", "null"),
        (TIMESTAMPTZ, "10022-09-08 21:19:28+00", "null"),
        (TIMESTAMPTZ, "infinity", r#""9999-12-31 23:59:59Z""#),
        (TIMESTAMPTZ, "-infinity", r#""0000-01-01 00:00:00Z""#),
        (1114, "0044-03-15 00:00:00 BC", "null"),
        (1114, "10022-09-08 21:19:28", r#""10022-09-08 21:19:28""#),
        (1114, "-infinity", r#""0000-01-01 00:00:00""#),
        (1082, "0044-03-15 BC", r#""0044-03-15 BC""#),
        (1082, "10000-01-01", r#""10000-01-01""#),
        (1083, "24:00:00", r#""24:00:00""#),
        (1186, "1 day 02:03:04", r#""1 day 02:03:04""#),
        (1700, "Infinity", r#""Infinity""#),
        (1700, "0.10", r#""0.10""#),
        (701, "NaN", "null"),
        (701, "-0", "-0.0"),
        (701, "1e+20", "1e+20"),
        (3220, "16/B374D848", r#""00000016/B374D848""#),
        (3802, r#"{"a": [1, null]}"#, r#""{\"a\": [1, null]}""#),
        // Arrays of built-in types are JSON, in a string.
        (1007, "{1,2,NULL}", r#""[1,2,null]""#),
        (1007, "{}", r#""[]""#),
        (1007, "[0:1]={1,2}", r#""[1,2]""#),
        (1007, "{{1,2},{3,4}}", r#""[[1,2],[3,4]]""#),
        (1000, "{t,f}", r#""[1,0]""#),
        (
            1009,
            r#"{a,"b c","q\"\\,{}",NULL,"NULL",""}"#,
            r#""[\"a\",\"b c\",\"q\\\"\\\\,{}\",null,\"NULL\",\"\"]""#,
        ),
        (
            1185,
            r#"{"2026-01-02 03:04:05+00","0044-03-15 00:00:00+00 BC"}"#,
            r#""[\"2026-01-02 03:04:05Z\",null]""#,
        ),
        (1022, "{1.5,2,NaN}", r#""[1.5,2.0,null]""#),
        (199, r#"{"{\"a\": 1}",NULL}"#, r#""[{\"a\": 1},null]""#),
        // Of others they stay as they are, as do composites and ranges.
        (99_999, "{a,b}", r#""{a,b}""#),
        (
            1020,
            "{(1,1),(0,0);(2,2),(0,0)}",
            r#""{(1,1),(0,0);(2,2),(0,0)}""#,
        ),
        (3904, "[1,5)", r#""[1,5)""#),
    ] {
        let relation = table(&[("id", type_oid)], 'd', &[0]);
        let row = row_to_json(&relation, &texts(&[text]), None);
        assert_eq!(
            row,
            Ok(format!("{{\"id\":{json}}}")),
            "{text} of type {type_oid}"
        );
    }
}

#[test]
fn binary_values_are_left_out_and_nulls_are_not() {
    let relation = table(&[("id", TEXT), ("b", 17)], 'd', &[0]);
    let row = |binary: Cell| row_to_json(&relation, &vec![Cell::Text("1".into()), binary], None);
    assert_eq!(
        row(Cell::Text(r"\x00ff".into())),
        Ok(r#"{"id":"1"}"#.into())
    );
    assert_eq!(row(Cell::Null), Ok(r#"{"id":"1","b":null}"#.into()));
}

#[test]
fn ids_are_the_texts_of_their_values() {
    for (type_oid, text, id) in [
        (TEXT, "a", "a"),
        (BOOL, "t", "1"),
        (BOOL, "f", "0"),
        (20, "9223372036854775807", "9223372036854775807"),
        (1700, "1.50", "1.50"),
        (701, "2", "2.0"),
        (
            2950,
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        ),
        (
            TIMESTAMPTZ,
            "2026-01-02 03:04:05+00",
            "2026-01-02 03:04:05Z",
        ),
        (1082, "infinity", "9999-12-31"),
        (1007, "{1,2}", "[1,2]"),
    ] {
        let relation = table(&[("id", type_oid)], 'd', &[0]);
        assert_eq!(object_id(&relation, &texts(&[text]), None), id, "{text}");
    }
}

/// A replicator with one table, and the rows that its clients have.
struct World(Replicator<MemoryStorage>, u64);

impl World {
    fn new(relation: Relation, columns: Vec<usize>, unique: bool) -> World {
        let mut world = World(
            Replicator::open(MemoryStorage::default()).expect("infallible"),
            10,
        );
        world.apply(SourceEvent::SnapshotBegin(SnapshotBegin {
            version: "1".into(),
            system: "1".into(),
            tables: vec![SnapshotTable {
                relation: relation.clone(),
                row_identity: RowIdentity { columns, unique },
                definition: String::new(),
            }],
        }));
        world.apply(SourceEvent::SnapshotEnd { lsn: Lsn(1) });
        world.apply(SourceEvent::Connected);
        world.apply(SourceEvent::Relation(relation));
        world
    }

    fn apply(&mut self, event: SourceEvent) {
        self.0.apply(event).expect("applicable");
        self.0.commit().expect("infallible");
    }

    fn transaction(&mut self, events: Vec<SourceEvent>) {
        self.1 += 10;
        self.apply(SourceEvent::Begin {
            commit: Lsn(self.1),
        });
        for event in events {
            self.apply(event);
        }
        self.apply(SourceEvent::Commit {
            end: Lsn(self.1 + 1),
        });
    }

    fn rows(&self) -> Vec<String> {
        let checkpoint = self.0.checkpoint().expect("one");
        let operations = self.0.storage().fetch(&Fetch {
            bucket: checkpoint.buckets[0].id,
            after: 0,
            up_to: u64::MAX,
        });
        let mut rows = std::collections::BTreeMap::new();
        for operation in operations {
            let key = (operation.object_id, operation.subkey);
            match operation.data {
                Some(data) => rows.insert(key, data),
                None => rows.remove(&key),
            };
        }
        rows.into_values().collect()
    }
}

fn insert(row: Row) -> SourceEvent {
    SourceEvent::Insert { relation: 1, row }
}

fn update(old: Row, new: Row) -> SourceEvent {
    SourceEvent::Update {
        relation: 1,
        old: Some(old),
        new,
    }
}

fn delete(old: Row) -> SourceEvent {
    SourceEvent::Delete { relation: 1, old }
}

/// A large value that an update leaves as it was is a part of the row's identity, too.
#[test]
fn large_values_of_an_identity_stay_in_it() {
    let whole = table(&[("id", TEXT), ("big", TEXT)], 'f', &[]);
    let mut world = World::new(whole, vec![0, 1], false);
    world.transaction(vec![insert(texts(&["1", "large"]))]);
    world.transaction(vec![update(
        texts(&["1", "large"]),
        vec![Cell::Text("2".into()), Cell::Unchanged],
    )]);
    assert_eq!(world.rows(), [r#"{"id":"2","big":"large"}"#]);
    world.transaction(vec![delete(texts(&["2", "large"]))]);
    assert_eq!(world.rows(), [""; 0]);

    let key = table(&[("id", TEXT), ("n", TEXT), ("v", TEXT)], 'd', &[0, 1]);
    let mut world = World::new(key, vec![0, 1], true);
    world.transaction(vec![insert(texts(&["large", "1", "x"]))]);
    let old = vec![
        Cell::Text("large".into()),
        Cell::Text("1".into()),
        Cell::Null,
    ];
    let new = vec![
        Cell::Unchanged,
        Cell::Text("2".into()),
        Cell::Text("y".into()),
    ];
    world.transaction(vec![update(old, new)]);
    let old = vec![
        Cell::Text("large".into()),
        Cell::Text("2".into()),
        Cell::Null,
    ];
    world.transaction(vec![delete(old)]);
    assert_eq!(world.rows(), [""; 0]);
}

/// Without a key rows may be equal, and each of them is one.
#[test]
fn equal_rows_are_counted() {
    let whole = table(&[("id", TEXT), ("v", TEXT)], 'f', &[]);
    let mut world = World::new(whole, vec![0, 1], false);
    let row = || texts(&["1", "x"]);
    for _ in 0..7 {
        world.transaction(vec![insert(row())]);
    }
    assert_eq!(world.rows().len(), 7);
    for left in (3..7).rev() {
        world.transaction(vec![delete(row())]);
        assert_eq!(world.rows().len(), left);
    }
    world.transaction(vec![update(row(), texts(&["1", "y"]))]);
    world.transaction(vec![update(row(), row())]);
    let x = r#"{"id":"1","v":"x"}"#;
    let y = r#"{"id":"1","v":"y"}"#;
    let mut rows = world.rows();
    rows.sort();
    assert_eq!(rows, [x, x, y]);
    world.transaction(vec![
        update(row(), texts(&["1", "y"])),
        delete(texts(&["1", "y"])),
        delete(row()),
        delete(texts(&["1", "y"])),
    ]);
    assert_eq!(world.rows(), [""; 0]);
}

/// A deferrable key may be broken within a transaction, so it is none.
#[test]
fn rows_may_pass_through_each_other() {
    let whole = table(&[("id", TEXT), ("v", TEXT)], 'f', &[]);
    let mut world = World::new(whole, vec![0, 1], false);
    world.transaction(vec![insert(texts(&["1", "a"])), insert(texts(&["2", "a"]))]);
    world.transaction(vec![
        update(texts(&["1", "a"]), texts(&["2", "a"])),
        update(texts(&["2", "a"]), texts(&["3", "a"])),
    ]);
    assert_eq!(
        world.rows(),
        [r#"{"id":"2","v":"a"}"#, r#"{"id":"3","v":"a"}"#]
    );
}

#[test]
fn bytes_that_are_not_text_are_named() {
    let relation = table(&[("id", TEXT), ("v", TEXT)], 'd', &[0]);
    let mut world = World::new(relation, vec![0], true);
    world.apply(SourceEvent::Begin { commit: Lsn(50) });
    let row = vec![Cell::Text("1".into()), Cell::NotText];
    let error = world.0.apply(insert(row)).expect_err("refused");
    let ReplicatorError::SnapshotNeeded(SnapshotNeeded::Row(error)) = error else {
        panic!("{error:?}");
    };
    let (table, column) = ("t".to_owned(), "v".to_owned());
    assert_eq!(error, RowError::NotText { table, column });
}
