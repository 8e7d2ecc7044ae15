//! What the daemon tells its helper.

use nix::sys::signal::Signal;

use crate::Error;

/// Room for a path, in bytes, the terminating NUL included (`SANLK_HELPER_PATH_LEN`).
pub const PATH_LEN: usize = 128;
/// Room for a program's arguments, in bytes, the terminating NUL included (`SANLK_HELPER_ARGS_LEN`).
pub const ARGUMENTS_LEN: usize = 128;

/// Bytes of an order in the pipe.
pub(super) const LEN: usize = 512;

/// An order to the helper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    RunProgram {
        path: Vec<u8>,
        arguments: Vec<u8>,
        pid: Option<i32>,
    },
    Kill {
        pid: i32,
        signal: Signal,
        start_time: Option<u64>,
    },
    SetSysfs {
        path: Vec<u8>,
        value: u32,
    },
}

impl Order {
    /// Run a program: a client's kill path.
    ///
    /// `arguments` are separated by spaces, `\ ` and `\\` stand for a space and a backslash in one; no
    /// more than 7 are passed on. `pid`, the process that holds the lease, follows as the last one.
    /// A path without a slash is looked for in `PATH`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is no path, a NUL in either, or one is too long.
    pub fn run_program(path: &[u8], arguments: &[u8], pid: Option<i32>) -> Result<Self, Error> {
        if path.is_empty() {
            return Err(Error::Invalid("a program to run needs a path".to_owned()));
        }
        check("the path of a program", path, PATH_LEN)?;
        check("the arguments of a program", arguments, ARGUMENTS_LEN)?;
        Ok(Self(Kind::RunProgram {
            path: path.to_owned(),
            arguments: arguments.to_owned(),
            pid,
        }))
    }

    /// Send a signal to the process `pid`, if it is the one that started at `start_time` (of
    /// [`Process::start_time`](crate::Process::start_time); any if not given).
    ///
    /// # Errors
    /// [`Error::Invalid`] for pids that name no single process.
    pub fn kill(pid: i32, signal: Signal, start_time: Option<u64>) -> Result<Self, Error> {
        if pid <= 1 {
            return Err(Error::Invalid(format!(
                "{pid} is not the pid of a process that may be killed"
            )));
        }
        Ok(Self(Kind::Kill {
            pid,
            signal,
            start_time,
        }))
    }

    /// Set the largest request of a block device, in KiB: `/sys/dev/block/MAJOR:MINOR/queue/max_sectors_kb`.
    ///
    /// # Errors
    /// None now; the numbers of every device fit.
    pub fn set_max_sectors_kb(major: u64, minor: u64, kilobytes: u32) -> Result<Self, Error> {
        let path = format!("/sys/dev/block/{major}:{minor}/queue/max_sectors_kb").into_bytes();
        check("the path of a setting", &path, PATH_LEN)?;
        Ok(Self(Kind::SetSysfs {
            path,
            value: kilobytes,
        }))
    }

    pub(super) fn kind(&self) -> &Kind {
        &self.0
    }

    /// The record in the pipe, in this machine's byte order.
    pub(super) fn encode(&self) -> [u8; LEN] {
        let mut record = Record([0; LEN]);
        match &self.0 {
            Kind::RunProgram {
                path,
                arguments,
                pid,
            } => {
                record.put(TYPE, &[RUN_PROGRAM]);
                record.put(PID, &pid.unwrap_or(0).to_ne_bytes());
                record.put(PATH, path);
                record.put(ARGUMENTS, arguments);
            }
            Kind::Kill {
                pid,
                signal,
                start_time,
            } => {
                record.put(TYPE, &[KILL]);
                record.put(PID, &pid.to_ne_bytes());
                record.put(SIGNAL, &(*signal as i32).to_ne_bytes());
                record.put(START_TIME, &start_time.unwrap_or(0).to_ne_bytes());
            }
            Kind::SetSysfs { path, value } => {
                record.put(TYPE, &[SET_SYSFS]);
                record.put(PATH, path);
                record.put(ARGUMENTS, value.to_string().as_bytes());
            }
        }
        record.0
    }

    /// `None` for what [`Order::encode`] never makes.
    pub(super) fn decode(record: [u8; LEN]) -> Option<Self> {
        let record = Record(record);
        let pid = i32::from_ne_bytes(record.get(PID)?);
        match record.get::<1>(TYPE)? {
            [RUN_PROGRAM] => Self::run_program(
                record.text(PATH, PATH_LEN)?,
                record.text(ARGUMENTS, ARGUMENTS_LEN)?,
                (pid != 0).then_some(pid),
            )
            .ok(),
            [KILL] => {
                let signal = Signal::try_from(i32::from_ne_bytes(record.get(SIGNAL)?)).ok()?;
                let start_time = u64::from_ne_bytes(record.get(START_TIME)?);
                Self::kill(pid, signal, (start_time != 0).then_some(start_time)).ok()
            }
            [SET_SYSFS] => {
                let path = record.text(PATH, PATH_LEN)?;
                let value = record.text(ARGUMENTS, ARGUMENTS_LEN)?;
                let value = std::str::from_utf8(value).ok()?.parse().ok()?;
                path.starts_with(b"/sys/").then(|| {
                    Self(Kind::SetSysfs {
                        path: path.to_owned(),
                        value,
                    })
                })
            }
            _ => None,
        }
    }
}

fn check(what: &str, text: &[u8], room: usize) -> Result<(), Error> {
    if text.len() >= room {
        return Err(Error::Invalid(format!(
            "{what} has {} bytes; there is room for {}",
            text.len(),
            room - 1
        )));
    }
    if text.contains(&0) {
        return Err(Error::Invalid(format!("{what} has a NUL in it")));
    }
    Ok(())
}

const RUN_PROGRAM: u8 = 1;
const KILL: u8 = 2;
const SET_SYSFS: u8 = 3;

// Where the fields are.
const TYPE: usize = 0;
const PID: usize = 8;
const SIGNAL: usize = 12;
const PATH: usize = 16;
const ARGUMENTS: usize = PATH + PATH_LEN;
const START_TIME: usize = ARGUMENTS + ARGUMENTS_LEN;

struct Record([u8; LEN]);

impl Record {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        for (to, from) in self.0.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
    }

    fn get<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.0.get(at..)?.first_chunk().copied()
    }

    fn text(&self, at: usize, room: usize) -> Option<&[u8]> {
        let field = self.0.get(at..)?.get(..room)?;
        field.split(|&byte| byte == 0).next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn orders() -> Vec<Order> {
        vec![
            Order::run_program(b"/usr/bin/kill me", b"a\\ b c", Some(7)).unwrap(),
            Order::run_program(&[b'p'; 127], &[b'a'; 127], None).unwrap(),
            Order::run_program(b"p", b"", None).unwrap(),
            Order::kill(7, Signal::SIGKILL, Some(u64::MAX)).unwrap(),
            Order::kill(i32::MAX, Signal::SIGTERM, None).unwrap(),
            Order::set_max_sectors_kb(8, 16, 1024).unwrap(),
            Order::set_max_sectors_kb(u64::MAX, u64::MAX, u32::MAX).unwrap(),
        ]
    }

    #[test]
    fn what_is_sent_arrives() {
        for order in orders() {
            assert_eq!(Order::decode(order.encode()), Some(order));
        }
    }

    #[test]
    fn fields_are_where_upstream_has_them() {
        let record = Order::kill(0x0102_0304, Signal::SIGTERM, None)
            .unwrap()
            .encode();
        assert_eq!(record[0], 2);
        assert_eq!(record[8..12], 0x0102_0304_i32.to_ne_bytes());
        assert_eq!(record[12..16], 15_i32.to_ne_bytes());
        let record = Order::set_max_sectors_kb(8, 1, 512).unwrap().encode();
        assert!(record[16..].starts_with(b"/sys/dev/block/8:1/queue/max_sectors_kb\0"));
        assert!(record[144..].starts_with(b"512\0"));
    }

    #[test]
    fn no_order_reaches_a_group_or_init() {
        for pid in [1, 0, -1, -17, i32::MIN] {
            assert!(Order::kill(pid, Signal::SIGKILL, None).is_err());
            let mut record = Order::kill(2, Signal::SIGKILL, None).unwrap().encode();
            record[8..12].copy_from_slice(&pid.to_ne_bytes());
            assert_eq!(Order::decode(record), None);
        }
    }

    #[test]
    fn texts_have_bounds() {
        assert!(Order::run_program(b"", b"", None).is_err());
        assert!(Order::run_program(&[b'p'; 128], b"", None).is_err());
        assert!(Order::run_program(b"p", &[b'a'; 128], None).is_err());
        assert!(Order::run_program(b"p\0q", b"", None).is_err());
    }

    #[test]
    fn only_settings_of_the_kernel_are_written() {
        let mut record = Order::set_max_sectors_kb(8, 1, 512).unwrap().encode();
        record[16..20].copy_from_slice(b"/etc");
        assert_eq!(Order::decode(record), None);
    }

    proptest! {
        #[test]
        fn no_record_makes_it_panic(record in proptest::array::uniform32(any::<u8>())) {
            let mut whole = [0; LEN];
            for (index, byte) in whole.iter_mut().enumerate() {
                *byte = record[index % 32];
            }
            for kind in 0..5 {
                whole[0] = kind;
                if let Some(order) = Order::decode(whole) {
                    prop_assert_eq!(Order::decode(order.encode()), Some(order));
                }
            }
        }
    }
}
