//! Where the values of a read come from.

use squall_protocol::transaction::{INITIAL_VALUE, Key, Reads as Asked, Value};
use squall_protocol::verdict::Property;

use super::session::{Ending, Read};
use super::{OperationIndex, Reads, Source};
use crate::mww::explain::{self, Impossible};

impl Reads {
    /// Who wrote a value that was read, or why nobody can have.
    pub(super) fn trace(
        &self,
        read: &Read,
        key: Key,
        value: Value,
    ) -> Result<Source, Impossible<OperationIndex>> {
        if key >= self.keys {
            return Err(Impossible::NoSuchRow);
        }
        if value == INITIAL_VALUE {
            return Ok(Source::Initial);
        }
        let Some(writer) = self.writers.get(&value).copied() else {
            return Err(Impossible::NeverWritten);
        };
        let second = self.ambiguous.get(&value);
        if second.is_some_and(|second| *second < read.completed) {
            return Ok(Source::Ambiguous);
        }
        let operation = &self.operations[writer as usize];
        if !operation.wrote(key) {
            return Err(if operation.left_out.contains(&key) {
                Impossible::NotWritten(writer)
            } else {
                Impossible::OtherKeys(writer)
            });
        }
        if operation.ending == Ending::Failed {
            return Err(Impossible::Aborted(writer));
        }
        if read.operation == writer {
            return Err(Impossible::OwnLaterWrite(writer));
        }
        if operation.invoked > read.completed {
            return Err(Impossible::FromTheFuture(writer));
        }
        Ok(Source::Operation(writer))
    }

    /// Where the read's values come from; those from nowhere, and missing rows, are violations.
    pub(super) fn thin_air(&mut self, read: &Read) -> Vec<Source> {
        const PROPERTY: Property = Property::NoThinAirRead;
        let mut sources = Vec::with_capacity(read.rows.len());
        let mut existing = 0;
        for (key, value) in &read.rows {
            existing += u64::from(*key < self.keys);
            sources.push(match self.trace(read, *key, *value) {
                Ok(source) => source,
                Err(why) => {
                    let why = why.map(|writer| self.operation_step(writer));
                    let violation = explain::thin_air(self.reader(read), *key, *value, why);
                    self.violate(PROPERTY, 1, read, violation);
                    Source::Nowhere
                }
            });
        }
        let distinct = match &read.present {
            Some(present) => present.len() as u64,
            None => u64::from(self.keys),
        };
        let missing = match (&read.present, &read.asked) {
            (None, _) | (_, Asked::Nothing) => 0,
            (_, Asked::All) => u64::from(self.keys) - distinct,
            (_, Asked::Keys(keys)) => {
                let existing = keys.iter().filter(|key| **key < self.keys);
                existing.filter(|key| read.lacks(**key)).count() as u64
            }
        };
        let repeated = existing - distinct;
        let findings = &mut self.findings.no_thin_air_read;
        findings.exercise(read.rows.len() as u64 + missing);
        if missing > 0 {
            let first = (0..self.keys).find(|key| read.lacks(*key)).unwrap_or(0);
            let violation = explain::missing_rows(self.reader(read), first, missing);
            self.violate(PROPERTY, missing, read, violation);
        }
        if repeated > 0 {
            let violation = explain::repeated_rows(self.reader(read), repeated);
            self.violate(PROPERTY, repeated, read, violation);
        }
        sources
    }
}
