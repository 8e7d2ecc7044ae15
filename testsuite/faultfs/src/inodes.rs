//! The numbers by which the kernel knows files, and their paths in the backing directory.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use fuser::INodeNo;

/// Numbers are given out once and never forgotten: the file systems of tests are small.
#[derive(Debug)]
pub(crate) struct Inodes {
    paths: BTreeMap<u64, PathBuf>,
    numbers: BTreeMap<PathBuf, u64>,
    last: u64,
}

impl Inodes {
    pub(crate) fn new() -> Self {
        let root = INodeNo::ROOT.0;
        Self {
            paths: BTreeMap::from([(root, PathBuf::new())]),
            numbers: BTreeMap::from([(PathBuf::new(), root)]),
            last: root,
        }
    }

    /// Relative to the backing directory.
    pub(crate) fn path(&self, number: INodeNo) -> Option<&Path> {
        self.paths.get(&number.0).map(PathBuf::as_path)
    }

    pub(crate) fn child(&self, parent: INodeNo, name: &OsStr) -> Option<PathBuf> {
        self.path(parent).map(|parent| parent.join(name))
    }

    pub(crate) fn number(&mut self, path: &Path) -> INodeNo {
        if let Some(known) = self.numbers.get(path) {
            return INodeNo(*known);
        }
        self.last += 1;
        self.numbers.insert(path.to_owned(), self.last);
        self.paths.insert(self.last, path.to_owned());
        INodeNo(self.last)
    }

    /// The name is free again; whoever has the file open keeps its number.
    pub(crate) fn removed(&mut self, path: &Path) {
        self.numbers.remove(path);
    }

    /// The file and all that is below it have moved.
    pub(crate) fn renamed(&mut self, from: &Path, to: &Path) {
        self.numbers.remove(to);
        let moved: Vec<_> = self
            .numbers
            .iter()
            .filter_map(|(path, number)| {
                let rest = path.strip_prefix(from).ok()?;
                let new = if rest.as_os_str().is_empty() {
                    to.to_owned()
                } else {
                    to.join(rest)
                };
                Some((path.clone(), *number, new))
            })
            .collect();
        for (old, number, new) in moved {
            self.numbers.remove(&old);
            self.numbers.insert(new.clone(), number);
            self.paths.insert(number, new);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_files_that_move() {
        let mut inodes = Inodes::new();
        assert_eq!(inodes.path(INodeNo::ROOT), Some(Path::new("")));
        let directory = inodes.number(Path::new("a"));
        let file = inodes.number(Path::new("a/f"));
        let other = inodes.number(Path::new("ab"));
        let overwritten = inodes.number(Path::new("b"));
        inodes.renamed(Path::new("a"), Path::new("b"));
        assert_eq!(inodes.path(directory), Some(Path::new("b")));
        assert_eq!(inodes.path(file), Some(Path::new("b/f")));
        assert_eq!(inodes.path(other), Some(Path::new("ab")));
        assert_eq!(inodes.number(Path::new("b")), directory);
        assert_ne!(directory, overwritten);
        inodes.removed(Path::new("b/f"));
        assert_ne!(inodes.number(Path::new("b/f")), file);
    }
}
