//! What every target does: whatever can be read is checked, and nothing panics.

use squall_models::formats::{Format, Reading};
use squall_models::registers::Model;

/// Models whose checks are quick for every history. The others search, and are bounded.
const MODELS: [Model; 4] = [
    Model::ReadCommitted,
    Model::ReadAtomic,
    Model::Causal,
    Model::CausalPerKey,
];

/// Reads bytes as a history in a format, and checks it.
pub fn read(format: Format, bytes: &[u8]) {
    Format::detect(bytes);
    if let Ok(reading) = format.read(bytes, true) {
        check(&reading);
    }
}

/// Checks what was read.
pub fn check(reading: &Reading) {
    for model in MODELS {
        reading.check(model);
    }
}
