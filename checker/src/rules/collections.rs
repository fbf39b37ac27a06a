//! What the workloads `gset` and `list-append` have in common: reads of collections and their elements,
//! and the properties of the end.

pub(crate) mod end;

use squall_protocol::transaction::{Key, Reads as Asked, Value};
use squall_protocol::verdict::{Property, Step, Violation};

use crate::findings::Report;
use crate::findings::explain;
use crate::log::operations::{Found, OperationLog};
use crate::log::trace::{Impossible, OperationIndex, Source};

/// A part of a collection's text.
#[derive(Clone)]
pub(crate) enum Part {
    Element(Value),
    /// It is no element.
    Garbled(Box<str>),
}

/// Collections that were read at once.
#[derive(Clone)]
pub(crate) struct Read {
    pub session: usize,
    /// [`FINAL_READ`](crate::log::operations::FINAL_READ) if it is none of an operation.
    pub operation: OperationIndex,
    pub asked: Asked,
    /// By key, ascending; none if the read tells nothing of collections.
    pub collections: Option<Vec<(Key, Vec<Part>)>>,
    /// See [`Operation::began`](crate::log::operations::Operation::began).
    pub began: usize,
    /// The place of the event that tells of it.
    pub completed: usize,
}

impl Read {
    pub fn new(found: &Found) -> Self {
        let part = |part: &str| match part.parse() {
            Ok(value) => Part::Element(value),
            Err(_) => Part::Garbled(part.into()),
        };
        let collections = found.collections.map(|collections| {
            let parts = |text: &str| elements(text).map(part).collect();
            let collections = collections.iter();
            collections.map(|(key, text)| (*key, parts(text))).collect()
        });
        Read {
            session: found.session,
            operation: found.operation,
            asked: found.asked.clone(),
            collections,
            began: found.began,
            completed: found.completed,
        }
    }

    /// All parts, with their keys.
    fn parts(&self) -> impl Iterator<Item = (Key, &Part)> {
        let collections = self.collections.iter().flatten();
        collections.flat_map(|(key, parts)| parts.iter().map(|part| (*key, part)))
    }

    /// Who added or appended an element that it holds, or why nobody can have.
    pub fn trace(
        &self,
        log: &OperationLog,
        key: Key,
        value: Value,
    ) -> Result<Source, Impossible<OperationIndex>> {
        log.trace((self.operation, self.completed), key, value)
    }

    /// Who added or appended the elements that it holds.
    pub fn writers(&self, log: &OperationLog) -> impl Iterator<Item = OperationIndex> {
        self.parts().filter_map(|(key, part)| match part {
            Part::Element(value) => self.writer(log, key, *value),
            Part::Garbled(_) => None,
        })
    }

    /// Who added or appended an element, if that is certain.
    pub fn writer(&self, log: &OperationLog, key: Key, value: Value) -> Option<OperationIndex> {
        match self.trace(log, key, value) {
            Ok(Source::Operation(writer)) => Some(writer),
            _ => None,
        }
    }

    /// An operation under way whose end decides where an element comes from.
    pub fn pending(&self, log: &OperationLog) -> Option<OperationIndex> {
        let mut writers = self.writers(log);
        writers.find(|writer| log.is_pending(*writer))
    }

    /// The elements, in their order, with who added or appended them. Those that can not be there are
    /// violations of `no-thin-air-read`.
    pub fn sources(&self, log: &OperationLog, report: &mut Report) -> Vec<(Key, OperationIndex)> {
        const PROPERTY: Property = Property::NoThinAirRead;
        let mut sources = Vec::new();
        let mut count = 0;
        for (key, part) in self.parts() {
            count += 1;
            let value = match part {
                Part::Element(value) => *value,
                Part::Garbled(part) => {
                    report.violate(PROPERTY, self.completed, || {
                        self.faulty(log, key).garbled(part)
                    });
                    continue;
                }
            };
            let why = match self.trace(log, key, value) {
                Ok(Source::Operation(writer)) => {
                    sources.push((key, writer));
                    continue;
                }
                Ok(Source::Ambiguous) => continue,
                Ok(_) => Impossible::NeverWritten,
                Err(why) => why.map(|writer| log.operation_step(writer)),
            };
            report.violate(PROPERTY, self.completed, || {
                explain::thin_air(self.step(log), key, value, why)
            });
        }
        report.of(PROPERTY).exercise(count);
        sources
    }

    pub fn step(&self, log: &OperationLog) -> Step {
        log.step(self.session, self.operation)
    }

    pub fn faulty(&self, log: &OperationLog, key: Key) -> Faulty {
        Faulty::new(self.step(log), key)
    }
}

/// The words for what is wrong with a collection that was read.
pub(crate) struct Faulty {
    reader: Step,
    key: Key,
}

impl Faulty {
    pub fn new(reader: Step, key: Key) -> Self {
        Faulty { reader, key }
    }

    /// In those words after who read where.
    pub fn says(&self, what: &str, other: Option<u64>) -> Violation {
        let Faulty { reader, key } = self;
        let place = explain::place(reader);
        let mut operations: Vec<u64> = reader.operation.into_iter().chain(other).collect();
        operations.dedup();
        Violation {
            summary: format!("{} read k{key} in {place}. {what}", reader.client),
            operations,
            evidence: Vec::new(),
        }
    }

    pub fn garbled(&self, part: &str) -> Violation {
        self.says(&format!("It holds {part:?}, which is no element."), None)
    }

    pub fn twice(&self, value: Value) -> Violation {
        self.says(&format!("It holds the element {value} twice."), None)
    }

    pub fn missing(&self, value: Value, writer: &Step, why: &str) -> Violation {
        let what = format!(
            "It lacks the element {value} of {} in {}. {why}",
            writer.client,
            explain::place(writer)
        );
        self.says(&what, writer.operation)
    }
}

/// The parts of a collection's text.
pub(crate) fn elements(text: &str) -> impl Iterator<Item = &str> {
    text.split(' ').filter(|_| !text.is_empty())
}
