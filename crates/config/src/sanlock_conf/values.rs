//! What a value may be.

use super::keys::{COMMANDS, Newer};
use super::lines::{Line, Value};
use super::report::Report;
use super::{DebugCmd, DebugHosts, DebugIo, LogPriority, MaxSectorsKb, MlockLevel};
use crate::nearest::nearest;

/// Reads the value of one line. Every method reports what it does not take, and returns nothing then.
pub(super) struct Reader<'r, 'l, 'f> {
    pub(super) key: &'l [u8],
    pub(super) value: Value<'l>,
    pub(super) line: &'r Line<'l>,
    pub(super) report: &'r mut Report<'f>,
}

/// Longest host name in a delta lease, in bytes.
const HOST_NAME: usize = 48;

impl Reader<'_, '_, '_> {
    /// 0 or 1; any other number counts as 1.
    pub(super) fn switch(&mut self) -> Option<bool> {
        let number = self.number(
            i64::from(i32::MIN),
            i64::from(i32::MAX),
            "0 (off) or 1 (on)",
        )?;
        if !(0..=1).contains(&number) {
            self.warn(format!("this is 0 or 1; {number} counts as 1"));
        }
        Some(number != 0)
    }

    /// A count or seconds, at least `least`.
    pub(super) fn count(&mut self, least: u32) -> Option<u32> {
        let number = self.number(
            i64::from(least),
            i64::from(i32::MAX),
            &format!("a whole number from {least}"),
        )?;
        u32::try_from(number).ok()
    }

    pub(super) fn io_timeout(&mut self) -> Option<u16> {
        let number = self.number(
            1,
            i64::from(u16::MAX),
            "seconds from 1 to 65535, which is what a lease on disk has room for",
        )?;
        u16::try_from(number).ok()
    }

    pub(super) fn grace(&mut self) -> Option<u32> {
        let number = self.number(0, 60, "seconds from 0 to 60")?;
        u32::try_from(number).ok()
    }

    pub(super) fn priority(&mut self) -> Option<LogPriority> {
        let number = self.number(
            i64::from(i32::MIN),
            i64::from(i32::MAX),
            "a syslog priority: -1 (none), 3 (errors), 4 (warnings), 6 (information) or 7 (all)",
        )?;
        let priority = LogPriority::nearest(number);
        if i64::from(priority.number()) != number {
            self.warn(format!(
                "priorities are -1 to 7; {number} counts as {}",
                priority.number()
            ));
        }
        Some(priority)
    }

    pub(super) fn debug_hosts(&mut self) -> Option<DebugHosts> {
        match self.number(0, 2, "0, 1 or 2")? {
            0 => Some(DebugHosts::Nothing),
            1 => Some(DebugHosts::States),
            _ => Some(DebugHosts::Updates),
        }
    }

    pub(super) fn mlock_level(&mut self) -> Option<MlockLevel> {
        match self.number(0, 2, "0 (none), 1 (current) or 2 (current and future)")? {
            0 => Some(MlockLevel::Nothing),
            1 => Some(MlockLevel::Current),
            _ => Some(MlockLevel::CurrentAndFuture),
        }
    }

    pub(super) fn worker_threads(&mut self) -> Option<u32> {
        const LEAST: u32 = 2;
        let number = self.number(
            i64::from(i32::MIN),
            i64::from(i32::MAX),
            "a whole number from 2",
        )?;
        match u32::try_from(number) {
            Ok(threads) if threads >= LEAST => Some(threads),
            _ => {
                self.warn(format!("{LEAST} is the least; {number} counts as {LEAST}"));
                Some(LEAST)
            }
        }
    }

    /// A user's or group's name.
    pub(super) fn account(&mut self) -> Option<String> {
        let bytes = self.value.bytes;
        if let Some(inner) = unquoted(bytes) {
            let help = format!("write {} without quotes", self.report.text(inner));
            self.refuse("quotes would be part of the name".to_owned(), Some(help));
            return None;
        }
        match std::str::from_utf8(bytes) {
            Ok(name) => Some(name.to_owned()),
            Err(_) => {
                self.refuse("the name is not UTF-8".to_owned(), None);
                None
            }
        }
    }

    pub(super) fn host_name(&mut self) -> Vec<u8> {
        let bytes = self.value.bytes;
        if unquoted(bytes).is_some() {
            self.warn("the quotes become part of the name".to_owned());
        }
        let kept = bytes.get(..HOST_NAME).unwrap_or(bytes);
        if kept.len() < bytes.len() {
            self.warn(format!(
                "a host name has at most {HOST_NAME} bytes; this one is cut to `{}`",
                self.report.text(kept)
            ));
        }
        kept.to_owned()
    }

    pub(super) fn debug_io(&mut self) -> Option<DebugIo> {
        let bytes = self.value.bytes;
        let flags = DebugIo {
            submit: contains(bytes, b"submit"),
            complete: contains(bytes, b"complete"),
        };
        if flags == DebugIo::default() {
            self.refuse(
                format!(
                    "expected `submit`, `complete` or `submit,complete`, found `{}`",
                    self.report.text(bytes)
                ),
                None,
            );
            return None;
        }
        let exact = bytes
            .split(|&byte| byte == b',')
            .all(|word| word.is_empty() || word == b"submit" || word == b"complete");
        if !exact {
            self.warn("only `submit` and `complete` have an effect here".to_owned());
        }
        Some(flags)
    }

    pub(super) fn debug_cmd(&mut self) -> Option<DebugCmd> {
        let (on, name) = match self.value.bytes {
            [b'+', name @ ..] => (true, name),
            [b'-', name @ ..] => (false, name),
            other => {
                let name = self.report.text(other);
                self.refuse(
                    format!("`{name}` starts with neither `+` nor `-`"),
                    Some(format!("write `+{name}` or `-{name}`")),
                );
                return None;
            }
        };
        if name == b"all" {
            return Some(DebugCmd::All { on });
        }
        if let Some(name) = COMMANDS.iter().find(|known| known.as_bytes() == name) {
            return Some(DebugCmd::One { name, on });
        }
        let message = format!("there is no command `{}`", self.report.text(name));
        let help = nearest(name, COMMANDS.iter().copied());
        self.refuse(
            message,
            help.map(|name| format!("perhaps `{name}` was meant")),
        );
        None
    }

    pub(super) fn max_sectors_kb(&mut self) -> Option<MaxSectorsKb> {
        let bytes = self.value.bytes;
        let found = if contains(bytes, b"ignore") {
            Some((MaxSectorsKb::Ignore, "ignore"))
        } else if contains(bytes, b"align") {
            Some((MaxSectorsKb::Align, "align"))
        } else {
            None
        };
        if let Some((setting, word)) = found {
            if bytes != word.as_bytes() {
                self.warn(format!("this counts as `{word}`"));
            }
            return Some(setting);
        }
        let expected = "`ignore`, `align` or an even number of KiB from 2 to 8192";
        let number = self.number(2, 8192, expected)?;
        if number % 2 != 0 {
            self.refuse(format!("expected {expected}, found {number}"), None);
            return None;
        }
        u32::try_from(number).ok().map(MaxSectorsKb::Kilobytes)
    }

    pub(super) fn hugepages(&mut self) -> Option<bool> {
        match self.value.bytes {
            b"all" => Some(true),
            b"none" => Some(false),
            other => {
                let message = format!(
                    "expected `all` or `none`, found `{}`",
                    self.report.text(other)
                );
                self.refuse(message, None);
                None
            }
        }
    }

    /// The number at the start of the value, as C's `atoi` takes it, if it is within the bounds.
    fn number(&mut self, least: i64, most: i64, expected: &str) -> Option<i64> {
        let bytes = self.value.bytes;
        let digits_from = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
        let digits = bytes
            .iter()
            .skip(digits_from)
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let (number, rest) = bytes.split_at_checked(digits_from + digits)?;
        let parsed = std::str::from_utf8(number)
            .ok()
            .and_then(|text| text.parse::<i64>().ok())
            .filter(|number| (least..=most).contains(number));
        let Some(parsed) = parsed else {
            let help = match bytes.to_ascii_lowercase().as_slice() {
                b"yes" | b"true" | b"on" => Some("write 1".to_owned()),
                b"no" | b"false" | b"off" => Some("write 0".to_owned()),
                _ => None,
            };
            let found = self.report.text(bytes);
            self.refuse(format!("expected {expected}, found `{found}`"), help);
            return None;
        };
        if !rest.is_empty() && !rest.starts_with(b"#") {
            let rest = self.report.text(rest);
            self.warn(format!("this counts as {parsed}; `{rest}` has no effect"));
        }
        Some(parsed)
    }

    fn warn(&mut self, message: String) {
        let message = self.about(&message);
        self.report
            .warning(self.line, self.value.place.clone(), message, None);
    }

    fn refuse(&mut self, message: String, help: Option<String>) {
        let message = self.about(&message);
        self.report
            .error(self.line, self.value.place.clone(), message, help);
    }

    /// Messages start with the key, because a log shows them without the line.
    fn about(&self, message: &str) -> String {
        format!("{}: {message}", self.report.text(self.key))
    }
}

/// Reports a setting of sanlock 4.x or 5.x, unless it asks for what is done anyway.
pub(super) fn newer(key: Newer, line: &Line<'_>, report: &mut Report<'_>) {
    let value = line.value(report).map(|value| value.bytes);
    let instead = match (key, value) {
        (Newer::CreateOldDeltaDiskVersion, Some(b"3.4"))
        | (Newer::CreateOldPaxosDiskVersion, Some(b"6.4"))
        | (Newer::UseCompareAndWrite, Some(b"no")) => return,
        (_, None) => return,
        (Newer::CreateOldDeltaDiskVersion, _) => "delta leases are always of version 3.4",
        (Newer::CreateOldPaxosDiskVersion, _) => "paxos leases are always of version 6.4",
        (Newer::UseCompareAndWrite | Newer::CawFua | Newer::CawDpo, _) => {
            "compare-and-write leases are not used"
        }
    };
    report.warning(
        line,
        line.key_place(),
        format!(
            "{}: this setting of sanlock 4 and later is not supported; {instead}",
            report.text(line.key())
        ),
        None,
    );
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

/// What is within the quotes, if the value is quoted.
fn unquoted(bytes: &[u8]) -> Option<&[u8]> {
    match bytes {
        [b'"', inner @ .., b'"'] | [b'\'', inner @ .., b'\''] => Some(inner),
        _ => None,
    }
}
