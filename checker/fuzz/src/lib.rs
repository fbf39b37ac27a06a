//! What every target does: whatever can be read is checked, and nothing panics.

use squall_checker::formats::Format;
use squall_checker::registers::Model;

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
        for model in MODELS {
            reading.check(model);
        }
    }
}
