//! What docs/real-service/ tells people to set up is what squall works with.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use squall_coordinator::system::database;
use squall_protocol::plan::Workload;
use squall_throwaway_postgres::{Cluster, Options};
use squall_workloads::{Table, has_payload, workload};
use tokio_postgres::{Client, NoTls};

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/real-service")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(docs().join(name)).unwrap()
}

/// The tables of all workloads.
fn tables() -> Vec<&'static Table> {
    let workloads = Workload::ALL.iter();
    let tables = workloads.flat_map(|&name| workload(name, has_payload(name)).tables());
    tables.collect()
}

fn names() -> BTreeSet<String> {
    let tables = tables().into_iter();
    tables.map(|table| table.name.to_owned()).collect()
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Every column and every index in the schema `public`.
async fn description(client: &Client) -> Vec<String> {
    let rows = client
        .query(
            "SELECT concat_ws(' ', attrelid::regclass::text, attnum::text, attname::text,
                    format_type(atttypid, atttypmod), attnotnull::text,
                    pg_get_expr(adbin, adrelid))
             FROM pg_attribute JOIN pg_class c ON c.oid = attrelid AND relkind = 'r'
             LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
             WHERE attnum > 0 AND relnamespace = 'public'::regnamespace
             UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
             ORDER BY 1",
            &[],
        )
        .await
        .unwrap();
    rows.into_iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn the_tables_to_be_made_are_those_that_squall_makes() {
    let mut cluster = Cluster::start(Options::default()).await.unwrap();
    let url = cluster.url();
    let client = connect(&url).await;
    client
        .batch_execute("CREATE DATABASE squall")
        .await
        .unwrap();
    let squall = connect(&format!("{}/squall", url.rsplit_once('/').unwrap().0)).await;
    for table in tables() {
        squall.batch_execute(table.postgres).await.unwrap();
    }
    squall.batch_execute(database::UPLOADS_TABLE).await.unwrap();

    let sql = read("source-database.sql");
    client.batch_execute(&sql).await.unwrap();
    let made = description(&client).await;
    assert!(made.len() > 20, "{made:#?}");
    assert_eq!(made, description(&squall).await);

    let published = client
        .query(
            "SELECT tablename::text FROM pg_publication_tables WHERE pubname = 'powersync'",
            &[],
        )
        .await
        .unwrap();
    let published: BTreeSet<String> = published.iter().map(|row| row.get(0)).collect();
    assert_eq!(published, names());
    let storage = read("bucket-storage.sql");
    client.batch_execute(&storage).await.unwrap();
    cluster.stop().await;
}

#[test]
fn the_sync_config_sends_every_table_of_every_workload_in_one_priority() {
    let config = read("sync-config.yaml");
    let lines = || {
        config
            .lines()
            .map(str::trim)
            .filter(|line| !line.starts_with('#'))
    };
    let queried: BTreeSet<String> = lines()
        .filter_map(|line| line.strip_prefix("- SELECT * FROM "))
        .map(str::to_owned)
        .collect();
    assert_eq!(queried, names());
    assert!(lines().all(|line| !line.contains("priority")), "{config}");
}
