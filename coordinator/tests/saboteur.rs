//! Real storms with a saboteur between the clients and the backend: what it does to one upload must
//! be found, by name.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use serde_json::Value;
use tokio::net::TcpListener;

/// What the saboteur does to one upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sabotage {
    /// Nothing: the proof that the verdicts below are its doing.
    None,
    /// It says that the upload is committed, and throws it away.
    Drop,
    /// It has it applied once more, under another identity.
    Repeat,
    /// It changes one value, and hands it on. Where the last write wins it goes on with all that follow:
    /// a single one may be overwritten before anyone has seen it.
    Garble,
}

/// An upload that is in the middle of the storm, when everyone has seen something of everyone.
const CHOSEN: usize = 20;
/// What nobody writes.
const NOBODYS: i64 = 99_999_999;

#[derive(Clone)]
struct Saboteur {
    backend: String,
    sabotage: Sabotage,
    /// How many uploads came through.
    uploads: Arc<AtomicUsize>,
    /// Whether it has been done: once is what must be found.
    done: Arc<AtomicBool>,
    http: reqwest::Client,
}

impl Saboteur {
    async fn forward(&self, token: &str, body: String) -> (StatusCode, String) {
        let answer = self
            .http
            .post(format!("{}/upload", self.backend))
            .header("authorization", token)
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await
            .unwrap();
        let status = StatusCode::from_u16(answer.status().as_u16()).unwrap();
        (status, answer.text().await.unwrap())
    }
}

const JSON: [(header::HeaderName, &str); 1] = [(header::CONTENT_TYPE, "application/json")];

async fn credentials(State(saboteur): State<Saboteur>, uri: Uri) -> impl IntoResponse {
    let answer = saboteur
        .http
        .get(format!("{}{uri}", saboteur.backend))
        .send()
        .await
        .unwrap();
    let status = StatusCode::from_u16(answer.status().as_u16()).unwrap();
    (status, JSON, answer.text().await.unwrap())
}

/// Changes a value of the workload's own table, if there is one.
fn garble(upload: &mut Value) -> bool {
    let mut entries = upload["crud"].as_array_mut().unwrap().iter_mut();
    entries.any(|entry| {
        let (column, garbled) = match entry["type"].as_str().unwrap() {
            "payload" => {
                let body = entry["data"]["body"].as_str();
                ("body", body.map(|body| format!("{body}!").into()))
            }
            "lists" => {
                let list = entry["data"]["v"].as_str();
                ("v", list.map(|list| format!("{list} {NOBODYS}").into()))
            }
            "gset" | "counter" => ("v", Some(NOBODYS.into())),
            _ => ("", None),
        };
        let Some(garbled) = garbled else {
            return false;
        };
        entry["data"][column] = garbled;
        true
    })
}

async fn upload(
    State(saboteur): State<Saboteur>,
    headers: HeaderMap,
    body: Bytes,
) -> impl IntoResponse {
    let token = headers["authorization"].to_str().unwrap();
    let mut upload: Value = serde_json::from_slice(&body).unwrap();
    let late = saboteur.uploads.fetch_add(1, Ordering::SeqCst) >= CHOSEN;
    let possible = match saboteur.sabotage {
        Sabotage::None => false,
        Sabotage::Drop | Sabotage::Repeat => true,
        Sabotage::Garble => late && garble(&mut upload),
    };
    let first = late && possible && !saboteur.done.swap(true, Ordering::SeqCst);
    let kept = upload["crud"][0]["type"] == "gset";
    let chosen = first || !kept && saboteur.sabotage == Sabotage::Garble && possible;
    let body = match chosen && saboteur.sabotage == Sabotage::Garble {
        true => upload.to_string(),
        false => String::from_utf8(body.to_vec()).unwrap(),
    };
    if chosen && saboteur.sabotage == Sabotage::Drop {
        return (StatusCode::OK, JSON, r#"{"repeated":false}"#.to_owned());
    }
    let (status, answer) = saboteur.forward(token, body).await;
    if chosen && saboteur.sabotage == Sabotage::Repeat {
        upload["upload_id"] = "once more".into();
        saboteur.forward(token, upload.to_string()).await;
    }
    (status, JSON, answer)
}

/// A storm without other faults; answers its exit code and what it printed. The backend's port is chosen
/// before squall takes it; when somebody else was given it meanwhile (69), another one is chosen.
fn storm(workload: &[&str], sabotage: Sabotage) -> (Option<i32>, String) {
    let attempts = (0..5).map(|_| storm_on_a_free_port(workload, sabotage));
    let mut failed = None;
    for (code, text) in attempts {
        if code != Some(69) || !text.contains("Address already in use") {
            return (code, text);
        }
        failed = Some((code, text));
    }
    failed.unwrap()
}

fn storm_on_a_free_port(workload: &[&str], sabotage: Sabotage) -> (Option<i32>, String) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let saboteur = Saboteur {
        backend: format!("http://127.0.0.1:{port}"),
        sabotage,
        uploads: Arc::default(),
        done: Arc::default(),
        http: reqwest::Client::new(),
    };
    let router = Router::new()
        .route("/credentials", get(credentials))
        .route("/upload", post(upload))
        .with_state(saboteur);
    runtime.spawn(async move { axum::serve(listener, router).await });
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_squall"))
        .args(["run", "--seed", "7", "--workload"])
        .args(workload)
        .args(["--fleet", "native=2,postgres=1", "--faults", "none"])
        .args(["--time", "4s", "--backend-url", &url])
        .args(["--backend-port", &port.to_string(), "--output"])
        .arg(folder.path())
        .env_remove("SQUALL_DATABASE_URL")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    (output.status.code(), format!("{text}\n{errors}"))
}

/// The storm must be a violation of these properties and not of the others.
fn is_found(workload: &[&str], sabotage: Sabotage, violated: &[&str], others: &[&str]) {
    let (code, text) = storm(workload, sabotage);
    assert_eq!(code, Some(1), "{text}");
    let told = |property: &str| text.contains(&format!("{property}: VIOLATION"));
    assert!(violated.iter().all(|property| told(property)), "{text}");
    assert!(!others.iter().any(|property| told(property)), "{text}");
}

const LEDGER: [&str; 1] = ["ledger"];
const PAYLOAD: [&str; 2] = ["ledger", "--payload"];
const LISTS: [&str; 1] = ["list-append"];
const SETS: [&str; 1] = ["gset"];
const COUNTERS: [&str; 1] = ["counter"];

#[test]
fn a_saboteur_that_does_nothing_changes_nothing() {
    for workload in [&LEDGER[..], &PAYLOAD, &LISTS, &SETS, &COUNTERS] {
        let (code, text) = storm(workload, Sabotage::None);
        assert_eq!(code, Some(0), "{text}");
    }
}

#[test]
fn a_dropped_upload_is_found() {
    let violated = ["gapless-prefix", "durability"];
    is_found(&LEDGER, Sabotage::Drop, &violated, &[]);
}

#[test]
fn a_repeated_upload_is_found() {
    let violated = ["no-duplicate-transaction"];
    is_found(&LEDGER, Sabotage::Repeat, &violated, &["durability"]);
}

#[test]
fn a_garbled_body_is_found() {
    let others = ["durability", "gapless-prefix"];
    is_found(&PAYLOAD, Sabotage::Garble, &["payload-intact"], &others);
}

#[test]
fn a_garbled_list_is_found() {
    is_found(&LISTS, Sabotage::Garble, &["no-thin-air-read"], &[]);
}

#[test]
fn a_garbled_set_is_found() {
    is_found(&SETS, Sabotage::Garble, &["no-thin-air-read"], &[]);
}

#[test]
fn a_dropped_insert_into_sets_is_found() {
    is_found(&SETS, Sabotage::Drop, &["durability"], &[]);
}

#[test]
fn a_lost_increment_is_named() {
    let (code, text) = storm(&COUNTERS, Sabotage::Drop);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("durability: VIOLATION"), "{text}");
    assert!(text.contains("less, just what native-"), "{text}");
}

#[test]
fn a_doubled_increment_is_named() {
    let (code, text) = storm(&COUNTERS, Sabotage::Repeat);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("no-duplicate-transaction: VIOLATION"),
        "{text}"
    );
    assert!(text.contains("more, just what native-"), "{text}");
    assert!(!text.contains("durability: VIOLATION"), "{text}");
}

#[test]
fn a_garbled_increment_is_found() {
    is_found(
        &COUNTERS,
        Sabotage::Garble,
        &["no-duplicate-transaction"],
        &["durability"],
    );
}
