//! Random small histories of the workload `ledger`, mostly plausible, in which much goes wrong.

use std::collections::BTreeMap;

use squall_checker::History;
use squall_protocol::history::Phase;
use squall_protocol::ledger::{ClientLedger, LedgerEffects, LedgerRead, LedgerRow};
use squall_protocol::plan::{ClientKind, Workload};
use squall_protocol::transaction::{Effects, Key, Rows, Value};

use crate::support::{Story, effects};

const NAMES: [&str; 3] = ["a", "b", "p"];

/// Bytes that decide about a history, one after the other. They shrink well: 0 is what is right.
struct Choices<'b>(std::slice::Iter<'b, u8>);

impl Choices<'_> {
    fn below(&mut self, bound: usize) -> usize {
        self.0.next().map_or(0, |byte| usize::from(*byte) % bound)
    }

    /// True once in so many times.
    fn rarely(&mut self, once_in: usize) -> bool {
        self.below(once_in) == once_in - 1
    }
}

/// A transaction that is in the ledger, whatever its client has been told.
#[derive(Clone)]
struct Committed {
    client: usize,
    row: LedgerRow,
    keys: Vec<Key>,
    value: Value,
}

struct Run<'b> {
    choices: Choices<'b>,
    story: Story,
    keys: Key,
    committed: Vec<Committed>,
    /// For each client, how much of each client's transactions it has been shown.
    shown: [[usize; 3]; 3],
    value: Value,
}

/// An operation that has not ended.
struct Open {
    number: u64,
    client: usize,
    reads: Rows,
    writes: Rows,
    effects: LedgerEffects,
}

pub fn history(bytes: &[u8]) -> History {
    let kinds = [ClientKind::Native, ClientKind::Native, ClientKind::Postgres];
    let mut choices = Choices(bytes.iter());
    let keys = 1 + choices.below(3) as Key;
    let mut run = Run {
        choices,
        story: Story::with_clients(keys, NAMES.into_iter().zip(kinds)),
        keys,
        committed: Vec::new(),
        shown: [[0; 3]; 3],
        value: 0,
    };
    run.storm();
    if run.choices.below(3) != 0 {
        run.end();
    }
    let mut history = run.story.history();
    history.header.workload = Workload::Ledger;
    history
}

impl Run<'_> {
    fn storm(&mut self) {
        let mut open: Vec<Open> = Vec::new();
        for _ in 0..2 + self.choices.below(5) {
            let client = self.choices.below(3);
            if self.choices.rarely(12) {
                let database = ["x", "y"][self.choices.below(2)];
                self.story.start(NAMES[client], 1, database);
                if self.choices.below(2) == 0 {
                    self.shown[client] = [0; 3];
                }
            }
            let writes = self.choices.below(4) != 3;
            let operation = self.invoke(client, writes);
            match self.choices.below(10) {
                7 => {
                    if !self.choices.rarely(4) {
                        let number = self.committed.len();
                        let writes = operation.effects.seq.is_some();
                        self.committed.truncate(number - usize::from(writes));
                    }
                    self.story.fail(NAMES[client], operation.number);
                }
                8 => self.story.info(NAMES[client], operation.number),
                9 => open.push(operation),
                _ => self.ok(operation),
            }
            if self.choices.below(2) == 1
                && let Some(operation) = open.pop()
            {
                self.ok(operation);
            }
        }
    }

    fn end(&mut self) {
        self.story.phase(Phase::Heal);
        self.story.phase(Phase::Probe);
        for writes in [true, false] {
            for (client, name) in NAMES.into_iter().enumerate() {
                self.shown[client] = self.all();
                let operation = self.invoke(client, writes);
                self.ok(operation);
                self.story.status(name, 0, true);
            }
        }
        self.story.phase(Phase::FinalRead);
        for client in 0..4 {
            if self.choices.rarely(8) {
                continue;
            }
            let ledger = self.ledger([0; 3], self.all());
            let effects = Effects {
                ledger: Some(LedgerEffects {
                    reads: ledger,
                    seq: None,
                }),
                ..effects(self.rows(self.all()), Vec::new())
            };
            match NAMES.get(client) {
                Some(name) => self.story.final_read_of(name, effects),
                None => self.story.postgres_read(effects),
            }
        }
        self.story.wait_ms(200);
        self.story.phase(Phase::Complete);
    }

    /// How many transactions each client has.
    fn all(&self) -> [usize; 3] {
        [0, 1, 2].map(|client| self.of(client).count())
    }

    fn of(&self, client: usize) -> impl Iterator<Item = &Committed> {
        self.committed.iter().filter(move |of| of.client == client)
    }

    /// Reads, and commits at once.
    fn invoke(&mut self, client: usize, writes: bool) -> Open {
        let value = self.value;
        self.value += 1;
        let told: Vec<Key> = if writes {
            (0..self.keys)
                .filter(|_| self.choices.below(2) == 0)
                .collect()
        } else {
            Vec::new()
        };
        // A transaction that is told to write nothing only reads.
        let writes = !told.is_empty();
        let number = self.story.invoke(NAMES[client], value, &told);
        let before = self.shown[client];
        let mut shown = self.all();
        for (of, shown) in shown.iter_mut().enumerate() {
            if of != client {
                *shown -= self.choices.below(1 + *shown - before[of].min(*shown));
            }
        }
        self.shown[client] = shown;
        let reads = self.rows(shown);
        let ledger = self.ledger(before, shown);
        let keys: Vec<Key> = told
            .into_iter()
            .filter(|key| reads.iter().all(|row| row.0 != *key || row.1 <= value))
            .collect();
        let seq = shown[client] as i64 + 1;
        let wrote = keys.iter().map(|key| (*key, value)).collect();
        if writes {
            let writes = format!("{keys:?}").replace(' ', "");
            self.committed.push(Committed {
                client,
                row: LedgerRow {
                    seq,
                    id: value.to_string(),
                    writes,
                    copies: 1,
                },
                keys,
                value,
            });
        }
        Open {
            number,
            client,
            reads,
            writes: wrote,
            effects: LedgerEffects {
                reads: ledger,
                seq: writes.then_some(seq),
            },
        }
    }

    fn ok(&mut self, open: Open) {
        let ledger = (!self.choices.rarely(40)).then_some(open.effects);
        let effects = Effects {
            ledger,
            ..effects(open.reads, open.writes)
        };
        self.story
            .committed(NAMES[open.client], open.number, effects);
    }

    /// The rows of `mww` where so much of each client is visible.
    fn rows(&mut self, visible: [usize; 3]) -> Rows {
        let mut rows: BTreeMap<Key, Value> = (0..self.keys).map(|key| (key, -1)).collect();
        for (client, visible) in visible.into_iter().enumerate() {
            for committed in self.of(client).take(visible) {
                for key in &committed.keys {
                    let row = rows.get_mut(key).unwrap();
                    *row = committed.value.max(*row);
                }
            }
        }
        let mut rows: Rows = rows.into_iter().collect();
        if self.choices.rarely(8) {
            let at = self.choices.below(rows.len());
            rows[at].1 = match self.choices.below(4) {
                3 => 99,
                2 => self.value,
                _ => self.choices.below(1 + self.value as usize) as Value - 1,
            };
        }
        rows
    }

    /// What a read shows of the ledger, beyond `before`.
    fn ledger(&mut self, before: [usize; 3], visible: [usize; 3]) -> LedgerRead {
        let mut read: Vec<ClientLedger> = Vec::new();
        for client in 0..NAMES.len() {
            let of: Vec<LedgerRow> = self.of(client).map(|of| of.row.clone()).collect();
            let visible = visible[client].min(of.len());
            if visible > 0 {
                let above = self.choices.below(2).min(before[client]);
                read.push(ClientLedger {
                    client: NAMES[client].to_owned(),
                    above: above as i64,
                    count: (visible - above.min(visible)) as i64,
                    highest: visible as i64,
                    rows: of[before[client].min(visible)..visible].to_vec(),
                });
            }
        }
        if !read.is_empty() && self.choices.rarely(8) {
            let at = self.choices.below(read.len());
            self.spoil(&mut read, at);
        }
        read
    }

    /// Breaks a client's part of a read.
    fn spoil(&mut self, read: &mut LedgerRead, at: usize) {
        let of = &mut read[at];
        let choice = self.choices.below(10);
        if choice >= 4 && of.rows.is_empty() {
            return;
        }
        let row = self.choices.below(of.rows.len().max(1));
        match choice {
            0 => {
                read.remove(at);
            }
            1 => of.count -= 1,
            2 => of.highest -= 1,
            3 => of.client = NAMES[self.choices.below(3)].to_owned(),
            4 => {
                of.rows.remove(row);
            }
            5 => of.rows[row].copies = 2,
            6 => of.rows[row].seq += 1,
            7 => of.rows[row].writes = ["[]", "[0]", "[1", "[0,1]"][self.choices.below(4)].into(),
            8 => {
                let again = of.rows[row].clone();
                of.rows.push(again);
            }
            _ => {
                let other = self.choices.below(2 + self.value as usize);
                of.rows[row].id = if other == 0 {
                    "nonsense".to_owned()
                } else {
                    (other - 1).to_string()
                };
            }
        }
    }
}
