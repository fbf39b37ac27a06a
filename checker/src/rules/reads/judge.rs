//! The session guarantees: a read against its own session, and against those that it shows.

use squall_protocol::verdict::Property;

use super::Reads;
use super::session::{Below, Read, Unjudged};
use super::versions::Versions;
use crate::findings::explain::Shown;
use crate::log::trace::{OperationIndex, Source};

impl Reads {
    /// Judges by the read's own session, and by the transactions that it shows.
    pub(super) fn resolve(&mut self, read: Read) {
        let session = read.session;
        let sources = self.thin_air(&read);

        let (exercised, below) = {
            let written = &self.sessions[session].written;
            self.compare(&read, &sources, written, usize::MAX)
        };
        self.findings.read_your_writes.exercise(exercised);
        for below in below {
            let writer = self.log.step(session, below.evidence);
            let violation = self.stale(&read, &below).read_your_writes(writer);
            self.violate(Property::ReadYourWrites, 1, &read, violation);
        }

        let (exercised, below) = {
            let seen = &self.sessions[session].seen;
            self.compare(&read, &sources, seen, usize::MAX)
        };
        self.findings.monotonic_reads.exercise(exercised);
        for below in below {
            let earlier = self.log.step(session, below.evidence);
            let writer = self.writer(below.floor);
            let violation = self.stale(&read, &below).monotonic_reads(earlier, writer);
            self.violate(Property::MonotonicReads, 1, &read, violation);
        }

        for ((key, value), source) in read.rows.iter().zip(&sources) {
            if let Source::Operation(writer) = source {
                let operation = &self.log.operations[*writer as usize];
                let own = operation.session == session && operation.committed();
                if !own {
                    let seen = &mut self.sessions[session].seen;
                    seen.raise(*key, *value, (read.completed, read.operation));
                }
            }
        }
        if let Some(operation) = self.log.operations.get(read.operation as usize) {
            let existing = operation.written.iter().filter(|key| **key < self.log.keys);
            for key in existing {
                let written = &mut self.sessions[session].written;
                written.raise(*key, operation.value, (read.completed, read.operation));
            }
        }

        self.atomic_visibility(&read, &sources);

        let mut shown: Vec<(usize, OperationIndex)> = Vec::new();
        for source in &sources {
            if let Source::Operation(writer) = *source {
                let other = self.log.operations[writer as usize].session;
                match shown.iter_mut().find(|(session, _)| *session == other) {
                    Some((_, latest)) => {
                        if self.log.order(*latest) < self.log.order(writer) {
                            *latest = writer;
                        }
                    }
                    None if other != session => shown.push((other, writer)),
                    None => {}
                }
            }
        }
        self.judge_when_possible(Unjudged {
            read,
            sources,
            shown,
        });
    }

    /// Judges by the sessions that the read shows.
    pub(super) fn judge(&mut self, unjudged: &Unjudged) {
        let Unjudged {
            read,
            sources,
            shown,
        } = unjudged;
        for (session, latest) in shown {
            let example = |this: &Reads| {
                let mut rows = read.rows.iter().zip(sources);
                let row = rows.find(|(_, source)| **source == Source::Operation(*latest));
                let (key, value) = row.map_or((0, 0), |(row, _)| *row);
                Shown {
                    writer: this.log.step(*session, *latest),
                    key,
                    value,
                }
            };
            let order = self.log.order(*latest);
            if let Some(before) = order.checked_sub(1) {
                let written = &self.sessions[*session].written;
                let (exercised, below) = self.compare(read, sources, written, before);
                self.findings.monotonic_writes.exercise(exercised);
                for below in below {
                    let writer = self.log.step(*session, below.evidence);
                    let stale = self.stale(read, &below);
                    let violation = stale.monotonic_writes(example(self), writer);
                    self.violate(Property::MonotonicWrites, 1, read, violation);
                }
            }
            let seen = &self.sessions[*session].seen;
            let (exercised, below) = self.compare(read, sources, seen, order);
            self.findings.writes_follow_reads.exercise(exercised);
            for below in below {
                let earlier = self.log.step(*session, below.evidence);
                let writer = self.writer(below.floor);
                let stale = self.stale(read, &below);
                let violation = stale.writes_follow_reads(example(self), earlier, writer);
                self.violate(Property::WritesFollowReads, 1, read, violation);
            }
        }
    }

    /// Compares a read with what a session had to show up to a place in it, row by row.
    pub(super) fn compare(
        &self,
        read: &Read,
        sources: &[Source],
        versions: &Versions,
        last: usize,
    ) -> (u64, Vec<Below>) {
        let mut exercised = 0;
        let mut below = Vec::new();
        for ((key, value), source) in read.rows.iter().zip(sources) {
            if let Some((floor, evidence)) = versions.up_to(*key, last)
                && !matches!(source, Source::Nowhere | Source::Ambiguous)
            {
                exercised += 1;
                if *value < floor {
                    below.push(Below {
                        key: *key,
                        value: Some(*value),
                        floor,
                        evidence,
                    });
                }
            }
        }
        if read.present.is_some() {
            for key in (0..versions.keys()).filter(|key| read.lacks(*key)) {
                if let Some((floor, evidence)) = versions.up_to(key, last) {
                    exercised += 1;
                    below.push(Below {
                        key,
                        value: None,
                        floor,
                        evidence,
                    });
                }
            }
        }
        (exercised, below)
    }
}
