//! Writes the history of a run in the format of another checker, for a second opinion.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};

use squall_checker::formats::recording::Recording;
use squall_protocol::plan::Workload;

use crate::check;
use crate::cli::ExportArgs;
use crate::exit::{Exit, Failure};

/// Exports, and says on the standard error what the format could not hold.
///
/// # Errors
///
/// When the history cannot be read, or the file cannot be written.
pub fn run(args: &ExportArgs) -> Result<Exit, Failure> {
    let file = check::history_file(&args.path);
    let reader = File::open(&file).map_err(|error| check::cannot_open(&file, &error))?;
    let history = squall_checker::read_history(BufReader::new(reader))
        .map_err(|error| Failure::MalformedInput(format!("{}: {error}", file.display())))?;
    let recording = Recording::new(&history);
    let written = match &args.output {
        Some(path) => File::create(path).and_then(|out| {
            let mut out = BufWriter::new(out);
            let losses = args.format.0.write(&recording, &mut out)?;
            out.flush()?;
            Ok(losses)
        }),
        None => {
            let mut out = BufWriter::new(std::io::stdout().lock());
            let losses = args.format.0.write(&recording, &mut out);
            losses.and_then(|losses| out.flush().map(|()| losses))
        }
    };
    let mut losses = written.map_err(|error| {
        let name = match &args.output {
            Some(path) => path.display().to_string(),
            None => "the standard output".to_owned(),
        };
        Failure::unavailable(format!("cannot write {name}"), error)
    })?;
    if let Some(cut) = history.cut {
        losses.push(format!(
            "the history is cut in line {}; what is exported ends before it",
            cut.line
        ));
    }
    losses.push("faults, states and missing rows are left out, and so is the ledger".to_owned());
    match history.header.workload {
        Workload::ListAppend => {
            losses.push("a list is written as a register that holds its last element".to_owned());
        }
        Workload::Gset => losses.push("the sets that were read are left out".to_owned()),
        Workload::Mww | Workload::Ledger => {}
    }
    for loss in losses {
        eprintln!("squall: {}: {loss}", args.format.0.name());
    }
    Ok(Exit::Ok)
}
