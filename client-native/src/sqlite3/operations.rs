//! One planned transaction of a workload in the `sqlite3` shell, between BEGIN and COMMIT: what
//! [`squall_client_core::operations`] does, statement by statement.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use squall_protocol::backend::CrudValue;
use squall_protocol::control::ClientConfig;
use squall_protocol::ledger::{ClientLedger, LedgerEffects, LedgerRead, LedgerRow, LedgerSeen};
use squall_protocol::payload::{PayloadRead, PayloadRow};
use squall_protocol::plan::Workload;
use squall_protocol::transaction::{Effects, Key, Reads, Rows, Transaction, Value};
use squall_workloads::payload::{self, Action};
use squall_workloads::{gset, ledger, list_append, mww};

use crate::shell::{Shell, ShellError};

/// Does a transaction. After an error nothing of it must be committed.
pub(super) async fn perform(
    shell: &mut Shell,
    config: &ClientConfig,
    transaction: &Transaction,
    seen: &LedgerSeen,
) -> Result<Effects, ShellError> {
    let keys = config.keys;
    if let Some(key) = transaction.unknown_key(keys) {
        let reason = format!("there is no key {key} among {keys}");
        return Err(ShellError::Refused(reason));
    }
    match config.workload {
        Workload::Mww => maximum_write_wins(shell, keys, transaction).await,
        Workload::Ledger => with_ledger(shell, config, transaction, seen).await,
        Workload::ListAppend => lists(shell, keys, transaction).await,
        Workload::Gset => sets(shell, keys, transaction).await,
    }
}

fn integer(number: impl Into<i64>) -> CrudValue {
    CrudValue::Integer(number.into())
}

fn text(text: impl Into<String>) -> CrudValue {
    CrudValue::Text(text.into())
}

fn incomplete(rows: usize, keys: u32) -> ShellError {
    ShellError::Refused(format!("the database holds {rows} of {keys} rows"))
}

async fn maximum_write_wins(
    shell: &mut Shell,
    keys: u32,
    transaction: &Transaction,
) -> Result<Effects, ShellError> {
    let rows: Vec<(String, Key, Value)> = shell.query(mww::READ, &[]).await?;
    if rows.len() != keys as usize {
        return Err(incomplete(rows.len(), keys));
    }
    let mut effects = Effects::default();
    for (id, key, value) in rows {
        if transaction.keys.contains(&key) && value < transaction.value {
            let parameters = [integer(transaction.value), text(id)];
            shell.execute(mww::WRITE, &parameters).await?;
            effects.writes.push((key, transaction.value));
        }
        if transaction.reads.contains(key) {
            effects.reads.push((key, value));
        }
    }
    Ok(effects)
}

/// A row of `lists`: id, key, elements.
type List = (String, Key, String);

async fn lists(
    shell: &mut Shell,
    keys: u32,
    transaction: &Transaction,
) -> Result<Effects, ShellError> {
    let read = match &transaction.reads {
        Reads::All => {
            let lists: Vec<List> = shell.query(list_append::READ, &[]).await?;
            if lists.len() != keys as usize {
                return Err(incomplete(lists.len(), keys));
            }
            Some(lists)
        }
        Reads::Keys(chosen) => {
            let mut lists = Vec::new();
            for key in BTreeSet::from_iter(chosen) {
                lists.push(list(shell, keys, *key).await?);
            }
            Some(lists)
        }
        Reads::Nothing => None,
    };
    let mut writes = Rows::new();
    for key in transaction.written() {
        let (id, _, list) = list(shell, keys, key).await?;
        let longer = list_append::append(&list, transaction.value);
        let parameters = [text(longer), text(id)];
        shell.execute(list_append::WRITE, &parameters).await?;
        writes.push((key, transaction.value));
    }
    Ok(Effects {
        writes,
        collections: read.map(|lists| {
            let lists = lists.into_iter();
            lists.map(|(_, key, list)| (key, list)).collect()
        }),
        ..Effects::default()
    })
}

async fn list(shell: &mut Shell, keys: u32, key: Key) -> Result<List, ShellError> {
    let rows: Vec<List> = shell.query(list_append::READ_KEY, &[integer(key)]).await?;
    rows.into_iter()
        .next()
        .ok_or_else(|| ShellError::Refused(format!("the list {key} of {keys} is missing")))
}

async fn sets(
    shell: &mut Shell,
    keys: u32,
    transaction: &Transaction,
) -> Result<Effects, ShellError> {
    let collections = match &transaction.reads {
        Reads::All => {
            let elements: Vec<(Key, Value)> = shell.query(gset::READ_ALL, &[]).await?;
            Some(gset::collections(0..keys, elements))
        }
        Reads::Keys(chosen) => {
            let mut elements: Vec<(Key, Value)> = Vec::new();
            for key in chosen {
                let of_key: Vec<(Key, Value)> =
                    shell.query(gset::READ_KEY, &[integer(*key)]).await?;
                elements.extend(of_key);
            }
            Some(gset::collections(chosen.iter().copied(), elements))
        }
        Reads::Nothing => None,
    };
    let mut writes = Rows::new();
    for key in transaction.written() {
        let value = transaction.value;
        let parameters = [text(gset::id(key, value)), integer(key), integer(value)];
        shell.execute(gset::INSERT, &parameters).await?;
        writes.push((key, value));
    }
    Ok(Effects {
        writes,
        collections,
        ..Effects::default()
    })
}

async fn with_ledger(
    shell: &mut Shell,
    config: &ClientConfig,
    transaction: &Transaction,
    seen: &LedgerSeen,
) -> Result<Effects, ShellError> {
    let mut reads = LedgerRead::new();
    let mut payload = None;
    if transaction.reads != Reads::Nothing {
        reads = read_ledger(shell, seen).await?;
        if config.payload {
            payload = Some(read_payload(shell).await?);
        }
    }
    let effects = maximum_write_wins(shell, config.keys, transaction).await?;
    let mut seq = None;
    if !transaction.is_read_only() {
        let next = insert(shell, &config.client, transaction.value, &effects.writes).await?;
        if config.payload {
            act(shell, &config.client, next).await?;
        }
        seq = Some(next);
    }
    Ok(Effects {
        ledger: Some(LedgerEffects { reads, seq }),
        payload,
        ..effects
    })
}

/// The ledger's totals, and the rows that have not been seen.
async fn read_ledger(shell: &mut Shell, seen: &LedgerSeen) -> Result<LedgerRead, ShellError> {
    let mut read = match seen.window {
        None => all_totals(shell).await?,
        Some(_) => latest_totals(shell, seen).await?,
    };
    for of in &mut read {
        if let Some(above) = ledger::unread_above(of, seen) {
            let parameters = [text(&of.client), integer(above)];
            let rows: Vec<(i64, String, String, i64)> =
                shell.query(ledger::READ_ROWS, &parameters).await?;
            let row = |(seq, id, writes, copies)| LedgerRow {
                seq,
                id,
                writes,
                copies,
            };
            of.rows = rows.into_iter().map(row).collect();
        }
    }
    Ok(read)
}

async fn all_totals(shell: &mut Shell) -> Result<LedgerRead, ShellError> {
    let totals: Vec<(String, i64, i64)> = shell.query(ledger::READ_TOTALS, &[]).await?;
    let of = |(client, count, highest)| ClientLedger {
        client,
        count,
        above: 0,
        highest,
        rows: Vec::new(),
    };
    Ok(totals.into_iter().map(of).collect())
}

/// The totals over the latest rows.
async fn latest_totals(shell: &mut Shell, seen: &LedgerSeen) -> Result<LedgerRead, ShellError> {
    let mut read = LedgerRead::new();
    let mut client = String::new();
    while let (Some(next),) = one(shell, ledger::NEXT_CLIENT, &[text(&client)]).await? {
        client.clone_from(&next);
        let above = seen.above(&client);
        let parameters = [text(&client), integer(above)];
        let (count, highest) = one(shell, ledger::READ_TOTALS_ABOVE, &parameters).await?;
        read.push(ClientLedger {
            client: next,
            count,
            above,
            highest,
            rows: Vec::new(),
        });
    }
    Ok(read)
}

/// The only row of an answer.
async fn one<R: DeserializeOwned>(
    shell: &mut Shell,
    sql: &str,
    parameters: &[CrudValue],
) -> Result<R, ShellError> {
    let rows = shell.query(sql, parameters).await?;
    rows.into_iter()
        .next()
        .ok_or_else(|| ShellError::Refused(format!("no row came of {sql}")))
}

/// Inserts the row of the client's next transaction, and answers its sequence number.
async fn insert(
    shell: &mut Shell,
    client: &str,
    value: Value,
    writes: &Rows,
) -> Result<i64, ShellError> {
    let (highest,): (i64,) = one(shell, ledger::READ_HIGHEST, &[text(client)]).await?;
    let parameters = [
        text(value.to_string()),
        text(client),
        integer(highest + 1),
        text(ledger::writes_column(writes)),
    ];
    shell.execute(ledger::INSERT, &parameters).await?;
    Ok(highest + 1)
}

async fn read_payload(shell: &mut Shell) -> Result<PayloadRead, ShellError> {
    let rows: Vec<(String, i64, Option<String>)> = shell.query(payload::READ, &[]).await?;
    let row = |(id, version, body): (String, i64, Option<String>)| PayloadRow {
        id,
        version,
        body: body.as_deref().map(payload::digest),
    };
    Ok(rows.into_iter().map(row).collect())
}

/// Does what belongs to the client's transaction of that sequence number.
async fn act(shell: &mut Shell, client: &str, seq: i64) -> Result<(), ShellError> {
    let body = |body: Option<String>| body.map_or(CrudValue::Null, CrudValue::Text);
    let (sql, parameters) = match payload::action(client, seq) {
        Action::Insert { id, body: new } => {
            (payload::INSERT, vec![text(id), integer(seq), body(new)])
        }
        Action::Update { id, body: new } => {
            (payload::CHANGE, vec![integer(seq), body(new), text(id)])
        }
        Action::Delete { id } => (payload::DELETE, vec![text(id)]),
    };
    shell.execute(sql, &parameters).await
}
