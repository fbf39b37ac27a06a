//! Writes the history of a run in the format of another checker, for a second opinion.

use std::fs::File;
use std::io::{BufWriter, Write};

use squall_checker::transactions;

use crate::cli::ExportArgs;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::run::judge;

/// Exports, and says on the standard error what the format could not hold.
///
/// # Errors
///
/// When the history cannot be read, the format cannot hold it, or the file cannot be written.
pub fn run(args: &ExportArgs) -> Result<Exit, Failure> {
    let file = judge::history_file(&args.path);
    let (name, input) = judge::open(&file)?;
    let history = judge::read(&name, input)?;
    let recording = transactions::recording(&history);
    let target = args.format;
    if let ([], [skipped, ..]) = (&recording.transactions[..], &recording.skipped[..]) {
        let what = &skipped.what;
        return Err(Failure::Usage(format!(
            "there is nothing to export in {name}: {what}"
        )));
    }
    target
        .can_hold(&recording)
        .map_err(|error| Failure::Usage(error.to_string()))?;
    let written = match &args.output {
        Some(path) => File::create(path).and_then(|out| {
            let mut out = BufWriter::new(out);
            let losses = target.write(&recording, &mut out)?;
            out.flush()?;
            Ok(losses)
        }),
        None => {
            let mut out = BufWriter::new(output::Stdout);
            let losses = target.write(&recording, &mut out);
            losses.and_then(|losses| out.flush().map(|()| losses))
        }
    };
    let mut losses = match (written, &args.output) {
        (Ok(losses), _) => losses,
        (Err(error), Some(path)) => {
            let writing = format!("cannot write {}", path.display());
            return Err(Failure::unavailable(writing, error));
        }
        // Told at the end, if it is more than a reader that has read enough.
        (Err(_), None) => return Ok(Exit::Ok),
    };
    if let Some(cut) = history.cut {
        losses.push(format!(
            "the history is cut in line {}; what is exported ends before it",
            cut.line
        ));
    }
    for skipped in &recording.skipped {
        losses.push(format!("{} {} are left out", skipped.count, skipped.what));
    }
    losses.push("faults, states and missing rows are left out, and so is the ledger".to_owned());
    for loss in losses {
        output::eprintln(format_args!("squall: {}: {loss}", target.name()));
    }
    Ok(Exit::Ok)
}
