//! How fast the checker is in a browser, to be compared with the same program outside of one. It
//! prints and asserts no time, so it runs only when asked for; see this crate's README.

#![allow(
    clippy::print_stdout,
    reason = "allow-print-in-tests does not see through the name"
)]

use squall_checker::generate as mww;
use squall_checker::{check, read_history, write_history};
use squall_models::formats::plume;
use squall_models::generate::registers;
use squall_models::registers::{Judgement, Model};

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::{console_log as print_line, wasm_bindgen_test as test};
#[cfg(target_family = "wasm")]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_dedicated_worker);
#[cfg(not(target_family = "wasm"))]
use std::println as print_line;

/// Each is done this often, and the fastest counts: whatever else the machine does makes it slower only.
const RUNS: usize = 7;

/// Milliseconds since some moment.
#[cfg(target_family = "wasm")]
fn now() -> f64 {
    use wasm_bindgen::JsCast;
    let worker: web_sys::WorkerGlobalScope = js_sys::global().unchecked_into();
    worker.performance().expect("browsers have a clock").now()
}

/// Milliseconds since some moment.
#[cfg(not(target_family = "wasm"))]
fn now() -> f64 {
    static BEGAN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    let began = BEGAN.get_or_init(std::time::Instant::now);
    began.elapsed().as_secs_f64() * 1e3
}

/// Reads and judges a text again and again, and prints how long each took.
fn measure<H>(
    name: &str,
    operations: u64,
    text: &[u8],
    read: impl Fn(&[u8]) -> H,
    holds: impl Fn(&H) -> bool,
) {
    let times = (0..RUNS).map(|_| {
        let began = now();
        let history = read(text);
        let was_read = now();
        assert!(holds(&history));
        (was_read - began, now() - was_read)
    });
    let fastest = times.min_by(|a, b| (a.0 + a.1).total_cmp(&(b.0 + b.1)));
    let (reading, judging) = fastest.expect("there are runs");
    print_line!(
        "{name:>15}: {operations} operations in {:.0} ms (reading {reading:.0}, judging {judging:.0}), \
         {:.2} million per second",
        reading + judging,
        operations as f64 / (reading + judging) / 1e3
    );
}

#[test]
#[ignore = "it measures, and proves nothing"]
fn registers_of_unknown_order() {
    for (transactions, sessions) in [(100_000, 10), (100_000, 100)] {
        let mut text = Vec::new();
        let config = registers::Config::new(transactions, 8, sessions);
        registers::write_plume(&config, &mut text).expect("writing to memory");
        measure(
            &format!("{transactions}x8x{sessions}"),
            8 * transactions,
            &text,
            |text| plume::read(text).expect("it was just written"),
            |history| history.check(Model::Causal).judgement == Judgement::Ok,
        );
    }
}

#[test]
#[ignore = "it measures, and proves nothing"]
fn own_histories() {
    let config = mww::Config {
        native: 9,
        postgres: 1,
        ..mww::Config::new(1, 10_000)
    };
    let history = mww::generate(&config);
    let counts = check(&history).counts;
    let mut text = Vec::new();
    write_history(&history, &mut text).expect("writing to memory");
    measure(
        "mww 10000",
        counts.rows_read + counts.rows_written,
        &text,
        |text| read_history(text).expect("it was just written"),
        |history| check(history).exit_code() == 0,
    );
}
