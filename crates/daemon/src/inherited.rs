//! Descriptors that a process was started with: from a service manager, or from the program that ran before it in
//! the same process.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// What was open beyond the standard three when the program started, to be taken by number, each once.
#[derive(Debug)]
pub struct Inherited(BTreeSet<RawFd>);

impl Inherited {
    /// Lists them. It must be the first thing that a program does: what is opened before it would be taken for
    /// inherited. The second call in a process finds nothing.
    ///
    /// # Errors
    /// When `/proc` does not say what is open.
    pub fn at_start() -> io::Result<Self> {
        static LISTED: AtomicBool = AtomicBool::new(false);
        if LISTED.swap(true, Ordering::SeqCst) {
            return Ok(Self(BTreeSet::new()));
        }
        let mut found = BTreeSet::new();
        for entry in std::fs::read_dir("/proc/self/fd")? {
            let name = entry?.file_name();
            found.extend(name.to_str().and_then(|name| name.parse::<RawFd>().ok()));
        }
        // The directory itself was among them, and is closed now.
        found.retain(|fd| *fd > 2 && is_open(*fd));
        Ok(Self(found))
    }

    /// Whether this one was inherited and has not been taken.
    #[must_use]
    pub fn has(&self, fd: RawFd) -> bool {
        self.0.contains(&fd)
    }

    /// Those that have not been taken.
    pub fn numbers(&self) -> impl Iterator<Item = RawFd> {
        self.0.iter().copied()
    }

    /// Whether this process holds a POSIX record lock on the file of one that has not been taken: as only the program
    /// that ran before in this process can have taken it, such a file must stay open.
    #[must_use]
    pub fn holds_locks(&self) -> bool {
        self.numbers().any(|fd| {
            let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}"));
            info.is_ok_and(|info| {
                let mut lines = info.lines();
                lines.any(|line| line.starts_with("lock:") && line.contains("POSIX"))
            })
        })
    }

    /// Whether one that has not been taken is a socket that is listened on, or another one.
    ///
    /// # Errors
    /// `ENOTSOCK` for what is no socket, `EBADF` for what was not inherited.
    pub fn is_listening(&self, fd: RawFd) -> io::Result<bool> {
        if !self.has(fd) {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        let mut value: libc::c_int = 0;
        let mut size = size_of::<libc::c_int>() as libc::socklen_t;
        let to = std::ptr::from_mut(&mut value).cast();
        // SAFETY: both places are there for the call, and have the size that it is told.
        let asked =
            unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_ACCEPTCONN, to, &mut size) };
        match asked {
            0 => Ok(value != 0),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Takes one.
    ///
    /// # Errors
    /// `EBADF` for what was not inherited or has been taken.
    pub fn take(&mut self, fd: RawFd) -> io::Result<OwnedFd> {
        if !self.0.remove(&fd) {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        // SAFETY: it was open when the program started, so nothing in the program has made it its own, and it is taken
        // only once.
        let descriptor = unsafe { OwnedFd::from_raw_fd(fd) };
        nix::fcntl::fcntl(
            &descriptor,
            nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC),
        )?;
        Ok(descriptor)
    }

    /// The sockets that the service manager listens on for this process (sd_listen_fds(3)), with their names; nothing
    /// without a service manager.
    ///
    /// # Errors
    /// A sentence about what the environment says.
    pub fn take_sockets(&mut self) -> Result<Vec<(String, OwnedFd)>, String> {
        let variable = |name| std::env::var(name).ok();
        let number = |name| variable(name).and_then(|text| text.parse::<u32>().ok());
        if number("LISTEN_PID") != Some(std::process::id()) {
            return Ok(Vec::new());
        }
        let count = usize::try_from(number("LISTEN_FDS").unwrap_or(0)).unwrap_or(0);
        if count == 0 {
            return Ok(Vec::new());
        }
        let Some(names) = variable("LISTEN_FDNAMES") else {
            return Err("Missing LISTEN_FDNAMES env from systemd socket activation".to_owned());
        };
        let names: Vec<&str> = names.split(':').collect();
        if names.len() != count {
            return Err(format!(
                "Expecting {count} FD names but got {}",
                names.len()
            ));
        }
        (3..)
            .zip(names)
            .map(|(fd, name)| {
                let taken = self.take(fd);
                let taken = taken.map_err(|error| format!("socket {fd} ({name}): {error}"))?;
                Ok((name.to_owned(), taken))
            })
            .collect()
    }
}

/// Keeps descriptors open for the program that is executed next, whoever owns them here; whether all of them are open.
#[must_use]
pub fn keep_open(numbers: impl IntoIterator<Item = RawFd>) -> bool {
    numbers.into_iter().fold(true, |all, fd| {
        // SAFETY: the call takes numbers and touches no memory of ours; an owner here still closes what it owns.
        let kept = unsafe { libc::fcntl(fd, libc::F_SETFD, 0) } >= 0;
        all && kept
    })
}

fn is_open(fd: RawFd) -> bool {
    // SAFETY: the call takes two numbers and touches no memory of ours.
    unsafe { libc::fcntl(fd, libc::F_GETFD) >= 0 }
}
