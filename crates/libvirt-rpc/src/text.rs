//! Strings and lists with the limits of their protocol.

use std::fmt;

use crate::xdr::{Decoder, Encoder, Xdr, XdrError};

/// A string of at most `MAX` bytes, none of them zero.
///
/// They need not be UTF-8: paths of files are strings too. A string that has a zero byte when it is decoded ends
/// before it, as it does for C.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Text<const MAX: usize>(Vec<u8>);

impl<const MAX: usize> Text<MAX> {
    /// Of these bytes.
    ///
    /// # Errors
    /// [`XdrError::TooLong`], [`XdrError::Nul`].
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, XdrError> {
        let bytes = bytes.into();
        if bytes.len() > MAX {
            let len = bytes.len();
            return Err(XdrError::TooLong { len, max: MAX });
        }
        if bytes.contains(&0) {
            return Err(XdrError::Nul);
        }
        Ok(Self(bytes))
    }

    /// What fits of these bytes: for messages, which are better short than missing.
    #[must_use]
    pub fn cut(bytes: impl Into<Vec<u8>>) -> Self {
        let mut bytes = bytes.into();
        bytes.truncate(MAX);
        Self(until_nul(bytes))
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
        bytes.truncate(end);
    }
    bytes
}

/// What is not UTF-8 is replaced.
impl<const MAX: usize> fmt::Display for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl<const MAX: usize> fmt::Debug for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&String::from_utf8_lossy(&self.0), f)
    }
}

impl<const MAX: usize> TryFrom<&str> for Text<MAX> {
    type Error = XdrError;

    fn try_from(text: &str) -> Result<Self, XdrError> {
        Self::new(text)
    }
}

impl<const MAX: usize> Xdr for Text<MAX> {
    fn encode(&self, to: &mut Encoder) {
        to.length(self.0.len());
        to.opaque(&self.0);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, XdrError> {
        let len = from.length(MAX)?;
        Ok(Self(until_nul(from.opaque(len)?.to_vec())))
    }
}

/// Bytes that are no string, at most `MAX` of them, as the protocol's `char data<MAX>` has them: each as a number
/// of four bytes, signed as `char` is on most machines.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Chars<const MAX: usize>(Vec<u8>);

impl<const MAX: usize> Chars<MAX> {
    /// Of these.
    ///
    /// # Errors
    /// [`XdrError::TooLong`].
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, XdrError> {
        let bytes = bytes.into();
        let len = bytes.len();
        if len > MAX {
            return Err(XdrError::TooLong { len, max: MAX });
        }
        Ok(Self(bytes))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl<const MAX: usize> Xdr for Chars<MAX> {
    fn encode(&self, to: &mut Encoder) {
        to.length(self.0.len());
        for byte in &self.0 {
            i32::from(i8::from_be_bytes([*byte])).encode(to);
        }
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, XdrError> {
        let len = from.length(MAX)?;
        let mut bytes = Vec::new();
        for _ in 0..len {
            // C keeps the lowest byte, whatever stands in the others.
            let [.., byte] = i32::decode(from)?.to_be_bytes();
            bytes.push(byte);
        }
        Ok(Self(bytes))
    }
}

/// A list of at most `MAX` values.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct List<T, const MAX: usize>(Vec<T>);

impl<T, const MAX: usize> List<T, MAX> {
    /// Of these.
    ///
    /// # Errors
    /// [`XdrError::TooLong`].
    pub fn new(values: Vec<T>) -> Result<Self, XdrError> {
        if values.len() > MAX {
            let len = values.len();
            return Err(XdrError::TooLong { len, max: MAX });
        }
        Ok(Self(values))
    }

    /// The first ones, as many as fit.
    #[must_use]
    pub fn cut(mut values: Vec<T>) -> Self {
        values.truncate(MAX);
        Self(values)
    }

    /// The values.
    #[must_use]
    pub fn into_vec(self) -> Vec<T> {
        self.0
    }
}

impl<T, const MAX: usize> Default for List<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const MAX: usize> std::ops::Deref for List<T, MAX> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: Xdr, const MAX: usize> Xdr for List<T, MAX> {
    fn encode(&self, to: &mut Encoder) {
        to.length(self.0.len());
        for value in &self.0 {
            value.encode(to);
        }
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, XdrError> {
        let len = from.length(MAX)?;
        // Grows as values come: the length alone reserves nothing.
        let mut values = Vec::new();
        for _ in 0..len {
            values.push(T::decode(from)?);
        }
        Ok(Self(values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xdr::{from_bytes, to_bytes};

    #[test]
    fn a_text_has_a_length_and_padding() {
        let text = Text::<8>::new("abcde").unwrap();
        assert_eq!(to_bytes(&text), [0, 0, 0, 5, 97, 98, 99, 100, 101, 0, 0, 0]);
        assert_eq!(from_bytes::<Text<8>>(&to_bytes(&text)), Ok(text));
    }

    #[test]
    fn a_text_ends_at_its_limit_and_at_a_zero_byte() {
        let long = XdrError::TooLong { len: 9, max: 8 };
        assert_eq!(Text::<8>::new("123456789"), Err(long));
        let bytes = to_bytes(&Text::<9>::new("123456789").unwrap());
        assert_eq!(from_bytes::<Text<8>>(&bytes), Err(long));
        assert_eq!(Text::<8>::new("a\0b"), Err(XdrError::Nul));
        let cut = from_bytes::<Text<8>>(&[0, 0, 0, 3, 97, 0, 98, 0]).unwrap();
        assert_eq!(cut.as_bytes(), b"a");
        assert_eq!(Text::<2>::cut("abc").as_bytes(), b"ab");
    }

    #[test]
    fn a_length_without_bytes_reserves_nothing() {
        let huge = to_bytes(&(1_u32 << 31));
        let bytes = from_bytes::<List<u64, { usize::MAX }>>(&huge);
        assert_eq!(bytes, Err(XdrError::Short { needed: 8, left: 0 }));
        let text = from_bytes::<Text<{ usize::MAX }>>(&huge);
        assert!(matches!(text, Err(XdrError::Short { left: 0, .. })));
    }

    #[test]
    fn lists_end_at_their_limit() {
        let list = List::<u32, 3>::new(vec![1, 2, 3]).unwrap();
        assert_eq!(
            from_bytes::<List<u32, 3>>(&to_bytes(&list)),
            Ok(list.clone())
        );
        let long = XdrError::TooLong { len: 3, max: 2 };
        assert_eq!(from_bytes::<List<u32, 2>>(&to_bytes(&list)), Err(long));
        assert_eq!(List::<u32, 2>::cut(vec![1, 2, 3]).len(), 2);
    }
}
