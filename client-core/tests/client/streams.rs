//! Streams that go wrong.

use serde_json::json;
use tokio::time::Instant;

use crate::server::{
    Device, Endpoint, Fault, IDLE_DEADLINE, RETRY_DELAY, Server, story, synced_story,
};

/// Checks that a client whose stream was spoiled gets a new one and everything that it missed.
async fn recovers(spoil: impl FnOnce(&Server)) {
    let server = Server::new();
    let device = Device::new(&server);
    let running = device.start_synced().await;
    server.set_quiet(true);
    server.write(1, 9);
    spoil(&server);
    let streams = server.asked(Endpoint::Stream);
    server.set_quiet(false);
    running
        .when("the next stream", || {
            server.asked(Endpoint::Stream) > streams
        })
        .await;
    running
        .when("the missed write", || running.rows() == server.rows())
        .await;
    let status = running.client.status();
    assert!(
        status.connected && status.last_error.is_none(),
        "{status:?}"
    );
    assert_eq!(server.streams_at_once(), 1);
    running.close().await;
}

#[test]
fn a_stream_that_ended_is_replaced() {
    story(async || recovers(|server| server.end_stream()).await);
}

#[test]
fn a_stream_that_broke_is_replaced() {
    story(async || recovers(|server| server.break_stream()).await);
}

#[test]
fn a_stream_may_be_cut_after_any_byte() {
    synced_story(async |server, _, running| {
        server.end_stream();
        server.set_quiet(true);
        server.write(1, 9);
        let mut cut = 0;
        loop {
            running.when("a stream", || server.has_stream()).await;
            let body: String = server
                .lines_to_now()
                .iter()
                .map(|line| format!("{line}\n"))
                .collect();
            if cut > body.len() {
                break;
            }
            server.send(&body.as_bytes()[..cut]);
            tokio::task::yield_now().await;
            server.break_stream();
            running
                .until("the break to be noticed", |status| !status.connected)
                .await;
            running.client.retry_now();
            cut += 7;
        }
        server.set_quiet(false);
        server.end_stream();
        running
            .when("everything", || running.rows() == server.rows())
            .await;
    });
}

#[test]
fn garbage_ends_the_stream() {
    for garbage in ["garbage\n", "{\"checkpoint\":\n", "[]\n", "{\"data\":{}}\n"] {
        story(async || recovers(|server| server.send(garbage)).await);
    }
    story(async || recovers(|server| server.send(&b"\xff\xfe\n"[..])).await);
}

#[test]
fn unknown_lines_and_keys_are_ignored() {
    synced_story(async |server, _, running| {
        server.send_line(&json!({"from_the_future": {"x": 1}}));
        server.write(1, 9);
        running
            .when("the write", || running.rows() == server.rows())
            .await;
        assert_eq!(server.asked(Endpoint::Stream), 1);
    });
}

#[test]
fn a_wrong_checksum_leads_to_a_new_download() {
    story(async || {
        recovers(|server| {
            let mut lines = server.lines_to_now();
            let checksum = &mut lines[0]["checkpoint_diff"]["updated_buckets"][0]["checksum"];
            *checksum = (checksum.as_i64().unwrap() ^ 1).into();
            for line in lines {
                server.send_line(&line);
            }
        })
        .await
    });
}

#[test]
fn a_silent_stream_is_replaced() {
    synced_story(async |server, _, running| {
        let began = Instant::now();
        running.until_asked(server, Endpoint::Stream, 2).await;
        assert!(began.elapsed() >= IDLE_DEADLINE);
        // A keepalive now and then is enough to keep it.
        for _ in 0..10 {
            tokio::time::sleep(IDLE_DEADLINE / 2).await;
            server.send_line(&json!({"token_expires_in": 3600}));
        }
        assert_eq!(server.asked(Endpoint::Stream), 2);
    });
}

#[test]
fn a_stream_without_an_answer_meets_the_deadline() {
    story(async || {
        let server = Server::new();
        let device = Device::new(&server);
        server.fault(Endpoint::Credentials, Fault::Hang);
        server.fault(Endpoint::Stream, Fault::Hang);
        server.fault(Endpoint::Stream, Fault::Status(500));
        server.fault(Endpoint::Stream, Fault::Refuse);
        let running = device.start_synced().await;
        assert_eq!(server.asked(Endpoint::Stream), 4);
        assert_eq!(running.client.status().last_error, None);
        running.close().await;
    });
}

#[test]
fn a_token_refused_by_the_stream_is_replaced() {
    synced_story(async |server, _, running| {
        server.refuse_tokens();
        server.end_stream();
        running.until_asked(server, Endpoint::Stream, 3).await;
        let request = server.last_request(Endpoint::Stream);
        assert!(
            request
                .headers
                .contains(&("authorization", "Token token-2".to_owned()))
        );
        running
            .until("the connection", |status| status.connected)
            .await;
    });
}

#[test]
fn an_expired_token_is_replaced() {
    synced_story(async |server, _, running| {
        server.send_line(&json!({"token_expires_in": 0}));
        running.until_asked(server, Endpoint::Stream, 2).await;
        assert_eq!(server.asked(Endpoint::Credentials), 2);
        running
            .until("the connection", |status| status.connected)
            .await;
    });
}

#[test]
fn what_follows_the_end_of_a_token_is_ignored() {
    synced_story(async |server, _, running| {
        server.send("{\"token_expires_in\":0}\n{\"token_expires_in\":3600}\n");
        running
            .until("the disconnect", |status| !status.connected)
            .await;
        assert_eq!(running.client.status().last_error, None);
    });
}

#[test]
fn a_token_that_must_have_expired_is_not_tried() {
    story(async || {
        let server = Server::new();
        server.set_token_life(IDLE_DEADLINE);
        let device = Device::new(&server);
        let running = device.start_synced().await;
        running.client.disconnect();
        tokio::time::sleep(2 * IDLE_DEADLINE).await;
        running.client.connect();
        running.until_asked(&server, Endpoint::Stream, 2).await;
        let request = server.last_request(Endpoint::Stream);
        assert!(
            request
                .headers
                .contains(&("authorization", "Token token-2".to_owned()))
        );
        running.close().await;
    });
}

#[test]
fn tokens_are_not_replaced_in_a_circle() {
    story(async || {
        let server = Server::new();
        server.set_pessimistic();
        let device = Device::new(&server);
        let running = device.start_synced().await;
        tokio::time::sleep(20 * RETRY_DELAY).await;
        let streams = server.asked(Endpoint::Stream);
        assert!((10..=21).contains(&streams), "{streams} streams");
        running.close().await;
    });
}

#[test]
fn a_token_is_replaced_ahead_of_time_without_a_pause() {
    synced_story(async |server, _, running| {
        tokio::time::sleep(RETRY_DELAY).await;
        let began = Instant::now();
        server.send_line(&json!({"token_expires_in": 20}));
        running.until_asked(server, Endpoint::Stream, 2).await;
        assert!(began.elapsed() < RETRY_DELAY / 2);
        let request = server.last_request(Endpoint::Stream);
        assert!(
            request
                .headers
                .contains(&("authorization", "Token token-2".to_owned()))
        );
    });
}

#[test]
fn a_token_that_can_not_be_replaced_ahead_of_time_does_not_end_the_stream() {
    synced_story(async |server, _, running| {
        server.fault(Endpoint::Credentials, Fault::Hang);
        server.send_line(&json!({"token_expires_in": 20}));
        running.until_asked(server, Endpoint::Credentials, 2).await;
        server.write(1, 9);
        running
            .when("the write", || running.rows() == server.rows())
            .await;
        assert_eq!(server.asked(Endpoint::Stream), 1);
    });
}

#[test]
fn a_checkpoint_may_be_superseded_before_it_is_complete() {
    synced_story(async |server, _, running| {
        server.set_quiet(true);
        for value in 1..10 {
            server.write(1, value);
            let mut lines = server.lines_to_now();
            lines.pop();
            for line in lines {
                server.send_line(&line);
            }
        }
        running
            .until("the announcement", |status| status.downloading)
            .await;
        assert_eq!(running.rows()[1], (1, -1));
        server.announce();
        running
            .when("everything", || running.rows() == server.rows())
            .await;
        assert_eq!(server.asked(Endpoint::Stream), 1);
    });
}

#[test]
fn a_bucket_that_is_replaced_is_downloaded_again() {
    synced_story(async |server, _, running| {
        // A checkpoint without any bucket: everything is gone.
        server.send_line(&json!({"checkpoint": {"last_op_id": "9", "buckets": []}}));
        server.send_line(&json!({"checkpoint_complete": {"last_op_id": "9"}}));
        running
            .when("the empty database", || running.rows().is_empty())
            .await;
        server.end_stream();
        running.until_asked(server, Endpoint::Stream, 2).await;
        running
            .until("the sync", |status| status.connected && !status.downloading)
            .await;
        assert_eq!(running.rows(), server.rows());
    });
}
