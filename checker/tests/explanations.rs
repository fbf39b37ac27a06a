//! What a person reads when something is wrong.

mod support;

use squall_checker::render;
use squall_protocol::plan::ClientKind;
use squall_protocol::verdict::Property;
use support::{Story, of};

/// The explanations of a property, one per line.
fn explain(story: &Story, property: Property) -> String {
    let found = of(&story.verdict(), property);
    let lines: Vec<String> = found.examples.into_iter().map(|e| e.summary).collect();
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
    insta::assert_snapshot!(explain(&story, Property::ReadYourWrites), @"wasm-2 read k1 = -1 in operation 2, but had itself written k1 = 57 in operation 1.");
}

#[test]
fn monotonic_reads() {
    let mut story = fleet();
    story.write("native-1", &[-1, -1, -1], 57, &[1]);
    story.read("wasm-2", &[-1, 57, -1]);
    story.read("wasm-2", &[-1, -1, -1]);
    insta::assert_snapshot!(explain(&story, Property::MonotonicReads), @"wasm-2 read k1 = -1 in operation 3, but had read k1 = 57 before, in operation 2 (written by native-1 in operation 1).");
}

#[test]
fn monotonic_writes() {
    let mut story = fleet();
    story.write("native-1", &[-1, -1, -1], 57, &[1]);
    story.write("native-1", &[-1, 57, -1], 90, &[2]);
    story.read("wasm-2", &[-1, -1, 90]);
    insta::assert_snapshot!(explain(&story, Property::MonotonicWrites), @"wasm-2 read k2 = 90 in operation 3, which native-1 wrote in operation 2. Before that, native-1 had written k1 = 57 in operation 1, yet the same read has k1 = -1.");
}

#[test]
fn writes_follow_reads() {
    let mut story = fleet();
    story.write("postgres-1", &[-1, -1, -1], 57, &[1]);
    story.write("native-1", &[-1, 57, -1], 90, &[2]);
    story.read("wasm-2", &[-1, -1, 90]);
    insta::assert_snapshot!(explain(&story, Property::WritesFollowReads), @"wasm-2 read k2 = 90 in operation 3, which native-1 wrote in operation 2. In that operation, native-1 had read k1 = 57 (written by postgres-1 in operation 1), yet the same read has k1 = -1.");
}

#[test]
fn atomic_visibility() {
    let mut story = fleet();
    story.write("native-1", &[-1, -1, -1], 57, &[0, 1, 2]);
    story.read("wasm-2", &[57, -1, 57]);
    story.postgres(&[-1, 57, 57]);
    insta::assert_snapshot!(explain(&story, Property::AtomicVisibility), @r"
    wasm-2 read k0 = 57 in operation 2, which native-1 wrote in operation 1 together with k1 = 57; yet the same read has k1 = -1.
    PostgreSQL read k1 = 57 in its final read, which native-1 wrote in operation 1 together with k0 = 57; yet the same read has k0 = -1.
    ");
}

#[test]
fn no_thin_air_read() {
    let mut story = fleet();
    let failed = story.invoke("native-1", 57, &[0]);
    story.fail("native-1", failed);
    story.read("wasm-2", &[57, 99]);
    insta::assert_snapshot!(explain(&story, Property::NoThinAirRead), @r"
    wasm-2 read k0 = 57 in operation 2, a value of operation 1 of native-1, which failed: an aborted read (G1a).
    wasm-2 read k1 = 99 in operation 2, a value that nobody ever wrote.
    wasm-2 did not find k2 in operation 2, although rows are there from the beginning and none is ever deleted.
    ");
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
      note: never put to the test: nothing in the history could have broken it

    atomic-visibility: VIOLATION
    - wasm-2 read k0 = 57 in operation 2, which native-1 wrote in operation 1 together with k1 = 57; yet the same read has k1 = -1.
    - wasm-2 read k0 = 57 in operation 3, which native-1 wrote in operation 1 together with k1 = 57; yet the same read has k1 = -1.
    - wasm-2 read k0 = 57 in operation 4, which native-1 wrote in operation 1 together with k1 = 57; yet the same read has k1 = -1.
    - wasm-2 read k0 = 57 in operation 5, which native-1 wrote in operation 1 together with k1 = 57; yet the same read has k1 = -1.
    - wasm-2 read k0 = 57 in operation 6, which native-1 wrote in operation 1 together with k1 = 57; yet the same read has k1 = -1.
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
    use squall_protocol::history::Phase;
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

    operations: 5 ok, 0 failed, 0 unknown; 10 rows read, 2 written

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
    - PostgreSQL read k1 = 10 in its final read, which a wrote in operation 2. Before that, a had written k0 = 1 in operation 1, yet the same read has k0 = -1.

    writes-follow-reads: unknown
      note: never put to the test: nothing in the history could have broken it

    atomic-visibility: unknown
      note: never put to the test: nothing in the history could have broken it

    strong-convergence: VIOLATION
    - PostgreSQL's final read has k0 = -1, but a wrote k0 = 1 in operation 1, which was acknowledged and uploaded.
      note: the final read of c is missing; b is left out, since it did not recover

    storage-intact: unknown
      note: the database of a was not checked; the database of b was not checked; the database of c was not checked

    queue-drained: VIOLATION
    - b's upload queue was never drained: its last status shows 7 rows in it and not all acknowledged.
    - c's upload queue was never drained: there is no status of it after the heal.

    recovered-in-time: VIOLATION
    - b never saw all probes: a wrote k1 = 10 in operation 2, but at last, in its final read, it had k1 = -1.
    - c never saw all probes: it did not read at all after the heal.
      note: b has no probe that committed; c has no probe that committed; p has no probe that committed
    ");
}
