//! Measures the checker: `bench list`, `bench write NUMBER > FILE`, `bench measure NUMBER FILE`.
//!
//! Each measurement is a process of its own, so that its peak memory can be told from outside.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::time::Instant;

use squall_checker::bench::{cases, measure, write};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let cases = cases(true);
    let case = |number: &str| -> Result<_, Box<dyn std::error::Error>> {
        Ok(cases
            .get(number.parse::<usize>()?)
            .ok_or("there is no such case")?)
    };
    match arguments[..] {
        ["list"] => {
            for (number, case) in cases.iter().enumerate() {
                println!("{number} {}", case.name);
            }
        }
        ["write", number] => {
            write(
                case(number)?,
                BufWriter::with_capacity(1 << 20, std::io::stdout().lock()),
            )?;
        }
        ["measure", number, path] => {
            let file = BufReader::with_capacity(1 << 20, File::open(path)?);
            let begin = Instant::now();
            let row = measure(case(number)?, file, || begin.elapsed())?;
            println!(
                "{}: {:?}, {} operations, read {:.2?}, check {:.2?}, {:.1} million operations/s",
                row.name,
                row.judgement,
                row.operations,
                row.read,
                row.check,
                row.rate() / 1e6
            );
        }
        _ => return Err("expected list, write NUMBER, or measure NUMBER FILE".into()),
    }
    Ok(())
}
