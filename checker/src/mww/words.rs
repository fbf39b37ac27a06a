//! The phrases from which explanations are put together.

use squall_protocol::transaction::{Key, Value};

use super::index::{Impossible, Index, OperationIndex, Read, Source};

/// `k7 = 41`
pub(super) fn row(key: Key, value: Value) -> String {
    format!("k{key} = {value}")
}

/// Who read.
pub(super) fn reader<'h>(index: &Index<'h>, read: &Read) -> &'h str {
    match index.sessions[read.session].client {
        Some(client) => index.clients[client].name,
        None => "PostgreSQL",
    }
}

/// Where it was read: `operation 812`, or `its final read`.
pub(super) fn place(index: &Index, read: &Read) -> String {
    match read.operation {
        Some(operation) => self::operation(index, operation),
        None => "its final read".to_owned(),
    }
}

/// `operation 812`
pub(super) fn operation(index: &Index, operation: OperationIndex) -> String {
    format!("operation {}", index.operations[operation as usize].number)
}

/// The client that did an operation.
pub(super) fn client<'h>(index: &Index<'h>, operation: OperationIndex) -> &'h str {
    let session = index.operations[operation as usize].session;
    match index.sessions[session].client {
        Some(client) => index.clients[client].name,
        None => "PostgreSQL",
    }
}

/// `wasm-2 read k7 = 41 in operation 812`, or that it found no such row.
pub(super) fn saw(index: &Index, read: &Read, key: Key, value: Option<Value>) -> String {
    let reader = reader(index, read);
    let place = place(index, read);
    match value {
        Some(value) => format!("{reader} read {} in {place}", row(key, value)),
        None => format!("{reader} found no row k{key} in {place}"),
    }
}

/// `has k7 = 41`, or `has no row k7`.
pub(super) fn has(key: Key, value: Option<Value>) -> String {
    match value {
        Some(value) => format!("has {}", row(key, value)),
        None => format!("has no row k{key}"),
    }
}

/// `wasm-1 read k3 = 90 in operation 900, which native-2 wrote in operation 850`: how a read shows
/// an operation.
pub(super) fn shows(index: &Index, read: &Read, operation: OperationIndex) -> String {
    let sources = index.sources(read).iter();
    let mut rows = read.rows.iter().zip(sources);
    let shown = rows.find(|(_, source)| **source == Source::Operation(operation));
    let what = match shown {
        Some(((key, value), _)) => saw(index, read, *key, Some(*value)),
        None => format!("{} read in {}", reader(index, read), place(index, read)),
    };
    format!(
        "{what}, which {} wrote in {}",
        client(index, operation),
        self::operation(index, operation)
    )
}

/// Who wrote the value that a read has returned for a row.
pub(super) fn writer(index: &Index, read: &Read, key: Key, value: Value) -> Option<OperationIndex> {
    match index.trace(read, key, value) {
        Ok(Source::Operation(writer)) => Some(writer),
        _ => None,
    }
}

/// ` (written by native-1 in operation 700)`
pub(super) fn written_by(index: &Index, writer: Option<OperationIndex>) -> String {
    match writer {
        Some(writer) => format!(
            " (written by {} in {})",
            client(index, writer),
            operation(index, writer)
        ),
        None => String::new(),
    }
}

/// Why a value can not have been in its row, as the end of a sentence, and who wrote it, if anyone.
pub(super) fn impossible(index: &Index, why: Impossible) -> (String, Option<OperationIndex>) {
    let writer = why.writer();
    let by = writer.map_or(String::new(), |writer| {
        format!("{} of {}", operation(index, writer), client(index, writer))
    });
    let text = match why {
        Impossible::NoSuchRow => "a row that does not exist".to_owned(),
        Impossible::NeverWritten => "a value that nobody ever wrote".to_owned(),
        Impossible::OtherKeys(_) => {
            format!("a value that only {by} wrote, and not to this row")
        }
        Impossible::NotWritten(_) => {
            format!("a value that {by} left out for this row, because the row held a higher one")
        }
        Impossible::Aborted(_) => {
            format!("a value of {by}, which failed: an aborted read (G1a)")
        }
        Impossible::OwnLaterWrite(_) => {
            "a value that this very operation wrote only after it had read".to_owned()
        }
        Impossible::FromTheFuture(_) => {
            format!("a value of {by}, which was invoked only after this read had ended")
        }
    };
    (text, writer)
}

/// The numbers of those operations that there are, each once.
pub(super) fn numbers(
    index: &Index,
    operations: impl IntoIterator<Item = Option<OperationIndex>>,
) -> Vec<u64> {
    let mut numbers = Vec::new();
    for operation in operations.into_iter().flatten() {
        let number = index.operations[operation as usize].number;
        if !numbers.contains(&number) {
            numbers.push(number);
        }
    }
    numbers
}
