//! Where the volumes of libvirt's storage pools are, as far as the pools' configuration says it.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::Volume;
use crate::document::{self, Document, MAX_DOCUMENT, Piece};

/// Where libvirt keeps the configuration of the system's pools, a file for each.
pub(crate) const CONFIGURED: &str = "/etc/libvirt/storage";

/// Kinds of pools whose volumes are called as files in the directory that is the pool's target: for a volume group
/// that is /dev/GROUP, for the others where the file system is mounted. Elsewhere the paths are not in the
/// configuration (disk, scsi, iscsi, mpath, zfs) or there are none (rbd, gluster and others).
const IN_TARGET: &[&str] = &["dir", "fs", "netfs", "logical"];

/// What a volume is, if the configuration of its pool in `dir` says it.
pub(crate) fn volume(dir: &Path, pool: &str, volume: &str) -> Option<Volume> {
    let is_name = |name: &str| !matches!(name, "" | "." | "..") && !name.contains(['/', '\0']);
    if !is_name(pool) || !is_name(volume) {
        return None;
    }
    let file = File::open(dir.join(format!("{pool}.xml"))).ok()?;
    let mut bytes = Vec::new();
    file.take(MAX_DOCUMENT).read_to_end(&mut bytes).ok()?;
    let text = document::text(&bytes).ok()?;
    let target = target(&text, pool)?;
    Some(Volume::Local(format!(
        "{}/{volume}",
        target.trim_end_matches('/')
    )))
}

/// The path of the pool's target, if it is the pool of this name and of a kind that has one.
fn target(text: &str, pool: &str) -> Option<String> {
    let mut document = Document::new(text);
    let mut open: Vec<Option<String>> = Vec::new();
    let (mut name, mut path) = (String::new(), String::new());
    while let Some(piece) = document.next().ok()? {
        match piece {
            Piece::Start(element) => {
                let is_pool = element.name.as_deref() == Some("pool");
                let kind = element.attribute("type").unwrap_or_default();
                if open.is_empty() && !(is_pool && IN_TARGET.contains(&kind)) {
                    return None;
                }
                open.push(element.name);
            }
            Piece::End => {
                open.pop();
            }
            Piece::Text(part) => {
                let place: Vec<_> = open.iter().map(|name| name.as_deref()).collect();
                match place.as_slice() {
                    [_, Some("name")] => name.push_str(&part),
                    [_, Some("target"), Some("path")] => path.push_str(&part),
                    _ => {}
                }
            }
        }
    }
    (name == pool && path.starts_with('/')).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGES: &str = "\
<!--
WARNING: THIS IS AN AUTO-GENERATED FILE.
-->

<pool type='dir'>
  <name>images</name>
  <uuid>6a7d2d5e-0000-4000-8000-000000000000</uuid>
  <capacity unit='bytes'>0</capacity>
  <source>
    <path>/not/this</path>
  </source>
  <target>
    <path>/srv/a&amp;b</path>
    <permissions><mode>0711</mode></permissions>
  </target>
</pool>
";

    #[test]
    fn volumes_are_in_the_target_of_their_pool() {
        let dir = std::env::temp_dir().join(format!("domain-xml-pool-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let configure = |name: &str, text: &str| std::fs::write(dir.join(name), text).unwrap();
        configure("images.xml", IMAGES);
        let group = IMAGES
            .replace("'dir'", "'logical'")
            .replace("images", "vg")
            .replace("/srv/a&amp;b", "/dev/vg/");
        configure("vg.xml", &group);
        configure(
            "disk.xml",
            &group
                .replace("logical", "disk")
                .replace("<name>vg", "<name>disk"),
        );
        configure("another.xml", IMAGES);
        configure(
            "relative.xml",
            &IMAGES.replace("/srv", "srv").replace("images", "relative"),
        );
        configure("broken.xml", "<pool type='dir'><name>broken</name>");
        configure("noise.xml", "\u{1}\u{2}");
        let local = |path: &str| Some(Volume::Local(path.to_owned()));
        assert_eq!(volume(&dir, "images", "a.img"), local("/srv/a&b/a.img"));
        assert_eq!(volume(&dir, "vg", "lv0"), local("/dev/vg/lv0"));
        for (pool, name) in [
            ("disk", "sda1"),
            ("another", "a.img"),
            ("relative", "a.img"),
            ("broken", "a.img"),
            ("noise", "a.img"),
            ("missing", "a.img"),
            ("../images", "a.img"),
            ("images", "../a.img"),
            ("images", ".."),
            ("", ""),
        ] {
            assert_eq!(volume(&dir, pool, name), None, "{pool} {name}");
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
