//! `squall serve`: the embedded sync service, as a process of a run starts it.

use crate::cli::ServeArgs;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::run::interruption;

pub async fn run(args: ServeArgs) -> Result<Exit, Failure> {
    let config = squall_service::Config {
        listen: args.listen,
        tables: args.tables,
        publication: args.publication,
        slot: args.slot,
        ..squall_service::Config::new(
            args.database_url,
            args.storage,
            args.key,
            args.kid,
            args.audience,
        )
    };
    let serving = squall_service::serve(config, |address| {
        output::println(format_args!("listening on {address}"))
    });
    tokio::select! {
        served = serving => {
            served.map_err(|error| Failure::unavailable("the sync service cannot go on", error))?;
        }
        () = interruption::listen().cancelled_owned() => {}
    }
    Ok(Exit::Ok)
}
