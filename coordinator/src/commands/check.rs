//! `squall check`: a history by the properties of its workload, or by models.

use squall_models::formats::Format;

use crate::cli::CheckArgs;
use crate::commands::models::{self, Source};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::run::judge;

/// The command `check`: our own histories by the properties of their workload, others, and those for
/// which a model is named, by models.
///
/// # Errors
///
/// As for [`judge::judge`] and [`models::check`].
pub fn run(args: &CheckArgs) -> Result<Exit, Failure> {
    let format = args.format;
    let source = Source::find(&args.path, format)?;
    if source.format == Format::Squall && args.model.is_empty() {
        let (name, input) = source.stream()?;
        let verdict = squall_checker::check(&judge::read(&name, input)?);
        if args.json {
            output::print(judge::to_json(&verdict));
        } else {
            output::println(squall_checker::render(&verdict));
        }
        return Ok(judge::exit(&verdict));
    }
    let judged = models::check(source, &args.model)?;
    if args.json {
        let text = serde_json::to_string_pretty(&judged).expect("reports are plain data");
        output::println(text);
    } else {
        output::print(judged.render());
    }
    Ok(judged.exit())
}
