//! A share of a matrix, as on the command line.

use std::str::FromStr;

/// Which part of a matrix to run: the `number`-th of `of`, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    number: usize,
    of: usize,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/');
        let parsed = parts.and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
        match parsed {
            Some((number, of)) if 1 <= number && number <= of => Ok(Shard { number, of }),
            _ => Err(format!(
                "`{text}` is not like 2/8, the second of eight parts"
            )),
        }
    }
}

impl Shard {
    /// Whether the one at that place, counted from 0, is in it.
    pub fn has(self, place: usize) -> bool {
        place % self.of == self.number - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_read_and_refused() {
        assert_eq!("2/8".parse(), Ok(Shard { number: 2, of: 8 }));
        for bad in ["0/8", "9/8", "2", "x/y", ""] {
            assert!(bad.parse::<Shard>().is_err(), "{bad}");
        }
    }
}
