//! Numbers for values that are not numbers: of keys, values and sessions only equality counts.

use std::collections::HashMap;

use super::edn::Value;

/// The numbers that were given so far.
#[derive(Default)]
pub(super) struct Names {
    known: HashMap<String, u64>,
}

/// Numbers that are given to names start here, far above those that histories use.
const FIRST: u64 = 1 << 62;
/// Of a name that is longer only the beginning is told.
const SHOWN: usize = 60;

impl Names {
    /// The number of a value. How it is called is told to `name` when it is seen first, unless it is
    /// called by that number.
    pub fn number(&mut self, value: &Value, name: impl FnOnce(u64, String)) -> u64 {
        let number = match value {
            Value::Integer(number) if (0..FIRST as i64).contains(number) => return *number as u64,
            // Negative ones stay what they are, above all others.
            Value::Integer(number) if *number < 0 => Some(*number as u64),
            _ => None,
        };
        let next = number.unwrap_or(FIRST + self.known.len() as u64);
        let text = value.to_string();
        *self.known.entry(text).or_insert_with_key(|text| {
            let mut shown: String = text.chars().take(SHOWN).collect();
            if shown.len() < text.len() {
                shown.push('…');
            }
            name(next, shown);
            next
        })
    }

    /// A number for something that equals nothing else.
    pub fn new_number(&mut self) -> u64 {
        let next = FIRST + self.known.len() as u64;
        // No value is displayed like that.
        self.known.insert(format!(" {next}"), next);
        next
    }
}
