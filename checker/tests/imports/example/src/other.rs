//! Imports `cycle` without any `use`.

pub fn other() -> u8 {
    super::cycle::cycle();
    1
}
