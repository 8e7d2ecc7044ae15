//! Unmounting when nobody else can.

use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Looks at the process that serves the file system until it is gone, then unmounts by force, which
/// lets go whoever waits for an answer.
///
/// A process that uses the file system it serves can die only in part: a thread that waits for an
/// answer stays, and with it every descriptor, so that the end of a pipe would not be noticed.
const SCRIPT: &str = r#"
trap '' INT TERM HUP
alive() {
    while read -r key state rest; do
        case "$key$state" in State:[ZX]) return 1 ;; State:*) return 0 ;; esac
    done 2>/dev/null < "/proc/$1/status"
    return 1
}
while alive "$2"; do sleep 0.2; done
umount -f -l "$1" || umount -l "$1" || fusermount3 -uz "$1" || fusermount -uz "$1"
"#;

/// A process that unmounts when this one dies.
#[derive(Debug)]
pub(crate) struct Guard(Child);

impl Guard {
    pub(crate) fn new(mount_point: &Path) -> io::Result<Self> {
        let child = Command::new("sh")
            .args(["-c", SCRIPT, "faultfs-guard"])
            .arg(mount_point)
            .arg(std::process::id().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self(child))
    }
}

impl Drop for Guard {
    /// It is unmounted already: by the time the guard would do it, something else could be there.
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
