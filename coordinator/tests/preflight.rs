//! Databases in which a run could not keep its promises are refused before anything is started; what
//! was merely set for sessions does not matter.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use squall_throwaway_postgres::{Cluster, Options};
use tokio_postgres::{Client, NoTls};

const KEY: &str = "c3F1YWxsLWlzLWEtdGVzdC1zdWl0ZS1mb3Itc3luYw";

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn execute(url: &str, sql: &str) {
    let client = connect(url).await;
    for statement in sql.split(";\n") {
        client
            .batch_execute(statement)
            .await
            .unwrap_or_else(|error| panic!("{statement}: {:?}", error.as_db_error()));
    }
}

fn run(url: &str, arguments: &[&str]) -> (Output, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_squall"))
        .args(["run", "--seed", "5", "--faults", "none", "--time", "2s"])
        .args(["--database-url", url, "--output"])
        .arg(folder.path())
        .args(match arguments.contains(&"--fleet") {
            true => &[][..],
            false => &["--fleet", "native=2,postgres=1"],
        })
        .args(arguments)
        .output()
        .unwrap();
    (output, folder)
}

/// What is said of the run that is refused. There must be no storm.
fn refused(url: &str, arguments: &[&str]) -> String {
    let (output, folder) = run(url, arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(69), "{text}\n{errors}");
    let history = std::fs::read_to_string(folder.path().join("latest/history.jsonl")).unwrap();
    assert!(!history.contains(r#"{"phase":"storm"}"#), "{history}");
    errors
}

fn is_ok(url: &str, arguments: &[&str]) {
    let (output, _folder) = run(url, arguments);
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{text}\n{errors}");
}

/// The address of another database, for another user, of the same cluster.
fn address(cluster: &Cluster, user: &str, database: &str) -> String {
    format!("postgres://{user}@127.0.0.1:{}/{database}", cluster.port())
}

/// What was done to a database, and what must be said of it.
const SPOILED: &[(&str, &[&str])] = &[
    ("DROP SCHEMA public", &["schema public", "CREATE SCHEMA"]),
    (
        "CREATE VIEW ledger AS SELECT 1 AS id",
        &["ledger is no ordinary table"],
    ),
    (
        "CREATE UNLOGGED TABLE mww (id text PRIMARY KEY, k integer NOT NULL UNIQUE, v bigint NOT NULL)",
        &["mww is no ordinary table"],
    ),
    (
        "CREATE TABLE mww (id text PRIMARY KEY, k integer NOT NULL UNIQUE, v integer NOT NULL)",
        &["mww.v should be bigint"],
    ),
    (
        "CREATE TABLE mww (id uuid PRIMARY KEY, k integer NOT NULL UNIQUE, v bigint NOT NULL)",
        &["mww.id should be text"],
    ),
    (
        "CREATE TABLE mww (id text PRIMARY KEY, k integer NOT NULL UNIQUE)",
        &["mww.v should be bigint"],
    ),
    (
        "CREATE TABLE mww (id text PRIMARY KEY, k integer NOT NULL, v bigint GENERATED ALWAYS AS (k) STORED)",
        &["mww.v should be bigint"],
    ),
    (
        "CREATE TABLE mww (id text PRIMARY KEY, k integer NOT NULL, v bigint NOT NULL, owner text NOT NULL)",
        &["mww.owner", "default"],
    ),
    (
        "CREATE TABLE mww (id text, k integer NOT NULL, v bigint NOT NULL)",
        &["mww (id)", "primary key"],
    ),
    (
        "CREATE TABLE mww (id text PRIMARY KEY DEFERRABLE, k integer NOT NULL, v bigint NOT NULL)",
        &["mww (id)", "deferrable"],
    ),
    (
        "CREATE TABLE mww (id text PRIMARY KEY, k integer NOT NULL, v bigint NOT NULL UNIQUE)",
        &["mww (mww_v_key)", "unique"],
    ),
    (
        "CREATE TABLE mww (id text PRIMARY KEY, k integer NOT NULL, v bigint NOT NULL CHECK (v < 100))",
        &["mww (mww_v_check)", "constraint"],
    ),
    (
        "CREATE TABLE ledger (id text PRIMARY KEY, client text NOT NULL, seq bigint NOT NULL,
            writes text NOT NULL, copies bigint NOT NULL, position bigserial)",
        &["ledger.copies should be bigint"],
    ),
    (
        "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level1', deterministic = false);
CREATE TABLE ledger (id text COLLATE loose PRIMARY KEY, client text NOT NULL, seq bigint NOT NULL,
            writes text NOT NULL, copies bigint NOT NULL DEFAULT 1, position bigserial)",
        &["ledger.id should be text", "collation"],
    ),
    (
        "CREATE TABLE squall_uploads (client_id text, upload_id text PRIMARY KEY)",
        &["squall_uploads", "primary key"],
    ),
    (
        "CREATE TABLE mww (id text PRIMARY KEY, k integer NOT NULL UNIQUE, v bigint NOT NULL);
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.v := 7; RETURN NEW; END';
CREATE TRIGGER stamp BEFORE UPDATE ON mww FOR EACH ROW EXECUTE FUNCTION stamp()",
        &["mww (stamp)", "trigger"],
    ),
    (
        "CREATE TABLE mww (id text PRIMARY KEY, k integer NOT NULL UNIQUE, v bigint NOT NULL);
CREATE RULE silent AS ON UPDATE TO mww DO INSTEAD NOTHING",
        &["mww (silent)", "rule"],
    ),
    (
        "CREATE TABLE mww (id text PRIMARY KEY, k integer NOT NULL UNIQUE, v bigint NOT NULL);
CREATE TABLE other (mww text REFERENCES mww ON DELETE CASCADE)",
        &["constraint", "mww (other_mww_fkey)"],
    ),
    (
        "CREATE TABLE mww (id text PRIMARY KEY, k integer NOT NULL UNIQUE, v bigint NOT NULL);
ALTER TABLE mww ENABLE ROW LEVEL SECURITY",
        &["mww", "row level security"],
    ),
    (
        "CREATE TABLE mww (id text PRIMARY KEY, k integer NOT NULL UNIQUE, v bigint NOT NULL);
ALTER TABLE mww REPLICA IDENTITY NOTHING",
        &["mww", "replica identity"],
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_cannot_keep_a_promise_is_refused() {
    let mut cluster = Cluster::start(Options::default()).await.unwrap();
    let admin = cluster.url();
    for (number, (sql, expected)) in SPOILED.iter().enumerate() {
        let database = format!("spoiled_{number}");
        execute(&admin, &format!("CREATE DATABASE {database}")).await;
        let url = address(&cluster, "postgres", &database);
        execute(&url, sql).await;
        let said = refused(&url, &[]);
        for part in *expected {
            assert!(said.contains(part), "{sql}: {part} is not in: {said}");
        }
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_cannot_hold_every_text_is_refused_where_texts_are_written() {
    let mut cluster = Cluster::start(Options::default()).await.unwrap();
    let create = "CREATE DATABASE narrow ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0";
    execute(&cluster.url(), create).await;
    let url = address(&cluster, "postgres", "narrow");
    let said = refused(&url, &["--payload"]);
    assert!(said.contains("LATIN1") && said.contains("UTF8"), "{said}");
    is_ok(&url, &[]);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_not_do_what_a_run_needs_is_refused() {
    let mut cluster = Cluster::start(Options::default()).await.unwrap();
    let admin = cluster.url();
    execute(
        &admin,
        "CREATE ROLE humble LOGIN;
CREATE DATABASE theirs",
    )
    .await;
    let url = address(&cluster, "humble", "theirs");
    let theirs = address(&cluster, "postgres", "theirs");
    let steps = [
        ("REPLICATION", "ALTER ROLE humble REPLICATION"),
        (
            "GRANT CREATE ON SCHEMA",
            "GRANT CREATE ON SCHEMA public TO humble",
        ),
        (
            "GRANT CREATE ON DATABASE",
            "GRANT CREATE ON DATABASE theirs TO humble",
        ),
    ];
    // Each is refused for what it lacks, and does what it is told.
    for (expected, remedy) in steps {
        let said = refused(&url, &[]);
        assert!(said.contains(expected) && said.contains("humble"), "{said}");
        execute(&theirs, remedy).await;
    }
    execute(
        &theirs,
        "CREATE TABLE mww (id text PRIMARY KEY, k integer NOT NULL, v bigint NOT NULL)",
    )
    .await;
    let said = refused(&url, &[]);
    assert!(said.contains("mww belongs to another role"), "{said}");
    execute(&theirs, "DROP TABLE mww").await;
    is_ok(&url, &[]);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_room_is_refused() {
    let mut settings = vec![("max_connections".to_owned(), "13".to_owned())];
    for name in ["max_replication_slots", "max_wal_senders"] {
        settings.push((name.to_owned(), "1".to_owned()));
    }
    let options = Options {
        settings,
        ..Options::default()
    };
    let mut cluster = Cluster::start(options).await.unwrap();
    let url = cluster.url();
    let said = refused(&url, &[]);
    assert!(said.contains("connections that this fleet needs"), "{said}");
    // Without the client on PostgreSQL they are enough.
    is_ok(&url, &["--fleet", "native=2"]);
    execute(&url, "SELECT pg_create_physical_replication_slot('theirs')").await;
    let said = refused(&url, &["--fleet", "native=2"]);
    assert!(said.contains("max_replication_slots=1"), "{said}");
    cluster.stop().await;
}

/// `squall serve` of the default workload's tables and the payload table.
fn serve(url: &str, folder: &Path) -> (Child, String) {
    let mut service = Command::new(env!("CARGO_BIN_EXE_squall"))
        .args(["serve", "--tables", "mww,ledger,payload", "--storage"])
        .arg(folder.join("storage.sqlite"))
        .env("SQUALL_DATABASE_URL", url)
        .env("SQUALL_SERVICE_KEY", KEY)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut lines = BufReader::new(service.stdout.take().unwrap());
    lines.read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on ").unwrap();
    (service, format!("http://{address}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_for_sessions_does_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(Options::default()).await.unwrap();
    let admin = cluster.url();
    let set = [
        ("search_path", "elsewhere, public"),
        ("default_transaction_read_only", "on"),
        ("default_transaction_isolation", "serializable"),
        ("statement_timeout", "250ms"),
        ("lock_timeout", "1ms"),
        ("idle_in_transaction_session_timeout", "1ms"),
        ("idle_session_timeout", "250ms"),
        ("synchronous_commit", "off"),
        ("standard_conforming_strings", "off"),
        ("DateStyle", "German"),
        ("bytea_output", "escape"),
        ("session_replication_role", "replica"),
        ("client_encoding", "LATIN1"),
    ];
    let mut sql = "CREATE SCHEMA elsewhere;\nCREATE ROLE app LOGIN SUPERUSER".to_owned();
    for (name, value) in set {
        sql += &format!(";\nALTER ROLE app SET {name} = '{value}'");
    }
    // A list is no text.
    let sql = sql.replace("'elsewhere, public'", "elsewhere, public");
    is_ok(&admin, &["--payload"]);
    execute(&admin, &sql).await;

    // The service has a role of its own.
    let url = address(&cluster, "app", "postgres");
    let (mut service, service_url) = serve(&admin, folder.path());
    let service_of_its_own = ["--service-url", &service_url, "--service-key", KEY];
    let elsewhere = format!("{url}?options=-c%20search_path%3Delsewhere");
    for url in [&url, &elsewhere] {
        let mut arguments = Vec::from(service_of_its_own);
        arguments.extend(["--payload", "--reads", "read-transaction,write-transaction"]);
        is_ok(url, &arguments);
    }
    service.kill().unwrap();
    service.wait().unwrap();
    let client = connect(&admin).await;
    let query = "SELECT count(*) FROM pg_class WHERE relname IN ('mww', 'ledger', 'squall_uploads')
                 AND relnamespace = 'elsewhere'::regnamespace";
    let astray: i64 = client.query_one(query, &[]).await.unwrap().get(0);
    assert_eq!(astray, 0);

    // The embedded service has the role of the run, and of this goes by what is set.
    let said = refused(&url, &[]);
    assert!(
        said.contains("default_transaction_read_only = off"),
        "{said}"
    );
    cluster.stop().await;
}
