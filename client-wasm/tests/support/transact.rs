//! Transactions as the coordinator has them done.

use squall_client_core::{Client, ClientError};
use squall_client_wasm::platform::Browser;
use squall_protocol::contract::Access;
use squall_protocol::transaction::{Effects, Transaction};
use squall_workloads::{Compiler, Known};

pub fn transact(
    client: &Client<Browser>,
    compiler: &Compiler,
    transaction: &Transaction,
) -> Result<Effects, ClientError> {
    let mut known = Known::default();
    if let Some(calls) = compiler.last_seq() {
        let results = client.execute(Access::Read, &calls)?;
        known.last_seq = compiler.seq(&results).unwrap();
    }
    let calls = compiler.compile(transaction, &known);
    let results = client.execute(transaction.through.access(), &calls)?;
    Ok(compiler.interpret(transaction, results).unwrap())
}
