//! How the rows grew along a session.

use squall_protocol::transaction::{Key, Value};

use super::OperationIndex;

/// For each row how its highest value grew along a session: the operations that raised it.
#[derive(Clone, Default)]
pub(super) struct Versions(Vec<Vec<(OperationIndex, Value)>>);

impl Versions {
    /// A key above every one with a version.
    pub fn keys(&self) -> Key {
        self.0.len() as Key
    }

    pub fn raise(&mut self, key: Key, value: Value, operation: OperationIndex) {
        let key = key as usize;
        if self.0.len() <= key {
            self.0.resize(key + 1, Vec::new());
        }
        if self.0[key].last().is_none_or(|(_, last)| *last < value) {
            self.0[key].push((operation, value));
        }
    }

    /// The highest value by operations up to and including `last`, and the first that reached it.
    pub fn up_to(&self, key: Key, last: OperationIndex) -> Option<(Value, OperationIndex)> {
        let versions = self.0.get(key as usize)?;
        // Mostly what is asked for is the end.
        let found = match versions.last() {
            Some(version) if version.0 <= last => version,
            _ => {
                &versions[versions
                    .partition_point(|version| version.0 <= last)
                    .checked_sub(1)?]
            }
        };
        Some((found.1, found.0))
    }
}
