//! The first sync: every client gets what the database holds at first, before the storm begins. With a
//! service that has been there for long that is its whole history, so only time without progress counts
//! against the deadline.

use std::time::Duration;

use squall_protocol::contract::{ClientStatus, DownloadProgress};
use tokio::time::Instant;

use crate::exit::Failure;
use crate::fleet::{Client, Fleet};

/// The pause between two looks at a client.
const PAUSE: Duration = Duration::from_millis(100);

/// Waits until every client has what the database holds at first and nothing else. A service that was
/// there before may still send what the database held before.
///
/// # Errors
///
/// When a client made no progress for that long: what it had received by then.
pub async fn wait(fleet: &Fleet, deadline: Duration) -> Result<(), Failure> {
    let clients = fleet.clients.iter();
    let syncs = clients.map(|client| wait_for(client, deadline));
    futures_util::future::try_join_all(syncs).await.map(drop)
}

async fn wait_for(client: &Client, deadline: Duration) -> Result<(), Failure> {
    let mut progress = Progress::begin(Instant::now());
    let mut rows = None;
    loop {
        let status = client.link.status();
        if has_synced(client) {
            // In the middle of a history, rows change with every checkpoint; nobody but squall writes
            // in its tables, so this comes to an end.
            let read = client.link.peek().await;
            if read
                .as_ref()
                .is_some_and(|read| client.link.is_initial(read))
            {
                return Ok(());
            }
            if read.is_some() && read != rows {
                rows = read;
                progress.other(Instant::now());
            }
        }
        if let Some(status) = &status {
            progress.download(status.download, Instant::now());
        }
        if progress.rest(Instant::now()) > deadline {
            return Err(Failure::Unavailable(format!(
                "{} did not receive the first state of the database: {}",
                client.name(),
                progress.describe(
                    Instant::now(),
                    deadline,
                    status.and_then(|status| status.last_error)
                )
            )));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether the client has applied a complete checkpoint, if it syncs: what has no rows at first looks
/// the same before.
pub fn has_synced(client: &Client) -> bool {
    let synced = |status: ClientStatus| status.last_synced_at_ms.is_some();
    !client.spec.kind.syncs() || client.link.status().is_some_and(synced)
}

/// What one client has received, and when it received something last.
#[derive(Debug)]
struct Progress {
    began: Instant,
    last: Instant,
    /// The most that was ever seen.
    download: Option<DownloadProgress>,
}

impl Progress {
    fn begin(now: Instant) -> Progress {
        Progress {
            began: now,
            last: now,
            download: None,
        }
    }

    /// Sees how far the download is. Only more than ever before is progress: a stream that breaks off
    /// again and again at the same place makes none.
    fn download(&mut self, seen: Option<DownloadProgress>, now: Instant) {
        let most = self.download.map_or(0, |before| before.downloaded);
        if let Some(seen) = seen
            && (seen.downloaded > most || self.download.is_none())
        {
            self.download = Some(seen);
            self.last = now;
        }
    }

    /// Something other than the download went on.
    fn other(&mut self, now: Instant) {
        self.last = now;
    }

    /// How long there has been no progress.
    fn rest(&self, now: Instant) -> Duration {
        now - self.last
    }

    fn describe(&self, now: Instant, deadline: Duration, error: Option<String>) -> String {
        let error = error.map_or_else(String::new, |error| format!("; its last error: {error}"));
        match self.download {
            None => format!(
                "nothing at all came within {deadline:?}{error}; see its log and the service's, or raise --first-sync-deadline"
            ),
            Some(DownloadProgress { downloaded, total }) => {
                let seconds = (self.last - self.began).as_secs_f64();
                let speed = match seconds > 0.0 {
                    true => format!(", {:.0} a second", downloaded as f64 / seconds),
                    false => String::new(),
                };
                format!(
                    "{downloaded} of {total} operations came in {:.0} s{speed}, and nothing in the {deadline:?} after that{error}; a service's history grows with every run: compact it (docs/real-service.md), or raise --first-sync-deadline",
                    (now - self.began - self.rest(now)).as_secs_f64(),
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(60);

    fn of(downloaded: u64) -> Option<DownloadProgress> {
        let total = 410_000;
        Some(DownloadProgress { downloaded, total })
    }

    #[test]
    fn only_time_without_progress_counts() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut progress = Progress::begin(began);
        assert_eq!(progress.rest(at(61)), Duration::from_secs(61));
        for minute in 1..10 {
            progress.download(of(minute * 40_000), at(minute * 50));
            assert!(progress.rest(at(minute * 50 + 49)) < DEADLINE);
        }
        // The same again, less than before in a new stream, and nothing while there is no stream.
        for seen in [of(360_000), of(10), None, of(359_999)] {
            progress.download(seen, at(500));
        }
        assert_eq!(progress.rest(at(511)), Duration::from_secs(61));
        let line = progress.describe(at(511), DEADLINE, Some("the stream was cut".to_owned()));
        for part in [
            "360000 of 410000 operations came in 450 s, 800 a second",
            "nothing in the 60s after",
            "the stream was cut",
            "compact it",
            "--first-sync-deadline",
        ] {
            assert!(line.contains(part), "{part}: {line}");
        }
    }

    #[test]
    fn a_client_to_which_nothing_came_is_told_as_that() {
        let began = Instant::now();
        let line = Progress::begin(began).describe(began + DEADLINE, DEADLINE, None);
        assert!(line.starts_with("nothing at all came within 60s"), "{line}");
    }
}
