//! The ledger on SQLite.

use rusqlite::Connection;
use squall_protocol::ledger::{ClientLedger, LedgerRead, LedgerRow, LedgerSeen};
use squall_protocol::transaction::{Rows, Value};
use squall_workloads::ledger;

/// The totals, and the rows that have not been seen.
pub(super) fn read(sqlite: &Connection, seen: &LedgerSeen) -> rusqlite::Result<LedgerRead> {
    let mut totals = match seen.window {
        None => all_totals(sqlite)?,
        Some(_) => latest_totals(sqlite, seen)?,
    };
    let mut rows = sqlite.prepare_cached(ledger::READ_ROWS)?;
    for of in &mut totals {
        if let Some(above) = ledger::unread_above(of, seen) {
            of.rows = rows
                .query_map((&of.client, above), |row| {
                    Ok(LedgerRow {
                        seq: row.get(0)?,
                        id: row.get(1)?,
                        writes: row.get(2)?,
                        copies: row.get(3)?,
                    })
                })?
                .collect::<Result<_, _>>()?;
        }
    }
    Ok(totals)
}

/// The totals over all rows.
fn all_totals(sqlite: &Connection) -> rusqlite::Result<LedgerRead> {
    let mut totals = sqlite.prepare_cached(ledger::READ_TOTALS)?;
    let totals = totals.query_map([], |row| {
        Ok(ClientLedger {
            client: row.get(0)?,
            count: row.get(1)?,
            above: 0,
            highest: row.get(2)?,
            rows: Vec::new(),
        })
    })?;
    totals.collect()
}

/// The totals over the latest rows.
fn latest_totals(sqlite: &Connection, seen: &LedgerSeen) -> rusqlite::Result<LedgerRead> {
    let mut next = sqlite.prepare_cached(ledger::NEXT_CLIENT)?;
    let mut totals = sqlite.prepare_cached(ledger::READ_TOTALS_ABOVE)?;
    let mut read = LedgerRead::new();
    let mut client = String::new();
    while let Some(found) = next.query_row([&client], |row| row.get::<_, Option<String>>(0))? {
        let above = seen.above(&found);
        let (count, highest) =
            totals.query_row((&found, above), |row| Ok((row.get(0)?, row.get(1)?)))?;
        client.clone_from(&found);
        read.push(ClientLedger {
            client: found,
            count,
            above,
            highest,
            rows: Vec::new(),
        });
    }
    Ok(read)
}

/// Inserts the row of the client's next transaction, and answers its sequence number.
pub(super) fn insert(
    sqlite: &Connection,
    client: &str,
    value: Value,
    writes: &Rows,
) -> rusqlite::Result<i64> {
    let highest: i64 = sqlite
        .prepare_cached(ledger::READ_HIGHEST)?
        .query_row([client], |row| row.get(0))?;
    let seq = highest + 1;
    let writes = ledger::writes_column(writes);
    sqlite
        .prepare_cached(ledger::INSERT)?
        .execute((value.to_string(), client, seq, writes))?;
    Ok(seq)
}
