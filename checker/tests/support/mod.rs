//! Writing histories by hand.
#![allow(dead_code)]

use squall_checker::{History, check};
use squall_protocol::contract::ClientStatus;
use squall_protocol::history::{Event, HISTORY_VERSION, Header, Phase, Record};
use squall_protocol::plan::{ClientKind, ClientSpec, Isolation, Workload};
use squall_protocol::transaction::{Collections, Effects, Key, Rows, Transaction, Value};
use squall_protocol::verdict::{Judgement, Property, PropertyVerdict, Verdict};

/// A history in the making. Every event takes one millisecond.
#[derive(Clone)]
pub struct Story {
    header: Header,
    records: Vec<Record>,
    time: u64,
    operations: u64,
}

/// Every row, with these values for the keys 0, 1, 2 and so on.
pub fn rows(values: &[Value]) -> Rows {
    (0..).zip(values.iter().copied()).collect()
}

/// What a transaction has read and written.
pub fn effects(reads: Rows, writes: Rows) -> Effects {
    Effects {
        reads,
        writes,
        ..Effects::default()
    }
}

/// What a transaction has read, if that is told, and written, where there are collections.
pub fn of_collections(collections: Option<Collections>, writes: Rows) -> Effects {
    Effects {
        collections,
        ..effects(Vec::new(), writes)
    }
}

/// What everybody has found in the final reads, with who that is.
pub fn final_reads(history: &mut History) -> impl Iterator<Item = (&str, &mut Effects)> {
    let mut phase = Phase::Start;
    let mut numbers = Vec::new();
    let records = history.records.iter_mut();
    records.filter_map(move |record| match &mut record.event {
        Event::Phase(next) => {
            phase = *next;
            None
        }
        Event::Invoke { operation, .. } if phase == Phase::FinalRead => {
            numbers.push(*operation);
            None
        }
        Event::Ok {
            client,
            operation,
            effects,
        } if numbers.contains(operation) => Some((client.as_str(), effects)),
        Event::FinalReadPostgres { effects, .. } => Some("PostgreSQL").zip(effects.as_mut()),
        _ => None,
    })
}

impl Story {
    /// A story with the native clients `a`, `b` and `c` and the PostgreSQL client `p`, that have
    /// 100 ms to recover.
    pub fn new(keys: u32) -> Self {
        let native = ["a", "b", "c"].map(|name| (name, ClientKind::Native));
        Story::with_clients(
            keys,
            native.iter().copied().chain([("p", ClientKind::Postgres)]),
        )
    }

    pub fn with_clients(
        keys: u32,
        clients: impl IntoIterator<Item = (&'static str, ClientKind)>,
    ) -> Self {
        Story {
            header: Header {
                squall_history: HISTORY_VERSION,
                seed: 1,
                workload: Workload::Mww,
                keys,
                payload: false,
                isolation: Isolation::default(),
                clients: clients
                    .into_iter()
                    .map(|(name, kind)| ClientSpec::new(name, kind))
                    .collect(),
                recovery_deadline_ms: 100,
                started_at_ms: 0,
            },
            records: Vec::new(),
            time: 0,
            operations: 0,
        }
    }

    /// Makes clients tabs of one browser, with one database.
    pub fn tabs(&mut self, browser: &str, tabs: &[&str]) {
        for client in &mut self.header.clients {
            if tabs.contains(&client.name.as_str()) {
                client.browser = Some(browser.to_owned());
            }
        }
    }

    pub fn record(&mut self, event: Event) {
        self.time += 1000;
        self.records.push(Record {
            time: self.time,
            event,
        });
    }

    /// Changes the event that was recorded last.
    pub fn change_last(&mut self, change: impl FnOnce(&mut Event)) {
        change(&mut self.records.last_mut().expect("an event").event);
    }

    pub fn phase(&mut self, phase: Phase) {
        self.record(Event::Phase(phase));
    }

    pub fn wait_ms(&mut self, milliseconds: u64) {
        self.time += milliseconds * 1000;
    }

    /// The number of another operation.
    pub fn operation(&mut self) -> u64 {
        self.operations += 1;
        self.operations
    }

    pub fn invoke(&mut self, client: &str, value: Value, keys: &[Key]) -> u64 {
        let operation = self.operation();
        self.record(Event::Invoke {
            client: client.to_owned(),
            operation,
            transaction: Transaction::new(value, keys.to_vec()),
        });
        operation
    }

    pub fn ok(&mut self, client: &str, operation: u64, reads: Rows, writes: Rows) {
        self.committed(client, operation, effects(reads, writes));
    }

    pub fn committed(&mut self, client: &str, operation: u64, effects: Effects) {
        self.record(Event::Ok {
            client: client.to_owned(),
            operation,
            effects,
        });
    }

    pub fn fail(&mut self, client: &str, operation: u64) {
        self.record(Event::Fail {
            client: client.to_owned(),
            operation,
            error: "constraint".to_owned(),
        });
    }

    pub fn info(&mut self, client: &str, operation: u64) {
        self.record(Event::Info {
            client: client.to_owned(),
            operation,
            error: "no answer".to_owned(),
        });
    }

    /// A transaction that reads every row and then writes what is not lower.
    pub fn write(&mut self, client: &str, reads: &[Value], value: Value, keys: &[Key]) -> u64 {
        let operation = self.invoke(client, value, keys);
        let writes = keys
            .iter()
            .filter(|key| reads[**key as usize] <= value)
            .map(|key| (*key, value))
            .collect();
        self.ok(client, operation, rows(reads), writes);
        operation
    }

    /// A transaction that reads every row and writes none.
    pub fn read(&mut self, client: &str, reads: &[Value]) -> u64 {
        let operation = self.invoke(client, -1, &[]);
        self.ok(client, operation, rows(reads), Vec::new());
        operation
    }

    pub fn start(&mut self, client: &str, incarnation: u32, session: &str) {
        self.record(Event::IncarnationStart {
            client: client.to_owned(),
            incarnation,
            session: session.to_owned(),
            engine: None,
            runtime: None,
        });
    }

    pub fn status(&mut self, client: &str, queue: u64, acknowledged: bool) {
        self.record(Event::Status {
            client: client.to_owned(),
            status: ClientStatus {
                connected: true,
                queue,
                acknowledged,
                ..ClientStatus::default()
            },
        });
    }

    pub fn integrity(&mut self, client: &str, report: &[&str]) {
        self.record(Event::Integrity {
            client: client.to_owned(),
            report: report.iter().map(|line| (*line).to_owned()).collect(),
        });
    }

    /// Begins a client's final read, and the phase of these if that has not begun.
    pub fn invoke_final_read(&mut self, client: &str) -> u64 {
        let mut events = self.records.iter().rev().map(|record| &record.event);
        let phase = events.find(|event| matches!(event, Event::Phase(_)));
        if phase != Some(&Event::Phase(Phase::FinalRead)) {
            self.phase(Phase::FinalRead);
        }
        self.invoke(client, -1, &[])
    }

    pub fn final_read(&mut self, client: &str, values: &[Value]) {
        self.final_read_of(client, effects(rows(values), Vec::new()));
    }

    pub fn final_read_of(&mut self, client: &str, effects: Effects) {
        let operation = self.invoke_final_read(client);
        self.committed(client, operation, effects);
    }

    pub fn postgres(&mut self, values: &[Value]) {
        self.postgres_read(effects(rows(values), Vec::new()));
    }

    pub fn postgres_read(&mut self, effects: Effects) {
        self.record(Event::FinalReadPostgres {
            effects: Some(effects),
            error: None,
        });
    }

    pub fn trouble(&mut self, what: &str) {
        self.record(Event::Trouble {
            what: what.to_owned(),
        });
    }

    /// A good end for the clients `a`, `b`, `c` and `p`: everyone holds `values`, then `a` probes
    /// with the value 1000 in row 0, everyone sees it and ends.
    pub fn good_end(&mut self, values: &[Value]) {
        let clients = ["a", "b", "c", "p"];
        let mut values = values.to_vec();
        self.phase(Phase::Heal);
        self.phase(Phase::Probe);
        for (client, value) in clients.iter().zip(1000..) {
            self.write(client, &values, value, &[0]);
            values[0] = value;
        }
        for client in clients {
            self.read(client, &values);
            self.status(client, 0, true);
        }
        self.phase(Phase::FinalRead);
        for client in clients {
            self.final_read(client, &values);
            self.integrity(client, &["ok"]);
        }
        self.postgres(&values);
        self.wait_ms(200);
        self.phase(Phase::Complete);
    }

    pub fn history(&self) -> History {
        History {
            header: self.header.clone(),
            records: self.records.clone(),
            cut: None,
        }
    }

    pub fn verdict(&self) -> Verdict {
        check(&self.history())
    }

    pub fn property(&self, property: Property) -> PropertyVerdict {
        of(&self.verdict(), property)
    }

    /// Asserts that exactly these properties are violated.
    #[track_caller]
    pub fn assert_violates(&self, properties: &[Property]) -> Verdict {
        let verdict = self.verdict();
        assert_eq!(violated(&verdict), properties, "{verdict:#?}");
        verdict
    }

    /// Asserts that the whole history is fine.
    #[track_caller]
    pub fn assert_ok(&self) {
        let verdict = self.verdict();
        assert_eq!(verdict.judgement, Judgement::Ok, "{verdict:#?}");
    }
}

pub fn of(verdict: &Verdict, property: Property) -> PropertyVerdict {
    let mut all = verdict.properties.iter();
    all.find(|v| v.property == property).unwrap().clone()
}

pub fn violated(verdict: &Verdict) -> Vec<Property> {
    verdict
        .properties
        .iter()
        .filter(|property| property.judgement == Judgement::Violation)
        .map(|property| property.property)
        .collect()
}
