//! A case of `squall bench checker`, as on the command line.

use std::str::FromStr;

/// What a row of the table checks.
#[derive(Clone, Debug)]
pub enum Case {
    /// Causal consistency of registers whose version order is unknown.
    UnknownOrder(Size),
    /// Causal consistency of registers where the higher value wins, all session guarantees at once.
    KnownOrder(Size),
    /// A history of the workload `mww` in squall's own format: 10 clients, 100 keys, transactions
    /// that read all keys.
    Mww { transactions: u64 },
}

/// Transactions × operations per transaction × sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub transactions: u64,
    pub operations: u32,
    pub sessions: u32,
}

impl FromStr for Case {
    type Err = String;

    /// `100000x8x10`, `known:100000x8x10` or `mww:10000`.
    fn from_str(text: &str) -> Result<Self, String> {
        let problem =
            || format!("`{text}` is not like 100000x8x10, known:100000x8x10 or mww:10000");
        let count = |text: &str| {
            text.parse::<u64>()
                .ok()
                .filter(|n| (1..=100_000_000).contains(n))
        };
        let size = |text: &str| {
            let parts: Vec<u64> = text.split('x').map(count).collect::<Option<_>>()?;
            let [transactions, operations, sessions] = parts[..] else {
                return None;
            };
            Some(Size {
                transactions,
                operations: operations.try_into().ok()?,
                sessions: sessions.try_into().ok()?,
            })
        };
        let case = match text.split_once(':') {
            None => size(text).map(Case::UnknownOrder),
            Some(("known", rest)) => size(rest).map(Case::KnownOrder),
            Some(("mww", rest)) => count(rest).map(|transactions| Case::Mww { transactions }),
            Some(_) => None,
        };
        case.ok_or_else(problem)
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Case::UnknownOrder(size) => write!(out, "{size}"),
            Case::KnownOrder(size) => write!(out, "known:{size}"),
            Case::Mww { transactions } => write!(out, "mww:{transactions}"),
        }
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            out,
            "{}x{}x{}",
            self.transactions, self.operations, self.sessions
        )
    }
}
