//! Names what `below` defines, by the root's re-export; and `cycle`, but only in a test.

pub fn shared() -> crate::Shared {
    crate::Shared
}

#[cfg(test)]
mod tests {
    use crate::cycle::cycle;
}
