//! Rows that somebody deletes, doubles or garbles behind the back of running clients, in the SQLite file of one
//! or in PostgreSQL: clients answer what is there, and the verdict names it, for every workload.

#[path = "support/run.rs"]
mod run;

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use run::{Run, disturbed, wait};
use squall_throwaway_postgres::{Cluster, Options};
use tokio_postgres::NoTls;

/// What is done in the middle of a storm of three native clients without faults must be a violation that says
/// that.
fn is_found_in_storm(workload: &str, more: &[&str], tamper: impl FnOnce(&Run), says: &str) {
    let arguments = [
        "--fleet",
        "native=3",
        "--faults",
        "none",
        // A client whose probe's row is not to be read any more does not recover.
        "--recovery-deadline",
        "5s",
        "--workload",
        workload,
    ];
    let tamper = |run: &Run| {
        let history = run.latest().join("history.jsonl");
        wait("5 operations of native-1", || {
            let history = fs::read_to_string(&history).unwrap_or_default();
            history.matches("{\"ok\":{\"client\":\"native-1\"").count() >= 5
        });
        tamper(run);
    };
    disturbed(&[&arguments[..], more].concat(), tamper, 1, says);
}

/// Until what was done is found along with the run.
const UNTIL_FOUND: [&str; 3] = ["--time", "60s", "--stop-on-violation"];
/// Long enough for what is done to be there when everything is read at the end.
const UNTIL_END: [&str; 2] = ["--time", "4s"];

/// The same of SQL that is done on `native-1`'s file.
fn is_found(workload: &str, sql: &str, says: &str) {
    is_found_in_file(workload, &UNTIL_FOUND, sql, says);
}

fn is_found_in_file(workload: &str, more: &[&str], sql: &str, says: &str) {
    let tamper = |run: &Run| {
        let tampered = Command::new("sqlite3")
            .args(["-cmd", ".timeout 10000"])
            .arg(run.latest().join("databases/native-1.sqlite"))
            .arg(sql)
            .output()
            .unwrap();
        assert!(tampered.status.success(), "{tampered:?}");
    };
    is_found_in_storm(workload, more, tamper, says);
}

/// The same of SQL that is done in PostgreSQL, as soon as the rows that the last statement changes are there: what
/// a client has committed may still wait for its upload.
fn is_found_in_postgresql(workload: &str, sql: &[&str], says: &str) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let cluster = runtime
        .block_on(Cluster::start(Options::default()))
        .unwrap();
    let url = cluster.url();
    let tamper = async {
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(connection);
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let mut changed = 0;
            for statement in sql {
                changed = client.execute(*statement, &[]).await.unwrap();
            }
            if changed > 0 {
                break;
            }
            assert!(Instant::now() < deadline, "no row came for {sql:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let tamper = |_: &Run| runtime.block_on(tamper);
    let more = [&UNTIL_END[..], &["--database-url", &url]].concat();
    is_found_in_storm(workload, &more, tamper, says);
}

#[test]
fn rows_that_are_lost_are_named() {
    let lost = "native-1 did not find";
    is_found("mww", "DELETE FROM ps_data__mww", lost);
    is_found("list-append", "DELETE FROM ps_data__lists", lost);
    is_found("gset", "DELETE FROM ps_data__gset", "It lacks the element");
    is_found("counter", "DELETE FROM ps_data__counter", lost);
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
    is_found("counter", &double("counter"), "no-thin-air-read: VIOLATION");
    is_found("ledger", &double("ledger"), "gapless-prefix: VIOLATION");
}

#[test]
fn rows_that_make_no_sense_are_shown() {
    let garble =
        |table: &str| format!("UPDATE ps_data__{table} SET data = json_set(data, '$.k', null)");
    let shown = "committed and read what makes no sense: the row (null";
    for workload in ["mww", "counter"] {
        is_found(workload, &garble(workload), shown);
    }
    // A list or an element without a key is in nobody's way until everything is read, and may be missed before.
    for (workload, table) in [("list-append", "lists"), ("gset", "gset")] {
        is_found_in_file(workload, &UNTIL_END, &garble(table), shown);
    }
}

#[test]
fn what_is_done_to_rows_in_postgresql_is_found() {
    let lost = "did not find k3";
    is_found_in_postgresql("mww", &["DELETE FROM mww WHERE k = 3"], lost);
    is_found_in_postgresql(
        "counter",
        &["UPDATE counter SET v = v - 1 WHERE k = 3"],
        "durability: VIOLATION",
    );
    is_found_in_postgresql(
        "gset",
        &["DELETE FROM gset WHERE v < 5"],
        "durability: VIOLATION",
    );
    // A client that has not seen the change yet would overwrite it, so every later one is changed as well.
    let garble = [
        "CREATE OR REPLACE FUNCTION garble() RETURNS trigger LANGUAGE plpgsql
            AS $$ BEGIN NEW.v := 'x'; RETURN NEW; END $$",
        "CREATE OR REPLACE TRIGGER garble BEFORE INSERT OR UPDATE ON lists
            FOR EACH ROW WHEN (NEW.k < 9) EXECUTE FUNCTION garble()",
        "UPDATE lists SET v = v WHERE k < 9",
    ];
    is_found_in_postgresql("list-append", &garble, "VIOLATION");
    is_found_in_postgresql(
        "ledger",
        &["DELETE FROM ledger WHERE seq = 2"],
        "gapless-prefix: VIOLATION",
    );
}
