//! How versions are printed.

use crate::version::TEXT;

/// A version number from the socket as people write it: `3.9.5`.
#[must_use]
pub fn dotted(number: u32) -> String {
    let [major, minor, patch, _] = number.to_be_bytes();
    format!("{major}.{minor}.{patch}")
}

/// The line of `sanlock --version`: the program as it was called, the sanlock it stands in for, and
/// what it really is.
#[must_use]
pub fn long(program: &str) -> String {
    format!("{program} {TEXT} (leasehold {})", env!("CARGO_PKG_VERSION"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_has_a_byte_for_each_part() {
        assert_eq!(dotted(0x0308_0500), "3.8.5");
        assert_eq!(dotted(crate::version::NUMBER), TEXT);
        assert!(long("sanlock").starts_with("sanlock 3.9.5 ("));
    }
}
