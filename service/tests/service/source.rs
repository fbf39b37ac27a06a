//! What the source has of a table, and what becomes of it when that changes.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use squall_service::Config;
use squall_throwaway_postgres::{Cluster, Options};

use crate::harness::{AUDIENCE, Client, Fixture, KEY, KEY_ID, Service, connect, within};

/// A configuration for these tables, with a short patience.
fn config(fixture: &Fixture, tables: &[&str]) -> Config {
    let mut config = fixture.config.clone();
    config.tables = tables.iter().map(|table| (*table).to_owned()).collect();
    config.start_deadline = Duration::from_secs(2);
    config
}

async fn refusal(config: Config) -> String {
    match Service::try_start(config).await {
        Ok(_) => panic!("the service started"),
        Err(error) => error.to_string(),
    }
}

/// The error with which a service ends that runs already.
async fn end_of(mut service: Service) -> String {
    let ended = within("the service to end", &mut service.task).await;
    ended.expect("no panic").expect_err("an error").to_string()
}

fn ids(client: &Client, table: &str) -> BTreeSet<String> {
    client.books.rows(table).into_keys().collect()
}

fn set(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

async fn wait_for_ids(client: &mut Client, table: &str, wanted: &[&str]) {
    if ids(client, table) != set(wanted) {
        let what = format!("the rows {wanted:?} of {table}");
        client
            .sync_until(&what, |books| {
                books.rows(table).into_keys().collect::<BTreeSet<_>>() == set(wanted)
            })
            .await;
    }
}

/// Whatever the identity is: several transactions, and no new snapshot for any of them.
#[tokio::test]
async fn identities_are_those_of_postgresql() {
    let fixture = Fixture::new(1).await;
    let tables = [
        (
            "k_include",
            "id int, v text, PRIMARY KEY (id) INCLUDE (v)",
            "",
        ),
        (
            "k_deferrable",
            "id int PRIMARY KEY DEFERRABLE, v text",
            "ALTER TABLE k_deferrable REPLICA IDENTITY FULL",
        ),
        (
            "i_include",
            "id int NOT NULL, v text, w json",
            "CREATE UNIQUE INDEX i1 ON i_include (id) INCLUDE (v); ALTER TABLE i_include REPLICA IDENTITY USING INDEX i1",
        ),
        (
            "f_json",
            "id int, v text, j json, p point, x xml",
            "ALTER TABLE f_json REPLICA IDENTITY FULL",
        ),
        (
            "f_key",
            "id int PRIMARY KEY, v text, j json",
            "ALTER TABLE f_key REPLICA IDENTITY FULL",
        ),
        (
            "f_generated",
            "v text, g int GENERATED ALWAYS AS (length(v)) STORED, gone int, id int",
            "ALTER TABLE f_generated REPLICA IDENTITY FULL; ALTER TABLE f_generated DROP gone",
        ),
        (
            "k_dropped",
            "gone int, id int PRIMARY KEY, v text",
            "ALTER TABLE k_dropped DROP gone",
        ),
        (
            r#"K "Q""#,
            r#"id int PRIMARY KEY, v text, "Odd ""x" text"#,
            "",
        ),
    ];
    for (name, columns, more) in tables {
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        fixture
            .execute(&format!("CREATE TABLE {quoted} ({columns}); {more}"))
            .await;
        fixture
            .execute(&format!(
                "INSERT INTO {quoted} (id, v) VALUES (1, 'a'), (2, 'b')"
            ))
            .await;
    }
    let names: Vec<String> = tables
        .iter()
        .map(|(name, ..)| match name.contains('"') {
            true => format!("\"{}\"", name.replace('"', "\"\"")),
            false => (*name).to_owned(),
        })
        .collect();
    let listed: Vec<&str> = names.iter().map(String::as_str).collect();
    let service = Service::start(config(&fixture, &listed)).await;
    let mut client = Client::new("user", "a");
    client.connect(&fixture.http, &service.url).await;
    for (name, ..) in tables {
        wait_for_ids(&mut client, name, &["1", "2"]).await;
    }
    let buckets = client.books.bucket_names();
    for value in ["c", "d"] {
        for name in &names {
            let name = if name.contains('"') {
                name.clone()
            } else {
                format!("\"{name}\"")
            };
            fixture
                .execute(&format!("UPDATE {name} SET v = '{value}' WHERE id = 1"))
                .await;
        }
        for (name, ..) in tables {
            client
                .sync_until_now("the update", |books| books.rows(name)["1"]["v"] == value)
                .await;
        }
    }
    for name in &names {
        let name = if name.contains('"') {
            name.clone()
        } else {
            format!("\"{name}\"")
        };
        fixture
            .execute(&format!(
                "UPDATE {name} SET id = 3 WHERE id = 1; DELETE FROM {name} WHERE id = 2"
            ))
            .await;
    }
    for (name, ..) in tables {
        wait_for_ids(&mut client, name, &["3"]).await;
    }
    assert_eq!(client.books.bucket_names(), buckets);
}

/// PostgreSQL refuses updates of such tables itself; what it allows arrives.
#[tokio::test]
async fn tables_without_identity_can_grow() {
    let fixture = Fixture::new(1).await;
    fixture
        .execute(
            "CREATE TABLE heap (id int, j json); CREATE TABLE deferring (id int PRIMARY KEY DEFERRABLE);
             CREATE TABLE silent (id int PRIMARY KEY); ALTER TABLE silent REPLICA IDENTITY NOTHING;
             INSERT INTO heap VALUES (1, '{}')",
        )
        .await;
    let tables = ["heap", "deferring", "silent"];
    let service = Service::start(config(&fixture, &tables)).await;
    let mut client = Client::new("user", "a");
    client.connect(&fixture.http, &service.url).await;
    wait_for_ids(&mut client, "heap", &["1"]).await;
    let buckets = client.books.bucket_names();
    for table in tables {
        for id in 2..4 {
            fixture
                .execute(&format!("INSERT INTO {table} (id) VALUES ({id})"))
                .await;
        }
        let update = format!("UPDATE {table} SET id = 5");
        assert!(fixture.sql.batch_execute(&update).await.is_err(), "{table}");
    }
    wait_for_ids(&mut client, "silent", &["2", "3"]).await;
    wait_for_ids(&mut client, "deferring", &["2", "3"]).await;
    wait_for_ids(&mut client, "heap", &["1", "2", "3"]).await;
    fixture.execute("TRUNCATE heap").await;
    wait_for_ids(&mut client, "heap", &[]).await;
    assert_eq!(client.books.bucket_names(), buckets);
}

/// Values that are kept out of line and did not change are not sent again, but those of the identity
/// are in the row before.
#[tokio::test]
async fn large_values_with_every_identity() {
    let fixture = Fixture::new(1).await;
    let tables = ["by_key", "by_index", "by_row", "by_row_with_key"];
    fixture
        .execute(
            "CREATE TABLE by_key (id int, big text, v int, PRIMARY KEY (id));
             CREATE TABLE by_index (id int NOT NULL, big text, v int); CREATE UNIQUE INDEX x ON by_index (id);
             ALTER TABLE by_index REPLICA IDENTITY USING INDEX x;
             CREATE TABLE by_row (id int, big text, v int); ALTER TABLE by_row REPLICA IDENTITY FULL;
             CREATE TABLE by_row_with_key (id int PRIMARY KEY, big text, v int);
             ALTER TABLE by_row_with_key REPLICA IDENTITY FULL",
        )
        .await;
    for table in tables {
        fixture
            .execute(&format!(
                "ALTER TABLE {table} ALTER big SET STORAGE EXTERNAL;
                 INSERT INTO {table} VALUES (1, repeat('0123456789', 2000), 1)"
            ))
            .await;
    }
    let service = Service::start(config(&fixture, &tables)).await;
    let mut client = Client::new("user", "a");
    client.connect(&fixture.http, &service.url).await;
    for table in tables {
        wait_for_ids(&mut client, table, &["1"]).await;
    }
    let buckets = client.books.bucket_names();
    let big = "0123456789".repeat(2000);
    for (change, wanted) in [
        ("v = 2", json!({ "id": 1, "big": big, "v": 2 })),
        ("id = 2, v = 3", json!({ "id": 2, "big": big, "v": 3 })),
        ("v = 4", json!({ "id": 2, "big": big, "v": 4 })),
    ] {
        for table in tables {
            fixture
                .execute(&format!("UPDATE {table} SET {change}"))
                .await;
            client
                .sync_until_now(change, |books| books.rows(table).values().eq([&wanted]))
                .await;
        }
    }
    for table in tables {
        fixture.execute(&format!("DELETE FROM {table}")).await;
        wait_for_ids(&mut client, table, &[]).await;
    }
    assert_eq!(client.books.bucket_names(), buckets);
}

/// The text of the id's value, and the same from the snapshot and from the stream.
#[tokio::test]
async fn ids_of_other_types() {
    let fixture = Fixture::new(1).await;
    let tables = [
        ("boolean", "true", "1"),
        (
            "timestamptz",
            "'2026-01-02 03:04:05.5+02'",
            "2026-01-02 01:04:05.5Z",
        ),
        (
            "uuid",
            "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        ),
        ("numeric", "1.50", "1.50"),
        ("bigint", "-9223372036854775808", "-9223372036854775808"),
        ("date", "'infinity'", "9999-12-31"),
        ("text[]", "'{a,NULL}'", "[\"a\",null]"),
        ("money", "'1.5'", "$1.50"),
    ];
    let mut names = Vec::new();
    for (index, (kind, value, _)) in tables.iter().enumerate() {
        names.push(format!("t{index}"));
        fixture
            .execute(&format!(
                "CREATE TABLE t{index} (id {kind} PRIMARY KEY, v int); INSERT INTO t{index} VALUES ({value}, 1)"
            ))
            .await;
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let service = Service::start(config(&fixture, &names)).await;
    let mut client = Client::new("user", "a");
    client.connect(&fixture.http, &service.url).await;
    for (name, (_, value, id)) in names.iter().zip(tables) {
        wait_for_ids(&mut client, name, &[id]).await;
        let row = client.books.rows(name)[id].clone();
        fixture.execute(&format!("DELETE FROM {name}")).await;
        wait_for_ids(&mut client, name, &[]).await;
        fixture
            .execute(&format!("INSERT INTO {name} VALUES ({value}, 1)"))
            .await;
        wait_for_ids(&mut client, name, &[id]).await;
        assert_eq!(client.books.rows(name)[id], row);
    }
}

#[tokio::test]
async fn another_key_leads_to_a_new_snapshot() {
    let fixture = Fixture::new(3).await;
    let service = fixture.serve().await;
    let mut client = Client::new("user", "a");
    client.connect(&fixture.http, &service.url).await;
    client.sync_with(&fixture).await;
    for (change, matters) in [
        (
            "ALTER TABLE mww DROP CONSTRAINT mww_pkey; ALTER TABLE mww ADD PRIMARY KEY (k)",
            true,
        ),
        ("ALTER TABLE mww REPLICA IDENTITY FULL", true),
        ("ALTER TABLE mww DROP CONSTRAINT mww_pkey", true),
        // It may be broken within a transaction, so it identifies nothing.
        ("ALTER TABLE mww ADD PRIMARY KEY (id) DEFERRABLE", false),
    ] {
        let names = client.books.bucket_names();
        fixture.execute(change).await;
        if matters {
            client
                .sync_until_now("other buckets", |books| books.bucket_names() != names)
                .await;
        }
        let names = client.books.bucket_names();
        fixture
            .execute("UPDATE mww SET v = v + 1, k = k + 10 WHERE id = '1'")
            .await;
        fixture
            .execute("DELETE FROM mww WHERE id = '2'; INSERT INTO mww VALUES ('2', 2, 2)")
            .await;
        client.sync_with(&fixture).await;
        assert_eq!(client.books.bucket_names(), names, "{change}");
    }
}

/// Clients get what the publication has, and nothing else: from the snapshot, from the stream, after
/// a change of the publication and after one while no service ran.
#[tokio::test]
async fn column_lists_and_row_filters_are_kept() {
    let fixture = Fixture::new(1).await;
    fixture
        .execute(
            "CREATE TABLE t (id int PRIMARY KEY, open text, secret text, odd int GENERATED ALWAYS AS (1) STORED);
             INSERT INTO t SELECT n, 'o', 's' FROM generate_series(1, 4) n;
             CREATE PUBLICATION powersync FOR TABLE t (id, open) WHERE (id > 2)",
        )
        .await;
    let config = config(&fixture, &["t"]);
    let service = Service::start(config.clone()).await;
    let mut client = Client::new("user", "a");
    client.connect(&fixture.http, &service.url).await;
    wait_for_ids(&mut client, "t", &["3", "4"]).await;
    assert_eq!(client.books.rows("t")["3"], json!({ "id": 3, "open": "o" }));
    let buckets = client.books.bucket_names();
    fixture
        .execute(
            "UPDATE t SET open = 'p' WHERE id IN (1, 3); UPDATE t SET id = 5 WHERE id = 2;
             UPDATE t SET id = 0 WHERE id = 4",
        )
        .await;
    wait_for_ids(&mut client, "t", &["3", "5"]).await;
    assert_eq!(client.books.rows("t")["3"], json!({ "id": 3, "open": "p" }));
    assert_eq!(client.books.bucket_names(), buckets);
    // Without any change of the table.
    fixture
        .execute("ALTER PUBLICATION powersync SET TABLE t (id) WHERE (id > 0)")
        .await;
    wait_for_ids(&mut client, "t", &["1", "3", "5"]).await;
    assert_eq!(client.books.rows("t")["3"], json!({ "id": 3 }));
    service.stop().await;
    fixture
        .execute("ALTER PUBLICATION powersync SET TABLE t (id, secret) WHERE (id < 2)")
        .await;
    let service = Service::start(config).await;
    client.connect(&fixture.http, &service.url).await;
    wait_for_ids(&mut client, "t", &["0", "1"]).await;
    assert_eq!(
        client.books.rows("t")["1"],
        json!({ "id": 1, "secret": "s" })
    );
}

/// Changes that were missed because the table was not published for a while.
#[tokio::test]
async fn a_change_that_was_taken_back_leads_to_a_new_snapshot() {
    let fixture = Fixture::new(1).await;
    fixture
        .execute("CREATE TABLE t (id int PRIMARY KEY); CREATE PUBLICATION powersync FOR TABLE t")
        .await;
    let config = config(&fixture, &["t"]);
    let service = Service::start(config.clone()).await;
    let mut client = Client::new("user", "a");
    client.connect(&fixture.http, &service.url).await;
    for (id, away, back) in [
        ("1", "DROP TABLE t", "ADD TABLE t"),
        (
            "2",
            "SET (publish = 'update')",
            "SET (publish = 'insert, update, delete, truncate')",
        ),
    ] {
        fixture
            .execute(&format!("ALTER PUBLICATION powersync {away}"))
            .await;
        fixture
            .execute(&format!("INSERT INTO t VALUES ({id})"))
            .await;
        fixture
            .execute(&format!("ALTER PUBLICATION powersync {back}"))
            .await;
        let wanted: Vec<&str> = ["1", "2"]
            .into_iter()
            .take_while(|other| *other <= id)
            .collect();
        wait_for_ids(&mut client, "t", &wanted).await;
    }
    service.stop().await;
    fixture
        .execute(
            "ALTER PUBLICATION powersync DROP TABLE t; INSERT INTO t VALUES (3);
             ALTER PUBLICATION powersync ADD TABLE t",
        )
        .await;
    let service = Service::start(config).await;
    client.connect(&fixture.http, &service.url).await;
    wait_for_ids(&mut client, "t", &["1", "2", "3"]).await;
}

/// A service that cannot serve its tables rightly any more ends and says why.
#[tokio::test]
async fn a_publication_that_no_longer_fits_ends_the_service() {
    for (change, expected) in [
        (
            "ALTER PUBLICATION powersync SET (publish = 'insert')",
            "publish = 'insert, update",
        ),
        (
            "ALTER PUBLICATION powersync DROP TABLE t",
            "ADD TABLE \"public\".\"t\"",
        ),
        ("ALTER TABLE t DROP id CASCADE", "no column id"),
        ("DROP TABLE t", "no table \"public\".\"t\""),
        ("ALTER TABLE t RENAME TO other", "no table \"public\".\"t\""),
    ] {
        let fixture = Fixture::new(1).await;
        fixture
            .execute(
                "CREATE TABLE t (id int PRIMARY KEY, v int); CREATE PUBLICATION powersync FOR TABLE t, mww",
            )
            .await;
        let config = config(&fixture, &["mww", "t"]);
        let service = Service::start(config.clone()).await;
        fixture.execute(change).await;
        let error = end_of(service).await;
        assert!(error.contains(expected), "{change}: {error}");
        let error = refusal(config).await;
        assert!(error.contains(expected), "{change}: {error}");
    }
}

/// The replication stream says nothing of these, or only with the next change of the table.
#[tokio::test]
async fn altered_values_arrive_without_another_change() {
    let fixture = Fixture::new(3).await;
    let service = fixture.serve().await;
    let mut client = Client::new("user", "a");
    client.connect(&fixture.http, &service.url).await;
    client.sync_with(&fixture).await;
    fixture
        .execute("ALTER TABLE mww ALTER v TYPE int USING v * 7")
        .await;
    client.sync_with(&fixture).await;
    assert_eq!(client.books.rows("mww")["1"]["v"], -7);
    fixture
        .execute("ALTER TABLE mww ADD w int DEFAULT 4; ALTER TABLE mww RENAME v TO u")
        .await;
    client
        .sync_until_now("the new columns", |books| {
            books.rows("mww")["1"] == json!({ "id": "1", "k": 1, "u": -7, "w": 4 })
        })
        .await;
    // Dropped and recreated, by several commands.
    fixture.execute("DROP TABLE mww").await;
    fixture
        .execute("CREATE TABLE mww (id text PRIMARY KEY, k int, v int)")
        .await;
    fixture.execute("INSERT INTO mww VALUES ('9', 9, 9)").await;
    client.sync_with(&fixture).await;
}

/// Rows of a table that inherits are the other table's, and partitions are tables of their own.
#[tokio::test]
async fn inheritance_and_partitions() {
    let fixture = Fixture::new(1).await;
    fixture
        .execute(
            "CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (PRIMARY KEY (id)) INHERITS (parent);
             INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2);
             CREATE TABLE root (id int PRIMARY KEY) PARTITION BY RANGE (id);
             CREATE TABLE low PARTITION OF root FOR VALUES FROM (0) TO (10);
             CREATE TABLE high PARTITION OF root FOR VALUES FROM (10) TO (20);
             INSERT INTO root VALUES (3), (13)",
        )
        .await;
    let service = Service::start(config(&fixture, &["parent", "low", "high"])).await;
    let mut client = Client::new("user", "a");
    client.connect(&fixture.http, &service.url).await;
    wait_for_ids(&mut client, "parent", &["1"]).await;
    wait_for_ids(&mut client, "low", &["3"]).await;
    fixture
        .execute("INSERT INTO child VALUES (4); INSERT INTO parent VALUES (5); UPDATE root SET id = 14 WHERE id = 3")
        .await;
    wait_for_ids(&mut client, "parent", &["1", "5"]).await;
    wait_for_ids(&mut client, "low", &[]).await;
    wait_for_ids(&mut client, "high", &["13", "14"]).await;
    service.stop().await;

    let mut by_root = config(&fixture, &["low"]);
    by_root.publication = "by_root".into();
    by_root.slot.push_str("_2");
    by_root.storage.set_file_name("second.sqlite");
    fixture
        .execute(
            "CREATE PUBLICATION by_root FOR TABLE root WITH (publish_via_partition_root = true)",
        )
        .await;
    let error = refusal(by_root.clone()).await;
    assert!(
        error.contains("publish_via_partition_root = false"),
        "{error}"
    );
    by_root.tables = vec!["root".into()];
    let error = refusal(by_root.clone()).await;
    assert!(
        error.contains("low, public.high") || error.contains("public.low"),
        "{error}"
    );
    fixture
        .execute("ALTER PUBLICATION by_root SET (publish_via_partition_root = false)")
        .await;
    by_root.tables = vec!["low".into()];
    Service::start(by_root).await.stop().await;
}

#[tokio::test]
async fn what_cannot_be_replicated_is_refused_by_name() {
    let fixture = Fixture::new(1).await;
    fixture
        .execute(
            "CREATE VIEW a_view AS SELECT * FROM mww; CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY);
             CREATE MATERIALIZED VIEW matview AS SELECT 1 AS id; CREATE SEQUENCE seq;
             CREATE TABLE without (n int PRIMARY KEY); CREATE TABLE binary_id (id bytea PRIMARY KEY);
             CREATE SCHEMA app; CREATE TABLE app.\"Users\" (id int PRIMARY KEY)",
        )
        .await;
    for (table, expected) in [
        ("a_view", "a view"),
        ("matview", "a materialized view"),
        ("seq", "a sequence"),
        ("unlogged", "SET LOGGED"),
        ("without", "no column id"),
        ("binary_id", "binary"),
        ("users", "app.\"Users\""),
        ("missing", "no table \"public\".\"missing\""),
        ("a.b.c", "not the name of a table"),
    ] {
        let error = refusal(config(&fixture, &["mww", table])).await;
        assert!(error.contains(expected), "{table}: {error}");
    }
    let error = refusal(config(&fixture, &["app.mww", "mww"])).await;
    assert!(error.contains("apart"), "{error}");
    // The same one twice is one; names stand for themselves.
    let service = Service::start(config(&fixture, &["mww", "app.Users", "public.mww"])).await;
    let mut client = Client::new("user", "a");
    client.connect(&fixture.http, &service.url).await;
    fixture
        .execute("INSERT INTO app.\"Users\" VALUES (7)")
        .await;
    wait_for_ids(&mut client, "Users", &["7"]).await;
    assert_eq!(client.books.bucket_names().len(), 2);
}

/// A role that sees less than everything, or has limits of its own.
#[tokio::test]
async fn roles_with_limits() {
    let fixture = Fixture::new(3).await;
    let role = format!("{}_role", fixture.config.slot);
    fixture
        .execute(&format!(
            "CREATE ROLE {role} LOGIN REPLICATION; CREATE PUBLICATION powersync FOR TABLE mww;
             ALTER TABLE mww ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON mww USING (k = 1);
             REVOKE ALL ON SCHEMA public FROM public;
             GRANT EXECUTE ON FUNCTION pg_logical_emit_message(bool, text, text) TO {role};
             ALTER ROLE {role} SET statement_timeout = '50ms'; ALTER ROLE {role} SET lock_timeout = '10ms';
             ALTER ROLE {role} SET idle_in_transaction_session_timeout = '50ms';
             ALTER ROLE {role} SET idle_session_timeout = '50ms';
             ALTER ROLE {role} SET default_transaction_read_only = on;
             ALTER ROLE {role} SET search_path = nowhere; ALTER ROLE {role} SET datestyle = 'German'"
        ))
        .await;
    let mut config = config(&fixture, &["mww"]);
    config.database_url = config
        .database_url
        .replace("//postgres@", &format!("//{role}@"));
    for (expected, remedy) in [
        (
            "GRANT USAGE ON SCHEMA",
            format!("GRANT USAGE ON SCHEMA public TO {role}"),
        ),
        ("BYPASSRLS", format!("ALTER ROLE {role} BYPASSRLS")),
        ("GRANT SELECT ON", format!("GRANT SELECT ON mww TO {role}")),
    ] {
        let error = refusal(config.clone()).await;
        assert!(error.contains(expected), "{error}");
        fixture.execute(&remedy).await;
    }
    // Slower than all its limits.
    let blocker = connect(&fixture.config.database_url).await;
    blocker
        .batch_execute("BEGIN; LOCK TABLE mww IN ACCESS EXCLUSIVE MODE")
        .await
        .expect("locked");
    let release = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        blocker.batch_execute("COMMIT").await.expect("released");
    };
    let (service, ()) = tokio::join!(Service::start(config), release);
    let mut client = Client::new("user", "a");
    client.connect(&fixture.http, &service.url).await;
    client.sync_with(&fixture).await;
    let buckets = client.books.bucket_names();
    tokio::time::sleep(Duration::from_millis(300)).await;
    fixture.execute("UPDATE mww SET v = 5").await;
    client.sync_with(&fixture).await;
    let id = client.write_checkpoint(&fixture.http, &service.url).await;
    client.sync_to(id).await;
    assert_eq!(client.books.bucket_names(), buckets);
}

#[tokio::test]
async fn slots_of_others_are_refused_and_left_alone() {
    let fixture = Fixture::new(1).await;
    let slot = &fixture.config.slot;
    for (kind, make) in [
        (
            "of the output plugin test_decoding",
            format!("SELECT pg_create_logical_replication_slot('{slot}', 'test_decoding')"),
        ),
        (
            "a physical one",
            format!("SELECT pg_create_physical_replication_slot('{slot}')"),
        ),
        (
            "a temporary one",
            format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput', true)"),
        ),
        (
            "two_phase",
            format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput', false, true)"),
        ),
    ] {
        fixture.execute(&make).await;
        let error = refusal(config(&fixture, &["mww"])).await;
        assert!(error.contains(kind), "{error}");
        fixture
            .execute(&format!("SELECT pg_drop_replication_slot('{slot}')"))
            .await;
    }
    // Also after the service has had one itself.
    let service = Service::start(config(&fixture, &["mww"])).await;
    service.stop().await;
    let other = Fixture::new(1).await;
    let mut elsewhere = config(&other, &["mww"]);
    elsewhere.slot.clone_from(slot);
    let error = refusal(elsewhere).await;
    assert!(error.contains("of the database"), "{error}");
    let left = fixture
        .sql
        .query(
            "SELECT FROM pg_replication_slots WHERE slot_name = $1",
            &[slot],
        )
        .await
        .expect("rows");
    assert_eq!(left.len(), 1);
}

/// Whoever locks a table holds up neither the changes of others nor write checkpoints.
#[tokio::test]
async fn a_locked_table_does_not_hold_up_the_stream() {
    let fixture = Fixture::new(1).await;
    fixture.execute("CREATE TABLE t (id int PRIMARY KEY)").await;
    let service = Service::start(config(&fixture, &["mww", "t"])).await;
    let mut client = Client::new("user", "a");
    client.connect(&fixture.http, &service.url).await;
    let blocker = connect(&fixture.config.database_url).await;
    blocker
        .batch_execute("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        .await
        .expect("locked");
    // Longer than the pause between two looks at the catalogue.
    for value in 1..=3 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        fixture
            .execute(&format!("UPDATE mww SET v = {value}"))
            .await;
        client.sync_with(&fixture).await;
    }
    let buckets = client.books.bucket_names();
    blocker
        .batch_execute("TRUNCATE t; INSERT INTO t VALUES (1); COMMIT")
        .await
        .expect("released");
    wait_for_ids(&mut client, "t", &["1"]).await;
    assert_eq!(client.books.bucket_names(), buckets);
}

/// Only a publication that a service made gets more tables from one.
#[tokio::test]
async fn publications_of_others_are_left_alone() {
    let fixture = Fixture::new(1).await;
    fixture.execute("CREATE TABLE t (id int PRIMARY KEY)").await;
    Service::start(config(&fixture, &["mww"]))
        .await
        .stop()
        .await;
    let service = Service::start(config(&fixture, &["mww", "t"])).await;
    let mut client = Client::new("user", "a");
    client.connect(&fixture.http, &service.url).await;
    fixture.execute("INSERT INTO t VALUES (1)").await;
    wait_for_ids(&mut client, "t", &["1"]).await;
    service.stop().await;
    fixture
        .execute("CREATE PUBLICATION theirs FOR TABLE mww")
        .await;
    let mut theirs = config(&fixture, &["mww", "t"]);
    theirs.publication = "theirs".into();
    let error = refusal(theirs).await;
    assert!(error.contains("ADD TABLE"), "{error}");
    let tables = fixture
        .sql
        .query(
            "SELECT FROM pg_publication_tables WHERE pubname = 'theirs'",
            &[],
        )
        .await
        .expect("rows");
    assert_eq!(tables.len(), 1);
}

/// A slot whose log was removed is our own, so it is recreated.
#[tokio::test]
async fn a_slot_that_lost_its_log_leads_to_a_new_snapshot() {
    let settings = vec![
        ("max_slot_wal_keep_size".to_owned(), "1MB".to_owned()),
        ("min_wal_size".to_owned(), "32MB".to_owned()),
        ("max_wal_size".to_owned(), "32MB".to_owned()),
    ];
    let cluster = Cluster::start(Options {
        settings,
        ..Options::default()
    })
    .await
    .expect("starts");
    let fixture = Fixture::on(std::sync::Arc::new(cluster), 2).await;
    let service = fixture.serve().await;
    let mut client = Client::new("user", "a");
    client.connect(&fixture.http, &service.url).await;
    client.sync_with(&fixture).await;
    service.stop().await;
    let lost = within("the slot to be lost", async {
        loop {
            fixture
                .execute("SELECT pg_switch_wal(); CREATE TABLE IF NOT EXISTS filler (); CHECKPOINT")
                .await;
            fixture.execute("DROP TABLE filler").await;
            let row = fixture
                .sql
                .query_one(
                    "SELECT wal_status FROM pg_replication_slots WHERE slot_name = $1",
                    &[&fixture.config.slot],
                )
                .await
                .expect("a slot");
            if row.get::<_, Option<&str>>(0) == Some("lost") {
                break;
            }
        }
    });
    lost.await;
    fixture.execute("UPDATE mww SET v = 3").await;
    let service = fixture.serve().await;
    client.connect(&fixture.http, &service.url).await;
    client.sync_with(&fixture).await;
}

/// The first host that answers is taken, by all connections.
#[tokio::test]
async fn several_hosts_in_the_url() {
    let fixture = Fixture::new(1).await;
    let mut config = config(&fixture, &["mww"]);
    config.database_url = config
        .database_url
        .replace("127.0.0.1:", "127.0.0.1:1,127.0.0.1:");
    let service = Service::start(config).await;
    let mut client = Client::new("user", "a");
    client.connect(&fixture.http, &service.url).await;
    fixture.execute("UPDATE mww SET v = 5").await;
    client.sync_with(&fixture).await;
    let id = client.write_checkpoint(&fixture.http, &service.url).await;
    client.sync_to(id).await;
}

/// Databases with other encodings: text arrives as UTF-8, and what is none is named.
#[tokio::test]
async fn encodings() {
    let cluster = Cluster::start(Options::default()).await.expect("starts");
    let folder = tempfile::tempdir().expect("made");
    let admin = connect(&cluster.url()).await;
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let name = encoding.to_lowercase();
        admin
            .batch_execute(&format!(
                "CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"
            ))
            .await
            .expect("made");
        let url = format!(
            "{}/{name}",
            cluster.url().rsplit_once('/').expect("a path").0
        );
        let sql = connect(&url).await;
        sql.batch_execute(
            "CREATE TABLE mww (id text PRIMARY KEY, v text); INSERT INTO mww VALUES ('1', 'é')",
        )
        .await
        .expect("made");
        let mut config = Config::new(
            url,
            folder.path().join(encoding),
            KEY.into(),
            KEY_ID.into(),
            AUDIENCE.into(),
        );
        config.slot = name;
        config.start_deadline = Duration::from_secs(2);
        let service = Service::start(config.clone()).await;
        let http = reqwest::Client::new();
        let mut client = Client::new("user", "a");
        client.connect(&http, &service.url).await;
        wait_for_ids(&mut client, "mww", &["1"]).await;
        sql.batch_execute("INSERT INTO mww VALUES ('2', 'ü')")
            .await
            .expect("inserted");
        wait_for_ids(&mut client, "mww", &["1", "2"]).await;
        assert_eq!(client.books.rows("mww")["1"]["v"], "é");
        assert_eq!(client.books.rows("mww")["2"]["v"], "ü");
        if encoding == "SQL_ASCII" {
            sql.batch_execute("INSERT INTO mww VALUES ('3', convert_from('\\xff', 'SQL_ASCII'))")
                .await
                .expect("inserted");
            let error = end_of(service).await;
            assert!(
                error.contains("mww.v") && error.contains("UTF-8"),
                "{error}"
            );
            let error = refusal(config.clone()).await;
            assert!(
                error.contains("mww.v") && error.contains("UTF-8"),
                "{error}"
            );
            sql.batch_execute("UPDATE mww SET v = 'ß' WHERE id = '3'")
                .await
                .expect("corrected");
            let service = Service::start(config).await;
            client.connect(&http, &service.url).await;
            wait_for_ids(&mut client, "mww", &["1", "2", "3"]).await;
        }
    }
}
