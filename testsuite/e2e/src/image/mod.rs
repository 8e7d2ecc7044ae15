//! What a machine boots: a distribution's kernel, and a first root file system with the programs under test,
//! each build of them below a directory of its own with the libraries that it needs.

mod cpio;
mod libraries;
mod modules;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::packages::{Release, Store};
use crate::programs::{Build, Ours};
use cpio::Archive;

const INIT: &str = include_str!("init.sh");

/// The modules that a machine loads; dm_mod brings the tables "linear" and "error".
const MODULES: &[&str] = &[
    "virtio_pci",
    "virtio_blk",
    "virtio_console",
    "dm_mod",
    "softdog",
];

const KERNEL: &[&str] = &["linux-image-cloud-amd64"];
const TOOL_PACKAGES: &[&str] = &[
    "busybox-static",
    "dmsetup",
    "libdevmapper1.02.1",
    "libudev1",
    "libselinux1",
    "libpcre2-8-0",
    "libc6",
];
const ORIGINAL_38: &[&str] = &[
    "sanlock",
    "libsanlock1",
    "libaio1",
    "libblkid1",
    "libuuid1",
    "libc6",
];
const ORIGINAL_39: &[&str] = &[
    "sanlock",
    "libsanlock1",
    "libaio1t64",
    "libblkid1",
    "libuuid1",
    "libc6",
];

/// Where busybox and dmsetup are on a machine.
pub(crate) const TOOLS: &str = "/set/tools";

/// What QEMU is given.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) kernel: PathBuf,
    pub(crate) initramfs: PathBuf,
}

/// What was fetched to make images of.
#[derive(Debug)]
pub(crate) struct Parts {
    system: PathBuf,
    tools: PathBuf,
    originals: BTreeMap<Build, PathBuf>,
}

impl Parts {
    /// Fetches what these builds need and is not in the store.
    pub(crate) fn fetch(store: &Store, builds: &[Build]) -> Result<Parts> {
        let mut originals = BTreeMap::new();
        for build in builds {
            let fetched = match build {
                Build::Original38 => {
                    store.unpacked("original-3.8", Release::Bookworm, ORIGINAL_38)?
                }
                Build::Original39 => store.unpacked("original", Release::Trixie, ORIGINAL_39)?,
                Build::Ours => continue,
            };
            originals.insert(*build, fetched);
        }
        Ok(Parts {
            system: store.unpacked("kernel", Release::Bookworm, KERNEL)?,
            tools: store.unpacked("tools", Release::Bookworm, TOOL_PACKAGES)?,
            originals,
        })
    }
}

/// Makes an image with these builds in the directory.
pub(crate) fn make(parts: &Parts, builds: &[Build], ours: &Ours, dir: &Path) -> Result<Image> {
    let Parts { system, tools, .. } = parts;
    let busybox = tools.join("bin/busybox");
    let initramfs = dir.join("initramfs");
    let out = File::create(&initramfs)
        .with_context(|| format!("cannot create {}", initramfs.display()))?;
    let mut archive = Archive::new(BufWriter::new(out));

    let mut root = Root::new(&mut archive, String::new())?;
    root.file("init", 0o755, INIT.as_bytes())?;
    root.program(&std::env::current_exe()?, "guest")?;
    root.copy(&busybox, "usr/bin/busybox")?;
    root.directory("modules")?;
    let mut order = String::new();
    for module in modules::in_order(&system.join("lib/modules"), MODULES)? {
        let name = module.file_name().unwrap_or_default().to_string_lossy();
        root.copy(&module, &format!("modules/{name}"))?;
        order.push_str(&format!("{name}\n"));
    }
    root.file("modules/order", 0o644, order.as_bytes())?;
    root.directory("set")?;

    let mut root = Root::new(&mut archive, relative(TOOLS))?;
    root.tree(tools)?;
    for build in builds {
        let mut root = Root::new(&mut archive, relative(build.root()))?;
        root.copy(&busybox, "usr/bin/busybox")?;
        if let Some(original) = parts.originals.get(build) {
            root.tree(original)?;
        }
        if *build == Build::Ours {
            for name in ["sanlock", "wdmd"] {
                if let Some(program) = ours.program(name) {
                    root.program(&program, &format!("usr/sbin/{name}"))?;
                }
            }
        }
    }
    archive.finish()?;
    Ok(Image {
        kernel: vmlinuz(system)?,
        initramfs,
    })
}

fn vmlinuz(system: &Path) -> Result<PathBuf> {
    let boot = system.join("boot");
    let entries = fs::read_dir(&boot).with_context(|| format!("cannot read {}", boot.display()))?;
    entries
        .flatten()
        .map(|entry| entry.path())
        .find(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("vmlinuz")
        })
        .with_context(|| format!("no kernel in {}", boot.display()))
}

fn relative(path: &str) -> String {
    path.trim_start_matches('/').to_owned()
}

/// A root directory in the archive, with the directories that today's distributions have.
struct Root<'a, W: Write> {
    archive: &'a mut Archive<W>,
    prefix: String,
    /// What is there already.
    libraries: BTreeSet<PathBuf>,
}

impl<'a, W: Write> Root<'a, W> {
    fn new(archive: &'a mut Archive<W>, prefix: String) -> Result<Self> {
        let mut root = Root {
            archive,
            prefix,
            libraries: BTreeSet::new(),
        };
        if !root.prefix.is_empty() {
            root.archive.directory(&root.prefix)?;
        }
        for dir in [
            "dev",
            "etc",
            "etc/sanlock",
            "proc",
            "run",
            "sys",
            "tmp",
            "usr",
            "usr/bin",
            "usr/lib",
            "usr/lib64",
            "usr/sbin",
            "var",
        ] {
            root.directory(dir)?;
        }
        for dir in ["bin", "lib", "lib64", "sbin"] {
            let (name, target) = (root.name(dir), format!("usr/{dir}"));
            root.archive.link(&name, &target)?;
        }
        let run = root.name("var/run");
        root.archive.link(&run, "../run")?;
        root.file("etc/passwd", 0o644, b"root:x:0:0:root:/:/bin/sh\n")?;
        root.file("etc/group", 0o644, b"root:x:0:\n")?;
        Ok(root)
    }

    fn name(&self, name: &str) -> String {
        if self.prefix.is_empty() {
            name.to_owned()
        } else {
            format!("{}/{name}", self.prefix)
        }
    }

    fn directory(&mut self, name: &str) -> Result<()> {
        Ok(self.archive.directory(&self.name(name))?)
    }

    fn file(&mut self, name: &str, mode: u32, content: &[u8]) -> Result<()> {
        Ok(self.archive.file(&self.name(name), mode, content)?)
    }

    fn copy(&mut self, file: &Path, name: &str) -> Result<()> {
        let content = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        self.file(name, 0o755, &content)
    }

    /// A program of this machine, and its libraries.
    fn program(&mut self, program: &Path, name: &str) -> Result<()> {
        self.copy(program, name)?;
        for library in libraries::of(program)? {
            if !self.libraries.insert(library.clone()) {
                continue;
            }
            let to = merged(&library.to_string_lossy());
            let mut above = String::new();
            for part in Path::new(&to).parent().iter().flat_map(|dir| dir.iter()) {
                above = format!("{above}{}/", part.to_string_lossy());
                self.directory(above.trim_end_matches('/'))?;
            }
            self.copy(&library, &to)?;
        }
        Ok(())
    }

    /// What packages brought, without what only people read.
    fn tree(&mut self, dir: &Path) -> Result<()> {
        for part in ["bin", "sbin", "lib", "lib64"] {
            for from in [dir.join(part), dir.join("usr").join(part)] {
                if from.is_dir() {
                    let to = self.name(&format!("usr/{part}"));
                    self.archive.tree(&from, &to)?;
                }
            }
        }
        Ok(())
    }
}

/// Where a library is in a root whose `/lib` is `/usr/lib`.
fn merged(path: &str) -> String {
    let path = relative(path);
    if path.starts_with("usr/") {
        path
    } else {
        format!("usr/{path}")
    }
}
