//! `squall run`: what its arguments ask for.

use std::collections::BTreeMap;

use squall_protocol::plan::Store;

use crate::cli::RunArgs;
use crate::cli::command_line::again;
use crate::commands::conform;
use crate::exit::Failure;
use crate::faults;
use crate::fleet::program::Program;
use crate::plan;
use crate::plan::kinds;
use crate::run::RunOptions;

/// Where the rows of somebody's clients live: asks each of them once.
async fn stores(args: &RunArgs) -> Result<BTreeMap<String, Store>, Failure> {
    let mut stores = BTreeMap::new();
    for arg in &args.client {
        let program = Program::parse(&arg.command).map_err(Failure::Usage)?;
        let hello = conform::introduction(program)
            .await
            .map_err(|failure| Failure::unavailable(format!("--client {}", arg.kind), failure))?;
        stores.insert(arg.kind.clone(), kinds::store(&hello));
    }
    Ok(stores)
}

/// What `squall run` does with those arguments.
pub async fn options(args: &RunArgs) -> Result<RunOptions, Failure> {
    let (plan, again) = match &args.plan {
        Some(file) => {
            let text = std::fs::read_to_string(file).map_err(|error| {
                Failure::Usage(format!("cannot read the plan {}: {error}", file.display()))
            })?;
            let plan = plan::read(&text, &faults::plannable()).map_err(|error| {
                Failure::MalformedInput(format!("the plan {}: {error}", file.display()))
            })?;
            (plan, again(None))
        }
        None => {
            let seed = args
                .seed
                .unwrap_or_else(|| rand::random_range(1..1_000_000));
            // What can be told without starting anything.
            let clients = args.clients(&BTreeMap::new())?;
            args.plan_options(&clients)?;
            let clients = args.clients(&stores(args).await?)?;
            let options = args.plan_options(&clients)?;
            let mut plan = plan::make(seed, options, clients, &faults::plannable());
            let programs = args.client.iter();
            plan.programs = programs
                .map(|arg| (arg.kind.clone(), arg.command.clone()))
                .collect();
            (plan, again(args.seed.is_none().then_some(seed)))
        }
    };
    Ok(RunOptions {
        plan,
        output: args.output.clone(),
        headed: args.headed,
        database_url: args.system.database_url.clone(),
        service: args.system.service()?,
        backend: args.system.backend()?,
        first_sync_deadline: args.system.first_sync_deadline,
        stop_on_violation: args.stop_on_violation,
        quiet: false,
        again,
    })
}
