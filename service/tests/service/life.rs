//! Starts that fail, crashes, and a source that goes away or is no longer what it was.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use squall_service::{Config, ServiceError, SourceError, SqliteError};
use squall_throwaway_postgres::{Cluster, Options};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::harness::{AUDIENCE, Client, Fixture, KEY, KEY_ID, Service, within};

const PROCESS: &str = "SQUALL_SERVICE_TEST_PROCESS";

/// Not a test of its own: run with the variable above, this program is a service process.
#[tokio::test]
async fn a_service_process() {
    let Ok(arguments) = std::env::var(PROCESS) else {
        return;
    };
    let [database_url, storage, slot, listen] = arguments.split('\n').collect::<Vec<_>>()[..]
    else {
        panic!("four arguments");
    };
    let mut config = Config::new(
        database_url.into(),
        storage.into(),
        KEY.into(),
        KEY_ID.into(),
        AUDIENCE.into(),
    );
    config.slot = slot.into();
    config.listen = listen.parse().expect("an address");
    squall_service::serve(config, |address| println!("\nready {address}"))
        .await
        .expect("serves");
}

/// A service as a process that can be killed.
struct Process {
    child: Child,
    address: String,
}

impl Process {
    async fn start(config: &Config, listen: &str) -> Process {
        let arguments = [
            config.database_url.as_str(),
            config.storage.to_str().expect("text"),
            &config.slot,
            listen,
        ];
        let mut child = Command::new(std::env::current_exe().expect("known"))
            .args(["--exact", "life::a_service_process", "--nocapture"])
            .env(PROCESS, arguments.join("\n"))
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("spawned");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let address = within("the process to be ready", async {
            loop {
                let line = lines
                    .next_line()
                    .await
                    .expect("read")
                    .expect("the process ended");
                if let Some(address) = line.strip_prefix("ready ") {
                    return address.to_owned();
                }
            }
        })
        .await;
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Process { child, address }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    async fn kill(mut self) {
        self.child.kill().await.expect("killed");
    }
}

/// The process is killed again and again while transactions are written; the client keeps its books
/// through all of it, which checks sums, order and removals. Nothing is ever downloaded twice: the
/// client has received each operation once.
#[tokio::test]
async fn killed_at_any_moment_the_service_goes_on_where_it_was() {
    let fixture = Fixture::new(50).await;
    let mut process = Process::start(&fixture.config, "127.0.0.1:0").await;
    let mut client = Client::new("user", "a");
    client.connect(&fixture.http, &process.url()).await;
    client.sync_with(&fixture).await;
    let names = client.books.bucket_names();
    let mut value = 0;
    for (round, pause_ms) in [0, 400, 1, 3, 9, 27, 81, 243].into_iter().enumerate() {
        for _ in 0..20 {
            value += 1;
            fixture
                .execute(&format!(
                    "UPDATE mww SET v = {value} WHERE k % 7 = {}",
                    value % 7
                ))
                .await;
        }
        // Somewhere between reading the log, storing, sending and telling the source.
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        let id = match round % 2 {
            0 => Some(client.write_checkpoint(&fixture.http, &process.url()).await),
            _ => None,
        };
        let address = process.address.clone();
        process.kill().await;
        while client.next().await.is_some() {}
        fixture
            .execute("DELETE FROM mww WHERE id = '49'; INSERT INTO mww VALUES ('49', 49, -1)")
            .await;
        process = Process::start(&fixture.config, &address).await;
        client.connect(&fixture.http, &process.url()).await;
        client.sync_with(&fixture).await;
        if let Some(id) = id
            && client.books.write_checkpoint < Some(id)
        {
            client.sync_to(id).await;
        }
    }
    assert_eq!(client.books.bucket_names(), names);
    let mut fresh = Client::new("user", "b");
    fresh.connect(&fixture.http, &process.url()).await;
    fresh.sync_with(&fixture).await;
    assert_eq!(client.books.operations, fresh.books.operations);
    let writes: u64 = (1..=160_u64)
        .map(|value| (0..50).filter(|k| k % 7 == value % 7).count() as u64)
        .sum();
    assert_eq!(client.books.operations, 50 + writes + 8 * 2);
    process.kill().await;
}

/// The same with one transaction that is larger than any buffer.
#[tokio::test]
async fn killed_in_a_large_transaction() {
    let fixture = Fixture::new(5000).await;
    let mut process = Process::start(&fixture.config, "127.0.0.1:0").await;
    let mut client = Client::new("user", "a");
    for round in 0..6_u64 {
        fixture
            .execute(&format!("UPDATE mww SET v = {round}"))
            .await;
        tokio::time::sleep(Duration::from_millis(round * 15)).await;
        let address = process.address.clone();
        process.kill().await;
        process = Process::start(&fixture.config, &address).await;
        client.connect(&fixture.http, &process.url()).await;
        client.sync_with(&fixture).await;
    }
    assert_eq!(client.books.operations, 7 * 5000);
    process.kill().await;
}

#[tokio::test]
async fn a_new_storage_has_new_bucket_names() {
    let fixture = Fixture::new(10).await;
    let service = fixture.serve().await;
    let mut client = Client::new("user", "a");
    client.connect(&fixture.http, &service.url).await;
    client.sync_with(&fixture).await;
    let names = client.books.bucket_names();
    service.stop().await;
    let mut config = fixture.config.clone();
    config.storage.set_file_name("another.sqlite");
    let service = Service::start(config).await;
    fixture.execute("UPDATE mww SET v = 1 WHERE k = 1").await;
    client.connect(&fixture.http, &service.url).await;
    client.sync_with(&fixture).await;
    assert_ne!(client.books.bucket_names(), names);
    service.stop().await;
    // The old storage is behind the slot now: what it misses will never be sent again.
    let service = fixture.serve().await;
    client.connect(&fixture.http, &service.url).await;
    fixture.execute("UPDATE mww SET v = 2 WHERE k = 2").await;
    client.sync_with(&fixture).await;
}

#[tokio::test]
async fn a_lost_slot_leads_to_a_new_snapshot() {
    let fixture = Fixture::new(10).await;
    let service = fixture.serve().await;
    let mut client = Client::new("user", "a");
    client.connect(&fixture.http, &service.url).await;
    client.sync_with(&fixture).await;
    service.stop().await;
    let dropped = within("the slot to be free", async {
        let sql = "SELECT pg_drop_replication_slot($1)";
        while fixture
            .sql
            .execute(sql, &[&fixture.config.slot])
            .await
            .is_err()
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    dropped.await;
    fixture.execute("UPDATE mww SET v = 1 WHERE k = 1").await;
    let service = fixture.serve().await;
    client.connect(&fixture.http, &service.url).await;
    client.sync_with(&fixture).await;
    assert_eq!(client.books.operations, 20);
}

/// The stream stays open while its buckets are replaced.
#[tokio::test]
async fn an_altered_table_leads_to_a_new_snapshot() {
    let fixture = Fixture::new(10).await;
    let service = fixture.serve().await;
    let mut client = Client::new("user", "a");
    client.connect(&fixture.http, &service.url).await;
    client.sync_with(&fixture).await;
    let names = client.books.bucket_names();
    fixture
        .execute("ALTER TABLE mww ADD COLUMN w int DEFAULT 5")
        .await;
    fixture.execute("UPDATE mww SET v = 1 WHERE k = 1").await;
    client
        .sync_until("the new column", |books| {
            books.rows("mww").len() == 10 && books.rows("mww").values().all(|row| row["w"] == 5)
        })
        .await;
    assert_ne!(client.books.bucket_names(), names);
    assert_eq!(client.books.rows("mww")["1"]["v"], 1);
    fixture.execute("UPDATE mww SET w = 6").await;
    client
        .sync_until("the update", |books| {
            books.rows("mww").values().all(|row| row["w"] == 6)
        })
        .await;
}

#[tokio::test]
async fn the_source_may_restart() {
    let mut cluster = Cluster::start(Options::default()).await.expect("starts");
    let url = cluster.url();
    let sql = crate::harness::connect(&url).await;
    sql.batch_execute(
        "CREATE TABLE mww (id text PRIMARY KEY, k int, v int); INSERT INTO mww VALUES ('1', 1, 0)",
    )
    .await
    .expect("made");
    let folder = tempfile::tempdir().expect("made");
    let config = Config::new(
        url.clone(),
        folder.path().join("s"),
        KEY.into(),
        KEY_ID.into(),
        AUDIENCE.into(),
    );
    let service = Service::start(config).await;
    let http = reqwest::Client::new();
    let mut client = Client::new("user", "a");
    client.connect(&http, &service.url).await;
    for value in 1..=2 {
        within("the restart", cluster.restart())
            .await
            .expect("restarts");
        let sql = crate::harness::connect(&url).await;
        sql.batch_execute(&format!("UPDATE mww SET v = {value}"))
            .await
            .expect("updated");
        client
            .sync_until("the update", |books| books.rows("mww")["1"]["v"] == value)
            .await;
        let id = client.write_checkpoint(&http, &service.url).await;
        client.sync_to(id).await;
    }
    assert_eq!(client.books.operations, 3);
}

async fn start_error(config: &Config) -> ServiceError {
    match Service::try_start(config.clone()).await {
        Ok(_) => panic!("the service started"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn wrong_configurations_are_told_apart() {
    let fixture = Fixture::new(1).await;
    let with = |change: &dyn Fn(&mut Config)| {
        let mut config = fixture.config.clone();
        config.start_deadline = Duration::from_millis(200);
        change(&mut config);
        config
    };
    let error = start_error(&with(&|config| config.database_url = "nonsense".into())).await;
    assert!(
        matches!(error, ServiceError::Source(SourceError::Url(_))),
        "{error}"
    );
    let error = start_error(&with(&|config| {
        config.database_url = "postgres://postgres@127.0.0.1:1/x".into()
    }))
    .await;
    assert!(
        matches!(error, ServiceError::Source(SourceError::Unreachable { .. })),
        "{error}"
    );
    let error = start_error(&with(&|config| config.database_url.push_str("_missing"))).await;
    assert!(
        matches!(error, ServiceError::Source(SourceError::Refused { .. })),
        "{error}"
    );
    let error = start_error(&with(&|config| config.tables = vec!["missing".into()])).await;
    assert!(
        matches!(error, ServiceError::Source(SourceError::NoTable(_))),
        "{error}"
    );
    let error = start_error(&with(&|config| config.tables.clear())).await;
    assert!(
        matches!(
            error,
            ServiceError::Config {
                what: "list of tables",
                ..
            }
        ),
        "{error}"
    );
    let error = start_error(&with(&|config| config.key = "no/base64url".into())).await;
    assert!(
        matches!(error, ServiceError::Config { what: "key", .. }),
        "{error}"
    );
    let error = start_error(&with(&|config| config.slot = "No-Slot".into())).await;
    assert!(
        matches!(error, ServiceError::Config { what: "slot", .. }),
        "{error}"
    );
    let error = start_error(&with(&|config| {
        config.storage = "/proc/no/such/folder".into()
    }))
    .await;
    assert!(matches!(error, ServiceError::Storage(_)), "{error}");
    fixture.execute("CREATE PUBLICATION empty").await;
    let error = start_error(&with(&|config| config.publication = "empty".into())).await;
    assert!(
        matches!(error, ServiceError::Source(SourceError::Publication { .. })),
        "{error}"
    );

    let service = fixture.serve().await;
    let address = service
        .url
        .strip_prefix("http://")
        .expect("HTTP")
        .to_owned();
    let error = start_error(&with(&|config| {
        config.listen = address.parse().expect("an address")
    }))
    .await;
    assert!(matches!(error, ServiceError::Listen { .. }), "{error}");
    let error = start_error(&with(&|config| {
        config.storage.set_file_name("second.sqlite")
    }))
    .await;
    assert!(
        matches!(error, ServiceError::Source(SourceError::SlotInUse(_))),
        "{error}"
    );
    let error = start_error(&with(&|config| config.slot.push('2'))).await;
    assert!(
        matches!(error, ServiceError::Storage(SqliteError::Locked { .. })),
        "{error}"
    );
}

#[tokio::test]
async fn a_source_without_logical_replication_is_refused() {
    let settings = vec![("wal_level".to_owned(), "replica".to_owned())];
    let cluster = Cluster::start(Options {
        settings,
        ..Options::default()
    })
    .await
    .expect("starts");
    let fixture = Fixture::on(Arc::new(cluster), 1).await;
    let error = start_error(&fixture.config).await;
    assert!(
        matches!(error, ServiceError::Source(SourceError::WalLevel(_))),
        "{error}"
    );
}
