//! Histories of version 1, as events of the present version. Nothing else knows version 1.
//!
//! There an operation's effects stood beside its number, with the version of their form in the names of some. The
//! victim of a fault was called `client` until servers could be victims too. And a client's final read
//! was recorded twice: as an operation, and as an event with the same rows.

use std::fmt;

use serde::Deserialize;
use serde::de::value::EnumAccessDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, VariantAccess, Visitor,
};
use squall_protocol::fault::Fault;
use squall_protocol::history::{Event, Phase, Record};
use squall_protocol::ledger::{LedgerEffects, LedgerRead};
use squall_protocol::payload::PayloadRead;
use squall_protocol::transaction::{Collections, Effects, Rows, Transaction};

/// The operations that stand for final reads without one have numbers from here on.
const FIRST_NUMBER: u64 = 1 << 53;

/// Reads a record of version 1, and appends what it is now.
///
/// # Errors
///
/// When it is none.
pub(super) fn read_record(line: &[u8], records: &mut Vec<Record>) -> serde_json::Result<()> {
    let OldRecord { time, event } = serde_json::from_slice(line)?;
    let event = match event {
        OldEvent::Same(event) => event,
        OldEvent::Changed(Changed::Ok {
            client,
            operation,
            reads,
            writes,
            ledger,
            collections,
            payload,
        }) => Event::Ok {
            client,
            operation,
            effects: Effects {
                reads,
                writes,
                ledger,
                collections,
                payload,
            },
        },
        OldEvent::Changed(Changed::FinalRead {
            client,
            rows,
            ledger,
            collections,
            payload,
            error,
        }) => {
            let effects = effects(rows, ledger, collections, payload);
            if is_told(records, &client, effects.as_ref()) {
                return Ok(());
            }
            let operation = FIRST_NUMBER + records.len() as u64;
            records.push(Record {
                time,
                event: Event::Invoke {
                    client: client.clone(),
                    operation,
                    transaction: Transaction::read_all(),
                },
            });
            match effects {
                Some(effects) => Event::Ok {
                    client,
                    operation,
                    effects,
                },
                None => Event::Fail {
                    client,
                    operation,
                    error: error.unwrap_or_default(),
                },
            }
        }
        OldEvent::Changed(Changed::FinalReadPostgres {
            rows,
            ledger,
            collections,
            payload,
            error,
        }) => Event::FinalReadPostgres {
            effects: effects(rows, ledger, collections, payload),
            error,
        },
        OldEvent::Changed(Changed::FaultBegin {
            number,
            victim,
            fault,
        }) => Event::FaultBegin {
            number,
            victim,
            fault,
        },
        OldEvent::Changed(Changed::FaultEnd { number, victim }) => {
            Event::FaultEnd { number, victim }
        }
        OldEvent::Changed(Changed::FaultSkipped {
            number,
            victim,
            fault,
            reason,
        }) => Event::FaultSkipped {
            number,
            victim,
            fault,
            reason,
        },
    };
    records.push(Record { time, event });
    Ok(())
}

/// What a final read has found, if it could be had.
fn effects(
    rows: Option<Rows>,
    ledger: Option<LedgerRead>,
    collections: Option<Collections>,
    payload: Option<PayloadRead>,
) -> Option<Effects> {
    Some(Effects {
        reads: rows?,
        writes: Vec::new(),
        ledger: ledger.map(|reads| LedgerEffects { reads, seq: None }),
        collections,
        payload,
    })
}

/// Whether the client's latest operation that read everything, in the phase of final reads, has found just that, or
/// did not commit if nothing was found.
fn is_told(records: &[Record], reader: &str, effects: Option<&Effects>) -> bool {
    let is_phase = |record: &Record| record.event == Event::Phase(Phase::FinalRead);
    let phase = records.iter().rposition(is_phase).unwrap_or(records.len());
    let mut read = None;
    let mut is_told = false;
    for record in &records[phase..] {
        match &record.event {
            Event::Invoke {
                client,
                operation,
                transaction,
            } if client == reader && transaction.reads_everything() => {
                read = Some(*operation);
                is_told = false;
            }
            Event::Ok {
                operation,
                effects: found,
                ..
            } if Some(*operation) == read => is_told = effects == Some(found),
            Event::Fail { operation, .. }
            | Event::Info { operation, .. }
            | Event::Malformed { operation, .. }
                if Some(*operation) == read =>
            {
                is_told = effects.is_none();
            }
            _ => {}
        }
    }
    is_told
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OldRecord {
    time: u64,
    event: OldEvent,
}

enum OldEvent {
    Same(Event),
    Changed(Changed),
}

/// The names of the events that have changed.
const CHANGED: [&str; 6] = [
    "ok",
    "final-read",
    "final-read-postgres",
    "fault-begin",
    "fault-end",
    "fault-skipped",
];

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Changed {
    Ok {
        client: String,
        operation: u64,
        #[serde(default)]
        reads: Rows,
        writes: Rows,
        #[serde(rename = "ledger-v1")]
        ledger: Option<LedgerEffects>,
        collections: Option<Collections>,
        #[serde(rename = "payload-v1")]
        payload: Option<PayloadRead>,
    },
    FinalRead {
        client: String,
        rows: Option<Rows>,
        #[serde(rename = "ledger-v1")]
        ledger: Option<LedgerRead>,
        collections: Option<Collections>,
        #[serde(rename = "payload-v1")]
        payload: Option<PayloadRead>,
        error: Option<String>,
    },
    FinalReadPostgres {
        rows: Option<Rows>,
        #[serde(rename = "ledger-v1")]
        ledger: Option<LedgerRead>,
        collections: Option<Collections>,
        #[serde(rename = "payload-v1")]
        payload: Option<PayloadRead>,
        error: Option<String>,
    },
    FaultBegin {
        number: usize,
        #[serde(alias = "client")]
        victim: String,
        fault: Fault,
    },
    FaultEnd {
        number: usize,
        #[serde(alias = "client")]
        victim: String,
    },
    FaultSkipped {
        number: usize,
        #[serde(alias = "client")]
        victim: String,
        fault: Fault,
        reason: String,
    },
}

impl<'de> Deserialize<'de> for OldEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_enum("Event", &[], ByName)
    }
}

/// Reads an event by its name as one that has changed or one that has not.
struct ByName;

impl<'de> Visitor<'de> for ByName {
    type Value = OldEvent;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("an event")
    }

    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<OldEvent, A::Error> {
        let (name, fields) = access.variant::<String>()?;
        let has_changed = CHANGED.contains(&name.as_str());
        let event = EnumAccessDeserializer::new(Named { name, fields });
        match has_changed {
            true => Changed::deserialize(event).map(OldEvent::Changed),
            false => Event::deserialize(event).map(OldEvent::Same),
        }
    }
}

/// An event whose name has been read.
struct Named<A> {
    name: String,
    fields: A,
}

impl<'de, A: VariantAccess<'de>> EnumAccess<'de> for Named<A> {
    type Error = A::Error;
    type Variant = A;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, A), A::Error> {
        let variant = seed.deserialize(self.name.into_deserializer())?;
        Ok((variant, self.fields))
    }
}
