//! Fixed-size strings: names of 48 bytes, disk paths of 1024, kill programs of 128.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Why a string does not fit its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} of {len} bytes is too long, at most {limit} fit")]
pub struct TooLong {
    what: &'static str,
    len: usize,
    limit: usize,
}

/// Name of a lockspace, resource or owner: up to 48 bytes, padded with NULs; 48 bytes without a
/// terminator are a name too. What stands behind the first NUL is not part of the name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name([u8; Name::LEN]);

impl Name {
    /// Bytes of the field (`SANLK_NAME_LEN`).
    pub const LEN: usize = 48;

    /// The empty name.
    pub const EMPTY: Name = Name([0; Name::LEN]);

    /// A name from the bytes up to the first NUL.
    ///
    /// # Errors
    /// [`TooLong`] if there are more than 48.
    pub fn from_bytes(bytes: &[u8]) -> Result<Name, TooLong> {
        let text = until_nul(bytes);
        let mut raw = [0; Name::LEN];
        let fits = raw.get_mut(..text.len()).ok_or(TooLong {
            what: "name",
            len: text.len(),
            limit: Name::LEN,
        })?;
        fits.copy_from_slice(text);
        Ok(Name(raw))
    }

    /// A name from the bytes up to the first NUL, cut after 48 as `strncpy` does in libsanlock.
    pub fn truncated(bytes: &[u8]) -> Name {
        let text = until_nul(bytes);
        let mut raw = [0; Name::LEN];
        for (to, from) in raw.iter_mut().zip(text) {
            *to = *from;
        }
        Name(raw)
    }

    /// The name as it lies on the wire; what follows the first NUL is dropped.
    pub fn from_raw(raw: [u8; Name::LEN]) -> Name {
        Name::truncated(&raw)
    }

    /// The bytes up to the first NUL.
    pub fn as_bytes(&self) -> &[u8] {
        until_nul(&self.0)
    }

    /// All 48 bytes.
    pub fn raw(&self) -> &[u8; Name::LEN] {
        &self.0
    }

    /// Whether the name has no bytes.
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }
}

impl Default for Name {
    fn default() -> Self {
        Name::EMPTY
    }
}

impl std::str::FromStr for Name {
    type Err = TooLong;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Name::from_bytes(s.as_bytes())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.as_bytes()))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.as_bytes()))
    }
}

/// Why a disk path cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// The field has no NUL in its 1024 bytes.
    #[error("the path has 1024 bytes and no end; at most 1023 bytes are possible")]
    NoEnd,
    /// The path has no bytes.
    #[error("the path is empty")]
    Empty,
}

impl PathFault {
    /// -36 (ENAMETOOLONG) without an end, -19 (ENODEV) if empty. Commands that answer every
    /// failure to open a disk with -19 give that for both.
    pub fn code(self) -> i32 {
        match self {
            PathFault::NoEnd => -36,
            PathFault::Empty => -19,
        }
    }
}

/// Path of a disk: at most 1023 bytes and a NUL. A field without a NUL can be received (it is kept whole)
/// but not opened: most commands that carry a lockspace never look at its path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct DiskPath(Vec<u8>);

impl DiskPath {
    /// Bytes of the field (`SANLK_PATH_LEN`).
    pub const LEN: usize = 1024;

    /// A path from the bytes up to the first NUL.
    ///
    /// # Errors
    /// [`TooLong`] if there are more than 1023.
    pub fn from_bytes(bytes: &[u8]) -> Result<DiskPath, TooLong> {
        let text = until_nul(bytes);
        let limit = DiskPath::LEN.saturating_sub(1);
        if text.len() > limit {
            return Err(TooLong {
                what: "disk path",
                len: text.len(),
                limit,
            });
        }
        Ok(DiskPath(text.to_vec()))
    }

    /// The path as it lies on the wire; only a field of 1024 bytes without a NUL fails
    /// [`DiskPath::checked`] later.
    pub fn from_raw(raw: &[u8; DiskPath::LEN]) -> DiskPath {
        DiskPath(until_nul(raw).to_vec())
    }

    /// The bytes up to the first NUL, or all 1024.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether the path has no bytes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The path, if it can be opened.
    ///
    /// # Errors
    /// [`PathFault`] for an empty path and for one without an end.
    pub fn checked(&self) -> Result<&Path, PathFault> {
        match self.0.len() {
            0 => Err(PathFault::Empty),
            len if len >= DiskPath::LEN => Err(PathFault::NoEnd),
            _ => Ok(Path::new(OsStr::from_bytes(&self.0))),
        }
    }
}

impl fmt::Display for DiskPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for DiskPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

/// Path or arguments of a kill program: 128 bytes with a NUL, so at most 127.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct HelperText(Vec<u8>);

impl HelperText {
    /// Bytes of the field (`SANLK_HELPER_PATH_LEN`, `SANLK_HELPER_ARGS_LEN`).
    pub const LEN: usize = 128;

    /// The bytes up to the first NUL, cut after 126 as libsanlock does before sending.
    pub fn truncated(bytes: &[u8]) -> HelperText {
        HelperText(until_nul(bytes).iter().take(126).copied().collect())
    }

    /// The text as it lies on the wire; the daemon replaces the last byte by a NUL.
    pub fn from_raw(raw: &[u8; HelperText::LEN]) -> HelperText {
        HelperText(until_nul(raw).iter().take(127).copied().collect())
    }

    /// The bytes before the NUL.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// All 128 bytes.
    pub fn to_raw(&self) -> [u8; HelperText::LEN] {
        let mut raw = [0; HelperText::LEN];
        for (to, from) in raw.iter_mut().zip(&self.0) {
            *to = *from;
        }
        raw
    }
}

impl fmt::Debug for HelperText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

pub(crate) fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|b| *b == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_48_bytes_needs_no_end() {
        let name = Name::from_bytes(&[b'x'; 48]).unwrap();
        assert_eq!(name.as_bytes().len(), 48);
        assert!(Name::from_bytes(&[b'x'; 49]).is_err());
        assert_eq!(Name::truncated(&[b'x'; 60]), name);
    }

    #[test]
    fn what_follows_the_nul_is_no_part_of_a_name() {
        let mut raw = [b'z'; 48];
        raw[2] = 0;
        assert_eq!(Name::from_raw(raw), "zz".parse().unwrap());
    }

    #[test]
    fn a_path_without_end_is_kept_but_not_opened() {
        let path = DiskPath::from_raw(&[b'p'; 1024]);
        assert_eq!(path.as_bytes().len(), 1024);
        assert_eq!(path.checked().unwrap_err().code(), -36);
        assert_eq!(DiskPath::default().checked().unwrap_err().code(), -19);
        let longest = DiskPath::from_bytes(&[b'p'; 1023]).unwrap();
        assert!(longest.checked().is_ok());
        assert!(DiskPath::from_bytes(&[b'p'; 1024]).is_err());
    }

    #[test]
    fn kill_programs_are_cut_as_the_library_and_the_daemon_do() {
        assert_eq!(HelperText::truncated(&[b'k'; 200]).as_bytes().len(), 126);
        assert_eq!(HelperText::from_raw(&[b'k'; 128]).as_bytes().len(), 127);
    }
}
