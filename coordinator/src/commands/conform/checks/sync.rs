//! What a client that syncs does, with a real service, backend and PostgreSQL.

use futures_util::FutureExt;
use squall_client_native::session::describe;
use squall_protocol::contract::{Access, ToClient};
use squall_protocol::sql::SqlValue;

use super::check::Check;
use crate::commands::conform::problem::Problem;
use crate::commands::conform::statements::{insert, rows_of};
use crate::commands::conform::subject::Client;
use crate::commands::conform::surroundings::Surroundings;
use crate::exit::Failure;
use crate::system::database;

fn skipped(surroundings: &Surroundings) -> Option<&'static str> {
    let syncs = surroundings.hello().capabilities.syncs;
    (!syncs).then_some("it says that it does not sync")
}

/// The ids of that client's rows in PostgreSQL.
async fn in_postgres(postgres: &tokio_postgres::Client, n: i64) -> Result<Vec<String>, Problem> {
    let query = "SELECT id FROM payload WHERE version = $1 ORDER BY id COLLATE \"C\"";
    let rows = postgres.query(query, &[&n]).await.map_err(broken)?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

async fn insert_there(postgres: &tokio_postgres::Client, id: &str, n: i64) -> Result<(), Problem> {
    let insert = "INSERT INTO payload (id, version, body) VALUES ($1, $2, 'from PostgreSQL')";
    postgres.execute(insert, &[&id, &n]).await.map_err(broken)?;
    Ok(())
}

fn broken(error: tokio_postgres::Error) -> Problem {
    Failure::unavailable("PostgreSQL", describe(&error)).into()
}

async fn postgres(surroundings: &Surroundings) -> Result<tokio_postgres::Client, Problem> {
    let url = surroundings
        .database_url()
        .expect("it was started for this client");
    Ok(database::connect(url).await?)
}

async fn acknowledged(client: &mut Client<'_>) -> Result<(), Problem> {
    let done = "a status with an empty queue, acknowledged";
    client
        .status_is(done, |status| status.acknowledged && status.queue == 0)
        .await
}

pub(super) const BEFORE_FIRST_SYNC: Check = Check {
    name: "before-first-sync",
    what: "until its first sync is complete, transactions fail",
    skipped,
    run: |surroundings| {
        async {
            let mut client = Client::new(surroundings);
            client.start().await?;
            client.hello().await?;
            let mut config = client.config();
            // Nobody is there.
            config.backend_url = "http://127.0.0.1:9".to_owned();
            client.configure(config).await?;
            let status = client.next_status().await?;
            if status.last_synced_at_ms.is_some() || status.connected {
                let expected = "a status that is not connected and never synced";
                return Err(client.wrong(expected, format!("{status:?}")));
            }
            let n = client.number;
            for (access, call) in [
                (Access::Read, rows_of(n)),
                (Access::Write, insert("too-early", n, "x")),
            ] {
                let why = "as the first sync is not complete";
                client.failed(access, vec![call], why).await?;
            }
            Ok(())
        }
        .boxed_local()
    },
};

pub(super) const UPLOAD: Check = Check {
    name: "upload",
    what: "what is committed is uploaded; the status tells of the queue and the write checkpoint",
    skipped,
    run: |surroundings| {
        async {
            let postgres = postgres(surroundings).await?;
            let mut client = Client::ready(surroundings).await?;
            let n = client.number;
            let calls = vec![insert("up-1", n, "a"), insert("up-2", n, "b")];
            client.committed(Access::Write, calls).await?;
            client.next_status().await?;
            acknowledged(&mut client).await?;
            let found = in_postgres(&postgres, n).await?;
            if found != ["up-1", "up-2"] {
                let expected = "both rows in PostgreSQL when the upload is acknowledged";
                return Err(client.wrong(expected, format!("{found:?}")));
            }
            client
                .has_ids(&["up-1", "up-2"], "as before the upload")
                .await
        }
        .boxed_local()
    },
};

pub(super) const DOWNLOAD: Check = Check {
    name: "download",
    what: "what others write arrives, and a live query tells of it",
    skipped,
    run: |surroundings| {
        async {
            let postgres = postgres(surroundings).await?;
            let mut client = Client::ready(surroundings).await?;
            let n = client.number;
            if surroundings.hello().capabilities.watches {
                let watch = ToClient::Watch {
                    calls: vec![rows_of(n)],
                    at_once: false,
                };
                client.send(&watch).await?;
            }
            insert_there(&postgres, "down-1", n).await?;
            if surroundings.hello().capabilities.watches {
                let arrived = |results: &[Vec<Vec<SqlValue>>]| {
                    results.first().is_some_and(|rows| rows.len() == 1)
                };
                client
                    .emission("with the row that arrived", arrived)
                    .await?;
            }
            arrives(&mut client, &["down-1"]).await
        }
        .boxed_local()
    },
};

/// Waits until the client has these rows: looks after each status.
async fn arrives(client: &mut Client<'_>, ids: &[&str]) -> Result<(), Problem> {
    let began = std::time::Instant::now();
    loop {
        let found = client.ids().await?;
        if found == ids {
            return Ok(());
        }
        let within = client.surroundings.deadline;
        if began.elapsed() > within {
            let expected = format!("the rows {ids:?} within {within:?}");
            return Err(client.wrong(&expected, format!("{found:?}")));
        }
        client.next_status().await?;
    }
}

pub(super) const DISCONNECT: Check = Check {
    name: "disconnect",
    what: "disconnected, it uploads and downloads nothing and works on; connected again, it does all",
    skipped: |surroundings| {
        let disconnects = surroundings.hello().capabilities.disconnects;
        skipped(surroundings)
            .or_else(|| (!disconnects).then_some("it says that it cannot disconnect"))
    },
    run: |surroundings| {
        async {
            let postgres = postgres(surroundings).await?;
            let mut client = Client::ready(surroundings).await?;
            let n = client.number;
            client.send(&ToClient::Disconnect).await?;
            let off = "a status that is not connected";
            client
                .status_is(off, |status| !status.connected && !status.uploading)
                .await?;
            insert_there(&postgres, "off-1", n).await?;
            client
                .committed(Access::Write, vec![insert("off-2", n, "x")])
                .await?;
            // Two, so that there was time for what must not happen.
            for _ in 0..2 {
                let status = client.next_status().await?;
                if status.connected || status.queue == 0 || status.acknowledged {
                    let expected = "a status that is not connected, with a row in the queue";
                    return Err(client.wrong(expected, format!("{status:?}")));
                }
            }
            client.has_ids(&["off-2"], "as nothing arrives").await?;
            let uploaded = in_postgres(&postgres, n).await?;
            if uploaded != ["off-1"] {
                let expected = "nothing of the client's in PostgreSQL";
                return Err(client.wrong(expected, format!("{uploaded:?}")));
            }
            client.send(&ToClient::Connect).await?;
            acknowledged(&mut client).await?;
            arrives(&mut client, &["off-1", "off-2"]).await?;
            let uploaded = in_postgres(&postgres, n).await?;
            match uploaded == ["off-1", "off-2"] {
                true => Ok(()),
                false => {
                    let expected = "both rows in PostgreSQL";
                    Err(client.wrong(expected, format!("{uploaded:?}")))
                }
            }
        }
        .boxed_local()
    },
};
