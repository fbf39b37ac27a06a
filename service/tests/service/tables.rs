//! Tables of all forms.

use serde_json::json;

use crate::harness::{Client, Fixture, Service};

#[tokio::test]
async fn types_are_mapped_as_powersync_does() {
    let fixture = Fixture::new(1).await;
    fixture
        .execute(
            r#"CREATE TYPE mood AS ENUM ('happy');
               CREATE TABLE types (id int PRIMARY KEY, i2 int2, i8 int8, b bool, t text, f4 float4, f8 float8,
                   n numeric, j json, jb jsonb, ts timestamp, tz timestamptz, d date, u uuid, m mood, bin bytea,
                   "odd ""name" int, gen int GENERATED ALWAYS AS (i2 + 1) STORED, nothing text);
               INSERT INTO types VALUES
                   (1, -3, 9223372036854775807, true, E'q"\\\n\té€😀', 1.5, 100, 123456789012345678.90123450, '{"a": [1, 2.50]}',
                    '{"b":null}', '2026-01-02 03:04:05.678', '2026-01-02 03:04:05+02', '2026-01-02',
                    'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', 'happy', '\x00ff', 5, DEFAULT, NULL),
                   (2, 0, -1, false, '', 'NaN', 1e20, 'NaN', 'null', '[]', 'infinity', '-infinity', 'infinity',
                    NULL, NULL, NULL, NULL, DEFAULT, NULL),
                   (3, 0, 0, NULL, NULL, -1e-7, '-Infinity', 0.10, NULL, NULL, NULL, NULL, '-infinity',
                    NULL, NULL, NULL, NULL, DEFAULT, NULL)"#,
        )
        .await;
    let mut config = fixture.config.clone();
    config.tables = vec!["types".into()];
    let service = Service::start(config).await;
    let mut client = Client::new("user", "a");
    client.connect(&fixture.http, &service.url).await;
    client
        .sync_until("three rows", |books| books.rows("types").len() == 3)
        .await;
    let from_snapshot = client.books.rows("types");
    insta::assert_json_snapshot!(from_snapshot);
    // What comes through replication has the same form as what was in the snapshot.
    fixture
        .execute(
            "CREATE TEMP TABLE copy AS SELECT * FROM types; ALTER TABLE copy DROP COLUMN gen;
                     TRUNCATE types",
        )
        .await;
    client
        .sync_until("no rows", |books| books.rows("types").is_empty())
        .await;
    let columns =
        r#"id, i2, i8, b, t, f4, f8, n, j, jb, ts, tz, d, u, m, bin, "odd ""name", nothing"#;
    fixture
        .execute(&format!(
            "INSERT INTO types ({columns}) SELECT {columns} FROM copy"
        ))
        .await;
    client
        .sync_until("three rows", |books| books.rows("types").len() == 3)
        .await;
    assert_eq!(client.books.rows("types"), from_snapshot);
}

#[tokio::test]
async fn large_values_that_did_not_change_stay() {
    let fixture = Fixture::new(1).await;
    // External storage without compression, so that the value is certainly kept out of line.
    fixture
        .execute(
            "CREATE TABLE large (id text PRIMARY KEY, big text, n int);
             ALTER TABLE large ALTER big SET STORAGE EXTERNAL;
             INSERT INTO large VALUES ('a', repeat('0123456789', 2000), 1)",
        )
        .await;
    let mut config = fixture.config.clone();
    config.tables = vec!["large".into()];
    let service = Service::start(config).await;
    let mut client = Client::new("user", "a");
    client.connect(&fixture.http, &service.url).await;
    let big = "0123456789".repeat(2000);
    fixture.execute("UPDATE large SET n = 2").await;
    let expected = json!({ "id": "a", "big": big, "n": 2 });
    client
        .sync_until("the update", |books| {
            books.rows("large").get("a") == Some(&expected)
        })
        .await;
    fixture.execute("UPDATE large SET id = 'b', n = 3").await;
    let expected = json!({ "id": "b", "big": big, "n": 3 });
    client
        .sync_until("the key change", |books| {
            books
                .rows("large")
                .into_iter()
                .eq([("b".to_owned(), expected.clone())])
        })
        .await;
}

/// The row's identity at the source, the `id` that clients know and the replica identity can differ.
#[tokio::test]
async fn identities_of_all_kinds() {
    let fixture = Fixture::new(1).await;
    fixture
        .execute(
            "CREATE TABLE keyed (a int, b text, id text, PRIMARY KEY (a, b));
             CREATE TABLE whole (a int PRIMARY KEY, id text); ALTER TABLE whole REPLICA IDENTITY FULL;
             CREATE TABLE heap (id text, n int); ALTER TABLE heap REPLICA IDENTITY FULL;
             CREATE TABLE indexed (id text NOT NULL, n int PRIMARY KEY); CREATE UNIQUE INDEX by_id ON indexed (id);
             ALTER TABLE indexed REPLICA IDENTITY USING INDEX by_id;
             CREATE SCHEMA other; CREATE TABLE other.elsewhere (id int PRIMARY KEY);
             INSERT INTO keyed VALUES (1, 'x', 'one'); INSERT INTO whole VALUES (1, 'one');
             INSERT INTO heap VALUES ('one', 1); INSERT INTO indexed VALUES ('one', 1);
             INSERT INTO other.elsewhere VALUES (1)",
        )
        .await;
    let mut config = fixture.config.clone();
    config.tables = ["keyed", "whole", "heap", "indexed", "other.elsewhere"]
        .map(str::to_owned)
        .into();
    let service = Service::start(config).await;
    let mut client = Client::new("user", "a");
    client.connect(&fixture.http, &service.url).await;
    let ids = |client: &Client, table: &str| -> Vec<String> {
        client.books.rows(table).into_keys().collect()
    };
    client
        .sync_until("the tables", |books| books.rows("elsewhere").len() == 1)
        .await;
    for table in ["keyed", "whole", "heap", "indexed"] {
        assert_eq!(ids(&client, table), ["one"], "{table}");
    }
    // The client's id changes while the row stays the same one, and the other way round.
    fixture
        .execute(
            "BEGIN; UPDATE keyed SET id = 'two'; UPDATE whole SET id = 'two'; UPDATE heap SET id = 'two';
             UPDATE indexed SET id = 'two'; INSERT INTO other.elsewhere VALUES (2); COMMIT",
        )
        .await;
    client
        .sync_until("the updates", |books| books.rows("elsewhere").len() == 2)
        .await;
    for table in ["keyed", "whole", "heap", "indexed"] {
        assert_eq!(ids(&client, table), ["two"], "{table}");
    }
    fixture
        .execute(
            "BEGIN; UPDATE keyed SET a = 2; UPDATE whole SET a = 2; UPDATE heap SET n = 2; UPDATE indexed SET n = 2;
             DELETE FROM other.elsewhere; COMMIT",
        )
        .await;
    client
        .sync_until("the updates", |books| books.rows("elsewhere").is_empty())
        .await;
    for table in ["keyed", "whole", "heap", "indexed"] {
        assert_eq!(ids(&client, table), ["two"], "{table}");
    }
    assert_eq!(client.books.rows("keyed")["two"]["a"], 2);
    fixture
        .execute("BEGIN; DELETE FROM keyed; DELETE FROM whole; DELETE FROM heap; TRUNCATE indexed; COMMIT")
        .await;
    client
        .sync_until("no rows", |books| books.rows("indexed").is_empty())
        .await;
    for table in ["keyed", "whole", "heap"] {
        assert_eq!(ids(&client, table), [""; 0], "{table}");
    }
}
