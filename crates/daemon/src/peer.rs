//! The other end of a local socket.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Longer ones are none that a security module makes.
const LONGEST: usize = 1 << 16;

/// The security context of the process that connected, as SELinux or another security module calls it; `None` where the
/// kernel has no such module.
///
/// # Errors
/// What the kernel says.
pub fn peer_context(socket: impl AsFd) -> io::Result<Option<Vec<u8>>> {
    let fd = socket.as_fd().as_raw_fd();
    let mut context = vec![0_u8; 256];
    loop {
        let mut size = context.len() as libc::socklen_t;
        let to = context.as_mut_ptr().cast();
        // SAFETY: both places are there for the call, and have the sizes that it is told.
        let asked =
            unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_PEERSEC, to, &mut size) };
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if asked == 0 {
            // Some modules count a NUL at the end, some do not.
            let end = context.iter().position(|byte| *byte == 0);
            context.truncate(end.unwrap_or(context.len()).min(size));
            return Ok(Some(context));
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::ENOSYS | libc::ENOPROTOOPT) => return Ok(None),
            // It says how much room it needs.
            Some(libc::ERANGE) if (context.len() + 1..=LONGEST).contains(&size) => {
                context.resize(size, 0);
            }
            _ => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_end_of_a_pair_is_this_process() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let found = peer_context(&one).unwrap();
        if let Some(found) = found {
            let own = std::fs::read("/proc/self/attr/current").unwrap();
            let own = own.split(|byte| matches!(byte, 0 | b'\n')).next().unwrap();
            assert_eq!(found, own);
        }
        let file = std::fs::File::open("/proc/self/stat").unwrap();
        let failed = peer_context(&file).unwrap_err();
        assert_eq!(failed.raw_os_error(), Some(libc::ENOTSOCK));
    }
}
