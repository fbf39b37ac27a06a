//! Calls in transactions.

use futures_util::FutureExt;
use squall_protocol::contract::{Access, Execution};
use squall_protocol::sql::{Call, SqlValue};

use super::check::{Check, never};
use crate::commands::conform::problem::Problem;
use crate::commands::conform::statements::{
    change, delete, echo, failing, insert, nonsense, rows_of, unknown,
};
use crate::commands::conform::subject::{Client, shown};

/// How many calls a large transaction has.
const MANY: usize = 1_000;

pub(super) const WRITE: Check = Check {
    name: "write-transaction",
    what: "calls are done in their order, each sees those before it, and each has its rows",
    skipped: never,
    run: |surroundings| {
        async {
            let mut client = Client::ready(surroundings).await?;
            let n = client.number;
            let calls = vec![
                insert("write-1", n, "a"),
                rows_of(n),
                insert("write-2", n, SqlValue::Null),
                change("write-1", "b"),
                change("write-nowhere", "b"),
                delete("write-2"),
                rows_of(n),
            ];
            let found = client.committed(Access::Write, calls).await?;
            let row = |body: &str| vec![vec![SqlValue::from("write-1"), body.into()]];
            let expected = [vec![], row("a"), vec![], row("b"), vec![], vec![], row("b")];
            if found != expected {
                let expected = format!("the rows {expected:?}");
                return Err(client.wrong(&expected, format!("{found:?}")));
            }
            client.has_ids(&["write-1"], "in another transaction").await
        }
        .boxed_local()
    },
};

pub(super) const READ: Check = Check {
    name: "read-transaction",
    what: "a read transaction reads, and refuses to write",
    skipped: never,
    run: |surroundings| {
        async {
            let mut client = Client::ready(surroundings).await?;
            let n = client.number;
            client
                .committed(Access::Write, vec![insert("read-1", n, "a")])
                .await?;
            let writes = [
                insert("read-2", n, "b"),
                change("read-1", "b"),
                delete("read-1"),
            ];
            for write in writes {
                let calls = vec![rows_of(n), write];
                client
                    .failed(Access::Read, calls, "as a read transaction does not write")
                    .await?;
            }
            let found = client.committed(Access::Read, vec![rows_of(n)]).await?;
            let kept = [[SqlValue::from("read-1"), "a".into()]];
            if found[0] != kept {
                let came = format!("{:?}", found[0]);
                return Err(client.wrong(&format!("the rows {kept:?}, as before"), came));
            }
            // It writes again after that.
            client
                .committed(Access::Write, vec![insert("read-3", n, "c")])
                .await?;
            client
                .has_ids(&["read-1", "read-3"], "as both were committed")
                .await
        }
        .boxed_local()
    },
};

pub(super) const ROLLBACK: Check = Check {
    name: "rollback",
    what: "an error in any call undoes all: the answer is failed, and nothing happened",
    skipped: never,
    run: |surroundings| {
        async {
            let mut client = Client::ready(surroundings).await?;
            undone(&mut client, "undo", [failing(), nonsense()]).await
        }
        .boxed_local()
    },
};

pub(super) const UNKNOWN_STATEMENT: Check = Check {
    name: "unknown-statement",
    what: "a call of a statement that there is not fails, and undoes all",
    skipped: never,
    run: |surroundings| {
        async {
            let mut client = Client::ready(surroundings).await?;
            undone(&mut client, "none", [unknown()]).await
        }
        .boxed_local()
    },
};

/// Whether each of these calls undoes what is done before it and after it.
async fn undone(
    client: &mut Client<'_>,
    name: &str,
    bad: impl IntoIterator<Item = Call>,
) -> Result<(), Problem> {
    let n = client.number;
    let ids = [1, 2, 3, 4].map(|number| format!("{name}-{number}"));
    let [kept, second, third, last] = ids.each_ref().map(String::as_str);
    client
        .committed(Access::Write, vec![insert(kept, n, "a")])
        .await?;
    for bad in bad {
        for place in 0..3 {
            let mut calls = vec![
                insert(second, n, "b"),
                change(kept, "b"),
                insert(third, n, "b"),
            ];
            calls.insert(place + 1, bad.clone());
            client
                .failed(Access::Write, calls, "as one call cannot be done")
                .await?;
            let found = client.committed(Access::Read, vec![rows_of(n)]).await?;
            let rows = [[SqlValue::from(kept), "a".into()]];
            if found[0] != rows {
                let came = format!("{:?}", found[0]);
                return Err(client.wrong(&format!("the rows {rows:?}, as before"), came));
            }
        }
    }
    client
        .committed(Access::Write, vec![insert(last, n, "c")])
        .await?;
    client
        .has_ids(&[kept, last], "as both were committed")
        .await
}

pub(super) const MANY_CALLS: Check = Check {
    name: "many-calls",
    what: "a transaction may have a thousand calls",
    skipped: never,
    run: |surroundings| {
        async {
            let mut client = Client::ready(surroundings).await?;
            let n = client.number;
            let ids: Vec<String> = (0..MANY).map(|index| format!("many-{index:04}")).collect();
            let inserts = ids.iter().map(|id| insert(id, n, "x"));
            let mut calls: Vec<Call> = inserts.collect();
            calls.push(echo("the last".into()));
            let outcome = client.execute(Access::Write, calls).await?;
            let right = match &outcome {
                Execution::Committed(results) => {
                    results.len() == MANY + 1
                        && results[..MANY].iter().all(Vec::is_empty)
                        && results[MANY] == [[SqlValue::from("the last")]]
                }
                _ => false,
            };
            if !right {
                let expected =
                    format!("committed, with no rows of {MANY} calls and one of the last");
                return Err(client.wrong(&expected, shown(&outcome)));
            }
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            client.has_ids(&ids, "all of which were inserted").await
        }
        .boxed_local()
    },
};
