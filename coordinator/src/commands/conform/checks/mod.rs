//! The checks, each of one thing that the contract says.

mod check;
mod lives;
mod sessions;
mod strange;
mod sync;
mod transactions;
mod values;
mod watch;

use futures_util::FutureExt;
use squall_protocol::contract::{CONTRACT_VERSION, Hello, ToClient};

pub use check::Check;
use check::never;

use super::problem::{Finding, Problem};
use super::subject::Client;
use super::surroundings::Surroundings;

/// What came of a check.
pub(super) enum Outcome {
    Passed,
    Failed(Box<Finding>),
    Skipped(&'static str),
}

/// The first check, which is done by [`hello`].
pub(super) const HELLO: Check = Check {
    name: "hello",
    what: "it connects and says hello, for this version of the contract",
    skipped: never,
    run: |surroundings| async { hello(surroundings).await.map(drop) }.boxed_local(),
};

/// The others, in the order in which they are done.
pub const ALL: &[Check] = &[
    sessions::NEW,
    sessions::KEPT,
    sessions::FIRST_ROWS,
    sessions::NEW_CONNECTION,
    transactions::WRITE,
    transactions::READ,
    transactions::ROLLBACK,
    transactions::UNKNOWN_STATEMENT,
    transactions::MANY_CALLS,
    values::VALUES,
    values::TEXTS,
    values::NUL,
    values::PARAMETERS,
    values::BIG_RESULT,
    watch::LIVE_QUERY,
    watch::LAST_CHANGE,
    watch::REPLACED,
    sync::BEFORE_FIRST_SYNC,
    sync::UPLOAD,
    sync::DOWNLOAD,
    sync::DISCONNECT,
    strange::INTEGRITY,
    strange::UNKNOWN_FIELDS,
    strange::UNKNOWN_MESSAGES,
    lives::STOP,
    lives::KILL,
    lives::CONTROL_LOST,
];

/// What the client says that it is.
pub(super) async fn hello(surroundings: &Surroundings) -> Result<Hello, Problem> {
    let mut client = Client::new(surroundings);
    client.start().await?;
    let hello = client.hello().await?;
    if hello.contract != CONTRACT_VERSION {
        let expected = format!("hello with the version {CONTRACT_VERSION} of the contract");
        return Err(client.wrong(&expected, format!("version {}", hello.contract)));
    }
    let name = client.name().to_owned();
    if hello.client != name {
        let expected = format!("hello from {name}, as SQUALL_CLIENT says");
        return Err(client.wrong(&expected, format!("hello from {:?}", hello.client)));
    }
    client.send(&ToClient::Stop).await?;
    client
        .ends("an orderly end, though it was not configured")
        .await?;
    Ok(hello)
}
