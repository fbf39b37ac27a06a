//! Random small histories, in which much goes wrong.

use squall_checker::History;
use squall_protocol::plan::ClientKind;
use squall_protocol::transaction::{Key, Rows, Value};

use crate::support::Story;

/// Bytes that decide about a history, one after the other. They shrink well.
struct Choices<'b>(std::slice::Iter<'b, u8>);

impl Choices<'_> {
    fn below(&mut self, bound: usize) -> usize {
        self.0.next().map_or(0, |byte| usize::from(*byte) % bound)
    }
}

/// A random history in which most reads are plausible: rows hold what somebody wrote there. In some, two of the
/// clients are tabs on one database, and more operations overlap.
pub fn history(bytes: &[u8]) -> History {
    let mut choices = Choices(bytes.iter());
    let are_tabs = choices.below(2) == 1;
    let keys = 1 + choices.below(3) as Key;
    let names = ["a", "b", "c"];
    let kinds = [ClientKind::Native, ClientKind::Native, ClientKind::Postgres];
    let mut story = Story::with_clients(keys, names.into_iter().zip(kinds));
    if are_tabs {
        story.tabs("t", &["a", "b"]);
    }
    let count = 2 + choices.below(5);
    // For each row what could be read from it.
    let mut offers: Vec<Vec<Value>> = vec![vec![-1]; keys as usize];
    let mut open: Vec<Open> = Vec::new();
    for value in (0..).take(count) {
        let client = names[choices.below(3)];
        if are_tabs && open.iter().any(|open| open.1 == client) {
            // A tab does one after the other.
            continue;
        }
        if choices.below(12) == 0 {
            story.start(client, 1, ["x", "y"][choices.below(2)]);
        }
        let mut rows = Vec::new();
        for key in 0..keys {
            let offered = &offers[key as usize];
            match choices.below(40) {
                0 => {}
                1 => rows.extend([(key, -1), (key, offered[offered.len() - 1])]),
                2 => rows.push((key, 99)),
                3 => rows.push((key, value)),
                _ => rows.push((
                    key,
                    offered[offered.len() - 1 - choices.below(offered.len())],
                )),
            }
        }
        let mut written: Vec<Key> = Vec::new();
        for key in 0..keys {
            if choices.below(2) == 0 {
                written.push(key);
            }
        }
        let operation = story.invoke(client, value, &written);
        let end = choices.below(10);
        for key in &written {
            // What failed is hardly ever offered.
            if end != 0 || choices.below(4) == 0 {
                offers[*key as usize].push(value);
            }
        }
        match end {
            0 => story.fail(client, operation),
            1 | 2 => story.info(client, operation),
            3 => open.push((operation, client, value, written, rows)),
            4..=6 if are_tabs => open.push((operation, client, value, written, rows)),
            _ => complete(&mut story, (operation, client, value, written, rows)),
        }
        if choices.below(2) == 0
            && let Some(operation) = open.pop()
        {
            complete(&mut story, operation);
        }
    }
    for client in names.into_iter().take(choices.below(3)) {
        let values: Vec<Value> = offers
            .iter()
            .map(|offered| offered[offered.len() - 1 - choices.below(offered.len())])
            .collect();
        if choices.below(4) == 0 {
            story.postgres(&values);
        } else {
            story.final_read(client, &values);
        }
    }
    story.history()
}

/// An operation that has not ended: its number, client, value, keys, and what it will have read.
type Open = (u64, &'static str, Value, Vec<Key>, Rows);

fn complete(story: &mut Story, (operation, client, value, keys, rows): Open) {
    let lower = |key: &&Key| !rows.iter().any(|row| row.0 == **key && row.1 > value);
    let writes = keys.iter().filter(lower).map(|key| (*key, value)).collect();
    story.ok(client, operation, rows, writes);
}
