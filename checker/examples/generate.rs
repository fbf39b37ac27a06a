//! Writes a history of registers as Plume's text to the standard output:
//! `generate TRANSACTIONS OPERATIONS SESSIONS [KEYS [SKEW [LAG]]] [planted] [highest-wins]`. Or a history of the
//! workload mww as JSON lines: `generate mww TRANSACTIONS CLIENTS KEYS`.

use std::io::Write;

use squall_checker::generate::mww;
use squall_checker::generate::registers::{Config, write_plume};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut out = std::io::BufWriter::with_capacity(1 << 20, std::io::stdout().lock());
    if let [workload, transactions, clients, keys] = &arguments[..]
        && workload == "mww"
    {
        let history = mww::generate(&mww::Config {
            native: clients.parse()?,
            keys: keys.parse()?,
            ..mww::Config::new(1, transactions.parse()?)
        });
        serde_json::to_writer(&mut out, &history.header)?;
        for record in &history.records {
            writeln!(out)?;
            serde_json::to_writer(&mut out, record)?;
        }
        writeln!(out)?;
        return Ok(());
    }
    let is_flag = |argument: &String| ["planted", "highest-wins"].contains(&argument.as_str());
    let (flags, arguments): (Vec<String>, Vec<String>) = arguments.into_iter().partition(is_flag);
    let [transactions, operations, sessions, options @ ..] = &arguments[..] else {
        return Err(
            "expected TRANSACTIONS OPERATIONS SESSIONS [KEYS [SKEW [LAG]]] [planted] [highest-wins]".into(),
        );
    };
    let mut config = Config::new(
        transactions.parse()?,
        operations.parse()?,
        sessions.parse()?,
    );
    if let Some(keys) = options.first() {
        config.keys = keys.parse()?;
    }
    if let Some(skew) = options.get(1) {
        config.skew = skew.parse()?;
    }
    if let Some(lag) = options.get(2) {
        config.lag = lag.parse()?;
    }
    config.planted = flags.iter().any(|flag| flag == "planted");
    config.highest_wins = flags.iter().any(|flag| flag == "highest-wins");
    write_plume(&config, out)?;
    Ok(())
}
