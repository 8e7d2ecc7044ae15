//! What every kind of disk asks of a request before it is sent.

use std::path::Path;
use std::time::Duration;

use crate::IoError;

/// How many requests on one disk may be under way after their callers gave up on them.
///
/// A disk with that many hangs: further requests on it fail at once with [`IoError::TooManyStuck`]
/// instead of joining them.
pub const STUCK_PER_DISK: usize = 8;

/// A request that its caller gave up on counts as stuck when it has been under way for so long, unless
/// [`crate::PoolOptions::stuck_after`] says otherwise: a caller may drop several that are about to be
/// answered, which does not make the disk one that hangs.
pub const STUCK_AFTER: Duration = Duration::from_secs(1);

/// The most that one request may transfer, in bytes: twice the largest lease area.
pub const MAX_TRANSFER: usize = 16 << 20;

/// Refuses what is not whole sectors, is empty, too large, or ends beyond what an offset can say.
pub(crate) fn check_whole_sectors(
    path: &Path,
    action: &str,
    sector_size: u32,
    offset: u64,
    len: usize,
) -> Result<(), IoError> {
    let sector = u64::from(sector_size);
    let refuse = |reason: &str| {
        Err(IoError::Invalid(format!(
            "{action} {len} bytes at {offset} of {}: {reason}",
            path.display()
        )))
    };
    let Ok(length) = u64::try_from(len) else {
        return refuse("too large");
    };
    if len == 0 || len > MAX_TRANSFER {
        return refuse("not between one sector and 16 MiB");
    }
    if sector == 0 || offset % sector != 0 || length % sector != 0 {
        return refuse(&format!("not whole sectors of {sector_size} bytes"));
    }
    match offset.checked_add(length) {
        Some(end) if i64::try_from(end).is_ok() => Ok(()),
        _ => refuse("beyond the largest offset"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sector: u32, offset: u64, len: usize) -> bool {
        check_whole_sectors(Path::new("/d"), "read", sector, offset, len).is_ok()
    }

    #[test]
    fn only_whole_sectors_within_bounds_pass() {
        assert!(check(512, 0, 512));
        assert!(check(512, 1 << 40, 1 << 20));
        assert!(check(4096, 4096, 8 << 20));
        assert!(check(512, 0, MAX_TRANSFER));
        assert!(!check(512, 0, 0));
        assert!(!check(512, 0, MAX_TRANSFER + 512));
        assert!(!check(512, 1, 512));
        assert!(!check(512, 0, 513));
        assert!(!check(4096, 512, 4096));
        assert!(!check(4096, 0, 512));
        assert!(!check(0, 0, 512));
        assert!(!check(512, u64::MAX - 511, 512));
        assert!(!check(512, (1 << 63) - 512, 512));
    }
}
