//! What was found about the six properties of reads.

use squall_protocol::verdict::Property;

use crate::findings::Findings;

/// The findings about the six properties of reads.
#[derive(Clone)]
pub(super) struct OfReads {
    pub read_your_writes: Findings,
    pub monotonic_reads: Findings,
    pub monotonic_writes: Findings,
    pub writes_follow_reads: Findings,
    pub atomic_visibility: Findings,
    pub no_thin_air_read: Findings,
}

impl OfReads {
    pub fn new() -> Self {
        OfReads {
            read_your_writes: Findings::new(Property::ReadYourWrites),
            monotonic_reads: Findings::new(Property::MonotonicReads),
            monotonic_writes: Findings::new(Property::MonotonicWrites),
            writes_follow_reads: Findings::new(Property::WritesFollowReads),
            atomic_visibility: Findings::new(Property::AtomicVisibility),
            no_thin_air_read: Findings::new(Property::NoThinAirRead),
        }
    }

    pub fn into_array(self) -> [Findings; 6] {
        [
            self.read_your_writes,
            self.monotonic_reads,
            self.monotonic_writes,
            self.writes_follow_reads,
            self.atomic_visibility,
            self.no_thin_air_read,
        ]
    }

    pub fn of(&mut self, property: Property) -> &mut Findings {
        match property {
            Property::ReadYourWrites => &mut self.read_your_writes,
            Property::MonotonicReads => &mut self.monotonic_reads,
            Property::MonotonicWrites => &mut self.monotonic_writes,
            Property::WritesFollowReads => &mut self.writes_follow_reads,
            Property::AtomicVisibility => &mut self.atomic_visibility,
            _ => &mut self.no_thin_air_read,
        }
    }
}
