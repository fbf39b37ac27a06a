//! The clusters are real ones.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use squall_throwaway_postgres::{Cluster, Error, Options};
use tokio_postgres::NoTls;

async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("connects");
    tokio::spawn(connection);
    client
}

fn folder_of_mode(mode: u32) -> tempfile::TempDir {
    tempfile::Builder::new()
        .prefix("squall-test-")
        .permissions(Permissions::from_mode(mode))
        .tempdir()
        .expect("made")
}

fn wait_until_gone(pid: u32) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while Path::new(&format!("/proc/{pid}")).exists() {
        assert!(
            Instant::now() < deadline,
            "waited for the end of process {pid}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[tokio::test]
async fn a_cluster_keeps_its_data_over_a_restart_and_is_gone_after_drop() {
    let mut cluster = Cluster::start(Options::default()).await.expect("starts");
    let client = connect(&cluster.url()).await;
    client
        .batch_execute("CREATE TABLE t (n int); INSERT INTO t VALUES (7)")
        .await
        .expect("runs");
    let level: String = client
        .query_one("SHOW wal_level", &[])
        .await
        .expect("runs")
        .get(0);
    assert_eq!(level, "logical");
    let first_pid = cluster.pid();
    cluster.restart().await.expect("restarts");
    assert_ne!(cluster.pid(), first_pid);
    let client = connect(&cluster.url()).await;
    let n: i32 = client
        .query_one("SELECT n FROM t", &[])
        .await
        .expect("runs")
        .get(0);
    assert_eq!(n, 7);
    let (pid, folder) = (cluster.pid(), cluster.folder().to_owned());
    drop(cluster);
    assert!(
        !Path::new(&format!("/proc/{pid}")).exists(),
        "the server outlived its cluster"
    );
    assert!(!folder.exists(), "the temporary folder was left behind");
}

#[tokio::test]
async fn clusters_start_side_by_side() {
    let (a, b, c) = tokio::join!(
        Cluster::start(Options::default()),
        Cluster::start(Options {
            fsync: true,
            ..Options::default()
        }),
        Cluster::start(Options::default()),
    );
    for cluster in [a, b, c] {
        let cluster = cluster.expect("starts");
        let client = connect(&cluster.url()).await;
        let data: String = client
            .query_one("SHOW data_directory", &[])
            .await
            .expect("runs")
            .get(0);
        assert_eq!(Path::new(&data), cluster.folder().join("data"));
    }
}

#[tokio::test]
async fn a_given_folder_is_kept_and_used_again() {
    let parent = folder_of_mode(0o755);
    let options = Options {
        folder: Some(parent.path().join("cluster")),
        ..Options::default()
    };
    let cluster = Cluster::start(options.clone()).await.expect("starts");
    assert_eq!(cluster.folder(), parent.path().join("cluster"));
    connect(&cluster.url())
        .await
        .batch_execute("CREATE TABLE kept ()")
        .await
        .expect("runs");
    drop(cluster);
    let cluster = Cluster::start(options).await.expect("starts again");
    connect(&cluster.url())
        .await
        .batch_execute("SELECT FROM kept")
        .await
        .expect("the table is there");
}

#[tokio::test]
async fn a_folder_that_the_server_cannot_reach_is_not_used() {
    let parent = folder_of_mode(0o700);
    let options = Options {
        folder: Some(parent.path().join("cluster")),
        ..Options::default()
    };
    let cluster = Cluster::start(options).await.expect("starts");
    // Only root hands the server to another user, who may not pass through a folder of mode 0700.
    let is_root = std::fs::metadata("/proc/self").map(|data| data.uid()).ok() == Some(0);
    assert_eq!(cluster.folder().starts_with(parent.path()), !is_root);
}

#[tokio::test]
async fn a_server_that_cannot_start_says_why() {
    let settings = vec![("shared_buffers".to_string(), "nonsense".to_string())];
    let error = Cluster::start(Options {
        settings,
        ..Options::default()
    })
    .await
    .expect_err("fails");
    assert!(
        matches!(&error, Error::Ended { log, .. } if log.contains("shared_buffers")),
        "{error}"
    );
}

#[tokio::test]
async fn a_cluster_survives_the_thread_that_started_it() {
    let cluster = std::thread::spawn(|| {
        tokio::runtime::Runtime::new()
            .expect("made")
            .block_on(Cluster::start(Options::default()))
            .expect("starts")
    })
    .join()
    .expect("no panic");
    connect(&cluster.url()).await;
    assert!(cluster.is_running());
}

/// Runs this test program once more as a process that starts a cluster, kills that process, and
/// waits for the server's end.
#[test]
fn the_server_dies_with_a_killed_parent() {
    const FOLDER: &str = "THROWAWAY_POSTGRES_TEST_FOLDER";
    let runtime = tokio::runtime::Runtime::new().expect("made");
    if let Some(folder) = std::env::var_os(FOLDER) {
        let options = Options {
            folder: Some(folder.clone().into()),
            ..Options::default()
        };
        let cluster = runtime.block_on(Cluster::start(options)).expect("starts");
        let file = Path::new(&folder).join("pid");
        std::fs::write(file.with_extension("new"), cluster.pid().to_string()).expect("written");
        std::fs::rename(file.with_extension("new"), file).expect("renamed");
        loop {
            std::thread::park();
        }
    }
    let parent = folder_of_mode(0o755);
    let folder = parent.path().join("cluster");
    let mut child = std::process::Command::new(std::env::current_exe().expect("known"))
        .args(["--exact", "the_server_dies_with_a_killed_parent"])
        .env(FOLDER, &folder)
        .spawn()
        .expect("spawned");
    let deadline = Instant::now() + Duration::from_secs(60);
    let pid = loop {
        if let Ok(text) = std::fs::read_to_string(folder.join("pid")) {
            break text.parse().expect("a pid");
        }
        assert!(Instant::now() < deadline, "waited for the child's cluster");
        std::thread::sleep(Duration::from_millis(10));
    };
    assert!(Path::new(&format!("/proc/{pid}")).exists());
    child.kill().expect("killed");
    child.wait().expect("reaped");
    wait_until_gone(pid);
}
