//! `squall run`: what its arguments ask for.

use crate::cli::RunArgs;
use crate::cli::command_line::again;
use crate::exit::Failure;
use crate::faults;
use crate::plan;
use crate::run::RunOptions;

/// What `squall run` does with those arguments.
pub fn options(args: &RunArgs) -> Result<RunOptions, Failure> {
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
            let plan = plan::make(
                seed,
                args.plan_options()?,
                &args.fleet.0,
                &faults::plannable(),
            );
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
