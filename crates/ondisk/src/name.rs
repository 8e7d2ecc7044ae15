//! Names of lockspaces, resources and hosts.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

/// The name of a lockspace, of a resource, or of the host that owns a delta lease.
///
/// Any bytes but NUL, at most 48 of them, in a field of 48: a shorter name ends at the first NUL, one of
/// 48 bytes has no end mark. Names are compared up to their end, as the C program's `strncmp` does;
/// what stands in the field behind the end matters only to [`Name::raw`].
#[derive(Clone, Copy)]
pub struct Name([u8; Name::LEN]);

/// A name does not fit into its field.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a name of {len} bytes is too long: at most 48 fit")]
pub struct NameTooLong {
    /// The name's length in bytes.
    pub len: usize,
}

impl Name {
    /// The length of the field in bytes.
    pub const LEN: usize = 48;

    /// The empty name.
    pub const EMPTY: Self = Self([0; Self::LEN]);

    /// The name that ends at the first NUL of `bytes`, or with them.
    ///
    /// # Errors
    /// If more than 48 bytes stand before the end.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NameTooLong> {
        let name = up_to_nul(bytes);
        let mut field = [0; Self::LEN];
        match field.get_mut(..name.len()) {
            Some(place) => place.copy_from_slice(name),
            None => return Err(NameTooLong { len: name.len() }),
        }
        Ok(Self(field))
    }

    /// The field as found on disk or in a message, kept as it is even behind the end of the name.
    pub fn from_raw(field: [u8; Self::LEN]) -> Self {
        Self(field)
    }

    /// The name without padding.
    pub fn as_bytes(&self) -> &[u8] {
        up_to_nul(&self.0)
    }

    /// The whole field.
    pub fn raw(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// Whether the name has no bytes.
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }

    /// The name as text; bytes that are not UTF-8 become U+FFFD.
    pub fn to_str_lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.as_bytes())
    }
}

fn up_to_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

impl FromStr for Name {
    type Err = NameTooLong;

    fn from_str(name: &str) -> Result<Self, NameTooLong> {
        Self::from_bytes(name.as_bytes())
    }
}

impl Default for Name {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Name {}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.to_str_lossy())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_str_lossy())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_48_bytes_needs_no_nul() {
        let long = "n".repeat(48);
        let name: Name = long.parse().unwrap();
        assert_eq!(name.as_bytes(), long.as_bytes());
        assert_eq!(name.raw(), long.as_bytes());
        assert_eq!("n".repeat(49).parse::<Name>(), Err(NameTooLong { len: 49 }));
    }

    #[test]
    fn a_name_ends_at_the_first_nul() {
        let mut bytes = [b'x'; 60];
        bytes[2] = 0;
        let name = Name::from_bytes(&bytes).unwrap();
        assert_eq!(name.as_bytes(), b"xx");
        assert_eq!(
            name.raw()[2..],
            [0; 46],
            "behind the end the field is padded"
        );
        assert_eq!(Name::from_bytes(b"").unwrap(), Name::EMPTY);
        assert!(Name::from_bytes(b"\0x").unwrap().is_empty());
    }

    #[test]
    fn what_stands_behind_the_end_does_not_make_another_name() {
        let mut field = [0; 48];
        field[..4].copy_from_slice(b"ls\0x");
        let dirty = Name::from_raw(field);
        let clean: Name = "ls".parse().unwrap();
        assert_eq!(dirty, clean);
        assert_eq!(dirty.cmp(&clean), Ordering::Equal);
        assert_ne!(dirty.raw(), clean.raw());
        assert_ne!(clean, "lS".parse().unwrap());
        assert_ne!(clean, "ls1".parse().unwrap());
    }

    #[test]
    fn names_are_shown_lossily_and_padded() {
        let name = Name::from_bytes(b"a\xffb").unwrap();
        assert_eq!(name.to_string(), "a\u{fffd}b");
        assert_eq!(format!("{:>5}", "ab".parse::<Name>().unwrap()), "   ab");
        assert_eq!(format!("{:?}", "ab".parse::<Name>().unwrap()), "\"ab\"");
    }
}
