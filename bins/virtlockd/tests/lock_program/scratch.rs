//! A directory of a case's own.

use std::path::{Path, PathBuf};

pub struct Scratch(PathBuf);

impl Scratch {
    /// An empty one.
    pub fn new(program: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("{program}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    pub fn dir(&self) -> &Path {
        &self.0
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// An empty file there.
    pub fn file(&self, name: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, "").unwrap();
        path
    }

    /// Removes it. One of a case that failed stays.
    pub fn remove(self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}
