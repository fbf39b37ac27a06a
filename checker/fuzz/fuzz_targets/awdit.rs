#![no_main]

use squall_checker::formats::Format;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| squall_checker_fuzz::read(Format::Awdit, bytes));
