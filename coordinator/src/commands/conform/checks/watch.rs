//! The live query.

use futures_util::FutureExt;
use squall_protocol::contract::{Access, ToClient};
use squall_protocol::sql::{SqlRows, SqlValue};

use super::check::Check;
use crate::commands::conform::statements::{echo, insert, rows_of};
use crate::commands::conform::subject::Client;
use crate::commands::conform::surroundings::Surroundings;

fn skipped(surroundings: &Surroundings) -> Option<&'static str> {
    let watches = surroundings.hello().capabilities.watches;
    (!watches).then_some("it says that it has no live queries")
}

/// Whether there are so many rows of the client in the first call's rows.
fn has(rows: usize) -> impl Fn(&[SqlRows]) -> bool {
    move |results| results.first().is_some_and(|found| found.len() == rows)
}

pub(super) const LIVE_QUERY: Check = Check {
    name: "live-query",
    what: "a live query emits at once if it is to, and after a change",
    skipped,
    run: |surroundings| {
        async {
            let mut client = Client::ready(surroundings).await?;
            let n = client.number;
            let calls = vec![rows_of(n)];
            let watch = ToClient::Watch {
                calls,
                at_once: true,
            };
            client.send(&watch).await?;
            client.emission("at once, with no rows", has(0)).await?;
            for (count, id) in (1..).zip(["watch-1", "watch-2"]) {
                client
                    .committed(Access::Write, vec![insert(id, n, "x")])
                    .await?;
                client
                    .emission(&format!("with {count} rows"), has(count))
                    .await?;
            }
            Ok(())
        }
        .boxed_local()
    },
};

pub(super) const LAST_CHANGE: Check = Check {
    name: "last-change",
    what: "of many changes in a short time, the last one has an emission",
    skipped,
    run: |surroundings| {
        async {
            let mut client = Client::ready(surroundings).await?;
            let n = client.number;
            // The first emission need not wait for a change, but it is not asked for.
            let watch = ToClient::Watch {
                calls: vec![rows_of(n)],
                at_once: false,
            };
            client.send(&watch).await?;
            let mut count = 0;
            for round in 0..3 {
                for number in 0..10 {
                    let id = format!("last-{round}-{number}");
                    client
                        .committed(Access::Write, vec![insert(&id, n, "x")])
                        .await?;
                    count += 1;
                }
                client
                    .emission(&format!("with all {count} rows"), has(count))
                    .await?;
            }
            Ok(())
        }
        .boxed_local()
    },
};

pub(super) const REPLACED: Check = Check {
    name: "replaced-query",
    what: "a live query takes the place of the one before",
    skipped,
    run: |surroundings| {
        async {
            let mut client = Client::ready(surroundings).await?;
            let n = client.number;
            for calls in [vec![rows_of(n)], vec![rows_of(n), echo("second".into())]] {
                let watch = ToClient::Watch {
                    calls,
                    at_once: true,
                };
                client.send(&watch).await?;
            }
            let of_second = |results: &[SqlRows]| {
                matches!(results, [_, second] if *second == [[SqlValue::from("second")]])
            };
            client.emission("of the second query", of_second).await?;
            client.forget_emissions();
            client.committed(Access::Write, vec![insert("replaced", n, "x")]).await?;
            let with_row =
                move |results: &[SqlRows]| of_second(results) && results[0].len() == 1;
            client.emission("of the second query, with one row", with_row).await
        }
        .boxed_local()
    },
};
