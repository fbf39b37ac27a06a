//! Uploads and write checkpoints that go wrong.

use std::time::Duration;

use tokio::time::Instant;

use crate::server::{
    Device, Endpoint, Fault, REQUEST_DEADLINE, RETRY_DELAY, Server, story, synced_story,
};

/// Half of a pause before a retry: what happens sooner than this was not a retry.
const AT_ONCE: Duration = Duration::from_millis(2500);

#[test]
fn a_failed_upload_is_tried_again_without_a_new_write() {
    for status in [500, 503, 429, 400, 409] {
        synced_story(async |server, _, running| {
            server.fault(Endpoint::Upload, Fault::Status(status));
            running.write(5, &[0]);
            running
                .until("the error", |status| status.last_error.is_some())
                .await;
            let error = running.client.status().last_error.unwrap();
            assert!(
                error.contains(&status.to_string()) && error.contains("on purpose"),
                "{error}"
            );
            assert_eq!(running.client.status().queue, 1, "it is not dropped");
            running.until_acknowledged().await;
            assert_eq!(running.client.status().last_error, None);
            assert_eq!(server.asked(Endpoint::Upload), 2);
            assert_eq!(server.rows()[0], (0, 5));
        });
    }
}

#[test]
fn an_upload_whose_answer_was_lost_is_sent_again_under_its_identity() {
    synced_story(async |server, _, running| {
        server.fault(Endpoint::Upload, Fault::LoseAnswer);
        running.write(5, &[0]);
        running.until_acknowledged().await;
        assert_eq!(server.asked(Endpoint::Upload), 2);
        assert_eq!(server.uploads().len(), 1);
    });
}

#[test]
fn a_request_that_hangs_meets_its_deadline() {
    for endpoint in [Endpoint::Upload, Endpoint::WriteCheckpoint] {
        synced_story(async |server, _, running| {
            server.fault(endpoint, Fault::Hang);
            let began = Instant::now();
            running.write(5, &[0]);
            running
                .until("the upload to begin", |status| status.uploading)
                .await;
            running
                .until("the deadline", |status| status.last_error.is_some())
                .await;
            assert!(began.elapsed() >= REQUEST_DEADLINE);
            assert!(!running.client.status().uploading);
            running.until_acknowledged().await;
            assert!(began.elapsed() < REQUEST_DEADLINE + 2 * RETRY_DELAY);
        });
    }
}

#[test]
fn requests_that_hang_do_not_hold_up_a_disconnect_or_a_close() {
    for endpoint in [
        Endpoint::Credentials,
        Endpoint::Upload,
        Endpoint::WriteCheckpoint,
        Endpoint::Stream,
    ] {
        story(async || {
            let server = Server::new();
            let device = Device::new(&server);
            let running = device.start_synced().await;
            running.client.disconnect();
            running.write(5, &[0]);
            if endpoint == Endpoint::Credentials {
                server.refuse_tokens();
            }
            for _ in 0..4 {
                server.fault(endpoint, Fault::Hang);
            }
            let asked = server.asked(endpoint);
            running.client.connect();
            running
                .when("the request", || server.asked(endpoint) > asked)
                .await;
            let began = Instant::now();
            running.client.disconnect();
            running
                .until("the end of it", |status| {
                    !status.uploading && !status.connected
                })
                .await;
            running.client.connect();
            running
                .when("the next request", || server.asked(endpoint) > asked + 1)
                .await;
            running.close().await;
            assert!(
                began.elapsed() < RETRY_DELAY,
                "{endpoint:?} {:?}",
                began.elapsed()
            );
        });
    }
}

#[test]
fn a_download_does_not_wait_for_an_upload() {
    synced_story(async |server, device, running| {
        let release = server.hold(Endpoint::Upload);
        running.write(5, &[0]);
        running.until("the upload", |status| status.uploading).await;
        server.write(1, 9);
        let arrived = || {
            let look = device.look();
            look.query_row("SELECT max(last_op) FROM ps_buckets", [], |row| {
                row.get::<_, i64>(0)
            })
            .unwrap()
        };
        running.when("the download", || arrived() == 7).await;
        let status = running.client.status();
        assert!(status.uploading && status.downloading, "{status:?}");
        assert_eq!(
            running.rows()[1],
            (1, -1),
            "nothing is applied before the acknowledgement"
        );
        release.send(()).unwrap();
        running.until_acknowledged().await;
        assert_eq!(running.rows(), server.rows());
    });
}

#[test]
fn a_write_that_races_the_write_checkpoint_is_uploaded_at_once() {
    synced_story(async |server, _, running| {
        let release = server.hold(Endpoint::WriteCheckpoint);
        running.write(5, &[0]);
        running
            .until_asked(server, Endpoint::WriteCheckpoint, 1)
            .await;
        // Somebody overwrites the first write, which the client may see only later.
        running.write(6, &[1]);
        let began = Instant::now();
        release.send(()).unwrap();
        running.until_acknowledged().await;
        assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
        assert_eq!(server.uploads().len(), 2);
        assert_eq!(
            server.asked(Endpoint::WriteCheckpoint),
            2,
            "the first one covers too little"
        );
        assert_eq!(running.rows(), server.rows());
    });
}

#[test]
fn the_write_checkpoint_of_an_earlier_write_does_not_open_the_gate() {
    synced_story(async |server, _, running| {
        let release = server.hold(Endpoint::WriteCheckpoint);
        running.write(5, &[0]);
        running
            .until_asked(server, Endpoint::WriteCheckpoint, 1)
            .await;
        let hang = server.hold(Endpoint::Upload);
        running.write(6, &[0]);
        // The write checkpoint and a checkpoint that has reached it are there, but cover only 5.
        release.send(()).unwrap();
        server.write(1, 9);
        running.until_asked(server, Endpoint::Upload, 2).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(running.rows()[0], (0, 6), "the own write must stay visible");
        hang.send(()).unwrap();
        running.until_acknowledged().await;
        assert_eq!(running.rows(), server.rows());
    });
}

#[test]
fn a_crash_between_upload_and_write_checkpoint_is_made_good() {
    story(async || {
        let server = Server::new();
        let device = Device::new(&server);
        let running = device.start_synced().await;
        server.fault(Endpoint::WriteCheckpoint, Fault::Hang);
        running.write(5, &[0]);
        running
            .until_asked(&server, Endpoint::WriteCheckpoint, 1)
            .await;
        let status = running.client.status();
        assert_eq!((status.queue, status.acknowledged), (0, false));
        running.kill().await;

        let running = device.start();
        assert!(!running.client.status().acknowledged);
        running.client.connect();
        running.until_acknowledged().await;
        server.write(1, 9);
        running
            .when("the other's write", || running.rows()[1] == (1, 9))
            .await;
        running.close().await;
    });
}

#[test]
fn a_crash_between_write_checkpoint_and_announcement_is_made_good() {
    story(async || {
        let server = Server::new();
        let device = Device::new(&server);
        let running = device.start_synced().await;
        server.set_quiet(true);
        running.write(5, &[0]);
        running
            .until("the upload's end", |status| {
                status.queue == 0 && !status.uploading
            })
            .await;
        running
            .until_asked(&server, Endpoint::WriteCheckpoint, 1)
            .await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!running.client.status().acknowledged);
        running.kill().await;

        server.set_quiet(false);
        let running = device.start();
        running.client.connect();
        running.until_acknowledged().await;
        assert_eq!(server.asked(Endpoint::WriteCheckpoint), 1);
        assert_eq!(running.rows(), server.rows());
        running.close().await;
    });
}

#[test]
fn a_checkpoint_that_overtook_its_write_checkpoint_is_applied_at_once() {
    synced_story(async |server, _, running| {
        // The server announces the id before the client has the answer, and then has nothing to say.
        let release = server.hold(Endpoint::WriteCheckpoint);
        running.write(5, &[0]);
        running
            .until_asked(server, Endpoint::WriteCheckpoint, 1)
            .await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!running.client.status().acknowledged);
        let began = Instant::now();
        release.send(()).unwrap();
        running.until_acknowledged().await;
        assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    });
}

#[test]
fn a_refused_token_is_replaced() {
    synced_story(async |server, _, running| {
        server.refuse_tokens();
        running.write(5, &[0]);
        running.until_acknowledged().await;
        assert_eq!(server.asked(Endpoint::Credentials), 2);
        let request = server.last_request(Endpoint::Upload);
        assert!(
            request
                .headers
                .contains(&("authorization", "Bearer token-2".to_owned()))
        );
    });
}

#[test]
fn an_answer_that_makes_no_sense_is_a_failure() {
    for answer in [
        "",
        "<html>",
        r#"{"data":{"write_checkpoint":"much"}}"#,
        r#"{"data":{}}"#,
    ] {
        synced_story(async |server, _, running| {
            server.fault(Endpoint::WriteCheckpoint, Fault::Answer(answer));
            running.write(5, &[0]);
            running
                .until("the error", |status| status.last_error.is_some())
                .await;
            running.until_acknowledged().await;
        });
    }
}

#[test]
fn a_hurried_client_does_not_sit_out_its_pause() {
    synced_story(async |server, _, running| {
        server.fault(Endpoint::Upload, Fault::Refuse);
        running.write(5, &[0]);
        running
            .until("the error", |status| status.last_error.is_some())
            .await;
        let began = Instant::now();
        running.client.retry_now();
        running.until_acknowledged().await;
        assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    });
}
