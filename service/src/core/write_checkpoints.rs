//! Which clients wait for which write checkpoint.
//!
//! A write checkpoint's id is a position in the write-ahead log of the source that is not before any
//! commit the client can know of. It is reached once the service contains everything before that
//! position; every checkpoint line carries the service's position, so nothing has to be stored for
//! that. What is remembered here is only that a client *asked*, so that it gets a line when the
//! position is reached even if no row changed. (Other clients are spared that line.)
//!
//! Clients may also count ids themselves (checkpoint requests). They begin with the answer to their
//! first request, a position, and the log grows faster than they count; so the position is the id for
//! these too. Only a client that has been with another service or cluster is ahead of the log. Then its
//! own id counts, which is remembered with its position. It is lost with the process, and the client
//! asks for it again on each connection.
//!
//! The order of a request matters: read the position, call [`WriteCheckpoints::request`], and only
//! then write the marker into the source's log that moves the service past that position. The other
//! way round the marker could pass unnoticed, and on an idle source nothing else comes.

use std::collections::HashMap;

use super::source::Lsn;

/// More clients than this are not told apart any more.
const MAX_CLIENTS: usize = 10_000;

/// The greatest id: clients keep them as signed numbers of 64 bits.
pub const MAX_ID: u64 = i64::MAX as u64;

/// What a client has asked for so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requested {
    /// Its newest write checkpoint: a position, or a greater id that it chose itself.
    pub id: u64,
    /// The write checkpoint is reached once the service contains everything before this position.
    pub position: Lsn,
}

/// The newest request of each client.
#[derive(Debug, Default)]
pub struct WriteCheckpoints {
    by_client: HashMap<String, Requested>,
    /// A request of every client: those of the service's previous lives, which are not stored.
    of_all: Lsn,
}

impl WriteCheckpoints {
    /// Remembers that the client asked for a write checkpoint at that position, and gives its id.
    /// `counted` is the id that the client itself chose; the id given is not less.
    pub fn request(&mut self, client: String, position: Lsn, counted: Option<u64>) -> u64 {
        if self.by_client.len() >= MAX_CLIENTS && !self.by_client.contains_key(&client) {
            let newest = self.by_client.drain().map(|(_, newest)| newest.position);
            let newest = newest.max().unwrap_or_default();
            self.request_for_all(newest);
        }
        let newest = self.by_client.entry(client).or_default();
        let ahead_of_log = newest.id > position.0;
        let id = match counted {
            // The same request again, or one that was overtaken.
            Some(id) if ahead_of_log && id <= newest.id => return newest.id,
            Some(id) => id.max(position.0),
            // Nothing less than what may have been announced already.
            None if ahead_of_log => newest.id.saturating_add(1).min(MAX_ID),
            None => position.0,
        };
        *newest = Requested {
            id,
            position: position.max(newest.position),
        };
        id
    }

    /// Takes it that every client asked for a write checkpoint at that position.
    pub fn request_for_all(&mut self, position: Lsn) {
        self.of_all = self.of_all.max(position);
    }

    /// The newest request of a client.
    pub fn requested(&self, client: &str) -> Requested {
        let newest = self.by_client.get(client).copied().unwrap_or_default();
        Requested {
            position: newest.position.max(self.of_all),
            ..newest
        }
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
