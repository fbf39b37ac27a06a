//! No two files of a crate import one another, directly or by way of others, and where a crate is in layers, each
//! imports only those before it. What an import is, is written at the top of `graph.rs`.

mod graph;

use std::cmp::Ordering;
use std::fs;
use std::path::{Path, PathBuf};

use graph::{cycles, imports, shortest_cycle};

fn workspace() -> PathBuf {
    let checker = Path::new(env!("CARGO_MANIFEST_DIR"));
    checker.parent().expect("the workspace's folder").to_owned()
}

/// The folders of all crates of the workspace.
fn crates() -> Vec<String> {
    let entries = fs::read_dir(workspace()).expect("the workspace can be read");
    let mut crates: Vec<String> = entries
        .map(|entry| entry.expect("the workspace can be read"))
        .filter(|entry| {
            entry.path().join("Cargo.toml").exists() && entry.path().join("src").exists()
        })
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    crates.sort();
    crates
}

#[test]
fn there_are_no_cycles_of_files() {
    let crates = crates();
    assert!(crates.iter().any(|name| name == "checker"), "{crates:?}");
    for name in &crates {
        let imports = imports(&workspace().join(name));
        let cycles: Vec<String> = cycles(&imports)
            .iter()
            .map(|cycle| shortest_cycle(&imports, cycle).join(" → "))
            .collect();
        assert!(cycles.is_empty(), "{name}:\n{}", cycles.join("\n"));
    }
}

#[test]
fn imports_are_found_in_every_spelling() {
    let example = workspace().join("checker/tests/imports/example");
    let imports = imports(&example);
    let of = |file: &str| -> Vec<&str> {
        let of_file = imports[&format!("src/{file}.rs")].iter();
        of_file.map(|other| &other["src/".len()..]).collect()
    };
    assert_eq!(of("apart"), ["below.rs"]);
    assert_eq!(of("below"), [""; 0]);
    assert_eq!(of("below/deep"), ["below.rs"]);
    assert_eq!(of("cycle"), ["other.rs"]);
    assert_eq!(of("other"), ["cycle.rs"]);
    let cycles = cycles(&imports);
    assert_eq!(cycles, [["src/cycle.rs", "src/other.rs"]]);
    assert_eq!(
        shortest_cycle(&imports, &cycles[0]),
        ["src/cycle.rs", "src/other.rs", "src/cycle.rs"]
    );
}

/// The layers of the checker: each imports only itself and those before it.
const CHECKER: &[&str] = &[
    "log", "findings", "rules", "workload", "check", "online", "render", "generate",
];
/// The folders of the coordinator and the files beside them, likewise.
const COORDINATOR: &[&str] = &[
    "environment_variable",
    "output",
    "exit",
    "recorder",
    "system",
    "plan",
    "fleet",
    "faults",
    "report",
    "run",
    "cli",
    "commands",
];

/// The imports of a crate from one layer to a later one, and how many go the right way. The files in which a
/// crate begins may import anything.
fn against_layers(name: &str, layers: &[&str]) -> (Vec<String>, usize) {
    let layer = |file: &str| {
        let below = file.strip_prefix("src/").expect("it is below src");
        let name = below.split(['/', '.']).next();
        let found = layers.iter().position(|layer| Some(*layer) == name);
        found.unwrap_or_else(|| panic!("{file} of {name:?} is in no layer"))
    };
    let (mut wrong, mut right) = (Vec::new(), 0);
    for (file, imported) in imports(&workspace().join(name)) {
        if ["src/lib.rs", "src/main.rs"].contains(&file.as_str()) {
            continue;
        }
        for other in imported {
            match layer(&other).cmp(&layer(&file)) {
                Ordering::Greater => wrong.push(format!("{name}: {file} imports {other}")),
                Ordering::Equal => {}
                Ordering::Less => right += 1,
            }
        }
    }
    (wrong, right)
}

#[test]
fn layers_import_only_those_before_them() {
    for (name, layers) in [("checker", CHECKER), ("coordinator", COORDINATOR)] {
        let (wrong, right) = against_layers(name, layers);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(right > 0, "{name}: the layers import one another");
    }
}
