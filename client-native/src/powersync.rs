//! The portable client on tokio.

use squall_client_core::agent::{AgentEnd, Mode, run_agent};
use squall_protocol::contract::FromClient;

use crate::error::Error;
use crate::http::NativePlatform;
use crate::options::NativeOptions;
use crate::{control, database};

/// Lives a native client's life: until the coordinator says stop, or is gone.
///
/// Its future is not `Send`: it is for a current-thread runtime, or the main future of any other.
pub async fn run_native(options: NativeOptions) -> Result<(), Error> {
    run_with_powersync(options, Mode::Syncing).await
}

/// As [`run_native`], for the client that never connects.
pub async fn run_local(options: NativeOptions) -> Result<(), Error> {
    run_with_powersync(options, Mode::Local).await
}

async fn run_with_powersync(options: NativeOptions, mode: Mode) -> Result<(), Error> {
    let connection = control::connect(&options.control_url).await?;
    let platform = NativePlatform::new().map_err(Error::Fatal)?;
    let outgoing = connection.outgoing;
    let agent = run_agent(
        &options.client,
        mode,
        platform,
        async |_| database::open(&options.database),
        |_| (),
        connection.incoming,
        move |message: FromClient| {
            // A closed channel means that the connection is lost, which `incoming` tells as well.
            let _ = outgoing.send(message);
        },
    );
    // The writer ends when the agent has dropped its end of the channel, and everything is sent.
    match futures_util::future::join(agent, connection.writer).await.0 {
        Ok(AgentEnd::Stopped) => Ok(()),
        Ok(AgentEnd::Disconnected) => Err(Error::ControlLost),
        Err(error) => Err(Error::Fatal(error)),
    }
}
