//! Imports `other` by an alias, in a macro.

use crate::other as another;

pub fn cycle() {
    println!("{}", another::other());
}
