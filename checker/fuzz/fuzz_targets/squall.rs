//! Whatever can be read as a history of squall's own is checked, and nothing panics.
#![no_main]

use squall_checker::transactions;
use squall_models::formats::Format;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    Format::detect(bytes);
    if let Ok(reading) = transactions::read(Format::Squall, bytes, true) {
        squall_models_fuzz::check(&reading);
    }
});
