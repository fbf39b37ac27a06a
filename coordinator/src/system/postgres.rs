//! PostgreSQL, as a run has it: with the lock that keeps other runs away. Our own can be stopped and started
//! again; somebody else's is left alone.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use squall_throwaway_postgres::{Cluster, Options, Shutdown};
use tokio::sync::{Mutex as AsyncMutex, watch};

use crate::exit::Failure;
use crate::system::lock::DatabaseLock;

/// How long our own PostgreSQL may take to end once it has closed its connections.
const ENDING_DEADLINE: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(250);
const ENDED: &str = "PostgreSQL ended on its own";

/// A PostgreSQL.
pub struct Postgres {
    url: String,
    /// Our own.
    cluster: Option<AsyncMutex<Cluster>>,
    /// None before it is taken.
    lock: Mutex<Option<Arc<DatabaseLock>>>,
    /// Whether it is down on purpose.
    down: watch::Sender<bool>,
}

impl Postgres {
    /// Starts one, unless there is one already.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub async fn start(url: Option<&str>) -> Result<Postgres, Failure> {
        let (url, cluster) = match url {
            Some(url) => (url.to_owned(), None),
            None => {
                let cluster = Cluster::start(Options::default())
                    .await
                    .map_err(|error| Failure::unavailable("cannot start PostgreSQL", error))?;
                (cluster.url(), Some(AsyncMutex::new(cluster)))
            }
        };
        Ok(Postgres {
            url,
            cluster,
            lock: Mutex::default(),
            down: watch::Sender::new(false),
        })
    }

    /// Where it is, also after it was started again.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether it is our own, and goes with the run.
    pub fn is_ours(&self) -> bool {
        self.cluster.is_some()
    }

    /// Keeps other runs away from here on. Answers the process id of the backend that holds the lock.
    ///
    /// # Errors
    ///
    /// When another run is there, or the database cannot be reached.
    pub async fn lock(&self) -> Result<i32, Failure> {
        let lock = DatabaseLock::take(&self.url).await?;
        let backend = lock.backend();
        *self.held() = Some(Arc::new(lock));
        Ok(backend)
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Option<Arc<DatabaseLock>>> {
        self.lock.lock().expect("no one panics here")
    }

    /// Whether it is down on purpose.
    pub fn down(&self) -> watch::Receiver<bool> {
        self.down.subscribe()
    }

    /// Waits while it is down on purpose.
    pub async fn up(&self) {
        let _ = self.down().wait_for(|down| !down).await;
    }

    /// Stops our own.
    ///
    /// # Errors
    ///
    /// When it is not ours.
    pub async fn take_down(&self, shutdown: Shutdown) -> Result<(), Failure> {
        let mut cluster = self.own()?.lock().await;
        // First, so that nobody takes its end for an accident.
        self.down.send_replace(true);
        cluster.shut_down(shutdown).await;
        Ok(())
    }

    /// Starts our own again on the same data and port, if it was stopped.
    ///
    /// # Errors
    ///
    /// When it is not ours, or does not start.
    pub async fn bring_up(&self) -> Result<(), Failure> {
        let mut cluster = self.own()?.lock().await;
        if !*self.down.borrow() {
            return Ok(());
        }
        if !cluster.is_running() {
            let started = cluster.restart().await;
            started
                .map_err(|error| Failure::unavailable("cannot start PostgreSQL again", error))?;
        }
        // The lock went with its connection.
        self.lock().await?;
        self.down.send_replace(false);
        Ok(())
    }

    fn own(&self) -> Result<&AsyncMutex<Cluster>, Failure> {
        let own = self.cluster.as_ref();
        own.ok_or_else(|| Failure::Unavailable("this PostgreSQL is not squall's own".to_owned()))
    }

    /// Returns when it has ended, or the lock was lost, although nobody wanted it: what there is to say of
    /// that.
    pub async fn collapsed(&self) -> String {
        let mut down = self.down.subscribe();
        loop {
            let _ = down.wait_for(|down| !down).await;
            tokio::select! {
                // What is seen while it is taken down is no accident.
                biased;
                _ = down.wait_for(|down| *down) => {}
                what = self.failed() => return what,
            }
        }
    }

    async fn failed(&self) -> String {
        let lock = self.held().clone();
        let lost = async {
            match lock {
                Some(lock) => lock.lost().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.ended(LOOK) => ENDED.to_owned(),
            what = lost => {
                // A server that ends takes the lock along, and says less about it.
                let ended = self.ended(LOOK / 5);
                match tokio::time::timeout(ENDING_DEADLINE, ended).await {
                    Ok(()) => ENDED.to_owned(),
                    Err(_) => what,
                }
            }
        }
    }

    /// Returns when our own has ended.
    async fn ended(&self, look: Duration) {
        let Some(cluster) = &self.cluster else {
            return std::future::pending().await;
        };
        while cluster.lock().await.is_running() {
            tokio::time::sleep(look).await;
        }
    }

    /// Gives the lock back, and ends it if it is our own.
    pub async fn stop(self) {
        let lock = self.held().take();
        if let Some(lock) = lock.and_then(Arc::into_inner) {
            lock.release().await;
        }
        if let Some(cluster) = self.cluster {
            cluster.into_inner().stop().await;
        }
    }
}
