//! XDR (RFC 4506) as far as libvirt uses it.
//!
//! Read as libtirpc reads it: any number but 0 is true, and padding bytes may be anything. Written with padding
//! of zeros.

/// Bytes that are not what was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum XdrError {
    /// The bytes end before the value does.
    #[error("{needed} more bytes expected, {left} are left")]
    Short {
        /// Bytes that the value still has.
        needed: usize,
        /// Bytes that there are.
        left: usize,
    },
    /// A string or list is longer than its protocol allows.
    #[error("a length of {len} where at most {max} is allowed")]
    TooLong {
        /// As given.
        len: usize,
        /// As allowed.
        max: usize,
    },
    /// A string with a zero byte inside, which C would cut there.
    #[error("a string with a zero byte in it")]
    Nul,
    /// A union's number that selects nothing.
    #[error("{0} selects no member of the union")]
    Union(i32),
}

/// A value with an encoding.
pub trait Xdr: Sized {
    /// Appends the encoding.
    fn encode(&self, to: &mut Encoder);

    /// Takes the value from the front.
    ///
    /// # Errors
    /// When the bytes are none of its encodings.
    fn decode(from: &mut Decoder<'_>) -> Result<Self, XdrError>;
}

/// The encoding of one value.
pub fn to_bytes(value: &impl Xdr) -> Vec<u8> {
    let mut encoder = Encoder::default();
    value.encode(&mut encoder);
    encoder.into_bytes()
}

/// The value at the front of these bytes. What follows it is of no interest, as it is not to libvirt.
///
/// # Errors
/// Those of [`Xdr::decode`].
pub fn from_bytes<T: Xdr>(bytes: &[u8]) -> Result<T, XdrError> {
    T::decode(&mut Decoder::new(bytes))
}

/// Collects encodings.
#[derive(Debug, Default)]
pub struct Encoder {
    bytes: Vec<u8>,
}

impl Encoder {
    /// What was collected.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Appends to what is there.
    #[must_use]
    pub fn after(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    /// Bytes of a length that both sides know, then padding.
    pub fn opaque(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        let padding = padding(bytes.len());
        self.bytes.extend(std::iter::repeat_n(0, padding));
    }

    /// A length. One that does not fit 32 bits cannot be decoded again; the types of this crate have none.
    pub fn length(&mut self, length: usize) {
        u32::try_from(length).unwrap_or(u32::MAX).encode(self);
    }
}

/// Takes values from the front of some bytes.
#[derive(Debug)]
pub struct Decoder<'a> {
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    /// Of these bytes.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been taken.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], XdrError> {
        let Some((taken, rest)) = self.rest.split_at_checked(len) else {
            let left = self.rest.len();
            let needed = len;
            return Err(XdrError::Short { needed, left });
        };
        self.rest = rest;
        Ok(taken)
    }

    /// Bytes of a known length, and their padding.
    ///
    /// # Errors
    /// [`XdrError::Short`].
    pub fn opaque(&mut self, len: usize) -> Result<&'a [u8], XdrError> {
        let bytes = self.take(len)?;
        self.take(padding(len))?;
        Ok(bytes)
    }

    /// A length of at most `max`.
    ///
    /// # Errors
    /// [`XdrError::TooLong`], [`XdrError::Short`].
    pub fn length(&mut self, max: usize) -> Result<usize, XdrError> {
        let len = usize::try_from(u32::decode(self)?).unwrap_or(usize::MAX);
        if len > max {
            return Err(XdrError::TooLong { len, max });
        }
        Ok(len)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], XdrError> {
        let bytes = self.take(N)?;
        <[u8; N]>::try_from(bytes).map_err(|_| XdrError::Short { needed: N, left: 0 })
    }
}

/// Zeros that fill up to a multiple of four.
fn padding(len: usize) -> usize {
    len.next_multiple_of(4) - len
}

macro_rules! number {
    ($($type:ty),*) => { $(
        impl Xdr for $type {
            fn encode(&self, to: &mut Encoder) {
                to.bytes.extend_from_slice(&self.to_be_bytes());
            }

            fn decode(from: &mut Decoder<'_>) -> Result<Self, XdrError> {
                from.array().map(<$type>::from_be_bytes)
            }
        }
    )* };
}

number!(u32, i32, u64, i64, f64);

impl Xdr for bool {
    fn encode(&self, to: &mut Encoder) {
        u32::from(*self).encode(to);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, XdrError> {
        Ok(u32::decode(from)? != 0)
    }
}

impl Xdr for () {
    fn encode(&self, _: &mut Encoder) {}

    fn decode(_: &mut Decoder<'_>) -> Result<Self, XdrError> {
        Ok(())
    }
}

/// Opaque bytes of a fixed length.
impl<const N: usize> Xdr for [u8; N] {
    fn encode(&self, to: &mut Encoder) {
        to.opaque(self);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, XdrError> {
        let bytes = from.array()?;
        from.take(padding(N))?;
        Ok(bytes)
    }
}

/// A pointer: whether there is something, then that.
impl<T: Xdr> Xdr for Option<T> {
    fn encode(&self, to: &mut Encoder) {
        self.is_some().encode(to);
        if let Some(value) = self {
            value.encode(to);
        }
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, XdrError> {
        bool::decode(from)?.then(|| T::decode(from)).transpose()
    }
}

/// Defines structs whose encoding is that of their fields, one after the other.
macro_rules! xdr_structs {
    ($($(#[$about:meta])* pub struct $name:ident {
        $($(#[$field_about:meta])* pub $field:ident: $type:ty,)*
    })*) => { $(
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $($(#[$field_about])* pub $field: $type,)*
        }

        impl $crate::xdr::Xdr for $name {
            fn encode(&self, to: &mut $crate::xdr::Encoder) {
                $(self.$field.encode(to);)*
            }

            fn decode(
                from: &mut $crate::xdr::Decoder<'_>,
            ) -> Result<Self, $crate::xdr::XdrError> {
                Ok(Self { $($field: $crate::xdr::Xdr::decode(from)?,)* })
            }
        }
    )* };
}

pub(crate) use xdr_structs;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_big_endian() {
        assert_eq!(to_bytes(&0x0102_0304_u32), [1, 2, 3, 4]);
        assert_eq!(to_bytes(&-2_i32), [255, 255, 255, 254]);
        assert_eq!(to_bytes(&1_u64), [0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(from_bytes::<i64>(&[255; 8]), Ok(-1));
        assert_eq!(from_bytes::<f64>(&to_bytes(&1.5_f64)), Ok(1.5));
    }

    #[test]
    fn any_number_but_zero_is_true() {
        assert_eq!(from_bytes::<bool>(&[0, 0, 1, 0]), Ok(true));
        assert_eq!(from_bytes::<bool>(&[0; 4]), Ok(false));
        assert_eq!(to_bytes(&true), [0, 0, 0, 1]);
    }

    #[test]
    fn opaque_bytes_are_filled_up() {
        assert_eq!(to_bytes(&[7_u8; 5]), [7, 7, 7, 7, 7, 0, 0, 0]);
        assert_eq!(from_bytes::<[u8; 5]>(&[7, 7, 7, 7, 7, 9, 9, 9]), Ok([7; 5]));
        let short = XdrError::Short { needed: 3, left: 2 };
        assert_eq!(from_bytes::<[u8; 5]>(&[7; 7]), Err(short));
    }

    #[test]
    fn what_may_be_missing() {
        assert_eq!(to_bytes(&Some(9_u32)), [0, 0, 0, 1, 0, 0, 0, 9]);
        assert_eq!(from_bytes::<Option<u32>>(&[0; 8]), Ok(None));
        let short = XdrError::Short { needed: 4, left: 0 };
        assert_eq!(from_bytes::<Option<u32>>(&[0, 0, 0, 1]), Err(short));
    }
}
