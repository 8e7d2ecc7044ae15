//! Numbers as the C library reads them from an argument.
//!
//! The original takes every numeric option through `atoi`, `atoll` or `strtoull`: leading blanks, one
//! sign, as many digits as there are, and no complaint about the rest. Scripts rely on some of that
//! (`-o 10s`), so it is kept.

/// Sign, magnitude (saturated) and whether it overflowed, of the longest number at the front.
struct Magnitude {
    negative: bool,
    value: u64,
    overflowed: bool,
}

fn magnitude(text: &[u8], base: Option<u32>) -> Magnitude {
    let blanks = text
        .iter()
        .take_while(|b| b" \t\n\x0b\x0c\r".contains(b))
        .count();
    let rest = text.get(blanks..).unwrap_or_default();
    let (negative, rest) = match rest.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, rest),
    };
    let (base, digits) = match base {
        Some(base) => (base, rest),
        None => prefixed(rest),
    };
    let mut found = Magnitude {
        negative,
        value: 0,
        overflowed: false,
    };
    for digit in digits.iter().map_while(|b| char::from(*b).to_digit(base)) {
        let next = found
            .value
            .checked_mul(base.into())
            .and_then(|v| v.checked_add(digit.into()));
        found.overflowed |= next.is_none();
        found.value = next.unwrap_or(u64::MAX);
    }
    found
}

/// The base that a prefix names, and the digits after it; a prefix without digits is the number 0.
fn prefixed(text: &[u8]) -> (u32, &[u8]) {
    let base = match text {
        [b'0', b'x' | b'X', digit, ..] if digit.is_ascii_hexdigit() => 16,
        [b'0', b'b' | b'B', b'0' | b'1', ..] => 2,
        [b'0', ..] => return (8, text),
        _ => return (10, text),
    };
    (base, text.get(2..).unwrap_or_default())
}

/// `atoll`: a decimal number, saturated at the ends of its range, 0 for none.
pub(crate) fn atoll(text: &[u8]) -> i64 {
    let found = magnitude(text, Some(10));
    let limit = if found.negative { i64::MIN } else { i64::MAX };
    match i64::try_from(found.value) {
        Ok(value) if !found.overflowed && found.negative => -value,
        Ok(value) if !found.overflowed => value,
        _ => limit,
    }
}

/// `atoi`: as [`atoll`], then only the lower 32 bits.
#[expect(clippy::cast_possible_truncation, reason = "that is what atoi does")]
pub(crate) fn atoi(text: &[u8]) -> i32 {
    atoll(text) as i32
}

/// `strtoull` with base 0: decimal, `0x` hexadecimal, `0` octal, `0b` binary; a minus wraps around,
/// and too large a number is 2^64 - 1.
pub(crate) fn strtoull(text: &[u8]) -> u64 {
    let found = magnitude(text, None);
    match (found.overflowed, found.negative) {
        (true, _) => u64::MAX,
        (false, true) => found.value.wrapping_neg(),
        (false, false) => found.value,
    }
}

/// `strtoul` with base 0 put into 32 bits.
#[expect(
    clippy::cast_possible_truncation,
    reason = "that is what the original's assignment does"
)]
pub(crate) fn strtou32(text: &[u8]) -> u32 {
    strtoull(text) as u32
}

/// The number with the same bits that C takes for signed.
pub(crate) fn signed(number: u32) -> i32 {
    i32::from_ne_bytes(number.to_ne_bytes())
}

/// The number with the same bits that C takes for unsigned.
pub(crate) fn unsigned(number: i32) -> u32 {
    u32::from_ne_bytes(number.to_ne_bytes())
}

/// As [`unsigned`], of 64 bits.
pub(crate) fn unsigned64(number: i64) -> u64 {
    u64::from_ne_bytes(number.to_ne_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_numbers_stop_where_the_digits_stop() {
        for (text, expected) in [
            ("", 0),
            ("x", 0),
            ("12", 12),
            (" \t-7z", -7),
            ("+3", 3),
            ("--3", 0),
            ("0x10", 0),
            ("010", 10),
            ("9223372036854775808", i64::MAX),
            ("99999999999999999999999", i64::MAX),
            ("-9223372036854775808", i64::MIN),
            ("-99999999999999999999999", i64::MIN),
        ] {
            assert_eq!(atoll(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn atoi_keeps_the_lower_half() {
        assert_eq!(atoi(b"4294967297"), 1);
        assert_eq!(atoi(b"2147483648"), i32::MIN);
        assert_eq!(atoi(b"99999999999999999999"), -1);
    }

    #[test]
    fn bits_stay_when_signs_come_and_go() {
        assert_eq!(
            (signed(u32::MAX), unsigned(-1), unsigned64(-2)),
            (-1, u32::MAX, u64::MAX - 1)
        );
    }

    #[test]
    fn strtoull_knows_prefixes_and_wraps() {
        for (text, expected) in [
            ("0x10", 16),
            ("0X1fg", 31),
            ("0x", 0),
            ("0xz", 0),
            ("010", 8),
            ("09", 0),
            ("0b11", 3),
            ("0b2", 0),
            ("-1", u64::MAX),
            ("99999999999999999999", u64::MAX),
            ("-99999999999999999999", u64::MAX),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(strtoull(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(strtou32(b"0x100000002"), 2);
    }
}
