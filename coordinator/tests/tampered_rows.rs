//! Rows that somebody deletes, doubles or garbles behind the back of running clients, in the SQLite file of one
//! or in PostgreSQL: clients answer what is there, and the verdict names it, for every workload.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use squall_throwaway_postgres::{Cluster, Options};
use tokio_postgres::NoTls;

/// A storm of three native clients without faults, in whose middle something is done to what is in its
/// folder. Answers its exit code and what it printed.
fn storm(workload: &str, arguments: &[&str], tamper: impl FnOnce(&Path)) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_squall"))
        .args([
            "run", "--seed", "3", "--fleet", "native=3", "--faults", "none",
        ])
        .args(["--time", "4s", "--workload", workload, "--output"])
        .arg(folder.path())
        .args(arguments)
        .env_remove("SQUALL_DATABASE_URL")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let latest = folder.path().join("latest");
    wait_for_operations(&latest.join("history.jsonl"), "native-1", 5);
    tamper(&latest);
    let output = run.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    (output.status.code(), format!("{text}\n{errors}"))
}

/// Waits until the client has done so many operations.
fn wait_for_operations(history: &Path, client: &str, count: usize) {
    let since = Instant::now();
    let done = format!("{{\"ok\":{{\"client\":\"{client}\"");
    loop {
        let text = fs::read_to_string(history).unwrap_or_default();
        if text.matches(&done).count() >= count {
            return;
        }
        assert!(
            since.elapsed() < Duration::from_secs(120),
            "waited in vain for {count} operations of {client}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// That SQL, done on `native-1`'s file, must be a violation whose examples say that.
fn is_found(workload: &str, sql: &str, says: &str) {
    assert_found(
        storm(workload, &[], |run| {
            let tampered = Command::new("sqlite3")
                .args(["-cmd", ".timeout 10000"])
                .arg(run.join("databases/native-1.sqlite"))
                .arg(sql)
                .output()
                .unwrap();
            assert!(tampered.status.success(), "{tampered:?}");
        }),
        says,
    );
}

fn assert_found((code, text): (Option<i32>, String), says: &str) {
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains(says), "no `{says}` in:\n{text}");
}

/// The same of SQL that is done in PostgreSQL.
fn is_found_in_postgresql(workload: &str, sql: &str, says: &str) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let cluster = runtime
        .block_on(Cluster::start(Options::default()))
        .unwrap();
    let url = cluster.url();
    let tamper = async {
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute(sql).await.unwrap();
    };
    let found = storm(workload, &["--database-url", &url], |_| {
        runtime.block_on(tamper)
    });
    assert_found(found, says);
}

#[test]
fn rows_that_are_lost_are_named() {
    let lost = "native-1 did not find";
    is_found("mww", "DELETE FROM ps_data__mww", lost);
    is_found("list-append", "DELETE FROM ps_data__lists", lost);
    is_found("gset", "DELETE FROM ps_data__gset", "It lacks the element");
}

#[test]
fn rows_of_the_ledger_that_are_lost_are_named() {
    let sql = "DELETE FROM ps_data__ledger WHERE id % 2 = 0";
    is_found("ledger", sql, "gapless-prefix: VIOLATION");
}

#[test]
fn rows_that_are_there_twice_are_found() {
    let double = |table: &str| {
        format!("INSERT INTO ps_data__{table} SELECT 'twice-' || id, data FROM ps_data__{table}")
    };
    is_found("mww", &double("mww"), "no-thin-air-read: VIOLATION");
    is_found(
        "list-append",
        &double("lists"),
        "no-thin-air-read: VIOLATION",
    );
    is_found("gset", &double("gset"), "VIOLATION");
    is_found("ledger", &double("ledger"), "gapless-prefix: VIOLATION");
}

#[test]
fn rows_that_make_no_sense_are_shown() {
    let garble =
        |table: &str| format!("UPDATE ps_data__{table} SET data = json_set(data, '$.k', null)");
    let shown = "committed and read what makes no sense: the row (null";
    for (workload, table) in [("mww", "mww"), ("list-append", "lists"), ("gset", "gset")] {
        is_found(workload, &garble(table), shown);
    }
}

#[test]
fn what_is_done_to_rows_in_postgresql_is_found() {
    let lost = "did not find k3";
    is_found_in_postgresql("mww", "DELETE FROM mww WHERE k = 3", lost);
    is_found_in_postgresql(
        "list-append",
        "UPDATE lists SET v = 'x' WHERE k < 9",
        "VIOLATION",
    );
    is_found_in_postgresql(
        "ledger",
        "DELETE FROM ledger WHERE seq = 2",
        "gapless-prefix: VIOLATION",
    );
}
