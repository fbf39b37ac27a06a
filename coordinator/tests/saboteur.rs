//! Real storms with a saboteur between the clients and the backend: what it does to one upload must
//! be found, by name.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use tokio::net::TcpListener;

/// What the saboteur does to the third transaction of `native-1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sabotage {
    /// Nothing: the proof that the verdicts below are its doing.
    None,
    /// It says that the upload is committed, and throws it away.
    Drop,
    /// It has it applied once more, under another identity.
    Repeat,
}

#[derive(Clone)]
struct Saboteur {
    backend: String,
    sabotage: Sabotage,
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

async fn upload(
    State(saboteur): State<Saboteur>,
    headers: HeaderMap,
    body: Bytes,
) -> impl IntoResponse {
    let body = String::from_utf8(body.to_vec()).unwrap();
    let token = headers["authorization"].to_str().unwrap();
    let mut upload: serde_json::Value = serde_json::from_str(&body).unwrap();
    let mut entries = upload["crud"].as_array().unwrap().iter();
    let chosen = entries
        .any(|entry| entry["data"]["client"] == "native-1" && entry["data"]["seq"] == 3)
        && !saboteur.done.swap(true, Ordering::SeqCst);
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

/// A storm without other faults; answers its exit code and what it printed.
fn storm(sabotage: Sabotage) -> (Option<i32>, String) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let saboteur = Saboteur {
        backend: format!("http://127.0.0.1:{port}"),
        sabotage,
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
        .args(["run", "--seed", "7", "--workload", "ledger"])
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

#[test]
fn a_saboteur_that_does_nothing_changes_nothing() {
    let (code, text) = storm(Sabotage::None);
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn a_dropped_upload_is_found() {
    let (code, text) = storm(Sabotage::Drop);
    assert_eq!(code, Some(1), "{text}");
    for property in ["gapless-prefix", "durability"] {
        assert!(text.contains(&format!("{property}: VIOLATION")), "{text}");
    }
}

#[test]
fn a_repeated_upload_is_found() {
    let (code, text) = storm(Sabotage::Repeat);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("no-duplicate-transaction: VIOLATION"),
        "{text}"
    );
    assert!(!text.contains("durability: VIOLATION"), "{text}");
}
