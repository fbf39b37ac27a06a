//! The formats, by name.

use strum::{IntoStaticStr, VariantArray};

/// A format of histories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "kebab-case")]
pub enum Format {
    /// The `history.jsonl` of a squall run. It tells of more than transactions (of clients, faults and the
    /// run's end), so that it is only recognized here: the crate `squall-checker` reads it.
    Squall,
    Plume,
    Awdit,
    DbcopText,
    DbcopJson,
    /// The original dbcop's `history.bincode`.
    DbcopBincode,
    /// A binary log for every session; one such log is a history too. See [`cobra::read`](super::cobra::read).
    Cobra,
    /// Jepsen's and Elle's, EDN or JSON.
    Jepsen,
}

impl Format {
    pub const ALL: &'static [Format] = Format::VARIANTS;

    /// The name, as on the command line.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The format of that name. Jepsen's has the names of its two notations too, `edn` and `json`.
    pub fn from_name(name: &str) -> Option<Format> {
        match name {
            "edn" | "json" => Some(Format::Jepsen),
            name => Format::ALL
                .iter()
                .copied()
                .find(|format| format.name() == name),
        }
    }

    /// Whether it is known of registers in this format that the higher value of a key wins.
    pub fn values_are_versions(self) -> bool {
        self == Format::Squall
    }
}
