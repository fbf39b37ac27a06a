//! How rows grew.

use squall_protocol::transaction::{Key, Value};

/// For each row how its highest value grew, along a session or another order, with the evidence for each step.
#[derive(Clone)]
pub(crate) struct Versions<E> {
    rows: Vec<Row<E>>,
    /// The rows that have grown, in the order in which they first did.
    keys: Vec<Key>,
}

/// How one row grew. It holds its ends too: mostly they tell all.
#[derive(Clone)]
pub(crate) struct Row<E> {
    /// The place of the first version; beyond every place if there is none.
    first: usize,
    latest: Value,
    versions: Vec<Version<E>>,
}

#[derive(Clone)]
struct Version<E> {
    place: u32,
    evidence: E,
    value: Value,
}

/// The last of what grew in the order of those places, before that place.
pub(crate) fn latest_before<T>(grown: &[(usize, T)], place: usize) -> Option<&T> {
    let end = grown.partition_point(|(at, _)| *at < place);
    Some(&grown[end.checked_sub(1)?].1)
}

impl<E> Default for Versions<E> {
    fn default() -> Self {
        Versions {
            rows: Vec::new(),
            keys: Vec::new(),
        }
    }
}

impl<E: Copy> Versions<E> {
    /// From that place on the row holds at least `value`.
    pub fn raise(&mut self, key: Key, value: Value, place: usize, evidence: E) {
        let at = key as usize;
        if self.rows.len() <= at {
            self.rows.resize_with(at + 1, || Row {
                first: usize::MAX,
                latest: Value::MIN,
                versions: Vec::new(),
            });
        }
        let row = &mut self.rows[at];
        if row.versions.is_empty() {
            row.first = place;
            self.keys.push(key);
        } else if value <= row.latest {
            return;
        }
        row.latest = value;
        row.versions.push(Version {
            place: place as u32,
            evidence,
            value,
        });
    }

    /// The rows that have grown, in the order in which they first did.
    pub fn keys(&self) -> impl Iterator<Item = Key> {
        self.keys.iter().copied()
    }

    /// How a row grew, if it did before that place.
    pub fn row(&self, key: Key, before: usize) -> Option<&Row<E>> {
        let row = self.rows.get(key as usize)?;
        (row.first < before).then_some(row)
    }

    /// The highest value of a row at last, and the evidence for it.
    pub fn latest(&self, key: Key) -> Option<(Value, E)> {
        self.row(key, usize::MAX)?.before(usize::MAX)
    }
}

impl<E: Copy> Row<E> {
    /// The highest value before that place, and the evidence for it.
    pub fn before(&self, place: usize) -> Option<(Value, E)> {
        let end = self
            .versions
            .partition_point(|v| (v.place as usize) < place);
        let found = &self.versions[end.checked_sub(1)?];
        Some((found.value, found.evidence))
    }

    /// The same, if it is above `value`.
    pub fn above(&self, value: Value, place: usize) -> Option<(Value, E)> {
        let may_be = value < self.latest;
        may_be
            .then(|| self.before(place))
            .flatten()
            .filter(|found| value < found.0)
    }
}
