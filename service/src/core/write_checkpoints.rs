//! Which clients wait for which write checkpoint.
//!
//! A write checkpoint's id is a position in the write-ahead log of the source that is not before any
//! commit the client can know of. It is reached once the service contains everything before that
//! position; every checkpoint line carries the service's position, so nothing has to be stored for
//! that. What is remembered here is only that a client *asked*, so that it gets a line when the
//! position is reached even if no row changed. (Other clients are spared that line.)
//!
//! The order of a request matters: read the position, call [`WriteCheckpoints::request`], and only
//! then write the marker into the source's log that moves the service past that position. The other
//! way round the marker could pass unnoticed, and on an idle source nothing else comes.

use std::collections::HashMap;

use super::source::Lsn;

/// More clients than this are not told apart any more.
const MAX_CLIENTS: usize = 10_000;

/// The newest request of each client.
#[derive(Debug, Default)]
pub struct WriteCheckpoints {
    by_client: HashMap<String, Lsn>,
    /// A request of every client: those of the service's previous lives, which are not stored.
    of_all: Lsn,
}

impl WriteCheckpoints {
    /// Remembers that the client asked for a write checkpoint at that position.
    pub fn request(&mut self, client: String, lsn: Lsn) {
        if self.by_client.len() >= MAX_CLIENTS && !self.by_client.contains_key(&client) {
            let newest = self.by_client.drain().map(|(_, lsn)| lsn).max();
            self.request_for_all(newest.unwrap_or_default());
        }
        let newest = self.by_client.entry(client).or_default();
        *newest = lsn.max(*newest);
    }

    /// Takes it that every client asked for a write checkpoint at that position.
    pub fn request_for_all(&mut self, lsn: Lsn) {
        self.of_all = self.of_all.max(lsn);
    }

    /// The newest request of a client.
    pub fn requested(&self, client: &str) -> Lsn {
        self.by_client
            .get(client)
            .copied()
            .unwrap_or_default()
            .max(self.of_all)
    }
}

/// The name under which a client's requests are kept: the same user with another client id, or the
/// same client id of another user, is another client.
pub fn client_key(user: &str, client_id: Option<&str>) -> String {
    match client_id {
        Some(client_id) => format!("{user}/{client_id}"),
        None => user.to_owned(),
    }
}
