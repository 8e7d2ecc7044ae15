//! Checks of the packages' manifests.

use std::path::Path;

use super::files::Source;

/// Manifests that describe a package.
fn packages(sources: &[Source]) -> impl Iterator<Item = &Source> {
    sources.iter().filter(|source| {
        source.path.rsplit('/').next() == Some("Cargo.toml") && source.text.contains("[package]")
    })
}

/// The value of `key = "..."` in a manifest.
fn value<'a>(source: &'a Source, key: &str) -> Option<&'a str> {
    source.text.lines().find_map(|line| {
        let rest = line.strip_prefix(key)?.trim_start().strip_prefix('=')?;
        rest.trim()
            .strip_prefix('"')?
            .strip_suffix('"')
            .filter(|value| !value.is_empty())
    })
}

pub(super) fn licences(_: &Path, sources: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    for package in packages(sources) {
        for key in ["license", "description"] {
            if value(package, key).is_none() {
                faults.push(format!("{}: no {key}", package.path));
            }
        }
    }
    faults
}

pub(super) fn licence_texts(root: &Path, sources: &[Source]) -> Vec<String> {
    packages(sources)
        .filter_map(|package| {
            let licence = value(package, "license")?;
            let text = root.join("LICENSES").join(format!("{licence}.txt"));
            (!text.is_file()).then(|| format!("{}: {licence}", package.path))
        })
        .collect()
}

/// Whole, or one by one in the crates whose unsafe code forbids taking them over whole.
pub(super) fn lints(_: &Path, sources: &[Source]) -> Vec<String> {
    let own_workspace = |source: &&Source| source.text.contains("\n[workspace]");
    packages(sources)
        .filter(|source| !own_workspace(source))
        .filter(|source| {
            let whole = source.text.contains("[lints]\nworkspace = true");
            let each = [
                "[lints.rust]",
                "undocumented_unsafe_blocks = \"deny\"",
                "unwrap_used",
            ];
            !whole && !each.iter().all(|line| source.text.contains(line))
        })
        .map(|source| source.path.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(check: fn(&Path, &[Source]) -> Vec<String>, text: &str) -> usize {
        let source = Source {
            path: "crates/a/Cargo.toml".to_owned(),
            text: text.to_owned(),
        };
        check(Path::new("/nowhere"), &[source]).len()
    }

    #[test]
    fn a_package_needs_licence_and_description() {
        assert_eq!(faults(licences, "[package]\nname = \"a\"\n"), 2);
        assert_eq!(
            faults(licences, "[package]\nlicense = \"X\"\ndescription = \"\"\n"),
            1
        );
        assert_eq!(faults(licences, "[workspace]\n"), 0);
    }

    #[test]
    fn a_licence_needs_its_text() {
        assert_eq!(faults(licence_texts, "[package]\nlicense = \"X\"\n"), 1);
    }

    #[test]
    fn lints_are_the_workspaces_or_spelt_out() {
        assert_eq!(faults(lints, "[package]\n"), 1);
        assert_eq!(faults(lints, "[package]\n[lints]\nworkspace = true\n"), 0);
        assert_eq!(faults(lints, "[package]\n[lints.rust]\nx = 1\n"), 1);
    }
}
