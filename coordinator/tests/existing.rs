//! Runs against a PostgreSQL and a sync service that are already there, as a user would point squall
//! at a real PowerSync service.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use squall_throwaway_postgres::{Cluster, Options};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio_postgres::NoTls;

const KEY: &str = "c3F1YWxsLWlzLWEtdGVzdC1zdWl0ZS1mb3Itc3luYw";

/// What is in the database besides the tables that runs make and what these held at the end.
const TRACES: &str =
    "SELECT (SELECT count(*) FROM pg_replication_slots) + (SELECT count(*) FROM pg_publication)
    + (SELECT count(*) FROM squall_uploads)";

async fn run(database_url: &str, folder: &Path, arguments: &[&str]) -> Output {
    let time = match arguments.contains(&"--time") {
        true => &[][..],
        false => &["--time", "3s"],
    };
    command(database_url, folder, &[arguments, time].concat())
        .output()
        .await
        .unwrap()
}

fn command(database_url: &str, folder: &Path, arguments: &[&str]) -> Command {
    let faults = match arguments.contains(&"--faults") {
        true => &[][..],
        false => &["--faults", "none"],
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
    command
        .args(["run", "--fleet", "native=2,postgres=1"])
        .args(faults)
        .args(["--database-url", database_url, "--output"])
        .arg(folder.join("runs"))
        .args(arguments)
        .kill_on_drop(true);
    command
}

async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Waits until the query, which may not be possible yet, counts something.
async fn wait_until(database_url: &str, query: &str) {
    let client = connect(database_url).await;
    let counts = async {
        loop {
            let row = client.query_one(query, &[]).await;
            if row.is_ok_and(|row| row.get::<_, i64>(0) > 0) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let counted = tokio::time::timeout(Duration::from_secs(120), counts).await;
    counted.unwrap_or_else(|_| panic!("waited in vain for: {query}"));
}

fn assert_ok(output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{text}\n{errors}");
}

async fn count(database_url: &str, query: &str) -> i64 {
    let client = connect(database_url).await;
    client.query_one(query, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgresql_that_is_not_ours_is_not_restarted_and_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(Options::default()).await.unwrap();
    let pid = cluster.pid();
    let faults = "postgres.restart,service.kill";
    let arguments = [
        "--seed",
        "1",
        "--faults",
        faults,
        "--fault-interval",
        "500ms",
    ];
    let output = run(&cluster.url(), folder.path(), &arguments).await;
    assert_ok(&output);
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find(|line| line.starts_with("faults: "));
    let line = line.expect("there were faults");
    assert!(line.contains("postgres.restart 0 ("), "{line}");
    assert!(line.contains("skipped)"), "{line}");
    // The service is ours.
    assert!(!line.contains("service.kill 0"), "{line}");
    assert!(cluster.is_running());
    assert_eq!(cluster.pid(), pid);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_and_a_service_that_are_already_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(Options::default()).await.unwrap();
    let url = cluster.url();

    // The embedded service on a database of someone else's leaves no slot and no publication behind,
    // and the next run starts from the beginning whatever the last one left in the tables.
    for _ in 0..2 {
        assert_ok(&run(&url, folder.path(), &[]).await);
    }
    assert_eq!(count(&url, TRACES).await, 0);

    // Nor does a run that fails once the service is up.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let failed = run(&url, folder.path(), &["--backend-port", &port]).await;
    let errors = String::from_utf8_lossy(&failed.stderr);
    assert_eq!(failed.status.code(), Some(69), "{errors}");
    assert!(errors.contains("backend"), "{errors}");
    assert_eq!(count(&url, TRACES).await, 0);

    // Nor one that was killed, once there has been another.
    let mut killed = command(&url, folder.path(), &["--time", "60s"])
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_until(&url, "SELECT count(*) FROM squall_uploads").await;
    killed.kill().await.unwrap();
    assert!(count(&url, TRACES).await > 2);
    assert_ok(&run(&url, folder.path(), &[]).await);
    assert_eq!(count(&url, TRACES).await, 0);

    // Nor one that is interrupted, in the storm or at its start.
    for begun in [
        "SELECT count(*) FROM squall_uploads",
        "SELECT count(*) FROM pg_publication",
    ] {
        let interrupted = command(&url, folder.path(), &["--time", "60s"])
            .stderr(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        wait_until(&url, begun).await;
        let pid = interrupted.id().unwrap().to_string();
        let signalled = Command::new("kill").args(["-INT", &pid]).status().await;
        assert!(signalled.unwrap().success());
        let output = interrupted.wait_with_output().await.unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert_eq!(count(&url, TRACES).await, 0);
    }

    // A service that squall did not start, and that still has the last run's rows.
    let mut service = Command::new(env!("CARGO_BIN_EXE_squall"))
        .args([
            "serve",
            "--kid",
            "a-kid",
            "--audience",
            "an-audience",
            "--storage",
        ])
        .arg(folder.path().join("storage.sqlite"))
        .env("SQUALL_DATABASE_URL", &url)
        .env("SQUALL_SERVICE_KEY", KEY)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(service.stdout.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().unwrap();
    let address = line.strip_prefix("listening on ").unwrap();
    let service_url = format!("http://{address}");
    let mut remote = vec!["--service-url", &service_url, "--service-key", KEY];
    remote.extend([
        "--service-kid",
        "a-kid",
        "--service-audience",
        "an-audience",
    ]);
    assert_ok(&run(&url, folder.path(), &remote).await);

    // A token that the service does not take: that is told before anything is tried.
    remote[3] = "d3Jvbmctd3Jvbmctd3Jvbmctd3Jvbmctd3Jvbmctd3I";
    let refused = run(&url, folder.path(), &remote).await;
    let errors = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(69), "{errors}");
    assert!(errors.contains("--service-key"), "{errors}");

    service.kill().await.unwrap();
    cluster.stop().await;
}

/// The service's history is longer than what comes within the deadline, since what is between it and
/// the clients is slow; but it comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_sync_may_take_its_time_as_long_as_it_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(Options::default()).await.unwrap();
    let url = cluster.url();
    assert_ok(&run(&url, folder.path(), &["--workload", "mww"]).await);
    let (service, address) = serve(&url, &folder.path().join("storage.sqlite"), "mww").await;
    let client = connect(&url).await;
    // 60,000 operations of 20 bytes and more, in bursts that are a transaction each.
    let burst = "UPDATE mww SET v = v + 1";
    for _ in 0..600 {
        client.batch_execute(burst).await.unwrap();
    }
    let position = "SELECT pg_current_wal_lsn()::text";
    let row = client.query_one(position, &[]).await.unwrap();
    let position: String = row.get(0);
    let replicated = "SELECT count(*) FROM pg_replication_slots WHERE confirmed_flush_lsn";
    wait_until(&url, &format!("{replicated} >= '{position}'")).await;

    let trickle = trickle(address.clone(), 1_500_000, usize::MAX).await;
    let service_url = format!("http://{trickle}");
    let remote = [
        "--workload",
        "mww",
        "--fleet",
        "native=1,postgres=1",
        "--first-sync-deadline",
        "3s",
        "--service-url",
        &service_url,
        "--service-key",
        KEY,
    ];
    let output = run_alone(&url, folder.path(), &remote).await;
    assert_ok(&output);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        errors.contains("operations received: native-1 "),
        "{errors}"
    );

    // Where it stops, that is told, with what had come.
    let stuck = self::trickle(address, 1_500_000, 4_000_000).await;
    let service_url = format!("http://{stuck}");
    let mut remote = remote;
    remote[7] = &service_url;
    let output = run_alone(&url, folder.path(), &remote).await;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{errors}");
    for part in [
        "native-1 did not receive the first state",
        " operations came in ",
        " a second, and nothing in the 3s after that",
        "compact it",
        "--first-sync-deadline",
    ] {
        assert!(errors.contains(part), "{part}: {errors}");
    }
    drop(service);
    cluster.stop().await;
}

async fn run_alone(database_url: &str, folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_squall"))
        .args(["run", "--faults", "none", "--time", "3s", "--database-url"])
        .args([database_url, "--output"])
        .arg(folder.join("runs"))
        .args(arguments)
        .output()
        .await
        .unwrap()
}

/// A relay whose connections let so many bytes through in a second towards the one who connects, and
/// no more than `most` in all.
async fn trickle(server: String, bytes_per_second: usize, most: usize) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&server).await.unwrap();
            tokio::spawn(relay(client, server, bytes_per_second, most));
        }
    });
    address
}

async fn relay(client: TcpStream, server: TcpStream, bytes_per_second: usize, most: usize) {
    const STEPS: usize = 20;
    let (mut client_reads, mut client_writes) = client.into_split();
    let (mut server_reads, mut server_writes) = server.into_split();
    tokio::spawn(async move {
        let _ = tokio::io::copy(&mut client_reads, &mut server_writes).await;
    });
    let mut chunk = vec![0; bytes_per_second / STEPS];
    let mut passed = 0;
    while passed < most {
        match server_reads.read(&mut chunk).await {
            Ok(length) if length > 0 => {
                if client_writes.write_all(&chunk[..length]).await.is_err() {
                    return;
                }
                passed += length;
            }
            _ => return,
        }
        tokio::time::sleep(Duration::from_millis(1000 / STEPS as u64)).await;
    }
    std::future::pending().await
}

/// The embedded service on its own, and where it listens.
async fn serve(database_url: &str, storage: &Path, tables: &str) -> (Child, String) {
    let mut service = Command::new(env!("CARGO_BIN_EXE_squall"))
        .args(["serve", "--tables", tables, "--storage"])
        .arg(storage)
        .env("SQUALL_DATABASE_URL", database_url)
        .env("SQUALL_SERVICE_KEY", KEY)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(service.stdout.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().unwrap();
    let address = line.strip_prefix("listening on ").unwrap().to_owned();
    (service, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_that_cannot_be_used_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        settings: vec![("wal_level".to_owned(), "replica".to_owned())],
        ..Options::default()
    };
    let mut cluster = Cluster::start(options).await.unwrap();
    let refused = run(&cluster.url(), folder.path(), &[]).await;
    assert_eq!(refused.status.code(), Some(69));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("wal_level"));
    cluster.stop().await;

    let mut cluster = Cluster::start(Options::default()).await.unwrap();
    let url = cluster.url();
    let client = connect(&url).await;
    client
        .batch_execute(
            "CREATE TABLE mww (id text PRIMARY KEY, k integer NOT NULL UNIQUE, v bigint NOT NULL);
             INSERT INTO mww VALUES ('precious', 0, 42)",
        )
        .await
        .unwrap();
    let refused = run(&url, folder.path(), &[]).await;
    assert_eq!(refused.status.code(), Some(69));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("squall did not write"));
    assert_eq!(count(&url, "SELECT count(*) FROM mww").await, 1);
    cluster.stop().await;
}

/// Waits until the newest run in that folder has begun its storm.
async fn storm_begins(folder: &Path) {
    let history = folder.join("runs/latest/history.jsonl");
    let begun = async {
        while !std::fs::read_to_string(&history)
            .is_ok_and(|history| history.contains(r#"{"phase":"storm"}"#))
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let begun = tokio::time::timeout(Duration::from_secs(120), begun).await;
    begun.expect("the storm begins");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_for_one_run_at_a_time() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut cluster = Cluster::start(Options::default()).await.unwrap();
    let url = cluster.url();
    // The same database by another spelling of its address.
    let other = format!(
        "postgresql://postgres@localhost:{}/postgres?application_name=other",
        cluster.port()
    );
    let long = ["--time", "4s"];
    let refuse = async {
        storm_begins(first.path()).await;
        let refused = run(&other, second.path(), &[]).await;
        let errors = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(69), "{errors}");
        let said = ["another run", "squall, process ", "pg_terminate_backend"];
        assert!(said.iter().all(|part| errors.contains(part)), "{errors}");
    };
    let (output, ()) = tokio::join!(run(&url, first.path(), &long), refuse);
    assert_ok(&output);

    // A killed run keeps nobody away.
    std::fs::remove_file(second.path().join("runs/latest")).unwrap();
    let mut killed = Command::new(env!("CARGO_BIN_EXE_squall"))
        .args([
            "run", "--fleet", "native=1", "--faults", "none", "--time", "60s",
        ])
        .args(["--database-url", &url, "--output"])
        .arg(second.path().join("runs"))
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    storm_begins(second.path()).await;
    killed.kill().await.unwrap();
    assert_ok(&run(&url, first.path(), &[]).await);

    // Without the lock nothing can be concluded.
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE application_name LIKE 'squall, process %'";
    std::fs::remove_file(first.path().join("runs/latest")).unwrap();
    let lose = async {
        storm_begins(first.path()).await;
        assert_eq!(count(&url, end).await, 1);
    };
    let (output, ()) = tokio::join!(run(&url, first.path(), &["--time", "60s"]), lose);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("keeps other runs away"), "{text}");
    cluster.stop().await;
}

/// A constraint that somebody adds in the middle of a run says nothing about the clients.
#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_postgresql_cannot_take_are_trouble() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(Options::default()).await.unwrap();
    let url = cluster.url();
    let spoil = async {
        storm_begins(folder.path()).await;
        let client = connect(&url).await;
        let spoiled = client
            .batch_execute("ALTER TABLE squall_uploads ADD CHECK (client_id IS NULL) NOT VALID");
        spoiled.await.unwrap();
    };
    let arguments = ["--recovery-deadline", "8s"];
    let (output, ()) = tokio::join!(run(&url, folder.path(), &arguments), spoil);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("PostgreSQL has taken no upload"), "{text}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_not_synced_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(Options::default()).await.unwrap();
    let url = cluster.url();
    // The tables, as squall makes them.
    assert_ok(&run(&url, folder.path(), &["--payload"]).await);
    let (_mww, address) = serve(&url, &folder.path().join("mww.sqlite"), "mww").await;
    let only_mww = format!("http://{address}");
    let with_key = ["--service-key", KEY, "--service-url", &only_mww];
    for (arguments, table) in [
        (&["--workload", "ledger"][..], "`SELECT * FROM ledger`"),
        (&["--workload", "gset"], "`SELECT * FROM gset`"),
    ] {
        let arguments: Vec<&str> = with_key.iter().chain(arguments).copied().collect();
        let refused = run(&url, folder.path(), &arguments).await;
        let errors = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(69), "{errors}");
        assert!(
            errors.contains(table) && errors.contains("native-"),
            "{errors}"
        );
    }
    // Nothing stays of the row that did not come.
    for query in [
        "SELECT count(*) FROM ledger WHERE id LIKE 'canary%'",
        "SELECT count(*) FROM gset WHERE id LIKE 'canary%'",
    ] {
        assert_eq!(count(&url, query).await, 0, "{query}");
    }
    let arguments: Vec<&str> = with_key
        .iter()
        .chain(&["--workload", "mww"])
        .copied()
        .collect();
    assert_ok(&run(&url, folder.path(), &arguments).await);
    cluster.stop().await;
}
