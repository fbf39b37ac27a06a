//! Variables of the environment, as squall reads them.

use std::ffi::OsString;

/// An environment variable; one that is set to nothing counts as not set.
pub fn environment_variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}
