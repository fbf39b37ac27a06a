//! From indexes to names, for explanations.

use squall_protocol::transaction::{Key, Value};
use squall_protocol::verdict::Step;

use crate::findings::explain::Shown;
use crate::log::index::{Index, Read};
use crate::log::operations::POSTGRESQL;
use crate::log::trace::{OperationIndex, Source};

/// The operation by its client and number.
pub(crate) fn step(index: &Index, operation: OperationIndex) -> Step {
    let operation = &index.operations[operation as usize];
    Step {
        client: client(index, operation.session),
        operation: Some(operation.number),
    }
}

/// Who read.
pub(crate) fn reader(index: &Index, read: &Read) -> Step {
    Step {
        client: client(index, read.session),
        operation: read
            .operation
            .map(|operation| index.operations[operation as usize].number),
    }
}

fn client(index: &Index, session: usize) -> String {
    match index.sessions[session].client {
        Some(client) => index.clients[client].name.clone(),
        None => POSTGRESQL.to_owned(),
    }
}

/// How a read shows an operation.
pub(crate) fn shown(index: &Index, read: &Read, operation: OperationIndex) -> Shown {
    let mut rows = read.rows.iter().zip(index.sources(read));
    let shown = rows.find(|(_, source)| *source == Source::Operation(operation));
    let (key, value) = shown.map_or((0, 0), |(row, _)| *row);
    Shown {
        writer: step(index, operation),
        key,
        value,
    }
}

/// Who wrote the value that a read has returned for a row.
pub(crate) fn writer(index: &Index, read: &Read, key: Key, value: Value) -> Option<Step> {
    match index.trace(read, key, value) {
        Ok(Source::Operation(writer)) => Some(step(index, writer)),
        _ => None,
    }
}

/// The numbers of those operations that there are, each once.
pub(crate) fn numbers(
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
