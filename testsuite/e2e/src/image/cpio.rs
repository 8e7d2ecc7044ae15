//! Archives in cpio's "newc" format, of which the kernel makes its first root file system.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;

/// Directories of packages that no program here uses.
const UNUSED: &[&str] = &["gconv", "locale", "systemd", "udev"];

/// Writes entries, all owned by root.
pub(crate) struct Archive<W: Write> {
    out: W,
    inode: u32,
}

impl<W: Write> Archive<W> {
    pub(crate) fn new(out: W) -> Self {
        Archive { out, inode: 0 }
    }

    /// A directory; those above it must be there already.
    pub(crate) fn directory(&mut self, name: &str) -> io::Result<()> {
        self.entry(name, DIRECTORY | 0o755, &[])
    }

    /// A file with these permissions.
    pub(crate) fn file(&mut self, name: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        self.entry(name, FILE | (mode & 0o7777), content)
    }

    /// A symbolic link.
    pub(crate) fn link(&mut self, name: &str, target: &str) -> io::Result<()> {
        self.entry(name, LINK | 0o777, target.as_bytes())
    }

    /// What is below a directory, under another name.
    pub(crate) fn tree(&mut self, dir: &Path, name: &str) -> Result<()> {
        let mut entries = fs::read_dir(dir)
            .and_then(Iterator::collect::<io::Result<Vec<_>>>)
            .with_context(|| format!("cannot read {}", dir.display()))?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let below = format!("{name}/{}", entry.file_name().to_string_lossy());
            let about = || format!("cannot pack {}", path.display());
            let metadata = fs::symlink_metadata(&path).with_context(about)?;
            if UNUSED.iter().any(|name| entry.file_name() == *name) {
                continue;
            } else if metadata.is_dir() {
                self.directory(&below)?;
                self.tree(&path, &below)?;
            } else if metadata.is_symlink() {
                let target = fs::read_link(&path).with_context(about)?;
                self.link(&below, &target.to_string_lossy())?;
            } else {
                let content = fs::read(&path).with_context(about)?;
                self.file(&below, metadata.permissions().mode(), &content)?;
            }
        }
        Ok(())
    }

    /// Ends the archive.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.entry("TRAILER!!!", 0, &[])?;
        self.out.flush()
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        let too_large = |_| io::Error::other(format!("{name} does not fit into an archive"));
        let size = u32::try_from(content.len()).map_err(too_large)?;
        let name_size = u32::try_from(name.len() + 1).map_err(too_large)?;
        self.inode += 1;
        // Magic, inode, mode, owner, group, links, time, size, device, device of a special file, length of
        // the name, checksum (none in this format).
        let fields = [self.inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
        let mut header = String::from("070701");
        for field in fields {
            header.push_str(&format!("{field:08x}"));
        }
        self.out.write_all(header.as_bytes())?;
        self.out.write_all(name.as_bytes())?;
        self.out.write_all(&[0])?;
        self.pad(header.len() + name.len() + 1)?;
        self.out.write_all(content)?;
        self.pad(content.len())
    }

    fn pad(&mut self, length: usize) -> io::Result<()> {
        const ZEROS: [u8; 3] = [0; 3];
        let missing = length.next_multiple_of(4) - length;
        self.out.write_all(&ZEROS[..missing])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_as_cpio_writes_it() {
        let mut bytes = Vec::new();
        let mut archive = Archive::new(&mut bytes);
        archive.file("ab", 0o600, b"hello").unwrap();
        archive.finish().unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let file = "070701\
            00000001000081800000000000000000000000010000000000000005\
            0000000000000000000000000000000000000003\
            00000000ab\0\0\0\0hello\0\0\0";
        assert!(text.starts_with(&file.replace(' ', "")), "{text:?}");
        assert!(text.contains("TRAILER!!!\0"));
        assert_eq!(text.len() % 4, 0);
    }
}
