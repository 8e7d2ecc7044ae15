//! The string forms of libsanlock, parsed and printed as it does.
//!
//! | form | meaning |
//! |---|---|
//! | `LOCKSPACE:RESOURCE:PATH:OFFSET[:PATH:OFFSET...][:LVER]` | a resource |
//! | `LOCKSPACE:HOSTID:PATH:OFFSET` | a lockspace |
//! | resources with a space between them | what `inquire` gives (a state) |
//!
//! A colon or space that belongs to a name or path has a backslash before it. `SH` in the place of the
//! lver means shared. Numbers are read as C's `strtoull`, `scanf` and `atoll` read them: leading space, a
//! sign, and anything after the digits are let pass.

use crate::body::{Disk, Lockspace, Resource};
use crate::flags::ResourceFlags;
use crate::name::{DiskPath, Name, until_nul};

/// Longest string form of a resource, with its NUL (`SANLK_MAX_RES_STR`).
pub const MAX_RESOURCE_TEXT: usize = 4400;

/// Why a string is no resource, or a resource has no string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Fewer than three bytes.
    #[error("a resource has the form LOCKSPACE:RESOURCE:PATH:OFFSET[:PATH:OFFSET...][:LVER]")]
    TooShort,
    /// No colon, or two: a path without an offset.
    #[error(
        "each PATH of a resource needs an OFFSET after a colon (a colon in a path is written \\:)"
    )]
    Colons,
    /// More than four paths.
    #[error("{0} paths, at most 4 are possible")]
    TooManyDisks(usize),
    /// A field is empty, too long, or not a number where one is needed.
    #[error("field {0} is empty, too long (names 48 bytes, paths 1023) or not a number")]
    Field(usize),
    /// A backslash with nothing behind it.
    #[error("it ends in a backslash")]
    DanglingEscape,
    /// The string form would be longer than 4400 bytes.
    #[error("the string form would be longer than 4400 bytes")]
    TooLong,
}

impl TextError {
    /// The number that libsanlock returns: -6, -1, -2 or -22.
    pub fn code(self) -> i32 {
        match self {
            TextError::TooShort => -6,
            TextError::Colons | TextError::Field(_) | TextError::DanglingEscape => -1,
            TextError::TooManyDisks(_) => -2,
            TextError::TooLong => -22,
        }
    }
}

/// A resource from its string form (`sanlock_str_to_res`). Without a path (`LOCKSPACE:RESOURCE`) it has no
/// disks.
///
/// # Errors
/// [`TextError`] with libsanlock's number.
pub fn parse_resource(text: &[u8]) -> Result<Resource, TextError> {
    let text = until_nul(text);
    if text.len() < 3 {
        return Err(TextError::TooShort);
    }
    let colons = count_unescaped(text, b':');
    if colons == 0 || colons == 2 {
        return Err(TextError::Colons);
    }
    let num_disks = colons.saturating_sub(1) / 2;
    let has_lver = colons % 2 == 0;
    if num_disks > crate::MAX_DISKS {
        return Err(TextError::TooManyDisks(num_disks));
    }

    let mut resource = Resource::default();
    let mut path = DiskPath::default();
    for (at, field) in split_unescaping(text)?.into_iter().enumerate() {
        let bad = TextError::Field(at.saturating_add(1));
        if at < 2 {
            let name = Name::from_bytes(&field).map_err(|_| bad)?;
            if at == 0 {
                resource.lockspace = name;
            } else {
                resource.name = name;
            }
            continue;
        }
        if field.is_empty() || field.len() >= DiskPath::LEN {
            return Err(bad);
        }
        let is_lver = has_lver && resource.disks.len() == num_disks;
        if is_lver && field.starts_with(b"SH") {
            resource.flags |= ResourceFlags::SHARED;
        } else if is_lver {
            resource.flags |= ResourceFlags::LVER;
            resource.lver = strtoull(&field, Base::FromPrefix).unwrap_or(0);
        } else if at % 2 == 0 {
            path = DiskPath::from_bytes(&field).map_err(|_| bad)?;
        } else {
            let offset = strtoull(&field, Base::Ten).ok_or(bad)?;
            resource.disks.push(Disk {
                path: std::mem::take(&mut path),
                offset,
            });
        }
    }
    Ok(resource)
}

/// The string form of a resource (`sanlock_res_to_str`): always with an lver or `SH` at the end. Names
/// are printed as they are, colons in them too; only paths are escaped.
///
/// # Errors
/// [`TextError::TooLong`] beyond 4400 bytes, which one to four disks cannot reach.
pub fn format_resource(resource: &Resource) -> Result<Vec<u8>, TextError> {
    let mut text = Vec::new();
    text.extend_from_slice(resource.lockspace.as_bytes());
    text.push(b':');
    text.extend_from_slice(resource.name.as_bytes());
    for disk in &resource.disks {
        text.push(b':');
        text.extend_from_slice(&export_path(disk.path.as_bytes()));
        text.extend_from_slice(format!(":{}", disk.offset).as_bytes());
    }
    if resource.flags.contains(ResourceFlags::SHARED) {
        text.extend_from_slice(b":SH");
    } else {
        text.extend_from_slice(format!(":{}", resource.lver).as_bytes());
    }
    if text.len() >= MAX_RESOURCE_TEXT {
        return Err(TextError::TooLong);
    }
    Ok(text)
}

/// A lockspace from its string form (`sanlock_str_to_lockspace`). It never fails: fields that are not
/// there stay empty, a name is cut after 48 bytes, what is no number is 0. Backslashes stay in the name
/// and are dropped from the path.
pub fn parse_lockspace(text: &[u8]) -> Lockspace {
    let text = until_nul(text);
    let mut fields = split_at_first_colons(text, 4).into_iter();
    let name = fields.next().unwrap_or_default();
    let mut lockspace = Lockspace::named(Name::truncated(name));
    if let Some(host_id) = fields.next() {
        lockspace.host_id = atoll(host_id) as u64;
    }
    if let Some(path) = fields.next() {
        let mut raw = [0; DiskPath::LEN];
        for (to, from) in raw.iter_mut().zip(import_path(path)) {
            *to = from;
        }
        lockspace.disk.path = DiskPath::from_raw(&raw);
    }
    if let Some(offset) = fields.next() {
        lockspace.disk.offset = atoll(offset) as u64;
    }
    lockspace
}

/// Resources as one string (`sanlock_args_to_state`).
///
/// # Errors
/// [`TextError::TooLong`] if one of them is.
pub fn resources_to_state(resources: &[Resource]) -> Result<Vec<u8>, TextError> {
    let mut state = Vec::new();
    for (at, resource) in resources.iter().enumerate() {
        if at > 0 {
            state.push(b' ');
        }
        state.extend_from_slice(&format_resource(resource)?);
    }
    Ok(state)
}

/// Resources from one string (`sanlock_state_to_args`). A space before the third colon of a resource is
/// taken as part of it, since a name or path may have been written without a backslash.
///
/// # Errors
/// That of the first resource that is none.
pub fn state_to_resources(state: &[u8]) -> Result<Vec<Resource>, TextError> {
    let mut resources = Vec::new();
    let mut text = Vec::new();
    let mut escaped = false;
    let mut colons = 0usize;
    for &byte in until_nul(state) {
        if byte == b'\\' && !escaped {
            text.push(byte);
            escaped = true;
        } else if escaped && byte != b'\\' {
            text.push(byte);
            escaped = false;
        } else if escaped {
            // The C library looks for a backslash first, whatever stood before it.
            text.push(byte);
        } else if byte == b' ' && colons < 3 {
            text.extend_from_slice(b"\\ ");
        } else if byte == b' ' {
            resources.push(parse_resource(&text)?);
            text.clear();
            colons = 0;
        } else {
            colons = colons.saturating_add(usize::from(byte == b':'));
            text.push(byte);
        }
    }
    resources.push(parse_resource(&text)?);
    Ok(resources)
}

/// A path with a backslash before each colon and space (`sanlock_path_export`); what is escaped already
/// stays so. Cut after 1024 bytes.
pub fn export_path(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = until_nul(path).iter().copied();
    while let Some(byte) = bytes.next() {
        let pair = match byte {
            b'\\' => Some(bytes.next()),
            b' ' | b':' => Some(Some(byte)),
            _ => None,
        };
        let room = DiskPath::LEN.saturating_sub(out.len());
        match pair {
            Some(second) if room >= 2 => {
                out.push(b'\\');
                out.extend(second);
            }
            None if room >= 1 => out.push(byte),
            _ => break,
        }
    }
    out
}

/// A path without backslashes (`sanlock_path_import`): all of them go, also the second of two.
pub fn import_path(text: &[u8]) -> Vec<u8> {
    until_nul(text)
        .iter()
        .copied()
        .filter(|byte| *byte != b'\\')
        .collect()
}

fn count_unescaped(text: &[u8], wanted: u8) -> usize {
    let mut count = 0usize;
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        if *byte == b'\\' {
            bytes.next();
        } else if *byte == wanted {
            count = count.saturating_add(1);
        }
    }
    count
}

/// The fields between unescaped colons, without their backslashes.
fn split_unescaping(text: &[u8]) -> Result<Vec<Vec<u8>>, TextError> {
    let mut fields = Vec::new();
    let mut field = Vec::new();
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b':' => {
                fields.push(std::mem::take(&mut field));
                continue;
            }
            b'\\' => field.push(bytes.next().ok_or(TextError::DanglingEscape)?),
            _ => field.push(byte),
        }
        if field.len() > DiskPath::LEN {
            return Err(TextError::Field(fields.len().saturating_add(1)));
        }
    }
    fields.push(field);
    Ok(fields)
}

/// At most `limit` fields, split at the first unescaped colons, backslashes kept.
fn split_at_first_colons(text: &[u8], limit: usize) -> Vec<&[u8]> {
    let mut fields = Vec::new();
    let mut start = 0usize;
    let mut escaped = false;
    for (at, byte) in text.iter().enumerate() {
        if escaped {
            escaped = false;
        } else if *byte == b'\\' {
            escaped = true;
        } else if *byte == b':' && fields.len().saturating_add(1) < limit {
            fields.push(text.get(start..at).unwrap_or_default());
            start = at.saturating_add(1);
        }
    }
    fields.push(text.get(start..).unwrap_or_default());
    fields
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Base {
    Ten,
    /// 0x for hexadecimal, 0 for octal, else decimal.
    FromPrefix,
}

/// What C's `strtoull` makes of it: a sign negates modulo 2^64, too large a number is 2^64 - 1. `None` if
/// there is no number.
fn strtoull(text: &[u8], base: Base) -> Option<u64> {
    let (negative, digits) = sign(text);
    let (radix, digits) = match (base, digits) {
        (Base::FromPrefix, [b'0', b'x' | b'X', rest @ ..])
            if rest.first().is_some_and(u8::is_ascii_hexdigit) =>
        {
            (16, rest)
        }
        (Base::FromPrefix, [b'0', ..]) => (8, digits),
        _ => (10, digits),
    };
    let mut value = None;
    let mut overflow = false;
    for byte in digits {
        let Some(digit) = char::from(*byte).to_digit(radix) else {
            break;
        };
        let next = value
            .unwrap_or(0u64)
            .checked_mul(u64::from(radix))
            .and_then(|v| v.checked_add(u64::from(digit)));
        overflow |= next.is_none();
        value = Some(next.unwrap_or(u64::MAX));
    }
    let value = value?;
    Some(match (overflow, negative) {
        (true, _) => u64::MAX,
        (false, true) => value.wrapping_neg(),
        (false, false) => value,
    })
}

/// What C's `atoll` makes of it: 0 if there is no number, the nearest limit if it is out of range.
fn atoll(text: &[u8]) -> i64 {
    let (negative, digits) = sign(text);
    let mut value = 0i64;
    for byte in digits {
        let Some(digit) = char::from(*byte).to_digit(10) else {
            break;
        };
        let digit = if negative {
            -i64::from(digit)
        } else {
            i64::from(digit)
        };
        value = value.saturating_mul(10).saturating_add(digit);
    }
    value
}

fn sign(text: &[u8]) -> (bool, &[u8]) {
    let spaces = text
        .iter()
        .take_while(|b| matches!(b, b' ' | b'\t'..=b'\r'))
        .count();
    let text = text.get(spaces..).unwrap_or_default();
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Resource, TextError> {
        parse_resource(text.as_bytes())
    }

    #[test]
    fn a_resource_has_names_places_and_perhaps_a_version() {
        let resource = parse("ls:re\\:s:/dev/a\\:b:1048576:/c\\ d:0:7").unwrap();
        assert_eq!(resource.lockspace.to_string(), "ls");
        assert_eq!(resource.name.to_string(), "re:s");
        let places: Vec<_> = resource
            .disks
            .iter()
            .map(|d| (d.path.to_string(), d.offset))
            .collect();
        assert_eq!(
            places,
            [("/dev/a:b".to_owned(), 1048576), ("/c d".to_owned(), 0)]
        );
        assert_eq!((resource.lver, resource.flags), (7, ResourceFlags::LVER));
        assert_eq!(parse("a:b:/p:0").unwrap().flags, ResourceFlags::NONE);
        assert_eq!(parse("a:b:/p:0:SH").unwrap().flags, ResourceFlags::SHARED);
        assert_eq!(parse("a:b").unwrap().disks, []);
    }

    #[test]
    fn what_is_no_resource_has_the_librarys_number() {
        for (text, code) in [
            ("ab", -6),
            ("abc", -1),
            ("a:b:/p", -1),
            ("a:b:/p:x", -1),
            ("a:b::0", -1),
            ("a:b:/p:0:/p:0:/p:0:/p:0:/p:0", -2),
            ("a:b:/p:0\\", -1),
        ] {
            assert_eq!(parse(text).unwrap_err().code(), code, "{text}");
        }
        assert_eq!(TextError::TooLong.code(), -22);
    }

    #[test]
    fn numbers_are_read_as_in_c() {
        for (text, lver) in [
            ("0x10", 16),
            ("010", 8),
            ("x", 0),
            ("-1", u64::MAX),
            ("0x", 0),
        ] {
            assert_eq!(
                parse(&format!("a:b:/p:0:{text}")).unwrap().lver,
                lver,
                "{text}"
            );
        }
        assert_eq!(parse("a:b:/p: +12junk").unwrap().disks[0].offset, 12);
        assert_eq!(
            parse_lockspace(b"a:-1:/p:99999999999999999999").host_id,
            u64::MAX
        );
        assert_eq!(
            parse_lockspace(b"a:-1:/p:99999999999999999999").disk.offset,
            i64::MAX as u64
        );
    }

    #[test]
    fn a_name_of_48_bytes_is_printed_whole_and_alone() {
        let text = format!("{}:b:/p:0:1", "n".repeat(48));
        assert_eq!(
            format_resource(&parse(&text).unwrap()).unwrap(),
            text.into_bytes()
        );
        assert!(parse(&format!("{}:b:/p:0:1", "n".repeat(49))).is_err());
    }

    #[test]
    fn the_largest_resource_has_a_string() {
        let path = DiskPath::from_bytes(&[b':'; 1023]).unwrap();
        let resource = Resource {
            lver: u64::MAX,
            disks: vec![
                Disk {
                    path,
                    offset: u64::MAX
                };
                4
            ],
            ..Resource::default()
        };
        assert!(format_resource(&resource).unwrap().len() < MAX_RESOURCE_TEXT);
    }

    #[test]
    fn a_state_is_resources_with_spaces_between() {
        let text = b"a:b:/p q:0:1 a:c:/p\\ q:512:SH";
        let resources = state_to_resources(text).unwrap();
        assert_eq!(resources.len(), 2);
        assert_eq!(resources[0].disks[0].path.to_string(), "/p q");
        let printed = resources_to_state(&resources).unwrap();
        assert_eq!(printed, b"a:b:/p\\ q:0:1 a:c:/p\\ q:512:SH");
    }
}
