//! Reads a history in the format that it is known to have.

use std::io::Read;

use super::{
    Format, FormatError, Input, Reading, awdit, cobra, dbcop, dbcop_bincode, jepsen, plume,
};
use crate::registers::Builder;

impl Format {
    /// Whether it is text.
    fn is_text(self) -> bool {
        !matches!(self, Format::DbcopBincode | Format::Cobra)
    }

    /// Reads a history in this format, also if it is compressed by gzip. With `values_are_versions`, of two
    /// values of a key the higher one is taken to win, and the history is fit for
    /// [`CausalPerKey`](crate::registers::Model::CausalPerKey).
    pub fn read(
        self,
        reader: impl Read,
        values_are_versions: bool,
    ) -> Result<Reading, FormatError> {
        let mut reader = Input::new(reader)?;
        if self.is_text() {
            reader.text()?;
        }
        let mut builder = Builder::new(match self {
            Format::Plume => Some(plume::INITIAL_VALUE),
            Format::DbcopBincode => Some(dbcop_bincode::INITIAL_VALUE),
            _ => None,
        });
        if values_are_versions {
            builder.values_are_versions();
        }
        let cut = match self {
            Format::Squall => return Err(FormatError::OfARun),
            Format::Plume => return plume::read_cut(builder, reader),
            Format::Awdit => awdit::read_into(&mut builder, reader)?,
            Format::DbcopText => dbcop::read_text_into(&mut builder, reader)?,
            Format::DbcopJson => {
                dbcop::read_json_into(&mut builder, reader)?;
                None
            }
            Format::DbcopBincode => {
                dbcop_bincode::read_into(&mut builder, reader)?;
                None
            }
            Format::Cobra => {
                cobra::read_into(&mut builder, 0, reader)?;
                None
            }
            Format::Jepsen => return jepsen::read(reader, values_are_versions),
        };
        Ok(Reading::new(builder.finish()?, cut))
    }
}
