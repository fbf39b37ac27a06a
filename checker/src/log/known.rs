//! What the judges look things up in.

use squall_protocol::history::Record;

use super::index::Index;
use super::operations::OperationLog;

/// What is known of a history when one of its events is judged: that of the events up to it, or, of a whole
/// history, everything.
#[derive(Clone, Copy)]
pub(crate) struct Known<'k> {
    pub log: &'k OperationLog,
    /// The records of a whole history; none along with a run.
    pub records: &'k [Record],
}

impl<'k> Known<'k> {
    /// Along with a run.
    pub fn so_far(log: &'k OperationLog) -> Self {
        Known { log, records: &[] }
    }

    /// Of a whole history.
    pub fn all(index: &'k Index) -> Self {
        Known {
            log: &index.log,
            records: index.records,
        }
    }
}
