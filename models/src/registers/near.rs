//! Searching a sorted list from where something was found last.
//!
//! Transactions are gone through in about the order of time, and read what is recent. So what is looked
//! for in the writers of a key is mostly near what was looked for before: near in the list, which saves
//! steps, and in the processor's cache, which saves more.

use std::cell::Cell;

/// As [`slice::partition_point`], searching from `near` on: in time logarithmic in how far away it is.
pub(super) fn partition_point<T>(list: &[T], near: usize, is_before: impl Fn(&T) -> bool) -> usize {
    // Everything before `low` is before the point, and nothing from `high` on.
    let (mut low, mut high) = (0, list.len());
    let mut step = 1;
    if list.get(near).is_some_and(&is_before) {
        low = near + 1;
        while let Some(item) = list.get(low + step - 1) {
            if !is_before(item) {
                high = low + step - 1;
                break;
            }
            low += step;
            step *= 2;
        }
    } else {
        high = high.min(near);
        while step <= high {
            if is_before(&list[high - step]) {
                low = high - step + 1;
                break;
            }
            high -= step;
            step *= 2;
        }
    }
    low + list[low..high].partition_point(is_before)
}

/// A sorted list that remembers where something was found last.
#[derive(Clone, Debug)]
pub(super) struct Nearby<T> {
    pub list: Vec<T>,
    near: Cell<usize>,
}

impl<T> Nearby<T> {
    pub fn new(list: Vec<T>) -> Self {
        Nearby {
            list,
            near: Cell::new(0),
        }
    }

    /// As [`slice::partition_point`].
    pub fn partition_point(&self, is_before: impl Fn(&T) -> bool) -> usize {
        let point = partition_point(&self.list, self.near.get(), is_before);
        self.near.set(point);
        point
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_point_is_found_from_everywhere() {
        for length in 0..40 {
            let list: Vec<usize> = (0..length).collect();
            for point in 0..=length {
                for near in 0..length + 3 {
                    let found = partition_point(&list, near, |item| *item < point);
                    assert_eq!(found, point, "{length} from {near}");
                }
            }
        }
    }
}
