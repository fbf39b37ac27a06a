//! The versions of all lists, as far as any read tells: a tree for each key.

use std::collections::HashMap;

use squall_protocol::transaction::{Key, Value};

/// A version of a list, by its last element.
pub(super) type Version = (Key, Value);

#[derive(Clone, Default)]
pub(super) struct Tree(HashMap<Version, Node>);

#[derive(Clone, Copy)]
struct Node {
    /// The element that stands before it; none at the beginning of the list.
    before: Option<Value>,
    /// How many elements the version has, by the first read that told.
    length: u32,
}

impl Tree {
    /// What stands before an element, if that is known.
    pub fn before(&self, version: Version) -> Option<Option<Value>> {
        self.0.get(&version).map(|node| node.before)
    }

    pub fn knows(&self, version: Version) -> bool {
        self.0.contains_key(&version)
    }

    /// Takes what stands before an element, and how long that version is. What is known counts.
    pub fn learn(&mut self, version: Version, before: Option<Value>, length: usize) {
        let length = length as u32;
        self.0.entry(version).or_insert(Node { before, length });
    }

    /// Whether a list that ends with `last`, none for the empty one, is older than the version: its end
    /// stands on the way to it.
    ///
    /// # Errors
    ///
    /// The version on the way that has to be known first.
    pub fn is_older(&self, key: Key, last: Option<Value>, version: Value) -> Result<bool, Version> {
        let Some(last) = last else {
            return Ok(true);
        };
        let Some(end) = self.0.get(&(key, last)) else {
            return Ok(false);
        };
        let mut at = version;
        // Where lists are garbled, the lengths keep this from going in cycles.
        let mut length = u32::MAX;
        while length > end.length + 1 {
            let node = self.0.get(&(key, at)).ok_or((key, at))?;
            if node.length <= end.length || node.length >= length {
                return Ok(false);
            }
            length = node.length;
            match node.before {
                Some(before) if before == last => return Ok(true),
                Some(before) => at = before,
                None => return Ok(false),
            }
        }
        Ok(false)
    }

    /// Whether the merge may have overwritten a version, since the list at the end, that text, has gone
    /// another way.
    pub fn may_be_overwritten(&self, (key, value): Version, end: &str) -> bool {
        let Some(last) = end.rsplit(' ').next().filter(|last| !last.is_empty()) else {
            return false;
        };
        match last.parse() {
            Ok(last) => self.is_older(key, Some(last), value) != Ok(true),
            Err(_) => true,
        }
    }

    /// The end of a list, for explanations.
    pub fn tail(&self, key: Key, last: Option<Value>) -> String {
        const TOLD: usize = 5;
        let mut elements: Vec<Value> = last.into_iter().collect();
        while elements.len() <= TOLD
            && let Some(Some(before)) = elements.last().and_then(|at| self.before((key, *at)))
        {
            elements.push(before);
        }
        let more = elements.len() > TOLD;
        elements.truncate(TOLD);
        let elements: Vec<String> = elements.iter().rev().map(Value::to_string).collect();
        let dots = if more { "… " } else { "" };
        format!("{dots}{}", elements.join(" "))
    }
}
