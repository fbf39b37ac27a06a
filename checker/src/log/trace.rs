//! Where a value comes from that was read, or why it cannot have been there.

/// An index into the operations of a log.
pub(crate) type OperationIndex = u32;

/// Who wrote a value that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Nobody: it is the initial value.
    Initial,
    /// An operation that committed or may have.
    Operation(OperationIndex),
    /// The value can not have been in this row at this time.
    Nowhere,
    /// Several operations claim it, against the rules: it proves nothing.
    Ambiguous,
}

impl Source {
    /// Whether it is known where the value comes from.
    pub fn is_known(self) -> bool {
        matches!(self, Source::Initial | Source::Operation(_))
    }
}

/// Why a value can not have been in its row, and the operation that has to do with it.
#[derive(Clone, Debug)]
pub(crate) enum Impossible<S> {
    NoSuchRow,
    NeverWritten,
    OtherKeys(S),
    NotWritten(S),
    Aborted(S),
    OwnLaterWrite(S),
    FromTheFuture(S),
}

impl<S> Impossible<S> {
    pub fn writer(&self) -> Option<&S> {
        match self {
            Impossible::NoSuchRow | Impossible::NeverWritten => None,
            Impossible::OtherKeys(writer)
            | Impossible::NotWritten(writer)
            | Impossible::Aborted(writer)
            | Impossible::OwnLaterWrite(writer)
            | Impossible::FromTheFuture(writer) => Some(writer),
        }
    }

    /// The same with the operation named in another way.
    pub fn map<T>(self, name: impl FnOnce(S) -> T) -> Impossible<T> {
        match self {
            Impossible::NoSuchRow => Impossible::NoSuchRow,
            Impossible::NeverWritten => Impossible::NeverWritten,
            Impossible::OtherKeys(s) => Impossible::OtherKeys(name(s)),
            Impossible::NotWritten(s) => Impossible::NotWritten(name(s)),
            Impossible::Aborted(s) => Impossible::Aborted(name(s)),
            Impossible::OwnLaterWrite(s) => Impossible::OwnLaterWrite(name(s)),
            Impossible::FromTheFuture(s) => Impossible::FromTheFuture(name(s)),
        }
    }
}
