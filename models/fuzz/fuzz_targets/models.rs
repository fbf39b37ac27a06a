//! The models against their definitions, on small histories that the fuzzer looks for: as in
//! `tests/registers_by_definition.rs`, but guided by what the checker does with them.
#![no_main]

#[path = "../../tests/support/commit_order.rs"]
mod commit_order;

use commit_order::{By, build, exercises, history, holds, with_other_versions};
use squall_models::registers::{Merge, Model};
use squall_models::registers::Judgement;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let [first, rest @ ..] = bytes else {
        return;
    };
    let mut history = history(rest, 5);
    let merge = match first {
        0..128 => Merge::Transaction,
        step => {
            history = with_other_versions(history, 1 + u64::from(*step) % 96);
            Merge::PerKey
        }
    };
    let registers = build(&history, merge);
    for &model in Model::ALL {
        if model == Model::CausalPerKey && merge == Merge::Transaction {
            continue;
        }
        let expected = match holds(&history, model, merge, By::Permutation) {
            false => Judgement::Violation,
            true if exercises(&history, model) => Judgement::Ok,
            true => Judgement::Unknown,
        };
        let found = registers.check(model).judgement;
        assert_eq!(found, expected, "{model:?} {merge:?} {history:#?}");
    }
});
