//! What is known of a client's database, so that it need not be read again.

use squall_protocol::ledger::LedgerSeen;
use squall_protocol::transaction::{Effects, TransactionMode};

use crate::ledger;

/// What the answers of a session have shown so far. Nothing, for a new one.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The ledger's rows that have been read, and how many they are.
    seen: LedgerSeen,
    rows: u64,
    /// How many they were when all were counted last.
    counted: u64,
    /// The sequence number of the session's last transaction that wrote, while it is known; see
    /// [`crate::Workload::last_seq`].
    pub last_seq: Option<i64>,
}

impl Known {
    /// Remembers what a transaction has shown.
    pub fn see(&mut self, effects: &Effects) {
        let Some(ledger) = &effects.ledger else {
            return;
        };
        self.last_seq = ledger.seq.or(self.last_seq);
        self.seen.see(&ledger.reads);
        let rows: usize = ledger.reads.iter().map(|of| of.rows.len()).sum();
        self.rows += rows as u64;
        if ledger.reads.iter().all(|of| of.above == 0) {
            self.counted = self.rows;
        }
    }

    /// Forgets which rows have been read, so that all are read.
    pub fn forget_rows(&mut self) {
        self.seen = LedgerSeen::nothing();
        self.rows = 0;
        self.counted = 0;
    }

    /// What a transaction need not read. All rows are counted whenever there are a sixteenth more than at
    /// the last time, and never by a live query.
    pub(crate) fn seen(&self, through: TransactionMode) -> LedgerSeen {
        let news = self.rows - self.counted;
        let counts_all = through != TransactionMode::Watch && news * 16 >= self.rows;
        LedgerSeen {
            window: (!counts_all).then_some(ledger::WINDOW),
            highest: self.seen.highest.clone(),
        }
    }
}

/// What the live query of a session has emitted last.
#[derive(Clone, Debug, Default)]
pub struct Emitted(Option<Effects>);

impl Emitted {
    /// Whether an emission of a live query says anything that the one before did not.
    pub fn is_news(&mut self, emission: &Effects) -> bool {
        let mut ledgers = emission.ledger.iter().flat_map(|ledger| &ledger.reads);
        let has_rows = ledgers.any(|of| !of.rows.is_empty());
        let summary = summary(emission);
        let is_other = self.0.as_ref() != Some(&summary);
        self.0 = Some(summary);
        has_rows || is_other
    }
}

/// What emissions are compared by: everything, but of the ledger only how far it goes, as its rows are
/// told once and the part of it that is counted moves on.
fn summary(effects: &Effects) -> Effects {
    let mut summary = effects.clone();
    let ledgers = summary.ledger.iter_mut();
    for of in ledgers.flat_map(|ledger| &mut ledger.reads) {
        of.rows.clear();
        of.count += of.above;
        of.above = 0;
    }
    summary
}
