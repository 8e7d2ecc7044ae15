//! The version of sanlock that this program stands in for, as clients ask for it.

/// As text.
pub const TEXT: &str = "3.9.5";

/// As clients compare it: major, minor and patch in the upper three bytes.
pub const NUMBER: u32 = 0x0309_0500;
