//! How the rows grew along a session.

use squall_protocol::transaction::{Key, Value};

use crate::log::trace::OperationIndex;

/// For each row how its highest value grew along a session, in session order.
#[derive(Clone, Default)]
pub(super) struct Versions(Vec<Vec<Version>>);

#[derive(Clone)]
struct Version {
    /// The place in the session of the operation that raised it.
    order: usize,
    value: Value,
    operation: OperationIndex,
}

impl Versions {
    /// A key above every one with a version.
    pub fn keys(&self) -> Key {
        self.0.len() as Key
    }

    pub fn raise(&mut self, key: Key, value: Value, (order, operation): (usize, OperationIndex)) {
        let key = key as usize;
        if self.0.len() <= key {
            self.0.resize(key + 1, Vec::new());
        }
        if self.0[key].last().is_none_or(|last| last.value < value) {
            self.0[key].push(Version {
                order,
                value,
                operation,
            });
        }
    }

    /// The highest value by operations up to and including that place, and the first that reached it.
    pub fn up_to(&self, key: Key, last: usize) -> Option<(Value, OperationIndex)> {
        let versions = self.0.get(key as usize)?;
        // Mostly what is asked for is the end.
        let found = match versions.last() {
            Some(version) if version.order <= last => version,
            _ => {
                &versions[versions
                    .partition_point(|version| version.order <= last)
                    .checked_sub(1)?]
            }
        };
        Some((found.value, found.operation))
    }
}
