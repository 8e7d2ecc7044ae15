//! A kernel's modules, with those that they need.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// The files of these modules, each after those that it needs. A module that is built in has none.
pub(crate) fn in_order(dir: &Path, names: &[&str]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    find_all(dir, &mut files)?;
    let mut order = Vec::new();
    for name in names {
        let there = add(&files, name, &mut order)?;
        ensure!(
            there,
            "the kernel in {} has no module {name}",
            dir.display()
        );
    }
    Ok(order)
}

fn add(files: &[PathBuf], name: &str, order: &mut Vec<PathBuf>) -> Result<bool> {
    let Some(file) = files.iter().find(|file| module_name(file) == plain(name)) else {
        return Ok(false);
    };
    if order.contains(file) {
        return Ok(true);
    }
    let content = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    for needed in needs(&content) {
        ensure!(
            add(files, &needed, order)?,
            "module {name} needs {needed}, which is not there"
        );
    }
    order.push(file.clone());
    Ok(true)
}

/// What stands after `depends=` among the module's strings.
fn needs(module: &[u8]) -> Vec<String> {
    let key = b"\0depends=";
    let Some(at) = module.windows(key.len()).position(|window| window == key) else {
        return Vec::new();
    };
    let value: Vec<u8> = module
        .iter()
        .skip(at + key.len())
        .copied()
        .take_while(|byte| *byte != 0)
        .collect();
    String::from_utf8_lossy(&value)
        .split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

fn module_name(file: &Path) -> String {
    plain(&file.file_stem().unwrap_or_default().to_string_lossy())
}

/// Modules' names are the same with `-` and with `_`.
fn plain(name: &str) -> String {
    name.replace('-', "_")
}

fn find_all(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries =
        std::fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() && !path.is_symlink() {
            find_all(&path, files)?;
        } else if path.extension().is_some_and(|ending| ending == "ko") {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needs_stand_among_the_modules_strings() {
        assert_eq!(needs(b"x\0depends=a,b\0y"), ["a", "b"]);
        assert!(needs(b"x\0depends=\0y").is_empty());
        assert!(needs(b"x").is_empty());
    }
}
