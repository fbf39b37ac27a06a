//! What the judges of reads have in common: they go along with the log.

use crate::findings::Report;
use crate::log::known::Known;
use crate::log::operations::Update;

/// Judges what is read, by what each event adds to the log.
pub(crate) trait Judge {
    /// Takes what an event has added.
    fn take(&mut self, known: Known, update: &Update);

    /// Takes what was added for everything: nothing is under way in the log any more.
    fn settle(&mut self, known: Known);

    fn report(&mut self) -> &mut Report;
}
