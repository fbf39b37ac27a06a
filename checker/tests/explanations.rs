//! What a person reads when something is wrong.

mod support;

use squall_checker::{path, render};
use squall_protocol::history::Phase;
use squall_protocol::plan::ClientKind;
use squall_protocol::verdict::Property;
use support::{Story, of};

/// The explanations of a property: what is said, and the evidence.
fn explain(story: &Story, property: Property) -> String {
    let mut lines = Vec::new();
    for example in of(&story.verdict(), property).examples {
        lines.push(example.summary);
        lines.extend(path(&example.evidence));
    }
    lines.join("\n")
}

fn fleet() -> Story {
    use ClientKind::{Native, Postgres, Wasm};
    let clients = [
        ("native-1", Native),
        ("wasm-1", Wasm),
        ("wasm-2", Wasm),
        ("postgres-1", Postgres),
    ];
    Story::with_clients(3, clients)
}

#[test]
fn read_your_writes() {
    let mut story = fleet();
    story.write("wasm-2", &[-1, -1, -1], 57, &[1]);
    story.read("wasm-2", &[-1, -1, -1]);
    insta::assert_snapshot!(explain(&story, Property::ReadYourWrites), @r"
    wasm-2 wrote k1 = 57 in operation 1. Later, in operation 2, it read the older k1 = -1 (its initial value): it does not see its own write.
    wasm-2:1 -[session-order]-> wasm-2:2 -[reads-older-version k1 = -1]-> wasm-2:1
    ");
}

#[test]
fn monotonic_reads() {
    let mut story = fleet();
    story.write("native-1", &[-1, -1, -1], 57, &[1]);
    story.read("wasm-2", &[-1, 57, -1]);
    story.read("wasm-2", &[-1, -1, -1]);
    insta::assert_snapshot!(explain(&story, Property::MonotonicReads), @r"
    wasm-2 read k1 = 57 in operation 2 (written by native-1 in operation 1). Later, in operation 3, it read the older k1 = -1 (its initial value): it has gone back in time.
    native-1:1 -[reads-from k1 = 57]-> wasm-2:2 -[session-order]-> wasm-2:3 -[reads-older-version k1 = -1]-> native-1:1
    ");
}

#[test]
fn monotonic_writes() {
    let mut story = fleet();
    story.write("native-1", &[-1, -1, -1], 57, &[1]);
    story.write("native-1", &[-1, 57, -1], 90, &[2]);
    story.read("wasm-2", &[-1, -1, 90]);
    insta::assert_snapshot!(explain(&story, Property::MonotonicWrites), @r"
    native-1 wrote k1 = 57 in operation 1 and later k2 = 90 in operation 2. wasm-2 sees the later of the two without the earlier: in operation 3 it read k2 = 90, but still k1 = -1 (its initial value).
    native-1:1 -[session-order]-> native-1:2 -[reads-from k2 = 90]-> wasm-2:3 -[reads-older-version k1 = -1]-> native-1:1
    ");
}

#[test]
fn writes_follow_reads() {
    let mut story = fleet();
    story.write("postgres-1", &[-1, -1, -1], 57, &[1]);
    story.write("native-1", &[-1, 57, -1], 90, &[2]);
    story.read("wasm-2", &[-1, -1, 90]);
    insta::assert_snapshot!(explain(&story, Property::WritesFollowReads), @r"
    native-1 read k1 = 57 (written by postgres-1 in operation 1) and wrote k2 = 90 in the same transaction, operation 2. wasm-2 sees that write without what was read before it: in operation 3 it read k2 = 90, but still k1 = -1 (its initial value).
    postgres-1:1 -[reads-from k1 = 57]-> native-1:2 -[reads-from k2 = 90]-> wasm-2:3 -[reads-older-version k1 = -1]-> postgres-1:1
    ");
}

#[test]
fn atomic_visibility() {
    let mut story = fleet();
    story.write("native-1", &[-1, -1, -1], 57, &[0, 1, 2]);
    story.read("wasm-2", &[57, -1, 57]);
    story.postgres(&[-1, 57, 57]);
    insta::assert_snapshot!(explain(&story, Property::AtomicVisibility), @r"
    native-1 wrote k0 = 57 and k1 = 57 in one transaction, operation 1. wasm-2 sees only a part of it, a fractured read: in operation 2 it read k0 = 57, but still k1 = -1 (its initial value).
    native-1:1 -[reads-from k0 = 57]-> wasm-2:2 -[reads-older-version k1 = -1]-> native-1:1
    native-1 wrote k1 = 57 and k0 = 57 in one transaction, operation 1. PostgreSQL sees only a part of it, a fractured read: in its final read it read k1 = 57, but still k0 = -1 (its initial value).
    native-1:1 -[reads-from k1 = 57]-> PostgreSQL:final-read -[reads-older-version k0 = -1]-> native-1:1
    ");
}

#[test]
fn no_thin_air_read() {
    let mut story = fleet();
    let failed = story.invoke("native-1", 57, &[0]);
    story.fail("native-1", failed);
    story.read("wasm-2", &[57, 99]);
    insta::assert_snapshot!(explain(&story, Property::NoThinAirRead), @r"
    wasm-2 read k0 = 57 in operation 2. It is a value of operation 1 of native-1, which failed and must be invisible (an aborted read, G1a).
    native-1:1 -[reads-from k0 = 57]-> wasm-2:2
    wasm-2 read k1 = 99 in operation 2. Nobody had ever written that value.
    wasm-2 did not find k2 in operation 2. Rows are there from the beginning, and none is ever deleted.
    ");
}

#[test]
fn writes_follow_reads_through_an_earlier_operation() {
    let mut story = fleet();
    story.write("postgres-1", &[-1, -1, -1], 57, &[1]);
    story.read("native-1", &[-1, 57, -1]);
    // It has gone back itself, so the evidence is its earlier read.
    story.write("native-1", &[-1, -1, -1], 90, &[2]);
    story.read("wasm-2", &[-1, -1, 90]);
    insta::assert_snapshot!(explain(&story, Property::WritesFollowReads), @r"
    native-1 read k1 = 57 in operation 2 (written by postgres-1 in operation 1) and later wrote k2 = 90 in operation 3. wasm-2 sees that write without what was read before it: in operation 4 it read k2 = 90, but still k1 = -1 (its initial value).
    postgres-1:1 -[reads-from k1 = 57]-> native-1:2 -[session-order]-> native-1:3 -[reads-from k2 = 90]-> wasm-2:4 -[reads-older-version k1 = -1]-> postgres-1:1
    ");
}

#[test]
fn a_row_that_vanished() {
    let mut story = fleet();
    story.write("wasm-2", &[-1, -1, -1], 57, &[1]);
    let operation = story.invoke("wasm-2", -1, &[]);
    story.ok("wasm-2", operation, vec![(0, -1), (2, -1)], Vec::new());
    insta::assert_snapshot!(explain(&story, Property::ReadYourWrites), @r"
    wasm-2 wrote k1 = 57 in operation 1. Later, in operation 2, it found no row k1: it does not see its own write.
    wasm-2:1 -[session-order]-> wasm-2:2 -[reads-older-version no k1]-> wasm-2:1
    ");
}

#[test]
fn a_value_from_the_future() {
    let mut story = fleet();
    story.read("wasm-2", &[-1, 57, -1]);
    story.write("native-1", &[-1, -1, -1], 57, &[1]);
    insta::assert_snapshot!(explain(&story, Property::NoThinAirRead), @r"
    wasm-2 read k1 = 57 in operation 1. It is a value of operation 2 of native-1, which was invoked only after this read had ended.
    native-1:2 -[reads-from k1 = 57]-> wasm-2:1
    ");
}

#[test]
fn a_lost_write_and_a_diverged_replica() {
    let mut story = Story::new(2);
    story.write("a", &[-1, -1], 1, &[0]);
    let lost = story.invoke("b", 5, &[1]);
    story.info("b", lost);
    story.phase(Phase::Heal);
    story.phase(Phase::Probe);
    story.write("a", &[1, -1], 10, &[0]);
    for client in ["a", "b"] {
        story.read(client, &[10, -1]);
        story.status(client, 0, true);
    }
    story.phase(Phase::FinalRead);
    story.final_read("a", &[10, 5]);
    story.final_read("b", &[1, 5]);
    story.postgres(&[10, -1]);
    insta::assert_snapshot!(explain(&story, Property::StrongConvergence), @r"
    a wrote k0 = 10 in operation 3, which was acknowledged and uploaded. b's final read has k0 = 1: the write was lost.
    b:final-read -[reads-older-version k0 = 1]-> a:3
    a's final read has k1 = 5 (written by b in operation 2). PostgreSQL's final read has k1 = -1 (its initial value): the two have not become the same.
    b:2 -[reads-from k1 = 5]-> a:final-read -[reads-older-version k1 = -1]-> b:2
    ");
}

#[test]
fn a_database_that_was_lost() {
    let mut story = fleet();
    story.start("wasm-1", 1, "5f0c");
    story.start("wasm-1", 2, "a1b2");
    insta::assert_snapshot!(explain(&story, Property::StorageIntact), @"wasm-1 lost its database: it was 5f0c, and after a restart it is a1b2.");
}

#[test]
fn evidence_is_readable_json() {
    let mut story = fleet();
    story.write("native-1", &[-1, -1, -1], 57, &[1]);
    story.write("native-1", &[-1, 57, -1], 90, &[2]);
    story.read("wasm-2", &[-1, -1, 90]);
    let found = of(&story.verdict(), Property::MonotonicWrites);
    let json = serde_json::to_string_pretty(&found.examples[0].evidence).unwrap();
    insta::assert_snapshot!(json, @r#"
    [
      {
        "from": {
          "client": "native-1",
          "operation": 1
        },
        "to": {
          "client": "native-1",
          "operation": 2
        },
        "kind": "session-order"
      },
      {
        "from": {
          "client": "native-1",
          "operation": 2
        },
        "to": {
          "client": "wasm-2",
          "operation": 3
        },
        "kind": "reads-from",
        "key": 2,
        "value": 90
      },
      {
        "from": {
          "client": "wasm-2",
          "operation": 3
        },
        "to": {
          "client": "native-1",
          "operation": 1
        },
        "kind": "reads-older-version",
        "key": 1,
        "value": -1
      }
    ]
    "#);
}

#[test]
fn a_whole_verdict() {
    let mut story = fleet();
    story.write("native-1", &[-1, -1, -1], 57, &[0, 1]);
    for _ in 0..7 {
        story.read("wasm-2", &[57, -1, -1]);
    }
    story.trouble("chromedriver of wasm-1 died");
    insta::assert_snapshot!(render(&story.verdict()), @r"
    verdict: VIOLATION

    operations: 8 ok, 0 failed, 0 unknown; 24 rows read, 2 written

    property              judgement      exercised  violations
    read-your-writes      unknown                0           0
    monotonic-reads       ok                     6           0
    monotonic-writes      unknown                0           0
    writes-follow-reads   unknown                0           0
    atomic-visibility     VIOLATION              7           7
    no-thin-air-read      ok                    24           0
    strong-convergence    unknown                0           0
    storage-intact        unknown                0           0
    queue-drained         unknown                0           0
    recovered-in-time     unknown                0           0

    read-your-writes: unknown
      note: never put to the test: nothing in the history could have broken it

    monotonic-writes: unknown
      note: never put to the test: nothing in the history could have broken it

    writes-follow-reads: unknown
      note: only one session writes, so no write follows one of another's

    atomic-visibility: VIOLATION
    - native-1 wrote k0 = 57 and k1 = 57 in one transaction, operation 1. wasm-2 sees only a part of it, a fractured read: in operation 2 it read k0 = 57, but still k1 = -1 (its initial value).
      native-1:1 -[reads-from k0 = 57]-> wasm-2:2 -[reads-older-version k1 = -1]-> native-1:1
    - native-1 wrote k0 = 57 and k1 = 57 in one transaction, operation 1. wasm-2 sees only a part of it, a fractured read: in operation 3 it read k0 = 57, but still k1 = -1 (its initial value).
      native-1:1 -[reads-from k0 = 57]-> wasm-2:3 -[reads-older-version k1 = -1]-> native-1:1
    - native-1 wrote k0 = 57 and k1 = 57 in one transaction, operation 1. wasm-2 sees only a part of it, a fractured read: in operation 4 it read k0 = 57, but still k1 = -1 (its initial value).
      native-1:1 -[reads-from k0 = 57]-> wasm-2:4 -[reads-older-version k1 = -1]-> native-1:1
    - native-1 wrote k0 = 57 and k1 = 57 in one transaction, operation 1. wasm-2 sees only a part of it, a fractured read: in operation 5 it read k0 = 57, but still k1 = -1 (its initial value).
      native-1:1 -[reads-from k0 = 57]-> wasm-2:5 -[reads-older-version k1 = -1]-> native-1:1
    - native-1 wrote k0 = 57 and k1 = 57 in one transaction, operation 1. wasm-2 sees only a part of it, a fractured read: in operation 6 it read k0 = 57, but still k1 = -1 (its initial value).
      native-1:1 -[reads-from k0 = 57]-> wasm-2:6 -[reads-older-version k1 = -1]-> native-1:1
    - and so on: 7 in all

    strong-convergence: unknown
      note: PostgreSQL's final read is missing; the final read of native-1 is missing; the final read of wasm-1 is missing; the final read of wasm-2 is missing; the final read of postgres-1 is missing; there are not two final reads to compare

    storage-intact: unknown
      note: the database of native-1 was not checked; the database of wasm-1 was not checked; the database of wasm-2 was not checked

    queue-drained: unknown
      note: the history ends before the heal

    recovered-in-time: unknown
      note: the history ends before the heal

    notes
    - trouble: chromedriver of wasm-1 died
    - the history ends before the run was complete
    ");
}

#[test]
fn convergence_and_recovery() {
    let mut story = Story::new(2);
    story.write("a", &[-1, -1], 1, &[0]);
    story.phase(Phase::Heal);
    story.phase(Phase::Probe);
    story.write("a", &[1, -1], 10, &[1]);
    for client in ["a", "p"] {
        story.read(client, &[1, 10]);
        story.status(client, 0, true);
    }
    story.read("b", &[1, -1]);
    story.status("b", 7, false);
    story.phase(Phase::FinalRead);
    story.final_read("a", &[1, 10]);
    story.final_read("b", &[1, -1]);
    story.final_read("p", &[1, 10]);
    story.postgres(&[-1, 10]);
    story.wait_ms(200);
    story.phase(Phase::Complete);
    insta::assert_snapshot!(render(&story.verdict()), @r"
    verdict: VIOLATION

    operations: 8 ok, 0 failed, 0 unknown; 16 rows read, 2 written

    property              judgement      exercised  violations
    read-your-writes      ok                     5           0
    monotonic-reads       ok                     3           0
    monotonic-writes      VIOLATION              3           1
    writes-follow-reads   unknown                0           0
    atomic-visibility     unknown                0           0
    no-thin-air-read      ok                    18           0
    strong-convergence    VIOLATION              6           1
    storage-intact        unknown                0           0
    queue-drained         VIOLATION              3           2
    recovered-in-time     VIOLATION              4           2

    monotonic-writes: VIOLATION
    - a wrote k0 = 1 in operation 1 and later k1 = 10 in operation 2. PostgreSQL sees the later of the two without the earlier: in its final read it read k1 = 10, but still k0 = -1 (its initial value).
      a:1 -[session-order]-> a:2 -[reads-from k1 = 10]-> PostgreSQL:final-read -[reads-older-version k0 = -1]-> a:1

    writes-follow-reads: unknown
      note: only one session writes, so no write follows one of another's

    atomic-visibility: unknown
      note: never put to the test: nothing in the history could have broken it

    strong-convergence: VIOLATION
    - a wrote k0 = 1 in operation 1, which was acknowledged and uploaded. PostgreSQL's final read has k0 = -1 (its initial value): the write was lost.
      PostgreSQL:final-read -[reads-older-version k0 = -1]-> a:1
      note: the final read of c is missing; b is left out, since it did not recover

    storage-intact: unknown
      note: the database of a was not checked; the database of b was not checked; the database of c was not checked

    queue-drained: VIOLATION
    - b's upload queue was never drained: its last status shows 7 rows in it and not all acknowledged, and it made no progress in the last 0.2 s.
    - c's upload queue was never drained: there is no status of it after the heal.

    recovered-in-time: VIOLATION
    - b never saw all probes: a wrote k1 = 10 in operation 2, but at last, in its final read, it had k1 = -1.
    - c never saw all probes: it did not read at all after the heal.
    ");
}
