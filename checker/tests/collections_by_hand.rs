//! Sets and lists of our own histories: one small history for each way to break each property, and the
//! properties that it breaks, no more and no less, as a whole and along with a run.

mod support;

use squall_checker::History;
use squall_checker::online::Online;
use squall_protocol::history::Event;
use squall_protocol::plan::{ClientKind, Workload};
use squall_protocol::transaction::{Collections, Key, Reads, Transaction, Value};
use squall_protocol::verdict::{Judgement, Property, Verdict};

use support::{Story, of, of_collections, violated};

/// A history of `a`, `b`, `c` and `d` in the making, with three keys.
struct Tale(Story);

/// The collections that a read tells of: key and text.
type Texts<'t> = &'t [(Key, &'t str)];

fn collections(texts: Texts) -> Collections {
    let texts = texts.iter();
    texts
        .map(|(key, text)| (*key, (*text).to_owned()))
        .collect()
}

impl Tale {
    fn new() -> Self {
        let clients = ["a", "b", "c", "d"].map(|name| (name, ClientKind::Native));
        Tale(Story::with_clients(3, clients))
    }

    fn begin(&mut self, client: &str, value: Value, keys: &[Key], reads: Reads) -> u64 {
        let operation = self.0.operation();
        self.0.record(Event::Invoke {
            client: client.to_owned(),
            operation,
            transaction: Transaction {
                reads,
                ..Transaction::new(value, keys.to_vec())
            },
        });
        operation
    }

    fn end(
        &mut self,
        client: &str,
        operation: u64,
        (value, keys): (Value, &[Key]),
        found: Option<Texts>,
    ) {
        let writes = keys.iter().map(|key| (*key, value)).collect();
        let effects = of_collections(found.map(collections), writes);
        self.0.committed(client, operation, effects);
    }

    /// A transaction that reads everything, then writes, and finds these texts by key.
    fn write(&mut self, client: &str, found: [&str; 3], value: Value, keys: &[Key]) {
        let operation = self.begin(client, value, keys, Reads::All);
        self.end(client, operation, (value, keys), Some(&all(found)));
    }

    fn read(&mut self, client: &str, found: [&str; 3]) {
        self.write(client, found, -1, &[]);
    }

    /// A transaction that reads the keys that it finds, and no others.
    fn part(&mut self, client: &str, found: Texts, value: Value, keys: &[Key]) {
        let asked = found.iter().map(|(key, _)| *key).collect();
        let operation = self.begin(client, value, keys, Reads::Keys(asked));
        self.end(client, operation, (value, keys), Some(found));
    }

    /// A transaction of which no answer came.
    fn lost(&mut self, client: &str, value: Value, keys: &[Key]) {
        let operation = self.begin(client, value, keys, Reads::All);
        self.0.info(client, operation);
    }

    fn final_read(&mut self, client: &str, found: [&str; 3]) {
        let found = Some(collections(&all(found)));
        self.0
            .final_read_of(client, of_collections(found, Vec::new()));
    }

    fn postgres(&mut self, found: [&str; 3]) {
        let found = Some(collections(&all(found)));
        self.0.postgres_read(of_collections(found, Vec::new()));
    }

    fn history(&self, workload: Workload) -> History {
        let mut history = self.0.history();
        history.header.workload = workload;
        history
    }

    /// The verdict as a whole; along with a run it is the same.
    #[track_caller]
    fn verdict(&self, workload: Workload) -> Verdict {
        let history = self.history(workload);
        let verdict = squall_checker::check(&history);
        let mut online = Online::new(&history.header);
        let mut told: Vec<Property> = Vec::new();
        for record in &history.records {
            let found = online.push(record);
            told.extend(found.into_iter().map(|finding| finding.property));
        }
        let violated = violated(&verdict);
        assert_eq!(
            violated,
            support::violated(&online.verdict()),
            "{workload:?}"
        );
        assert!(
            told.iter().all(|property| violated.contains(property)),
            "{workload:?} {told:?}"
        );
        verdict
    }
}

fn all(texts: [&str; 3]) -> [(Key, &str); 3] {
    [(0, texts[0]), (1, texts[1]), (2, texts[2])]
}

use Property::{
    AtomicVisibility as Fractured, CausalConsistency as Causal, MonotonicReads, MonotonicWrites,
    NoThinAirRead as ThinAir, ReadYourWrites, StorageIntact, WritesFollowReads,
};

/// What happens, told to a tale; which properties that breaks in sets, and in lists.
type Plant<'p> = (&'p str, fn(&mut Tale), &'p [Property], &'p [Property]);

fn try_all(plants: &[Plant]) {
    let mut wrong = Vec::new();
    for (name, plant, in_sets, in_lists) in plants {
        for (workload, expected) in [(Workload::Gset, in_sets), (Workload::ListAppend, in_lists)] {
            let mut tale = Tale::new();
            plant(&mut tale);
            let found = violated(&tale.verdict(workload));
            if found != **expected {
                wrong.push(format!(
                    "{name}, {workload:?}: {found:?} instead of {expected:?}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

const NO: [&str; 3] = ["", "", ""];

#[test]
fn what_was_certain_to_be_seen() {
    try_all(&[
        (
            "own write",
            |t| {
                t.write("a", NO, 1, &[0]);
                t.read("a", NO);
            },
            &[ReadYourWrites],
            &[ReadYourWrites, Causal],
        ),
        (
            "own write, in a transaction that writes too",
            |t| {
                t.write("a", NO, 1, &[0]);
                t.write("a", NO, 2, &[1]);
            },
            &[ReadYourWrites],
            &[ReadYourWrites, Causal],
        ),
        (
            "what was read",
            |t| {
                t.write("a", NO, 1, &[0]);
                t.read("b", ["1", "", ""]);
                t.read("b", NO);
            },
            &[MonotonicReads],
            &[MonotonicReads, Causal],
        ),
        (
            "half of a transaction",
            |t| {
                t.write("a", NO, 1, &[0, 2]);
                t.read("b", ["1", "", ""]);
            },
            &[Fractured],
            &[Fractured, Causal],
        ),
        (
            "an earlier write of a session",
            |t| {
                t.write("a", NO, 1, &[0]);
                t.write("a", ["1", "", ""], 2, &[1]);
                t.read("b", ["", "2", ""]);
            },
            &[MonotonicWrites],
            &[MonotonicWrites, WritesFollowReads, Causal],
        ),
        (
            "what a writer had read before",
            |t| {
                t.write("a", NO, 1, &[0]);
                t.read("b", ["1", "", ""]);
                t.part("b", &[], 2, &[1]);
                t.read("c", ["", "2", ""]);
            },
            &[WritesFollowReads],
            &[WritesFollowReads, Causal],
        ),
        (
            "what a writer read when it wrote",
            |t| {
                t.write("a", NO, 1, &[0]);
                t.write("b", ["1", "", ""], 2, &[1]);
                t.read("c", ["", "2", ""]);
            },
            &[WritesFollowReads],
            &[WritesFollowReads, Causal],
        ),
        (
            "what a writer read only afterwards",
            |t| {
                t.write("b", NO, 2, &[1]);
                t.write("a", NO, 1, &[0]);
                t.read("b", ["1", "2", ""]);
                t.read("c", ["", "2", ""]);
            },
            &[],
            &[],
        ),
        (
            "what a session wrote only afterwards",
            |t| {
                t.write("a", NO, 2, &[1]);
                t.write("a", ["", "2", ""], 1, &[0]);
                t.read("b", ["", "2", ""]);
            },
            &[],
            &[],
        ),
        (
            "further back than one read",
            |t| {
                t.write("a", NO, 1, &[0]);
                t.part("b", &[(0, "1")], 2, &[1]);
                t.part("c", &[(1, "2")], 3, &[2]);
                t.part("d", &[(0, ""), (2, "3")], -1, &[]);
            },
            &[Causal],
            &[Causal],
        ),
        (
            "what was not asked for",
            |t| {
                t.write("a", NO, 1, &[0, 1]);
                t.part("a", &[(2, "")], -1, &[]);
                t.part("b", &[(0, "1")], -1, &[]);
                t.part("b", &[(2, "")], -1, &[]);
            },
            &[],
            &[],
        ),
        (
            "by whoever reads it at the end",
            |t| {
                t.write("a", NO, 1, &[0]);
                t.write("b", ["1", "", ""], 2, &[1]);
                t.final_read("a", ["", "2", ""]);
            },
            // A missing element of a set breaks one property.
            &[ReadYourWrites],
            &[ReadYourWrites, WritesFollowReads, Causal],
        ),
    ]);
}

#[test]
fn what_nobody_knows_whether_it_happened() {
    try_all(&[
        (
            "own, never seen",
            |t| {
                t.lost("a", 1, &[0]);
                t.read("a", NO);
            },
            &[],
            &[],
        ),
        (
            "own, seen before",
            |t| {
                t.lost("a", 1, &[0]);
                t.read("a", ["1", "", ""]);
                t.read("a", NO);
            },
            &[MonotonicReads],
            &[MonotonicReads, Causal],
        ),
        (
            "half of it",
            |t| {
                t.lost("a", 1, &[0, 2]);
                t.read("b", ["1", "", ""]);
            },
            &[Fractured],
            // How its list goes on was never told.
            &[Causal],
        ),
        (
            "what was read of it before a write",
            |t| {
                t.lost("a", 1, &[0]);
                t.write("b", ["1", "", ""], 2, &[1]);
                t.read("c", ["", "2", ""]);
            },
            &[WritesFollowReads],
            &[WritesFollowReads, Causal],
        ),
        (
            "before a write that is seen, of the same session",
            |t| {
                t.lost("a", 1, &[0]);
                t.write("a", NO, 2, &[1]);
                t.read("b", ["", "2", ""]);
            },
            &[],
            &[],
        ),
        (
            "what came before it",
            |t| {
                t.write("a", NO, 1, &[0]);
                t.lost("a", 2, &[1]);
                t.read("b", ["", "2", ""]);
            },
            &[MonotonicWrites],
            &[MonotonicWrites, Causal],
        ),
        (
            "what came after it",
            |t| {
                t.lost("a", 2, &[1]);
                t.write("a", NO, 1, &[0]);
                t.read("b", ["", "2", ""]);
            },
            &[],
            &[],
        ),
        (
            "what was read before it",
            |t| {
                t.write("a", NO, 1, &[0]);
                t.read("b", ["1", "", ""]);
                t.lost("b", 2, &[1]);
                t.read("c", ["", "2", ""]);
            },
            &[WritesFollowReads],
            &[WritesFollowReads, Causal],
        ),
        (
            "what was read after it",
            |t| {
                t.write("a", NO, 1, &[0]);
                t.lost("b", 2, &[1]);
                t.read("b", ["1", "", ""]);
                t.read("c", ["", "2", ""]);
            },
            &[],
            &[],
        ),
        (
            "what was extended without being read",
            |t| {
                t.write("a", NO, 1, &[0, 2]);
                t.part("b", &[], 2, &[0, 1]);
                t.part("c", &[(0, "1 2")], -1, &[]);
                t.part("d", &[(1, "2"), (2, "")], -1, &[]);
            },
            &[],
            &[Causal],
        ),
        (
            "what failed",
            |t| {
                let failed = t.begin("a", 1, &[0], Reads::All);
                t.0.fail("a", failed);
                t.read("a", NO);
                t.read("b", ["1", "", ""]);
            },
            &[ThinAir],
            &[ThinAir],
        ),
    ]);
}

/// What a read shows may end after the read, or never.
#[test]
fn what_has_not_ended() {
    let then = |ending: fn(&mut Tale, u64)| {
        let mut tale = Tale::new();
        let pending = tale.begin("a", 1, &[0], Reads::All);
        // b has seen it, c has seen that b has, and d what c saw.
        tale.write("b", ["1", "", ""], 2, &[1]);
        tale.write("c", ["1", "2", ""], 3, &[2]);
        tale.read("d", ["", "2", "3"]);
        tale.read("c", ["", "2", "3"]);
        ending(&mut tale, pending);
        tale
    };
    let never = then(|_, _| {});
    let info = then(|tale, pending| tale.0.info("a", pending));
    let ok = then(|tale, pending| tale.end("a", pending, (1, &[0]), Some(&all(NO))));
    for tale in [never, info, ok] {
        let found = violated(&tale.verdict(Workload::Gset));
        assert_eq!(found, [MonotonicReads, WritesFollowReads]);
        let found = violated(&tale.verdict(Workload::ListAppend));
        assert_eq!(found, [MonotonicReads, WritesFollowReads, Causal]);
    }
    let failed = then(|tale, pending| tale.0.fail("a", pending));
    let verdict = failed.verdict(Workload::Gset);
    assert_eq!(violated(&verdict), [ThinAir]);
    assert_eq!(of(&verdict, ThinAir).violations, 2);
    let verdict = failed.verdict(Workload::ListAppend);
    assert_eq!(of(&verdict, ThinAir).violations, 2);
}

/// What is certain is told at once, and to everybody who waited for it.
#[test]
fn what_is_told_when() {
    for workload in [Workload::Gset, Workload::ListAppend] {
        let mut tale = Tale::new();
        let pending = tale.begin("a", 1, &[0], Reads::All);
        for client in ["b", "c"] {
            tale.part(client, &[(0, "1")], -1, &[]);
            tale.part(client, &[(0, "")], -1, &[]);
        }
        tale.end("a", pending, (1, &[0]), Some(&all(NO)));
        tale.part("d", &[(0, "1")], -1, &[]);
        tale.final_read("d", NO);
        let history = tale.history(workload);
        let mut online = Online::new(&history.header);
        let told: Vec<Vec<Property>> = history
            .records
            .iter()
            .map(|record| {
                let found = online.push(record).into_iter();
                let found = found.map(|finding| finding.property);
                found.filter(|property| *property != Causal).collect()
            })
            .collect();
        let [before @ .., ended, invoked, read, _, _, at_the_end] = &told[..] else {
            unreachable!("there are more records")
        };
        assert!(before.iter().all(Vec::is_empty), "{workload:?} {before:?}");
        assert_eq!(*ended, [MonotonicReads, MonotonicReads], "{workload:?}");
        assert!(invoked.is_empty() && read.is_empty());
        assert_eq!(*at_the_end, [MonotonicReads], "{workload:?}");
    }
}

#[test]
fn each_reads_what_the_other_has_only_begun() {
    let mut tale = Tale::new();
    let (one, two) = ((1, &[0][..]), (2, &[1][..]));
    let first = tale.begin("a", one.0, one.1, Reads::All);
    let second = tale.begin("b", two.0, two.1, Reads::All);
    tale.end("a", first, one, Some(&all(["", "2", ""])));
    tale.end("b", second, two, Some(&all(["1", "", ""])));
    tale.read("c", ["1", "2", ""]);
    for workload in [Workload::Gset, Workload::ListAppend] {
        let found = violated(&tale.verdict(workload));
        assert!(found.ends_with(&[Causal]), "{workload:?} {found:?}");
    }
    let found = violated(&tale.verdict(Workload::Gset));
    assert_eq!(found, [Causal]);
}

#[test]
fn what_can_not_be_there() {
    let sound = |t: &mut Tale| t.write("a", NO, 1, &[0]);
    let read = |text: &'static str| {
        let mut tale = Tale::new();
        sound(&mut tale);
        tale.write("a", ["1", "", ""], 2, &[0]);
        tale.write("a", ["1 2", "", ""], 4, &[1]);
        tale.part("b", &[(0, text)], -1, &[]);
        tale
    };
    for (text, violations) in [
        ("1 2", 0),
        ("7", 1),
        ("1 7 8", 2),
        // It was added to another key.
        ("4 1 2", 1),
        ("1 1 2", 1),
        ("1 2 1", 1),
        ("1  2", 1),
        ("x 1 2", 1),
        ("1 2 x", 1),
        ("-1", 1),
    ] {
        for workload in [Workload::Gset, Workload::ListAppend] {
            let found = of(&read(text).verdict(workload), ThinAir);
            assert_eq!(found.violations > 0, violations > 0, "{workload:?} {text}");
            let mut told = found.examples.iter();
            let twice = told.any(|example| example.summary.contains("the element 1 twice"));
            assert_eq!(twice, text.matches('1').count() > 1, "{workload:?} {text}");
            if workload == Workload::Gset {
                assert_eq!(found.violations, violations, "{text}: {found:#?}");
            }
        }
    }
    try_all(&[
        (
            "own, before it was written",
            |t| t.write("a", ["1", "", ""], 1, &[0]),
            &[ThinAir],
            &[ThinAir],
        ),
        (
            "from the future",
            |t| {
                t.read("b", ["1", "", ""]);
                t.write("a", NO, 1, &[0]);
            },
            &[ThinAir],
            &[ThinAir],
        ),
        (
            "a key that does not exist",
            |t| {
                t.write("a", NO, 1, &[7]);
                t.part("b", &[(7, "1")], -1, &[]);
            },
            &[ThinAir],
            &[ThinAir],
        ),
    ]);
}

/// A set that is not told of is empty; a list is missing.
#[test]
fn what_is_not_told_of() {
    let without = |asked: Reads, found: Option<Texts>| {
        let mut tale = Tale::new();
        tale.write("a", NO, 1, &[0, 2]);
        let operation = tale.begin("b", -1, &[], asked);
        tale.end("b", operation, (-1, &[]), found);
        tale
    };
    let keys = |keys: &[Key]| Reads::Keys(keys.to_vec());
    let (first, last): (Texts, Texts) = (&[(0, "1")], &[(2, "1")]);
    for (asked, found, in_sets, missing) in [
        (Reads::All, first, &[Fractured][..], 2),
        (keys(&[0, 2]), first, &[Fractured], 1),
        (keys(&[0, 2]), last, &[Fractured], 1),
        (keys(&[0, 9]), first, &[], 0),
        (keys(&[0]), first, &[], 0),
    ] {
        let tale = without(asked.clone(), Some(found));
        assert_eq!(
            violated(&tale.verdict(Workload::Gset)),
            in_sets,
            "{asked:?}"
        );
        let verdict = tale.verdict(Workload::ListAppend);
        assert_eq!(of(&verdict, ThinAir).violations, missing, "{asked:?}");
    }
    for workload in [Workload::Gset, Workload::ListAppend] {
        let verdict = without(Reads::All, None).verdict(workload);
        let found = of(&verdict, ThinAir);
        assert_eq!(found.judgement, Judgement::Unknown);
        assert!(found.note.unwrap().starts_with("1 reads have recorded no"));
        let verdict = without(Reads::Nothing, None).verdict(workload);
        let note = of(&verdict, ThinAir).note.unwrap_or_default();
        assert!(!note.contains("recorded"), "{note}");
    }
}

#[test]
fn another_database_is_another_session() {
    let with_databases = |first: &'static str, second: &'static str| {
        let mut tale = Tale::new();
        tale.0.start("a", 1, first);
        tale.write("a", NO, 1, &[0]);
        tale.0.start("a", 2, second);
        tale.read("a", NO);
        tale
    };
    for workload in [Workload::Gset, Workload::ListAppend] {
        let found = violated(&with_databases("one", "two").verdict(workload));
        assert_eq!(found, [StorageIntact]);
        let found = violated(&with_databases("one", "one").verdict(workload));
        assert!(found.starts_with(&[ReadYourWrites]), "{found:?}");
        let mut broken = Tale::new();
        broken.0.integrity("a", &["row 1 missing from index"]);
        let history = broken.history(workload);
        let found = Online::new(&history.header).push(&history.records[0]);
        assert_eq!(found[0].property, StorageIntact);
    }
}

/// PostgreSQL at the end is a session of its own, which sees what others have seen.
#[test]
fn postgresql_at_the_end() {
    let mut tale = Tale::new();
    tale.write("a", NO, 1, &[0]);
    tale.write("b", ["1", "", ""], 2, &[1]);
    tale.postgres(["", "2", ""]);
    let found = violated(&tale.verdict(Workload::Gset));
    assert_eq!(found, [WritesFollowReads]);
    let found = violated(&tale.verdict(Workload::ListAppend));
    assert_eq!(found, [WritesFollowReads, Causal]);
}

#[test]
fn how_often_each_property_is_put_to_the_test() {
    let mut tale = Tale::new();
    tale.write("a", NO, 1, &[0, 1]);
    tale.write("a", ["1", "1", ""], 2, &[0]);
    tale.write("b", ["1 2", "1", ""], 3, &[2]);
    tale.read("b", ["1 2", "1", "3"]);
    tale.read("c", ["1 2", "1", "3"]);
    tale.part("c", &[(0, "1 2")], -1, &[]);
    let of_reads = [
        ReadYourWrites,
        MonotonicReads,
        MonotonicWrites,
        WritesFollowReads,
        Fractured,
        ThinAir,
    ];
    let exercised = |workload| {
        let verdict = tale.verdict(workload);
        assert_eq!(violated(&verdict), []);
        of_reads.map(|property| of(&verdict, property).exercised)
    };
    assert_eq!(exercised(Workload::Gset), [3, 5, 7, 5, 4, 15]);
    assert_eq!(exercised(Workload::ListAppend), [3, 7, 3, 8, 4, 31]);
}

/// What an event claims against what was known before it counts for nothing.
#[test]
fn what_contradicts_the_history_changes_nothing() {
    // What happens between the invocation of a's transaction, of the element 2 in the key 0, and its end;
    // what that says to have written; and whether a has to see it.
    type Case<'c> = (&'c str, fn(&mut Tale, u64), (Value, &'c [Key]), bool);
    let cases: [Case; 5] = [
        ("nothing", |_, _| {}, (2, &[0]), true),
        (
            "another client's answer",
            |tale, number| tale.end("b", number, (2, &[0]), Some(&all(NO))),
            (2, &[0]),
            true,
        ),
        (
            "another operation of that number",
            |tale, number| {
                tale.0.record(Event::Invoke {
                    client: "b".to_owned(),
                    operation: number,
                    transaction: Transaction::new(7, vec![1]),
                });
            },
            (2, &[0]),
            true,
        ),
        ("another value", |_, _| {}, (9, &[0]), false),
        ("another key", |_, _| {}, (2, &[1]), false),
    ];
    for (name, contradict, wrote, is_seen) in cases {
        let mut tale = Tale::new();
        tale.write("a", NO, 1, &[2]);
        let operation = tale.begin("a", 2, &[0], Reads::All);
        contradict(&mut tale, operation);
        tale.end("a", operation, wrote, Some(&all(["", "", "1"])));
        tale.read("a", ["", "", "1"]);
        for workload in [Workload::Gset, Workload::ListAppend] {
            let found = violated(&tale.verdict(workload));
            assert_eq!(found.contains(&ReadYourWrites), is_seen, "{name} {found:?}");
            assert!(!found.contains(&MonotonicReads), "{name} {found:?}");
        }
    }
}
