//! Rows that are there from the beginning and that nobody deletes: each that was to be read is there, and once.

use squall_protocol::transaction::{Key, Reads as Asked};
use squall_protocol::verdict::{Property, Step};

use crate::findings::{Report, explain};

/// Judges the keys of the rows that a read has found, in any order, of those below `keys`. `place` is that of the
/// event that tells of the read. Answers how many are missing.
pub(crate) fn judge(
    report: &mut Report,
    keys: Key,
    asked: &Asked,
    mut found: Vec<Key>,
    place: usize,
    reader: impl Fn() -> Step,
) -> u64 {
    const PROPERTY: Property = Property::NoThinAirRead;
    found.sort_unstable();
    found.retain(|key| *key < keys);
    let rows = found.len();
    found.dedup();
    let repeated = (rows - found.len()) as u64;
    let lacks = |key: &Key| *key < keys && found.binary_search(key).is_err();
    let missing: Vec<Key> = match asked {
        Asked::All if found.len() == keys as usize => Vec::new(),
        Asked::All => (0..keys).filter(lacks).collect(),
        Asked::Keys(asked) => asked.iter().copied().filter(lacks).collect(),
        Asked::Nothing => Vec::new(),
    };
    let count = missing.len() as u64;
    if let Some(first) = missing.first() {
        report.violate_times(PROPERTY, count, place, || {
            explain::missing_rows(reader(), *first, count)
        });
    }
    if repeated > 0 {
        report.violate_times(PROPERTY, repeated, place, || {
            explain::repeated_rows(reader(), repeated)
        });
    }
    count
}
