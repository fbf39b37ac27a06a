//! Checks a history in Plume's text, or squall's own, and says how long it took:
//! `check FILE [MODEL]`.

use std::fs::File;
use std::io::BufReader;
use std::time::Instant;

use squall_checker::formats::plume;
use squall_checker::registers::Model;
use squall_checker::{check, read_history, render};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let path = arguments.first().ok_or("expected FILE [MODEL]")?;
    let model = arguments.get(1).map_or("causal", String::as_str);
    let begin = Instant::now();
    if path.ends_with(".jsonl") {
        let history = read_history(BufReader::with_capacity(1 << 20, File::open(path)?))?;
        let read = begin.elapsed();
        let verdict = check(&history);
        println!("{}", render(&verdict));
        println!("read {read:.1?}, checked {:.1?}", begin.elapsed() - read);
        return Ok(());
    }
    let model = Model::from_name(model).ok_or("no such model")?;
    let registers = match model {
        Model::CausalPerKey => plume::read_versions(File::open(path)?)?,
        _ => plume::read(File::open(path)?)?,
    };
    let read = begin.elapsed();
    let report = registers.check(model);
    let checked = begin.elapsed() - read;
    println!(
        "{:?}: {} operations, {} transactions, {} sessions; read {read:.1?}, checked {checked:.1?}",
        report.judgement, report.operations, report.transactions, report.sessions
    );
    for anomaly in report.anomalies {
        println!("{}", anomaly.summary);
    }
    Ok(())
}
