//! Keepalive lines and the end of tokens. Times are only waited for, never measured.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Client, Fixture, Lines, Service, expiring_token, within};

async fn open(fixture: &Fixture, service: &Service, expires_in_s: i64) -> Lines {
    let request = fixture
        .http
        .post(format!("{}/sync/stream", service.url))
        .header(
            "Authorization",
            format!("Bearer {}", expiring_token(expires_in_s)),
        )
        .json(&Client::new("user", "a").books.request("a"));
    Lines::open(request).await
}

#[tokio::test]
async fn an_idle_stream_is_kept_alive() {
    let fixture = Fixture::new(1).await;
    let mut config = fixture.config.clone();
    config.keepalive_interval = Duration::from_millis(50);
    let service = Service::start(config).await;
    let mut lines = open(&fixture, &service, 3000).await;
    let mut keepalives = 0;
    while keepalives < 5 {
        let line = within("a keepalive", lines.next()).await.expect("a line");
        if let Some(seconds) = line["token_expires_in"].as_u64() {
            assert!((1000..=3000).contains(&seconds), "{seconds}");
            keepalives += 1;
        }
    }
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let fixture = Fixture::new(1).await;
    let service = fixture.serve().await;
    let mut lines = open(&fixture, &service, 2).await;
    let mut last = json!(null);
    while let Some(line) = within("the end of the stream", lines.next()).await {
        assert_ne!(
            last,
            json!({ "token_expires_in": 0 }),
            "a line after the last one"
        );
        last = line;
    }
    assert_eq!(last, json!({ "token_expires_in": 0 }));
}

#[tokio::test]
async fn a_client_is_warned_before_its_token_ends() {
    let fixture = Fixture::new(1).await;
    let service = fixture.serve().await;
    let mut lines = open(&fixture, &service, 21).await;
    while within("the warning", lines.next()).await.expect("a line")["token_expires_in"]
        != json!(20)
    {}
}

#[tokio::test]
async fn a_token_within_the_tolerance_gets_one_line() {
    let fixture = Fixture::new(1).await;
    let service = fixture.serve().await;
    let mut lines = open(&fixture, &service, -30).await;
    assert_eq!(
        within("a line", lines.next()).await,
        Some(json!({ "token_expires_in": 0 }))
    );
    assert_eq!(within("the end of the stream", lines.next()).await, None);
}
