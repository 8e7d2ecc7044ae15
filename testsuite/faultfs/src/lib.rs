//! A file system over a directory whose requests can be made to hang, fail, wait or tear.
//!
//! It stands in for storage that misbehaves, under the C program as well as under ours: a request that
//! hangs here holds its caller in the kernel, where no signal reaches it, as a dead disk does. Every
//! file is read and written directly, without the page cache, and `O_DIRECT` opens work.

mod control;
mod faults;
mod guard;
mod inodes;
mod passthrough;
mod rule;
mod workers;

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fuser::{BackgroundSession, Config, MountOption, Session, SessionACL};
use nix::mount::{MntFlags, umount2};

pub use control::{Control, send};
pub use faults::Faults;
use guard::Guard;
use passthrough::Passthrough;
pub use rule::{Command, CommandError, Fault, Kind, Kinds, Rule};

/// The commands of the control socket.
pub const COMMANDS: &str = "\
hang|hold|tear|short [KIND] [PATTERN]
error|lose ERRNO [KIND] [PATTERN]
delay MILLISECONDS [KIND] [PATTERN]
recover [PATTERN]
status

hang   the request is done and answered only after `recover`
hold   the request is done at once, and answered only after `recover`
tear   the first half of the sectors is done, the request fails with EIO
short  the first half of the sectors is done, the answer says so
error  the request is not done and fails
lose   the request is done and fails nevertheless
delay  the request is done later
recover takes back all rules, or those with exactly this pattern
KIND is read, write, open, close, stat, io (read and write; when left out) or all
PATTERN is matched against the path below the mount point; * and ? as in a shell, also for /
Of several rules that meet a request the last one counts.
The answer is a line: `ok`, what `status` tells, or `error: ` and why.";

/// How long requests under way may take when the file system is unmounted.
const LAST_REQUESTS: Duration = Duration::from_secs(5);

/// A mounted file system; unmounted when this is dropped, or when the process dies in any way.
#[derive(Debug)]
pub struct FaultFs {
    mount_point: PathBuf,
    faults: Faults,
    session: Option<BackgroundSession>,
    guard: Option<Guard>,
}

impl FaultFs {
    /// Shows the directory `backing` at the directory `mount_point`.
    ///
    /// # Errors
    /// Mounting needs root or `fusermount3`; see [`missing`].
    pub fn mount(mount_point: &Path, backing: &Path) -> io::Result<Self> {
        let mount_point = mount_point.canonicalize()?;
        let faults = Faults::default();
        let file_system = Passthrough::new(backing.canonicalize()?, faults.clone());
        let mut config = Config::default();
        config.mount_options = vec![
            MountOption::FSName("faultfs".to_owned()),
            MountOption::Subtype("faultfs".to_owned()),
            MountOption::DefaultPermissions,
            MountOption::NoDev,
            MountOption::NoSuid,
        ];
        if nix::unistd::geteuid().is_root() {
            config.acl = SessionACL::All;
        }
        let session = Session::new(file_system, &mount_point, &config)?.spawn()?;
        let mut mounted = Self {
            mount_point,
            faults,
            session: Some(session),
            guard: None,
        };
        mounted.guard = Some(Guard::new(&mounted.mount_point)?);
        Ok(mounted)
    }

    /// What goes wrong here.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Where it is mounted.
    #[must_use]
    pub fn mount_point(&self) -> &Path {
        &self.mount_point
    }
}

impl Drop for FaultFs {
    /// Lets go who waits for a held request, then unmounts: lazily, for files may still be open, and by
    /// force, so that whoever uses them from now on fails. A process that closes its own files here
    /// while it ends, with nobody left to answer, would otherwise never end.
    fn drop(&mut self) {
        self.faults.recover();
        self.faults.wait_until_idle(LAST_REQUESTS);
        // Without the rights to do so the session does it, by fusermount.
        let _ = umount2(
            &self.mount_point,
            MntFlags::MNT_DETACH | MntFlags::MNT_FORCE,
        );
        drop(self.session.take());
        drop(self.guard.take());
    }
}

/// What is missing here for [`FaultFs::mount`], if anything.
#[must_use]
pub fn missing() -> Option<String> {
    let device = Path::new("/dev/fuse");
    if let Err(error) = OpenOptions::new().read(true).write(true).open(device) {
        return Some(format!("{}: {error}", device.display()));
    }
    let helpers = [
        "/bin/fusermount3",
        "/usr/bin/fusermount3",
        "/bin/fusermount",
    ];
    let can_mount =
        nix::unistd::geteuid().is_root() || helpers.iter().any(|helper| Path::new(helper).exists());
    (!can_mount).then(|| "mounting needs root or fusermount3".to_owned())
}
