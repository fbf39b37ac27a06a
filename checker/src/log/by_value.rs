//! What is known of values, which mostly count up from zero: an array, so that values that were written
//! one after the other are neighbours in memory too.

use std::collections::HashMap;

use squall_protocol::transaction::Value;

/// A map from values.
#[derive(Clone, Debug)]
pub(crate) struct ByValue<T> {
    dense: Vec<Option<T>>,
    /// The values that were too high for the array when they came.
    sparse: HashMap<Value, T>,
    count: usize,
}

/// A set of values.
pub(crate) type Values = ByValue<()>;

impl<T> Default for ByValue<T> {
    fn default() -> Self {
        ByValue {
            dense: Vec::new(),
            sparse: HashMap::new(),
            count: 0,
        }
    }
}

impl<T> ByValue<T> {
    pub fn get(&self, value: Value) -> Option<&T> {
        let dense = usize::try_from(value)
            .ok()
            .and_then(|at| self.dense.get(at));
        match dense {
            Some(Some(entry)) => Some(entry),
            _ if self.sparse.is_empty() => None,
            _ => self.sparse.get(&value),
        }
    }

    pub fn contains(&self, value: Value) -> bool {
        self.get(value).is_some()
    }

    /// The entry of a value, which is `new` if there was none.
    pub fn get_or_insert(&mut self, value: Value, new: T) -> &T {
        if !self.contains(value) {
            self.count += 1;
            // Whoever counts up leaves few out.
            let limit = 4 * self.count + 1024;
            match usize::try_from(value).ok().filter(|at| *at < limit) {
                Some(at) => {
                    if at >= self.dense.len() {
                        self.dense.resize_with(at + 1, || None);
                    }
                    self.dense[at] = Some(new);
                }
                None => {
                    self.sparse.insert(value, new);
                }
            }
        }
        self.get(value).expect("it is there now")
    }
}

impl Values {
    pub fn insert(&mut self, value: Value) {
        self.get_or_insert(value, ());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_entry_of_a_value_stays() {
        let mut map = ByValue::default();
        let values = [0, 5, 1 << 40, -1, i64::MIN, i64::MAX, 5_000, 10_000];
        for (number, value) in (0..).zip(values) {
            assert_eq!(map.get(value), None);
            assert_eq!(*map.get_or_insert(value, number), number);
        }
        // Now so many are known that what was too high would have a place in the array.
        for value in 100..4_000 {
            map.get_or_insert(value, -1);
        }
        for (number, value) in (0..).zip(values) {
            assert_eq!(*map.get_or_insert(value, -2), number, "{value}");
            assert_eq!(map.get(value), Some(&number));
        }
        assert!(map.dense.len() <= 4_000 + 1);
    }
}
