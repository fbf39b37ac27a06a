//! Where the random histories begin that are not made by proptest: at proptest's own seed, so that one
//! variable gives new ones everywhere.

/// `PROPTEST_RNG_SEED`, which `.cargo/config.toml` fixes.
///
/// # Panics
///
/// When it is not a number.
pub fn random_seed() -> u64 {
    let seed = std::env::var("PROPTEST_RNG_SEED").unwrap_or_else(|_| "1".to_owned());
    seed.parse()
        .unwrap_or_else(|_| panic!("PROPTEST_RNG_SEED={seed} is not a number"))
}
