//! How a client ends, and what is left of what it has committed.

use std::collections::BTreeSet;

use futures_util::FutureExt;
use squall_protocol::contract::{Access, Execution, FromClient, ToClient};
use squall_protocol::sql::Call;

use super::check::{Check, never};
use crate::commands::conform::problem::Problem;
use crate::commands::conform::statements::insert;
use crate::commands::conform::subject::Client;

/// How often a client is killed.
const KILLS: usize = 5;
/// How many transactions it has done by then, each time.
const BEFORE_KILL: usize = 10;

pub(super) const STOP: Check = Check {
    name: "stop",
    what: "told to stop, it ends with the exit code 0, and nothing that was committed is lost",
    skipped: never,
    run: |surroundings| {
        async {
            let mut client = Client::ready(surroundings).await?;
            let mut written = Written::default();
            for _ in 0..BEFORE_KILL {
                let calls = written.next(client.number);
                client.committed(Access::Write, calls).await?;
                written.committed();
            }
            let last = client
                .begin(Access::Write, written.next(client.number))
                .await?;
            client.send(&ToClient::Stop).await?;
            let said = client.ends("an orderly end, with the exit code 0").await?;
            for message in said {
                if let FromClient::Completed { operation, outcome } = message
                    && operation == last
                {
                    match outcome {
                        Execution::Committed(_) => written.committed(),
                        Execution::Failed(_) => written.failed(),
                        Execution::Unknown(_) => {}
                    }
                }
            }
            client.open().await?;
            written.compare(&mut client).await
        }
        .boxed_local()
    },
};

pub(super) const KILL: Check = Check {
    name: "kill",
    what: "killed at any moment, it has lost nothing that it called committed, and has nothing half",
    skipped: never,
    run: |surroundings| {
        async {
            let mut client = Client::ready(surroundings).await?;
            let mut written = Written::default();
            for kill in 0..KILLS {
                for _ in 0..BEFORE_KILL {
                    let calls = written.next(client.number);
                    client.committed(Access::Write, calls).await?;
                    written.committed();
                }
                // Every other time in the middle of one more.
                if kill % 2 == 1 {
                    client
                        .begin(Access::Write, written.next(client.number))
                        .await?;
                }
                client.kill().await?;
                client.open().await?;
                written.compare(&mut client).await?;
            }
            Ok(())
        }
        .boxed_local()
    },
};

pub(super) const CONTROL_LOST: Check = Check {
    name: "control-lost",
    what: "it does not outlive its control connection",
    skipped: |surroundings| {
        surroundings
            .is_tab()
            .then_some("a page goes on, and connects again")
    },
    run: |surroundings| {
        async {
            let mut client = Client::ready(surroundings).await?;
            client.disconnect();
            client
                .is_gone("its end, as the run is over when the connection is")
                .await
        }
        .boxed_local()
    },
};

/// The transactions of a client, each of which inserts two rows.
#[derive(Default)]
struct Written {
    begun: usize,
    committed: BTreeSet<usize>,
    failed: BTreeSet<usize>,
}

impl Written {
    /// The calls of one more.
    fn next(&mut self, client: i64) -> Vec<Call> {
        self.begun += 1;
        let ids = ids(client, self.begun);
        ids.iter().map(|id| insert(id, client, "x")).collect()
    }

    /// The last one has.
    fn committed(&mut self) {
        self.committed.insert(self.begun);
    }

    /// The last one has.
    fn failed(&mut self) {
        self.failed.insert(self.begun);
    }

    /// Whether that is what the client's database has. Those without an answer may be there or not.
    async fn compare(&self, client: &mut Client<'_>) -> Result<(), Problem> {
        let found: BTreeSet<String> = client.ids().await?.into_iter().collect();
        for number in 1..=self.begun {
            let rows = ids(client.number, number)
                .iter()
                .filter(|id| found.contains(*id))
                .count();
            let (expected, right) = if self.committed.contains(&number) {
                ("both rows, as it was answered committed", rows == 2)
            } else if self.failed.contains(&number) {
                ("no row, as it was answered failed", rows == 0)
            } else {
                ("both rows or none, as it was not answered", rows != 1)
            };
            if !right {
                let expected = format!("of the transaction {number} of {} {expected}", self.begun);
                return Err(client.wrong(&expected, format!("{rows} of its 2 rows")));
            }
        }
        Ok(())
    }
}

fn ids(client: i64, number: usize) -> [String; 2] {
    ["a", "b"].map(|half| format!("life-{client}-{number:04}-{half}"))
}
