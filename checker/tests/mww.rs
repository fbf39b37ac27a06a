//! Small histories of the workload `mww`, one way to break each property at a time.

mod support;

use squall_protocol::contract::{ClientStatus, Engine};
use squall_protocol::history::{Event, Phase};
use squall_protocol::plan::ClientKind;
use squall_protocol::transaction::{Reads, Transaction};
use squall_protocol::verdict::{Judgement, Property, Verdict};
use support::{Story, effects, of};

/// A healthy history in which every property is put to the test.
fn healthy() -> Story {
    let mut story = Story::new(3);
    story.start("a", 1, "db-a");
    story.write("a", &[-1, -1, -1], 1, &[0, 1]);
    story.read("a", &[1, 1, -1]);
    story.write("b", &[1, 1, -1], 2, &[1, 2]);
    story.start("a", 2, "db-a");
    story.read("a", &[1, 2, 2]);
    story.write("a", &[1, 2, 2], 3, &[2]);
    story.read("c", &[1, 2, 3]);
    story
}

#[test]
fn a_healthy_history_is_ok() {
    let mut story = healthy();
    story.good_end(&[1, 2, 3]);
    story.assert_ok();
    for property in story.verdict().properties {
        assert!(property.exercised > 0, "{property:?}");
        assert_eq!(property.note, None, "{property:?}");
    }
}

#[test]
fn what_clients_are_made_of_is_said() {
    let mut story = healthy();
    for (client, version) in [("b", "1.1.0"), ("a", "1.1.0"), ("a", "1.2.0")] {
        story.record(Event::IncarnationStart {
            client: client.to_owned(),
            incarnation: 3,
            session: format!("db-{client}"),
            engine: Some(Engine {
                name: "an engine".to_owned(),
                version: Some(version.to_owned()),
            }),
            runtime: (client == "b").then(|| Engine {
                name: "a browser".to_owned(),
                version: Some("7".to_owned()),
            }),
        });
    }
    story.good_end(&[1, 2, 3]);
    let notes = story.verdict().notes;
    let expected = [
        "a: an engine 1.1.0",
        "b: an engine 1.1.0 in a browser 7",
        "a: an engine 1.2.0",
    ];
    assert_eq!(notes, expected);
}

#[test]
fn the_last_status_of_an_sdk_is_told_in_its_own_words() {
    let mut story = healthy();
    for (client, queue, details, last_error) in [
        ("a", 3, Some("Status<Uploading: true>"), None),
        ("a", 2, Some("Status<Uploading: false>"), Some("no route")),
        ("b", 0, None, Some("not told")),
    ] {
        story.record(Event::Status {
            client: client.to_owned(),
            status: ClientStatus {
                queue,
                last_error: last_error.map(str::to_owned),
                details: details.map(str::to_owned),
                ..ClientStatus::default()
            },
        });
    }
    story.good_end(&[1, 2, 3]);
    let notes = story.verdict().notes.join("\n");
    assert_eq!(
        notes.matches("in its SDK's own words").count(),
        1,
        "{notes}"
    );
    for said in [
        "the last status of a, at ",
        "own words: Status<Uploading: false>; 2 rows in its upload queue, its last error: no route",
    ] {
        assert!(notes.contains(said), "{notes}");
    }
}

#[test]
fn a_session_loses_its_own_write() {
    let mut story = Story::new(2);
    story.write("a", &[-1, -1], 1, &[0]);
    story.read("a", &[-1, -1]);
    let verdict = story.assert_violates(&[Property::ReadYourWrites]);
    let found = of(&verdict, Property::ReadYourWrites);
    assert_eq!((found.exercised, found.violations), (1, 1));
    assert_eq!(found.examples[0].operations, [1, 2]);
}

#[test]
fn with_a_single_writer_no_write_follows_one_of_anothers() {
    let note = |second: Option<&str>| {
        let mut story = Story::new(1);
        story.write("a", &[-1], 1, &[0]);
        if let Some(second) = second {
            // It writes, too, but to no avail.
            let failed = story.invoke(second, 2, &[0]);
            story.fail(second, failed);
        }
        story.read("c", &[1]);
        let follow = story.property(Property::WritesFollowReads);
        assert_eq!(
            (follow.judgement, follow.exercised),
            (Judgement::Unknown, 0)
        );
        follow.note.unwrap()
    };
    assert!(note(None).contains("only one session writes"));
    assert!(note(Some("b")).contains("never put to the test"));
}

#[test]
fn a_session_outlives_kills_and_lost_answers() {
    let mut story = Story::new(2);
    story.start("a", 1, "db-a");
    story.write("a", &[-1, -1], 1, &[0]);
    let lost = story.invoke("a", 2, &[1]);
    story.info("a", lost);
    story.start("a", 2, "db-a");
    story.read("a", &[-1, -1]);
    story.assert_violates(&[Property::ReadYourWrites]);
}

#[test]
fn a_session_reads_backwards() {
    let mut story = Story::new(1);
    story.write("a", &[-1], 1, &[0]);
    story.write("a", &[1], 2, &[0]);
    story.read("b", &[2]);
    story.read("b", &[1]);
    let verdict = story.assert_violates(&[Property::MonotonicReads]);
    assert_eq!(
        of(&verdict, Property::MonotonicReads).examples[0].operations,
        [2, 3, 4]
    );
}

#[test]
fn every_later_stale_read_is_counted() {
    let mut story = Story::new(1);
    story.write("a", &[-1], 1, &[0]);
    story.read("b", &[1]);
    for _ in 0..7 {
        story.read("b", &[-1]);
    }
    let found = story.property(Property::MonotonicReads);
    assert_eq!((found.violations, found.examples.len()), (7, 5));
}

#[test]
fn a_transaction_is_torn() {
    let mut story = Story::new(2);
    story.write("a", &[-1, -1], 1, &[0, 1]);
    story.read("b", &[1, -1]);
    let verdict = story.assert_violates(&[Property::AtomicVisibility]);
    assert_eq!(
        of(&verdict, Property::AtomicVisibility).examples[0].operations,
        [1, 2]
    );
}

#[test]
fn rows_of_concurrent_transactions_may_be_won_one_each() {
    let mut story = Story::new(2);
    story.write("a", &[-1, -1], 10, &[0, 1]);
    // b suppresses nothing: it has not seen 10, so it writes row 1 only, with a lower value.
    story.write("b", &[-1, -1], 9, &[0, 1]);
    story.write("b", &[9, 9], 11, &[1]);
    story.read("c", &[10, 11]);
    story.assert_violates(&[]);
}

#[test]
fn a_torn_transaction_of_a_lost_answer_counts_where_it_was_seen() {
    // Row 1 may have been left out, for all that anyone has seen.
    let mut story = Story::new(2);
    let lost = story.invoke("a", 1, &[0, 1]);
    story.info("a", lost);
    story.read("b", &[1, -1]);
    story.assert_violates(&[]);
    // Now somebody has seen it.
    story.read("c", &[1, 1]);
    story.assert_violates(&[Property::AtomicVisibility]);
}

#[test]
fn a_sessions_writes_are_seen_out_of_order() {
    let mut story = Story::new(2);
    story.write("a", &[-1, -1], 1, &[0]);
    story.write("a", &[1, -1], 2, &[1]);
    story.read("b", &[-1, 2]);
    let verdict = story.assert_violates(&[Property::MonotonicWrites]);
    assert_eq!(
        of(&verdict, Property::MonotonicWrites).examples[0].operations,
        [1, 2, 3]
    );
}

#[test]
fn writes_before_a_lost_answer_are_in_its_past() {
    let mut story = Story::new(2);
    story.write("a", &[-1, -1], 1, &[0]);
    let lost = story.invoke("a", 2, &[1]);
    story.info("a", lost);
    story.read("b", &[-1, 2]);
    story.assert_violates(&[Property::MonotonicWrites]);
}

#[test]
fn a_lost_answer_is_not_in_the_past_of_what_follows() {
    // It may have committed after the session went on.
    let mut story = Story::new(2);
    let lost = story.invoke("p", 1, &[0]);
    story.info("p", lost);
    story.read("p", &[-1, -1]);
    story.write("p", &[-1, -1], 2, &[1]);
    story.read("b", &[-1, 2]);
    story.read("b", &[1, 2]);
    story.assert_violates(&[]);
    // Once the session has read it, it is.
    story.read("p", &[1, 2]);
    story.read("p", &[-1, 2]);
    story.assert_violates(&[Property::MonotonicReads]);
}

#[test]
fn a_write_is_seen_without_what_its_session_had_read() {
    let mut story = Story::new(2);
    story.write("a", &[-1, -1], 1, &[0]);
    story.write("b", &[1, -1], 2, &[1]);
    story.read("c", &[-1, 2]);
    let verdict = story.assert_violates(&[Property::WritesFollowReads]);
    assert_eq!(
        of(&verdict, Property::WritesFollowReads).examples[0].operations,
        [1, 2, 3]
    );
}

#[test]
fn a_read_may_come_before_the_answer_of_its_writer() {
    let mut story = Story::new(2);
    let late = story.invoke("a", 1, &[0, 1]);
    story.read("b", &[1, -1]);
    story.ok("a", late, support::rows(&[-1, -1]), vec![(0, 1), (1, 1)]);
    story.assert_violates(&[Property::AtomicVisibility]);
}

#[test]
fn values_from_nowhere() {
    let mut story = Story::new(2);
    let failed = story.invoke("a", 1, &[0]);
    story.fail("a", failed);
    story.write("a", &[-1, -1], 2, &[0]);
    story.assert_violates(&[]);
    for (values, why) in [
        (&[77, -1][..], "Nobody had ever written"),
        (&[-1, 2], "not to this row"),
        (&[1, -1], "an aborted read, G1a"),
        (&[5, -1], "invoked only after"),
        (&[-1, -1, -1], "no such row"),
        (&[-1], "did not find k1 in operation"),
    ] {
        let mut story = story.clone();
        story.read("c", values);
        story.write("b", &[2, -1], 5, &[0]);
        let verdict = story.assert_violates(&[Property::NoThinAirRead]);
        let found = of(&verdict, Property::NoThinAirRead);
        assert_eq!(found.violations, 1);
        assert!(found.examples[0].summary.contains(why), "{found:?}");
    }
}

#[test]
fn a_write_that_was_left_out_is_read() {
    let mut story = Story::new(1);
    story.write("a", &[-1], 5, &[0]);
    story.write("a", &[5], 4, &[0]);
    story.read("b", &[4]);
    let verdict = story.assert_violates(&[Property::NoThinAirRead]);
    let found = of(&verdict, Property::NoThinAirRead);
    assert!(found.examples[0].summary.contains("left out"), "{found:?}");
}

#[test]
fn an_operation_reads_its_own_later_write() {
    let mut story = Story::new(1);
    let operation = story.invoke("a", 1, &[0]);
    story.ok("a", operation, vec![(0, 1)], vec![(0, 1)]);
    story.assert_violates(&[Property::NoThinAirRead]);
}

#[test]
fn a_row_vanishes() {
    let mut story = Story::new(2);
    story.write("a", &[-1, -1], 1, &[0, 1]);
    story.read("b", &[1, 1]);
    let read = story.invoke("b", -1, &[]);
    story.ok("b", read, vec![(1, 1)], Vec::new());
    story.assert_violates(&[
        Property::MonotonicReads,
        Property::AtomicVisibility,
        Property::NoThinAirRead,
    ]);
}

#[test]
fn a_row_is_there_twice() {
    let mut story = Story::new(1);
    let read = story.invoke("b", -1, &[]);
    story.ok("b", read, vec![(0, -1), (0, -1)], Vec::new());
    story.assert_violates(&[Property::NoThinAirRead]);
}

#[test]
fn a_final_read_is_a_read() {
    let mut story = Story::new(2);
    story.write("a", &[-1, -1], 1, &[0, 1]);
    story.final_read("a", &[-1, -1]);
    story.postgres(&[1, -1]);
    story.assert_violates(&[Property::ReadYourWrites, Property::AtomicVisibility]);
}

/// The end of a history, with one thing changed.
fn end_with(change: impl Fn(&mut Story, &str) -> bool) -> Story {
    let mut story = healthy();
    let values = [1003, 2, 3];
    let clients = ["a", "b", "c", "p"];
    story.phase(Phase::Heal);
    story.phase(Phase::Probe);
    let mut first = [1, 2, 3];
    for (client, value) in clients.iter().zip(1000..) {
        story.write(client, &first, value, &[0]);
        first[0] = value;
    }
    for client in clients {
        if !change(&mut story, &format!("read {client}")) {
            story.read(client, &values);
        }
        if !change(&mut story, &format!("status {client}")) {
            story.status(client, 0, true);
        }
    }
    story.phase(Phase::FinalRead);
    for client in clients {
        if !change(&mut story, &format!("final {client}")) {
            story.final_read(client, &values);
        }
        if !change(&mut story, &format!("integrity {client}")) {
            story.integrity(client, &["ok"]);
        }
    }
    if !change(&mut story, "postgres") {
        story.postgres(&values);
    }
    story.wait_ms(200);
    if !change(&mut story, "complete") {
        story.phase(Phase::Complete);
    }
    story
}

#[test]
fn the_unchanged_end_is_ok() {
    end_with(|_, _| false).assert_ok();
}

#[test]
fn a_replica_diverges() {
    // The row's values have been read and written with others: other guarantees break as well.
    let story = end_with(|story, what| {
        what == "final c" && {
            story.final_read("c", &[1003, 2, -1]);
            true
        }
    });
    story.assert_violates(&[
        Property::MonotonicReads,
        Property::WritesFollowReads,
        Property::AtomicVisibility,
        Property::StrongConvergence,
    ]);
}

#[test]
fn postgres_lacks_an_acknowledged_write() {
    let story = end_with(|story, what| {
        what == "postgres" && {
            story.postgres(&[1003, 2, 2]);
            true
        }
    });
    let verdict = story.verdict();
    let found = of(&verdict, Property::StrongConvergence);
    assert_eq!(found.violations, 1);
    assert!(
        found.examples[0].summary.contains("a wrote k2 = 3"),
        "{found:?}"
    );
}

#[test]
fn a_missing_final_read_is_named() {
    let story = end_with(|_, what| what == "final b");
    let verdict = story.assert_violates(&[]);
    let found = of(&verdict, Property::StrongConvergence);
    assert_eq!(found.judgement, Judgement::Unknown);
    assert!(found.note.unwrap().contains("final read of b is missing"));
    assert_eq!(verdict.judgement, Judgement::Unknown);
}

#[test]
fn a_queue_does_not_drain() {
    let story = end_with(|story, what| {
        what == "status b" && {
            story.status("b", 4, false);
            true
        }
    });
    let verdict = story.assert_violates(&[Property::QueueDrained]);
    assert_eq!(verdict.exit_code(), 3);
    assert!(
        of(&verdict, Property::QueueDrained).examples[0]
            .summary
            .contains("4 rows"),
    );
    // Nobody is accused of not having what b did not upload.
    let found = of(&verdict, Property::StrongConvergence);
    assert!(found.note.unwrap().contains("b is left out"));
}

#[test]
fn a_status_from_before_the_last_write_proves_nothing() {
    let mut story = healthy();
    story.phase(Phase::Heal);
    story.status("a", 0, true);
    story.phase(Phase::Probe);
    story.write("a", &[1, 2, 3], 1000, &[0]);
    story.wait_ms(200);
    story.phase(Phase::Complete);
    let found = story.property(Property::QueueDrained);
    assert_eq!(found.judgement, Judgement::Violation);
    assert!(found.examples.iter().any(|e| e.summary.starts_with("a's")));
}

#[test]
fn a_client_does_not_recover() {
    let story = end_with(|story, what| match what {
        "read c" => {
            story.read("c", &[1002, 2, 3]);
            true
        }
        "final c" => {
            story.final_read("c", &[1002, 2, 3]);
            true
        }
        _ => false,
    });
    let verdict = story.assert_violates(&[Property::RecoveredInTime]);
    assert!(
        of(&verdict, Property::RecoveredInTime).examples[0]
            .summary
            .contains("p wrote k0 = 1003"),
    );
}

#[test]
fn a_client_recovers_too_late() {
    let story = end_with(|story, what| match what {
        "read c" => true,
        "final c" => {
            story.wait_ms(150);
            story.final_read("c", &[1003, 2, 3]);
            true
        }
        _ => false,
    });
    let verdict = story.assert_violates(&[Property::RecoveredInTime]);
    assert_eq!(verdict.exit_code(), 3);
}

#[test]
fn what_never_came_is_unknown_in_an_incomplete_or_troubled_run() {
    let stuck = |story: &mut Story, what: &str| {
        what == "status b" && {
            story.status("b", 4, false);
            true
        }
    };
    let incomplete = end_with(|story, what| stuck(story, what) || what == "complete");
    let troubled = end_with(|story, what| {
        if what == "postgres" {
            story.trouble("chromedriver died");
        }
        stuck(story, what)
    });
    let interrupted = end_with(|story, what| {
        if what == "postgres" {
            story.record(Event::Interrupted);
        }
        stuck(story, what)
    });
    for story in [incomplete, troubled, interrupted] {
        let verdict = story.assert_violates(&[]);
        assert_eq!(verdict.judgement, Judgement::Unknown);
        assert_eq!(
            of(&verdict, Property::QueueDrained).judgement,
            Judgement::Unknown
        );
        assert_eq!(verdict.exit_code(), 2);
    }
}

#[test]
fn trouble_hides_no_violation() {
    let mut story = Story::new(1);
    story.write("a", &[-1], 1, &[0]);
    story.read("a", &[-1]);
    story.trouble("chromedriver died");
    assert_eq!(story.verdict().exit_code(), 1);
    // And where there is none, the verdict is unknown.
    let story = end_with(|story, what| {
        if what == "postgres" {
            story.trouble("chromedriver died");
        }
        false
    });
    let verdict = story.assert_violates(&[]);
    assert_eq!(verdict.judgement, Judgement::Unknown);
    assert_eq!(verdict.notes, ["trouble: chromedriver died"]);
}

#[test]
fn a_database_is_damaged_or_lost() {
    let story = end_with(|story, what| {
        what == "integrity b" && {
            story.integrity("b", &["row 7 missing from index mww_k"]);
            true
        }
    });
    story.assert_violates(&[Property::StorageIntact]);

    let mut story = Story::new(1);
    story.start("a", 1, "db-1");
    story.write("a", &[-1], 1, &[0]);
    story.start("a", 2, "db-2");
    // A new database is a new session: the loss is one violation, not many.
    story.read("a", &[-1]);
    // A PostgreSQL client has no database to lose.
    story.start("p", 1, "x");
    story.start("p", 2, "y");
    let verdict = story.assert_violates(&[Property::StorageIntact]);
    assert_eq!(of(&verdict, Property::StorageIntact).violations, 1);
}

#[test]
fn a_fleet_without_syncing_clients_has_no_queues() {
    let mut story = Story::with_clients(
        1,
        [("p", ClientKind::Postgres), ("q", ClientKind::Postgres)],
    );
    story.write("p", &[-1], 1, &[0]);
    story.write("p", &[1], 2, &[0]);
    story.phase(Phase::Heal);
    story.phase(Phase::Probe);
    story.write("p", &[2], 3, &[0]);
    story.write("q", &[3], 4, &[0]);
    story.read("p", &[4]);
    story.read("q", &[4]);
    story.final_read("p", &[4]);
    story.final_read("q", &[4]);
    story.postgres(&[4]);
    story.wait_ms(200);
    story.phase(Phase::Complete);
    let verdict = story.assert_violates(&[]);
    let drained = of(&verdict, Property::QueueDrained);
    assert_eq!(drained.judgement, Judgement::Unknown);
    assert!(drained.note.unwrap().contains("no client of this fleet"));
}

#[test]
fn a_history_that_contradicts_itself_is_unknown_and_says_so() {
    let mut story = Story::new(1);
    story.write("a", &[-1], 1, &[0]);
    story.write("b", &[-1], 1, &[0]);
    story.ok("a", 99, Vec::new(), Vec::new());
    story.ok("b", 1, Vec::new(), Vec::new());
    story.read("a", &[-1]);
    // The read is stale whoever wrote the 1; but which operation to blame is not known.
    let verdict = story.verdict();
    assert!(
        verdict
            .notes
            .iter()
            .any(|n| n.contains("write the value 1"))
    );
    assert!(verdict.notes.iter().any(|n| n.contains("99")));
    assert_ne!(verdict.judgement, Judgement::Ok);
}

#[test]
fn an_enormous_claim_is_declined() {
    let mut story = Story::new(u32::MAX);
    story.read("a", &[-1]);
    let verdict = story.verdict();
    assert_eq!(verdict.judgement, Judgement::Unknown);
    assert!(verdict.notes[0].contains("4294967295 rows"));
}

#[test]
fn a_queue_is_drained_when_it_is_empty_and_all_is_acknowledged() {
    for (queue, acknowledged, found) in [
        (0, true, Judgement::Ok),
        (0, false, Judgement::Violation),
        (1, true, Judgement::Violation),
    ] {
        let story = end_with(|story, what| {
            what == "status b" && {
                story.status("b", queue, acknowledged);
                true
            }
        });
        let drained = story.property(Property::QueueDrained);
        assert_eq!(drained.judgement, found, "{queue} {acknowledged}");
        if found == Judgement::Violation {
            let state = if acknowledged {
                "and all"
            } else {
                "and not all"
            };
            let summary = &drained.examples[0].summary;
            assert!(summary.contains(state), "{summary}");
        }
    }
    // Of several the last one is told.
    let story = end_with(|story, what| {
        what == "status b" && {
            story.status("b", 9, false);
            story.status("b", 4, false);
            true
        }
    });
    let summary = &story.property(Property::QueueDrained).examples[0].summary;
    assert!(summary.contains("4 rows"), "{summary}");
}

/// The heal is at the beginning and gives the clients 100 ms; `a` probes, `b` sees that after so long.
fn seen_after(wait_ms: u64, change: impl Fn(&mut Story)) -> Story {
    let clients = ["a", "b"].map(|name| (name, ClientKind::Native));
    let mut story = Story::with_clients(2, clients);
    story.phase(Phase::Heal);
    story.phase(Phase::Probe);
    story.write("a", &[-1, -1], 1, &[0]);
    story.read("a", &[1, -1]);
    change(&mut story);
    // The invocation and the answer of a read take a millisecond each, as all before did.
    let so_far = story.history().records.last().unwrap().time / 1000 - 1;
    story.wait_ms(wait_ms - so_far - 2);
    story.read("b", &[1, -1]);
    story.read("b", &[1, -1]);
    story.wait_ms(200);
    story.read("b", &[1, -1]);
    story.phase(Phase::Complete);
    story
}

#[test]
fn the_deadline_is_part_of_the_time() {
    let judge = |wait_ms| {
        let found = seen_after(wait_ms, |_| {}).property(Property::RecoveredInTime);
        (found.judgement, found.exercised)
    };
    // The first read that shows the probe counts, and not a later one.
    assert_eq!(judge(50), (Judgement::Ok, 2));
    // The time counts from the probe, 3 ms after the heal.
    assert_eq!(judge(103), (Judgement::Ok, 2));
    assert_eq!(judge(104), (Judgement::Violation, 2));
    // In a troubled run that proves nothing.
    let troubled = seen_after(104, |story| story.trouble("the machine slept"));
    let found = troubled.property(Property::RecoveredInTime);
    assert_eq!(found.judgement, Judgement::Unknown);
    assert_eq!(found.exercised, 1);
    let note = found.note.unwrap();
    assert!(note.contains("b saw all probes"), "{note}");
    assert!(note.contains("there was trouble"), "{note}");
}

/// The heal gives `a` and `b` 100 ms; `a` has a long queue and reports its length so often, every 40 ms.
fn drains(queue: &[u64]) -> Story {
    let clients = ["a", "b"].map(|name| (name, ClientKind::Native));
    let mut story = Story::with_clients(2, clients);
    story.phase(Phase::Heal);
    story.status("b", 0, true);
    for rows in queue {
        story.wait_ms(39);
        story.status("a", *rows, *rows == 0);
    }
    story.phase(Phase::Probe);
    let is_empty = queue.last() == Some(&0);
    story.write("a", &[-1, -1], 1, &[0]);
    story.write("b", &[-1, -1], 2, &[1]);
    let seen = if is_empty { 1 } else { -1 };
    if is_empty {
        story.status("a", 0, true);
    }
    story.status("b", 0, true);
    story.read("a", &[1, 2]);
    story.read("b", &[seen, 2]);
    story
}

fn end(mut story: Story, wait_ms: u64) -> Verdict {
    story.wait_ms(wait_ms);
    story.phase(Phase::Complete);
    story.verdict()
}

#[test]
fn a_long_queue_that_becomes_shorter_is_not_late() {
    // Four times the deadline in all, and nobody had to wait for anybody else.
    let verdict = end(drains(&[90, 80, 60, 50, 40, 30, 20, 10, 5, 0]), 200);
    assert_eq!(support::violated(&verdict), []);
    let drained = of(&verdict, Property::QueueDrained);
    assert_eq!(drained.judgement, Judgement::Ok);
    let note = drained.note.unwrap();
    assert!(note.contains("a's upload queue took 0.4 s"), "{note}");
    assert!(note.contains("0 of 90 rows are left"), "{note}");
    let recovered = of(&verdict, Property::RecoveredInTime);
    assert_eq!(recovered.judgement, Judgement::Ok, "{recovered:?}");
}

#[test]
fn a_queue_that_stands_still_is_late_and_only_its_client() {
    // It goes on after three reports of the same length, or never.
    for queue in [&[90, 80, 80, 80, 80, 40, 0][..], &[90, 80, 80, 80, 80]] {
        let verdict = end(drains(queue), 200);
        let found = of(&verdict, Property::QueueDrained);
        assert_eq!(
            (found.judgement, found.violations),
            (Judgement::Violation, 1)
        );
        assert!(found.examples[0].summary.starts_with("a's"), "{found:?}");
        // b is not blamed for what a has not uploaded.
        let recovered = of(&verdict, Property::RecoveredInTime);
        assert_eq!(recovered.violations, 0, "{recovered:?}");
    }
}

#[test]
fn a_queue_that_is_still_becoming_shorter_at_the_end_is_unknown() {
    let verdict = end(drains(&[90, 80, 60, 50, 40, 30]), 20);
    assert_eq!(support::violated(&verdict), []);
    assert_eq!(verdict.exit_code(), 2);
    let found = of(&verdict, Property::QueueDrained);
    assert_eq!(found.judgement, Judgement::Unknown);
    let note = found.note.unwrap();
    assert!(note.contains("30 of 90 rows are left"), "{note}");
    assert!(note.contains("a second were uploaded"), "{note}");
}

#[test]
fn a_client_that_is_not_connected_again_is_late() {
    for (again, wait_ms) in [(true, 120), (true, 60), (false, 200)] {
        let clients = ["a", "b"].map(|name| (name, ClientKind::Native));
        let mut story = Story::with_clients(2, clients);
        story.phase(Phase::Heal);
        let lonely = |story: &mut Story| {
            story.status("a", 0, true);
            story.change_last(|event| {
                if let Event::Status { status, .. } = event {
                    status.connected = false;
                }
            });
        };
        lonely(&mut story);
        story.status("b", 0, true);
        story.wait_ms(wait_ms);
        story.phase(Phase::Probe);
        story.write("b", &[-1, -1], 2, &[1]);
        story.status("b", 0, true);
        if again {
            story.status("a", 0, true);
        }
        story.read("b", &[-1, 2]);
        story.read("a", &[-1, 2]);
        let found = of(&end(story, 200), Property::RecoveredInTime);
        let late = wait_ms > 100;
        assert_eq!(found.violations, u64::from(late), "{found:?}");
        if late {
            assert!(found.examples[0].summary.starts_with("a was "), "{found:?}");
        }
    }
}

#[test]
fn a_probe_counts_if_it_committed() {
    // b's probe may have happened or not, and is not waited for.
    let story = seen_after(50, |story| {
        let lost = story.invoke("b", 2, &[1]);
        story.info("b", lost);
    });
    let found = story.property(Property::RecoveredInTime);
    assert_eq!(found.judgement, Judgement::Unknown);
    let note = found.note.unwrap();
    assert_eq!(note, "b has no probe that committed");
    // Who is there to read has no probe.
    let reader = seen_after(50, |_| {}).property(Property::RecoveredInTime);
    assert_eq!(reader.note, None);

    let mut story = Story::with_clients(1, [("a", ClientKind::Native)]);
    story.write("a", &[-1], 1, &[0]);
    story.phase(Phase::Heal);
    story.phase(Phase::Probe);
    story.read("a", &[1]);
    story.wait_ms(200);
    story.phase(Phase::Complete);
    let found = story.property(Property::RecoveredInTime);
    assert_eq!(found.judgement, Judgement::Unknown);
    assert_eq!(found.note.unwrap(), "no probe committed after the heal");
}

#[test]
fn a_read_of_other_rows_shows_no_probe() {
    let reads_of_b = |keys: &[u32]| {
        let clients = ["a", "b"].map(|name| (name, ClientKind::Native));
        let mut story = Story::with_clients(2, clients);
        story.phase(Phase::Heal);
        story.phase(Phase::Probe);
        story.write("a", &[-1, -1], 1, &[0]);
        story.read("a", &[1, -1]);
        let operation = story.operation();
        story.record(Event::Invoke {
            client: "b".to_owned(),
            operation,
            transaction: Transaction {
                reads: Reads::Keys(keys.to_vec()),
                ..Transaction::new(-1, vec![])
            },
        });
        let values = [1, -1];
        let found = keys.iter().map(|key| (*key, values[*key as usize]));
        story.ok("b", operation, found.collect(), vec![]);
        story.wait_ms(200);
        story.phase(Phase::Complete);
        story.property(Property::RecoveredInTime).judgement
    };
    assert_eq!(reads_of_b(&[0]), Judgement::Ok);
    assert_eq!(reads_of_b(&[0, 1]), Judgement::Ok);
    assert_eq!(reads_of_b(&[1]), Judgement::Violation);
}

#[test]
fn the_end_of_a_run_that_was_cut_is_unknown() {
    let story = end_with(|_, what| what == "complete");
    let verdict = story.assert_violates(&[]);
    for property in [Property::QueueDrained, Property::RecoveredInTime] {
        let found = of(&verdict, property);
        assert_eq!(found.judgement, Judgement::Unknown, "{property:?}");
        assert!(found.note.unwrap().contains("is not complete"));
    }
}

#[test]
fn a_final_read_lacks_a_row() {
    let story = end_with(|story, what| {
        what == "final c" && {
            story.final_read_of("c", effects(vec![(0, 1003), (1, 2)], Vec::new()));
            true
        }
    });
    let found = story.property(Property::StrongConvergence);
    assert_eq!(found.violations, 1);
}

#[test]
fn who_is_left_out_of_the_comparison_is_told_why() {
    let left_out = |change: fn(&mut Story, &str) -> bool| {
        let found = end_with(change).property(Property::StrongConvergence);
        (found.judgement, found.note.unwrap())
    };
    let (judgement, note) = left_out(|story, what| {
        what == "status b" && {
            story.status("b", 4, false);
            true
        }
    });
    let why = "b is left out, since its queue was not seen to drain";
    assert_eq!((judgement, note.as_str()), (Judgement::Ok, why));
    let (judgement, note) = left_out(|story, what| {
        ["read c", "final c"].contains(&what) && {
            match what {
                "read c" => drop(story.read("c", &[1002, 2, 3])),
                _ => story.final_read("c", &[1002, 2, 3]),
            }
            true
        }
    });
    let why = "c is left out, since it did not recover";
    assert_eq!((judgement, note.as_str()), (Judgement::Ok, why));
    // What would have come is not known if the run was cut.
    let (judgement, note) = left_out(|_, what| what == "status b" || what == "complete");
    let why = "b is left out, since its queue was not seen to drain";
    assert_eq!((judgement, note.as_str()), (Judgement::Unknown, why));
}

#[test]
fn one_final_read_is_nothing_to_compare_where_data_is_shared() {
    let convergence = |clients: &[(&'static str, ClientKind)], finals: &[&str]| {
        let mut story = Story::with_clients(1, clients.iter().copied());
        story.phase(Phase::Heal);
        story.phase(Phase::Probe);
        let mut last = -1;
        for ((client, _), value) in clients.iter().zip(1..) {
            story.write(client, &[last], value, &[0]);
            last = value;
        }
        for (client, kind) in clients {
            story.read(client, &[last]);
            if kind.syncs() {
                story.status(client, 0, true);
            }
        }
        story.phase(Phase::FinalRead);
        for client in finals {
            story.final_read(client, &[last]);
        }
        story.wait_ms(200);
        story.phase(Phase::Complete);
        let found = story.property(Property::StrongConvergence);
        let note = found.note.unwrap_or_default();
        (found.judgement, note.contains("not two final reads"))
    };
    use ClientKind::{Local, Native, Sqlite};
    let (ok, unknown) = (Judgement::Ok, Judgement::Unknown);
    assert_eq!(convergence(&[("a", Local)], &["a"]), (ok, false));
    assert_eq!(convergence(&[("a", Sqlite)], &["a"]), (ok, false));
    let two = [("a", Sqlite), ("b", Sqlite)];
    assert_eq!(convergence(&two, &["a", "b"]), (ok, false));
    assert_eq!(convergence(&two, &["a"]), (unknown, true));
    // PostgreSQL's final read is missing.
    assert_eq!(convergence(&[("a", Native)], &["a"]), (unknown, true));
}

#[test]
fn databases_are_checked_where_clients_have_some() {
    let story = end_with(|_, what| what == "integrity b");
    let found = story.property(Property::StorageIntact);
    assert_eq!(found.judgement, Judgement::Unknown);
    assert_eq!(found.note.unwrap(), "the database of b was not checked");
    assert_eq!(found.exercised, 3);

    let postgres = |checked: Option<&str>| {
        let clients = [("p", ClientKind::Postgres), ("q", ClientKind::Postgres)];
        let mut story = Story::with_clients(1, clients);
        if let Some(report) = checked {
            story.integrity("p", &[report]);
        }
        let found = story.property(Property::StorageIntact);
        (
            found.judgement,
            found.note.is_some_and(|note| note.contains("is checked")),
        )
    };
    assert_eq!(postgres(None), (Judgement::Unknown, true));
    assert_eq!(postgres(Some("ok")), (Judgement::Ok, false));
    assert_eq!(postgres(Some("broken")), (Judgement::Violation, false));

    let mut story = Story::new(1);
    story.start("a", 1, "one");
    story.start("a", 2, "two");
    let found = story.property(Property::StorageIntact);
    assert_eq!((found.exercised, found.violations), (1, 1));
}
