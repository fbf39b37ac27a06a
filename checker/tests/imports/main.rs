//! No two files of a crate import one another, directly or by way of others. What an import is, is written at
//! the top of `graph.rs`.

mod graph;

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
const LAYERS: [&str; 8] = [
    "log", "findings", "rules", "workload", "check", "online", "render", "generate",
];

#[test]
fn the_layers_of_the_checker_import_only_those_before_them() {
    let layer = |file: &str| {
        let below = file.strip_prefix("src/").expect("it is below src");
        let name = below.split(['/', '.']).next();
        LAYERS.iter().position(|layer| Some(*layer) == name)
    };
    let mut crossed = 0;
    for (file, imported) in imports(&workspace().join("checker")) {
        if file == "src/lib.rs" {
            continue;
        }
        let from = layer(&file).unwrap_or_else(|| panic!("{file} is in no layer"));
        for other in imported {
            let to = layer(&other).unwrap_or_else(|| panic!("{other} is in no layer"));
            assert!(
                to <= from,
                "{file} imports {other}: {} may only import {:?}",
                LAYERS[from],
                &LAYERS[..=from]
            );
            crossed += usize::from(to < from);
        }
    }
    assert!(crossed > 0, "the layers import one another");
}
