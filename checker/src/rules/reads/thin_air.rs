//! Where the values of a read come from.

use squall_protocol::transaction::Reads as Asked;
use squall_protocol::verdict::Property;

use super::Reads;
use super::session::Read;
use crate::findings::explain;
use crate::log::trace::Source;

impl Reads {
    /// Where the read's values come from; those from nowhere, and missing rows, are violations.
    pub(super) fn thin_air(&mut self, read: &Read) -> Vec<Source> {
        const PROPERTY: Property = Property::NoThinAirRead;
        let mut sources = Vec::with_capacity(read.rows.len());
        let mut existing = 0;
        for (key, value) in &read.rows {
            existing += u64::from(*key < self.log.keys);
            sources.push(match self.trace(read, *key, *value) {
                Ok(source) => source,
                Err(why) => {
                    let why = why.map(|writer| self.log.operation_step(writer));
                    let violation = explain::thin_air(self.reader(read), *key, *value, why);
                    self.violate(PROPERTY, 1, read, violation);
                    Source::Nowhere
                }
            });
        }
        let distinct = match &read.present {
            Some(present) => present.len() as u64,
            None => u64::from(self.log.keys),
        };
        let missing = match (&read.present, &read.asked) {
            (None, _) | (_, Asked::Nothing) => 0,
            (_, Asked::All) => u64::from(self.log.keys) - distinct,
            (_, Asked::Keys(keys)) => {
                let existing = keys.iter().filter(|key| **key < self.log.keys);
                existing.filter(|key| read.lacks(**key)).count() as u64
            }
        };
        let repeated = existing - distinct;
        let findings = &mut self.findings.no_thin_air_read;
        findings.exercise(read.rows.len() as u64 + missing);
        if missing > 0 {
            let first = (0..self.log.keys).find(|key| read.lacks(*key)).unwrap_or(0);
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
