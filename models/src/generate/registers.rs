//! Histories of registers from a simulated local-first system, as Plume's text.
//!
//! The server applies transactions in the order of their arrival; the last write of a key wins, or the
//! highest value. A
//! client reads what it has downloaded, which is a beginning of the server's log, and on top of it
//! its own transactions that are not in there yet. Such a history is causally consistent, but it can
//! not be told from the text which order the server had.

use std::collections::VecDeque;
use std::io::{self, Write};

use super::Random;
use crate::formats::plume::{self, INITIAL_VALUE, Line};

/// What to simulate.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub seed: u64,
    pub transactions: u64,
    /// Half of them are reads.
    pub operations_per_transaction: u32,
    pub sessions: u32,
    pub keys: u64,
    /// 1 chooses all keys equally often; with a higher exponent the lower keys are chosen more often:
    /// the key is `keys` times the power of a uniform number below 1.
    pub skew: f64,
    /// How many transactions a client's download may lag behind the server, in the mean.
    pub lag: u64,
    /// Whether the highest value of a key wins, row by row, and not the one that arrived last.
    pub highest_wins: bool,
    /// Whether a session, near the end, reads the initial value of a key that it has written itself.
    pub planted: bool,
}

impl Config {
    /// A history of a size, over 10,000 keys that are chosen equally often.
    pub fn new(transactions: u64, operations_per_transaction: u32, sessions: u32) -> Self {
        Config {
            seed: 1,
            transactions,
            operations_per_transaction,
            sessions,
            keys: 10_000,
            skew: 1.0,
            lag: 0,
            highest_wins: false,
            planted: false,
        }
    }
}

/// A client's transactions that are not in its download yet.
#[derive(Default)]
struct Client {
    /// The length of the server's log that it has downloaded.
    downloaded: u64,
    pending: VecDeque<Pending>,
    /// A key that it wrote.
    wrote: Option<u64>,
}

/// A transaction that its client can not take for downloaded.
struct Pending {
    /// Keys and values.
    writes: Vec<(u64, u64)>,
    /// Its number at the server, once it has arrived there.
    arrival: Option<u64>,
}

/// Simulates, and writes the history.
pub fn write_plume(config: &Config, mut out: impl Write) -> io::Result<()> {
    let mut random = Random::new(config.seed);
    // For each key the values that arrived, and when.
    let mut server: Vec<Vec<(u64, u64)>> = vec![Vec::new(); config.keys as usize];
    let mut arrived = 0;
    let mut value = INITIAL_VALUE;
    let mut clients: Vec<Client> = (0..config.sessions).map(|_| Client::default()).collect();
    let mut to_plant = config.planted;
    for transaction in 0..config.transactions {
        let session = random.below(clients.len());
        let client = &mut clients[session];
        let mut written: Vec<(u64, u64)> = Vec::new();
        for _ in 0..config.operations_per_transaction {
            let key = choose(&mut random, config);
            let mut line = Line {
                write: random.chance(50),
                key,
                value: 0,
                session: session as u64,
                transaction: Some(transaction),
            };
            if line.write {
                // A key is written once per transaction, so that no value is intermediate.
                if written.iter().any(|(other, _)| *other == key) {
                    continue;
                }
                value += 1;
                line.value = value;
                written.push((key, value));
                client.wrote = Some(key);
            } else {
                line.value = read(config, client, &written, &server, key);
                if to_plant
                    && transaction * 10 >= config.transactions * 9
                    && let Some(wrote) = client.wrote
                    && !written.iter().any(|(other, _)| *other == wrote)
                {
                    to_plant = false;
                    line.key = wrote;
                    line.value = INITIAL_VALUE;
                }
            }
            plume::write(&mut out, line)?;
        }
        if !written.is_empty() {
            client.pending.push_back(Pending {
                writes: written,
                arrival: None,
            });
        }
        if random.chance(50) {
            for Pending { writes, arrival } in &mut client.pending {
                if arrival.is_none() {
                    arrived += 1;
                    *arrival = Some(arrived);
                    for (key, value) in writes {
                        let versions = &mut server[*key as usize];
                        let highest = versions.last().is_none_or(|(_, held)| held < value);
                        if highest || !config.highest_wins {
                            versions.push((arrived, *value));
                        }
                    }
                }
            }
        }
        if random.chance(50) {
            let lag = random.below(2 * config.lag as usize + 1) as u64;
            client.downloaded = client.downloaded.max(arrived.saturating_sub(lag));
            while let Some(oldest) = client.pending.front()
                && let Some(arrival) = oldest.arrival
                && arrival <= client.downloaded
            {
                client.pending.pop_front();
            }
        }
    }
    out.flush()
}

fn choose(random: &mut Random, config: &Config) -> u64 {
    let uniform = (random.number() >> 11) as f64 / (1_u64 << 53) as f64;
    ((config.keys as f64 * uniform.powf(config.skew)) as u64).min(config.keys - 1)
}

fn read(
    config: &Config,
    client: &Client,
    written: &[(u64, u64)],
    server: &[Vec<(u64, u64)>],
    key: u64,
) -> u64 {
    let of_key = |(other, _): &&(u64, u64)| *other == key;
    if let Some((_, value)) = written.iter().find(of_key) {
        return *value;
    }
    let versions = &server[key as usize];
    let end = versions.partition_point(|(arrival, _)| *arrival <= client.downloaded);
    let downloaded = end
        .checked_sub(1)
        .map_or(INITIAL_VALUE, |last| versions[last].1);
    let mut pending = client.pending.iter().rev();
    let own = pending.find_map(|pending| pending.writes.iter().find(of_key));
    match own {
        Some((_, own)) if config.highest_wins => downloaded.max(*own),
        Some((_, own)) => *own,
        None => downloaded,
    }
}
