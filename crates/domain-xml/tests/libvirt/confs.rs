//! Whether libvirt's drivers start on a configuration file exactly where ours takes it, and with the same settings.

use std::path::{Path, PathBuf};

use config::libvirt_conf::LoadError;
use config::{qemu_lockd_conf, qemu_sanlock_conf};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::harness::{Outcome, skipped};
use crate::oracle::{Driver, ask, directory, ours, status_file};

/// Texts that are or are not in the grammar; `KEY` is a setting whose value is seen in what the drivers do.
const TEXTS: &[&str] = &[
    "",
    "\n",
    "  \n",
    "# a comment",
    "  # a comment\n  KEY = 1\n",
    "KEY=1",
    "KEY=0;",
    "KEY\t=\t1 ; # comment\n",
    "KEY = 1 # comment",
    "KEY = 1; unknown = 2\n",
    "KEY = 1 unknown = 2\n",
    "KEY = +1\r\n",
    "KEY = -0\n",
    "KEY = 2\n",
    "KEY = 01\n",
    "KEY = 1x\n",
    "KEY = \"1\"\n",
    "KEY = yes\n",
    "KEY = [ 1 ]\n",
    "KEY =\n1\n",
    "KEY\n= 1\n",
    "KEY : 1\n",
    "KEY = 0\nKEY = 1\n",
    "KEY = 1\nKEY = \"x\"\n",
    "other = \"x\nKEY = 1\n",
    "other = 'it is \"quoted\"'\nKEY = 1\n",
    "other = \"\"\"two\nlines\"\"\"\nKEY = 1\n",
    "other = \"\"\"not ended\nKEY = 1\n",
    "other = \"\"\"\"\"\"",
    "other = \"\"\"\"\"\"\n",
    "other = [ 'a', \"b\", 1, [ 2 ], ]\nKEY = 1\n",
    "other = [\n'a'\n,\n]\nKEY = 1",
    "other = [ 'a' 'b' ]\n",
    "other = [ 'a', # c\n 'b' ]\n",
    "other = [ , ]\n",
    "other = [ 'a'\n",
    "_other = 1\n",
    "1other = 1\n",
    "other-name = 1\n",
    "other = -\n",
    "other = \u{fffd}\n",
    "\u{feff}KEY = 1\n",
];

pub fn all() -> Outcome {
    let dir = directory("confs");
    let domain = dir.join("domain.xml");
    status_file(
        &domain,
        "<domain type='qemu' id='1'><name>g</name><uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid>\
         <memory>1024</memory><vcpu>1</vcpu><os><type arch='x86_64'>hvm</type></os>\
         <devices><disk><source file='/a'/><target dev='vda'/></disk></devices></domain>",
    );
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let piece = select(vec![
        "KEY", "other", "=", "=", " ", "\n", "\n", ";", "#", "\"", "'", "\"\"\"", "[", "]", ",",
        "1", "0", "-", "\t", "\r",
    ]);
    let generated = proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat());
    let texts = TEXTS
        .iter()
        .map(|text| (*text).to_owned())
        .chain((0..100).map(|_| generated.new_tree(&mut runner).unwrap().current()));
    let mut count = 0;
    for text in texts {
        for (driver, key) in [
            (Driver::Sanlock, "require_lease_for_disks"),
            (Driver::Lockd, "require_lease_for_disks"),
            (Driver::Lockd, "auto_disk_leases"),
        ] {
            let text = text.replace("KEY", key);
            if let Err(why) = compare(driver, &text, &domain) {
                return skipped(why);
            }
            count += 1;
        }
    }
    println!("measured: {count} configuration files read alike");
    Outcome::Passed
}

/// # Errors
/// What is missing to ask libvirt.
fn compare(driver: Driver, text: &str, domain: &PathBuf) -> Result<(), String> {
    let session = ask(driver, text.as_bytes(), std::slice::from_ref(domain))?;
    let taken = taken(driver, text);
    assert_eq!(
        session.ready,
        taken.is_ok(),
        "{driver:?} on {text:?}: {taken:?}"
    );
    if let [(theirs, why)] = session.answers.as_slice() {
        let (ours, our_why) = ours(driver, text.as_bytes(), domain);
        assert_eq!(ours, *theirs, "{driver:?} on {text:?}: {why} / {our_why}");
    }
    Ok(())
}

fn taken(driver: Driver, text: &str) -> Result<usize, LoadError> {
    let (name, text) = (Path::new("conf"), text.as_bytes());
    match driver {
        Driver::Sanlock => {
            qemu_sanlock_conf::parse(name, text).map(|loaded| loaded.diagnostics.len())
        }
        Driver::Lockd => qemu_lockd_conf::parse(name, text).map(|loaded| loaded.diagnostics.len()),
    }
}

/// As they are, and with each setting that they show switched on.
pub fn shipped() -> Outcome {
    let dir = directory("shipped");
    for (driver, text) in [
        (
            Driver::Sanlock,
            include_str!("../../../../conf/qemu-sanlock.conf"),
        ),
        (
            Driver::Lockd,
            include_str!("../../../../conf/qemu-lockd.conf"),
        ),
    ] {
        let switched_on: String = text
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(setting) if !setting.is_empty() && !setting.starts_with(' ') => setting,
                _ => line,
            })
            .map(|line| format!("{line}\n"))
            .collect();
        assert_ne!(text, switched_on);
        // Not to leave anything in the host's directory; and the user may not be there.
        let switched_on = switched_on
            .replace("/var/lib/libvirt/sanlock", &dir.display().to_string())
            .replace("\"sanlock\"\n", "\"root\"\n");
        for text in [text, &switched_on] {
            match ask(driver, text.as_bytes(), &[]) {
                Err(why) => return skipped(why),
                Ok(session) => assert!(session.ready, "{driver:?} does not start on:\n{text}"),
            }
            assert_eq!(taken(driver, text).unwrap(), 0);
        }
    }
    Outcome::Passed
}
