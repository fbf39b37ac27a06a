//! One file for each command of the program.

pub mod bench;
pub mod check;
pub mod client;
pub mod conform;
pub mod demo;
pub mod doctor;
pub mod export;
pub mod ladder;
pub mod matrix;
pub mod models;
pub mod needs;
pub mod run;
pub mod schema;
pub mod serve;

use crate::cli::{BenchCommand, Command};
use crate::exit::{Exit, Failure};

/// Does what the command line asks for.
pub async fn dispatch(command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Run(args) => crate::run::run(run::options(&args).await?).await,
        Command::Check(args) => check::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Bench(BenchCommand::Checker(args)) => bench::checker(&args),
        Command::Bench(BenchCommand::Generate(args)) => bench::generate(&args),
        Command::Matrix(args) => matrix::run(args).await,
        Command::Ladder(args) => ladder::run(args).await,
        Command::Conform(args) => conform::run(args).await,
        Command::Needs(args) => Ok(needs::run(&args)),
        Command::Schema(args) => Ok(schema::run(&args)),
        Command::Demo(args) => demo::run(args).await,
        Command::Doctor => Ok(if doctor::run().await {
            Exit::Ok
        } else {
            Exit::Unavailable
        }),
        Command::Serve(args) => serve::run(args).await,
        Command::Client(args) => client::run(args).await,
    }
}
