//! A client that keeps the books of the protocol and nothing else, and trusts nothing.
//!
//! Every line is checked: its form, the order of operations, the checksum of each operation and the
//! sums at every completed checkpoint.
#![allow(dead_code)] // Each test program uses its own part of this.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The client's side of a sync.
#[derive(Clone, Debug, Default)]
pub struct SimulatedClient {
    buckets: BTreeMap<String, Bucket>,
    /// Name, checksum and priority of every bucket of the announced checkpoint.
    announced: BTreeMap<String, (u32, u64)>,
    announced_write_checkpoint: Option<u64>,
    has_checkpoint: bool,
    /// The write checkpoint of the last completed checkpoint.
    pub write_checkpoint: Option<u64>,
    /// Completed checkpoints.
    pub completed: u64,
    /// Operations that were received.
    pub operations: u64,
    /// Rows per completed checkpoint would be too much; this is the newest completed state, by type
    /// and id.
    visible: BTreeMap<(String, String), Value>,
}

#[derive(Clone, Debug, Default)]
struct Bucket {
    after: u64,
    checksum: u32,
    /// By type, id and subkey: the newest operation's id and row.
    rows: BTreeMap<(String, String, String), (u64, Value)>,
}

/// What a line was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    Checkpoint,
    Diff,
    Data,
    Partial,
    Complete,
    TokenExpiresIn(u64),
}

impl SimulatedClient {
    /// The body of the request for a stream.
    pub fn request(&self, client_id: &str) -> Value {
        let buckets: Vec<Value> = self
            .buckets
            .iter()
            .map(|(name, bucket)| json!({ "name": name, "after": bucket.after.to_string() }))
            .collect();
        json!({ "buckets": buckets, "client_id": client_id, "raw_data": true, "include_checksum": true,
                "parameters": null })
    }

    /// What the client has, as the core wants it.
    pub fn positions(&self) -> Vec<(String, u64)> {
        self.buckets
            .iter()
            .map(|(name, bucket)| (name.clone(), bucket.after))
            .collect()
    }

    /// A new connection: the books stay, announcements are void.
    pub fn reconnect(&mut self) {
        self.has_checkpoint = false;
        self.announced.clear();
        self.announced_write_checkpoint = None;
    }

    /// Names of the buckets the client holds.
    pub fn bucket_names(&self) -> Vec<String> {
        self.buckets.keys().cloned().collect()
    }

    /// The rows of a table as of the last completed checkpoint, by id.
    pub fn rows(&self, table: &str) -> BTreeMap<String, Value> {
        let of_table = self.visible.iter().filter(|((kind, _), _)| kind == table);
        of_table
            .map(|((_, id), row)| (id.clone(), row.clone()))
            .collect()
    }

    /// Takes a line.
    pub fn receive(&mut self, line: &Value) -> Received {
        let line = line.as_object().expect("a line is an object");
        assert_eq!(line.len(), 1, "a line has one key: {line:?}");
        let (key, value) = line.iter().next().expect("one key");
        match key.as_str() {
            "checkpoint" => {
                self.announced.clear();
                self.announce(&value["buckets"]);
                self.has_checkpoint = true;
                self.announced_write_checkpoint = read_id(&value["write_checkpoint"]);
                assert!(read_id(&value["last_op_id"]).is_some(), "{value}");
                self.buckets
                    .retain(|name, _| self.announced.contains_key(name));
                Received::Checkpoint
            }
            "checkpoint_diff" => {
                assert!(self.has_checkpoint, "a diff before any checkpoint");
                for removed in value["removed_buckets"]
                    .as_array()
                    .expect("removed_buckets")
                {
                    let name = removed.as_str().expect("a name");
                    assert!(
                        self.announced.remove(name).is_some(),
                        "{name} removed but never announced"
                    );
                    self.buckets.remove(name);
                }
                self.announce(&value["updated_buckets"]);
                self.announced_write_checkpoint = read_id(&value["write_checkpoint"]);
                Received::Diff
            }
            "data" => {
                self.receive_data(value);
                Received::Data
            }
            "partial_checkpoint_complete" => {
                assert!(read_id(&value["last_op_id"]).is_some(), "{value}");
                let priority = value["priority"].as_u64().expect("a priority");
                assert!(
                    self.announced.values().any(|(_, other)| *other > priority),
                    "partial, but nothing follows"
                );
                self.validate(priority);
                Received::Partial
            }
            "checkpoint_complete" => {
                self.complete(read_id(&value["last_op_id"]).expect("last_op_id"));
                Received::Complete
            }
            "token_expires_in" => Received::TokenExpiresIn(value.as_u64().expect("seconds")),
            other => panic!("unknown line {other}"),
        }
    }

    fn announce(&mut self, buckets: &Value) {
        for bucket in buckets.as_array().expect("buckets") {
            let name = bucket["bucket"].as_str().expect("bucket").to_owned();
            let checksum =
                i32::try_from(bucket["checksum"].as_i64().expect("checksum")).expect("32 bits");
            let priority = bucket["priority"].as_u64().expect("priority");
            self.announced
                .insert(name, (checksum.cast_unsigned(), priority));
        }
    }

    fn receive_data(&mut self, data: &Value) {
        let name = data["bucket"].as_str().expect("bucket");
        assert!(
            self.announced.contains_key(name),
            "data of {name}, which is not announced"
        );
        let bucket = self.buckets.entry(name.to_owned()).or_default();
        // After a completed checkpoint the client is further than the bucket's own operations.
        assert!(
            read_id(&data["after"]).expect("after") <= bucket.after,
            "operations were left out"
        );
        let operations = data["data"].as_array().expect("data");
        assert!(
            !operations.is_empty() && operations.len() <= 1000,
            "{} operations",
            operations.len()
        );
        for operation in operations {
            self.operations += 1;
            let op_id = read_id(&operation["op_id"]).expect("op_id");
            assert!(
                op_id > bucket.after,
                "operation {op_id} after {}",
                bucket.after
            );
            bucket.after = op_id;
            let text = |key: &str| {
                operation[key]
                    .as_str()
                    .unwrap_or_else(|| panic!("{key}: {operation}"))
            };
            let row = (
                text("object_type").to_owned(),
                text("object_id").to_owned(),
                text("subkey").to_owned(),
            );
            let checksum = match text("op") {
                "PUT" => {
                    let json = text("data");
                    bucket.rows.insert(
                        row.clone(),
                        (op_id, serde_json::from_str(json).expect("JSON")),
                    );
                    hash(&format!("put.{}.{}.{json}", row.0, row.1))
                }
                "REMOVE" => {
                    assert!(operation["data"].is_null());
                    assert!(
                        bucket.rows.remove(&row).is_some(),
                        "a row is removed that is not there: {operation}"
                    );
                    hash(&format!("delete.{}", row.2))
                }
                other => panic!("unknown operation {other}"),
            };
            assert_eq!(
                operation["checksum"].as_u64(),
                Some(checksum.into()),
                "{operation}"
            );
            bucket.checksum = bucket.checksum.wrapping_add(checksum);
        }
        assert_eq!(read_id(&data["next_after"]), Some(bucket.after));
    }

    /// Buckets that are at least this urgent are as announced.
    fn validate(&mut self, priority: u64) {
        for (name, (checksum, of_bucket)) in &self.announced {
            let bucket = self.buckets.entry(name.clone()).or_default();
            if *of_bucket <= priority {
                assert_eq!(bucket.checksum, *checksum, "the checksum of {name}");
            }
        }
    }

    fn complete(&mut self, last_op_id: u64) {
        self.validate(3);
        for bucket in self.buckets.values_mut() {
            bucket.after = bucket.after.max(last_op_id);
        }
        assert_eq!(self.buckets.len(), self.announced.len());
        self.write_checkpoint = self.announced_write_checkpoint;
        self.completed += 1;
        let mut newest: BTreeMap<(String, String), (u64, Value)> = BTreeMap::new();
        for bucket in self.buckets.values() {
            for ((kind, id, _), (op_id, row)) in &bucket.rows {
                let entry = newest
                    .entry((kind.clone(), id.clone()))
                    .or_insert((0, Value::Null));
                if entry.0 < *op_id {
                    *entry = (*op_id, row.clone());
                }
            }
        }
        self.visible = newest
            .into_iter()
            .map(|(key, (_, row))| (key, row))
            .collect();
    }
}

/// An id is a decimal string.
fn read_id(value: &Value) -> Option<u64> {
    value.as_str()?.parse().ok()
}

fn hash(text: &str) -> u32 {
    let digest = Sha256::digest(text);
    u32::from_le_bytes(digest[..4].try_into().expect("four bytes"))
}
