//! How fast the checker is: the cases that are measured, and measuring one.
//!
//! A case is written to a stream once, and then read and checked as often as wanted. The clock is the
//! caller's, because this crate has none, and so is peak memory, which only means something in a
//! process of its own.

use std::io::{self, BufRead, Write};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use squall_protocol::verdict::Judgement;

use crate::formats::{FormatError, plume};
use crate::generate::{mww, registers};
use crate::history::{HistoryError, read_history, write_history};
use crate::registers::Model;

/// Something to measure.
#[derive(Clone, Debug)]
pub struct Case {
    /// Such as `causal 1M x 8 x 100`: transactions, operations in each, sessions.
    pub name: String,
    pub history: Generated,
}

/// What is generated, and what it is checked against.
#[derive(Clone, Debug)]
pub enum Generated {
    /// Registers as Plume's text.
    Registers(registers::Config, Model),
    /// The workload `mww` as squall's own JSON lines.
    Mww(mww::Config),
}

/// What was measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    pub name: String,
    pub transactions: u64,
    /// Reads and writes of single keys.
    pub operations: u64,
    /// From the first byte to a history in memory, and from there to the verdict.
    pub read: Duration,
    pub check: Duration,
    pub judgement: Judgement,
}

impl Row {
    /// Operations per second, from text to verdict.
    pub fn rate(&self) -> f64 {
        self.operations as f64 / (self.read + self.check).as_secs_f64()
    }
}

/// Why a case could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error(transparent)]
    History(#[from] HistoryError),
    #[error(transparent)]
    Format(#[from] FormatError),
}

/// The cases by which the checker is compared with others. With `largest`, also those of a million
/// transactions, which take 200 MB of text each.
pub fn cases(largest: bool) -> Vec<Case> {
    let mut sizes = vec![
        (10_000, 8, 10),
        (100_000, 8, 10),
        (100_000, 8, 100),
        (100_000, 20, 100),
        (100_000, 8, 1000),
    ];
    if largest {
        sizes.extend([(1_000_000, 8, 10), (1_000_000, 8, 100)]);
    }
    let mut cases = Vec::new();
    for (model, highest_wins) in [(Model::Causal, false), (Model::CausalPerKey, true)] {
        for (transactions, operations, sessions) in &sizes {
            let config = registers::Config {
                highest_wins,
                ..registers::Config::new(*transactions, *operations, *sessions)
            };
            cases.push(Case {
                name: format!(
                    "{} {} x {operations} x {sessions}",
                    model.name(),
                    short(*transactions)
                ),
                history: Generated::Registers(config, model),
            });
        }
    }
    for transactions in [10_000, 100_000] {
        cases.push(Case {
            name: format!("mww {} x 100 rows x 10", short(transactions)),
            history: Generated::Mww(mww::Config {
                native: 9,
                postgres: 1,
                ..mww::Config::new(1, transactions)
            }),
        });
    }
    cases
}

fn short(number: u64) -> String {
    match number {
        0..1_000 => number.to_string(),
        1_000..1_000_000 => format!("{}k", number / 1_000),
        _ => format!("{}M", number / 1_000_000),
    }
}

/// Writes the history of a case.
pub fn write(case: &Case, mut out: impl Write) -> io::Result<()> {
    match &case.history {
        Generated::Registers(config, _) => registers::write_plume(config, out),
        Generated::Mww(config) => {
            write_history(&mww::generate(config), &mut out)?;
            out.flush()
        }
    }
}

/// Reads and checks the history of a case, by a clock that tells the time since any moment.
pub fn measure(
    case: &Case,
    reader: impl BufRead,
    clock: impl Fn() -> Duration,
) -> Result<Row, BenchError> {
    let begin = clock();
    match &case.history {
        Generated::Registers(_, model) => {
            let history = match model {
                Model::CausalPerKey => plume::read_versions(reader)?,
                _ => plume::read(reader)?,
            };
            let read = clock();
            let report = history.check(*model);
            Ok(Row {
                name: case.name.clone(),
                transactions: report.transactions,
                operations: report.operations,
                read: read.saturating_sub(begin),
                check: clock().saturating_sub(read),
                judgement: report.judgement,
            })
        }
        Generated::Mww(_) => {
            let history = read_history(reader)?;
            let read = clock();
            let verdict = crate::check(&history);
            let counts = &verdict.counts;
            Ok(Row {
                name: case.name.clone(),
                transactions: counts.ok + counts.fail + counts.info,
                operations: counts.rows_read + counts.rows_written,
                read: read.saturating_sub(begin),
                check: clock().saturating_sub(read),
                judgement: verdict.judgement,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_cases_are_written_read_and_ok() {
        let small = [
            Generated::Registers(registers::Config::new(200, 4, 3), Model::Causal),
            Generated::Registers(
                registers::Config {
                    highest_wins: true,
                    ..registers::Config::new(200, 4, 3)
                },
                Model::CausalPerKey,
            ),
            Generated::Mww(mww::Config::new(1, 200)),
        ];
        for history in small {
            let case = Case {
                name: "small".to_owned(),
                history,
            };
            let mut text = Vec::new();
            write(&case, &mut text).unwrap();
            let row = measure(&case, &text[..], || Duration::ZERO).unwrap();
            assert_eq!(row.judgement, Judgement::Ok, "{case:?}");
            assert!(row.operations > 500 && row.transactions >= 200, "{row:?}");
        }
    }

    #[test]
    fn a_planted_violation_is_found() {
        for (model, highest_wins) in [(Model::Causal, false), (Model::CausalPerKey, true)] {
            for seed in 0..20 {
                let config = registers::Config {
                    seed,
                    planted: true,
                    highest_wins,
                    keys: 50,
                    ..registers::Config::new(300, 4, 3)
                };
                let case = Case {
                    name: "planted".to_owned(),
                    history: Generated::Registers(config, model),
                };
                let mut text = Vec::new();
                write(&case, &mut text).unwrap();
                let row = measure(&case, &text[..], || Duration::ZERO).unwrap();
                assert_eq!(row.judgement, Judgement::Violation, "{model:?}, {seed}");
            }
        }
    }
}
