//! Small histories by hand, in every format, with what each model says of them.
//!
//! `corpus/NAME` is a history, and `corpus/NAME.expected` has a line `MODEL JUDGEMENT` for every model
//! that has something to say; lines that begin with `#` say what the history is about. The format is seen
//! from the content.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use squall_models::formats::Format;
use squall_models::registers::Judgement;
use squall_models::registers::Model;

#[test]
fn every_history_is_judged_as_expected() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut formats = BTreeSet::new();
    let mut wrong = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.ends_with(".expected") {
            continue;
        }
        let history = fs::read(&path).unwrap();
        let format = Format::detect(&history).unwrap_or_else(|| panic!("{name}: which format?"));
        formats.insert(format.name());
        // Only one model takes the higher of two values to win.
        let [transactions, versions] = [false, true].map(|values_are_versions| {
            format
                .read(&history[..], values_are_versions)
                .unwrap_or_else(|error| panic!("{name}: {error}"))
        });
        let expected = fs::read_to_string(path.with_file_name(format!("{name}.expected")));
        let expected = expected.unwrap_or_else(|_| panic!("{name}.expected is missing"));
        let lines = expected.lines().filter(|line| !line.starts_with('#'));
        let mut models = 0;
        for line in lines {
            let (model, judgement) = line.split_once(' ').expect("MODEL JUDGEMENT");
            let model = Model::from_name(model).unwrap_or_else(|| panic!("{name}: {line}"));
            let judgement = match judgement {
                "ok" => Judgement::Ok,
                "violation" => Judgement::Violation,
                "unknown" => Judgement::Unknown,
                other => panic!("{name}: {other}"),
            };
            let report = match model {
                Model::CausalPerKey => versions.check(model),
                _ => transactions.check(model),
            };
            if report.judgement != judgement {
                wrong.push(format!("{name}: {line}, but: {:?}", report.judgement));
            }
            models += 1;
        }
        assert!(models >= 6, "{name}: judgements of {models} models only");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // All but squall's own, which has tests of its own.
    assert_eq!(formats.len(), Format::ALL.len() - 1, "{formats:?}");
}
