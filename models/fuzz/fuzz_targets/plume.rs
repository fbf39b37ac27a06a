#![no_main]

use squall_models::formats::Format;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| squall_models_fuzz::read(Format::Plume, bytes));
