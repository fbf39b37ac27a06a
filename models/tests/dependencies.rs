//! The cycles of dependencies by their names, on histories by hand.

use squall_models::formats::Format;
use squall_models::registers::{Dependencies, EdgeKind};

fn dependencies(text: &str) -> Dependencies {
    let reading = Format::Jepsen.read(text.as_bytes(), false).unwrap();
    reading.registers.dependencies().expect("lists")
}

/// The names, each as often as there are components.
fn names(text: &str) -> Vec<String> {
    let found = dependencies(text);
    assert!(!found.gave_up);
    let counts = found.components.into_iter();
    counts
        .flat_map(|(name, count)| vec![name; count as usize])
        .collect()
}

fn ok(process: u32, value: &str) -> String {
    format!("{{:type :ok, :process {process}, :value [{value}]}}\n")
}

/// The same with an invocation just before, so that nothing overlaps.
fn timed(process: u32, value: &str) -> String {
    format!("{{:type :invoke, :process {process}, :value [{value}]}}\n") + &ok(process, value)
}

#[test]
fn cycles_have_their_names() {
    for (name, text) in [
        (
            "",
            ok(0, "[:append 1 1] [:r 1 [1]]") + &ok(1, "[:append 1 2]") + &ok(2, "[:r 1 [1 2]]"),
        ),
        // A read, modify, write of what nobody reads depends on nobody.
        (
            "",
            ok(0, "[:r 1 []] [:append 1 1]") + &ok(1, "[:append 1 2]"),
        ),
        (
            "G0",
            ok(0, "[:append 1 1] [:append 2 1]")
                + &ok(1, "[:append 1 2] [:append 2 2]")
                + &ok(2, "[:r 1 [1 2]] [:r 2 [2 1]]"),
        ),
        (
            "G1c",
            ok(0, "[:append 1 1] [:r 2 [1]]") + &ok(1, "[:append 2 1] [:r 1 [1]]"),
        ),
        (
            "G-single",
            ok(0, "[:append 1 1] [:append 2 1]") + &ok(1, "[:r 1 []] [:r 2 [1]]"),
        ),
        // Two writes, and two readers that see them in different orders.
        (
            "G-nonadjacent",
            ok(0, "[:append 1 1]")
                + &ok(1, "[:append 2 1]")
                + &ok(2, "[:r 1 [1]] [:r 2 []]")
                + &ok(3, "[:r 1 []] [:r 2 [1]]"),
        ),
        (
            "G2-item",
            ok(0, "[:r 1 []] [:append 2 1]") + &ok(1, "[:r 2 []] [:append 1 1]"),
        ),
        // Both read the same version and append to it, and nobody reads that.
        (
            "G2-item",
            ok(0, "[:r 1 []] [:append 1 1]") + &ok(1, "[:r 1 []] [:append 1 2]"),
        ),
        (
            "G0-process",
            ok(0, "[:append 1 1]") + &ok(0, "[:append 1 2]") + &ok(1, "[:r 1 [2 1]]"),
        ),
        (
            "G1c-process",
            ok(0, "[:r 1 [1]]")
                + &ok(0, "[:append 2 1]")
                + &ok(1, "[:r 2 [1]]")
                + &ok(1, "[:append 1 1]"),
        ),
        (
            "G-single-process",
            ok(0, "[:append 1 1]") + &ok(0, "[:r 1 []]"),
        ),
        (
            "G-nonadjacent-process",
            ok(0, "[:append 1 1]")
                + &ok(0, "[:r 2 []]")
                + &ok(1, "[:append 2 1]")
                + &ok(1, "[:r 1 []]"),
        ),
        (
            "G2-item-process",
            ok(0, "[:append 1 1]") + &ok(0, "[:r 2 []]") + &ok(1, "[:append 2 1] [:r 1 []]"),
        ),
        (
            "G0-realtime",
            timed(0, "[:append 1 1]") + &timed(1, "[:append 1 2]") + &timed(2, "[:r 1 [2 1]]"),
        ),
        (
            "G1c-realtime",
            timed(0, "[:r 1 [1]]") + &timed(1, "[:append 1 1]"),
        ),
        (
            "G-single-realtime",
            timed(0, "[:append 1 1]") + &timed(1, "[:r 1 []]"),
        ),
    ] {
        let expected: Vec<&str> = name.split_whitespace().collect();
        assert_eq!(names(&text), expected, "{text}\n{:#?}", dependencies(&text));
    }
}

#[test]
fn every_component_is_counted_and_the_first_few_are_shown() {
    let pairs = (0..20).map(|pair| {
        let (x, y) = (2 * pair, 2 * pair + 1);
        ok(2 * pair, &format!("[:append {x} 1] [:r {y} [1]]"))
            + &ok(2 * pair + 1, &format!("[:append {y} 1] [:r {x} [1]]"))
    });
    let found = dependencies(&pairs.collect::<String>());
    assert_eq!(found.components["G1c"], 20);
    assert_eq!(found.components.len(), 1);
    assert!((1..20).contains(&found.cycles.len()));
    assert!(found.cycles.iter().all(|cycle| cycle.component == 2));
}

#[test]
fn the_smallest_cycle_is_shown() {
    // A cycle of ten, with a short cut.
    let mut text = String::new();
    for at in 0..10 {
        let next = (at + 1) % 10;
        let short = if at == 0 { "[:r 3 [1]]" } else { "" };
        text += &ok(at, &format!("[:append {at} 1] [:r {next} [1]] {short}"));
    }
    let found = dependencies(&text);
    let cycle = &found.cycles[0];
    assert_eq!((cycle.name.as_str(), cycle.component), ("G1c", 10));
    assert_eq!(cycle.edges.len(), 8);
    let mut ends = cycle.edges.iter().zip(cycle.edges.iter().cycle().skip(1));
    assert!(ends.all(|(edge, next)| edge.to == next.from));
    assert!(
        cycle
            .edges
            .iter()
            .all(|edge| edge.kind == EdgeKind::ReadsFrom)
    );
}

#[test]
fn a_component_is_told_again_only_by_a_stronger_name() {
    // A write skew, whose transactions also precede one another in the wrong order.
    let skew = ok(0, "[:r 1 []] [:append 2 1]") + &ok(1, "[:r 2 []] [:append 1 1]");
    assert_eq!(names(&skew), ["G2-item"]);
    let overtaken = skew + &ok(1, "[:append 5 1]") + &ok(0, "[:r 5 [1]]") + &ok(0, "[:r 1 []]");
    assert_eq!(names(&overtaken), ["G-single-process", "G2-item"]);
}

#[test]
fn in_words() {
    let skew = ok(0, "[:r :x []] [:append :y 1]") + &ok(1, "[:r :y []] [:append :x 1]");
    insta::assert_snapshot!(dependencies(&skew).render(), @r"
    cycles of dependencies, whether a model allows them or not; components by name:
    G2-item: 1
    - in a component of 2 transactions: Transaction 0 of session 0 read key :x and did not see that transaction 1 of session 1 wrote it. Transaction 1 of session 1 read key :y and did not see that transaction 0 of session 0 wrote it.
    ");
    assert_eq!(dependencies(&ok(0, "[:r :x []]")).render(), "");
}

/// Registers of which the order of versions is known, as in `mww`.
#[test]
fn values_that_are_versions_have_an_order_too() {
    let text = "w(1,1,0,0)\nw(2,20,0,0)\nw(1,10,1,1)\nw(2,2,1,1)\n";
    let read = |versions| Format::Plume.read(text.as_bytes(), versions).unwrap();
    assert_eq!(read(false).registers.dependencies(), None);
    let found = read(true).registers.dependencies().unwrap();
    assert_eq!(found.components["G0"], 1);
}
