//! The original program beside ours: running both, comparing what they say.

use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Ours.
pub(crate) const OURS: &str = env!("CARGO_BIN_EXE_sanlock");

/// Where another original than the installed one is.
const VARIABLE: &str = "SANLOCK_ORIGINAL";

/// The original, or `None` after saying that the test is skipped and why.
pub(crate) fn original(test: &str) -> Option<PathBuf> {
    let path = std::env::var_os(VARIABLE).map_or("/usr/sbin/sanlock".into(), PathBuf::from);
    if path.exists() {
        return Some(path);
    }
    eprintln!(
        "skipped: {test}: the original sanlock is not at {} (${VARIABLE})",
        path.display()
    );
    None
}

/// The original's version: `[3, 8, 5]`.
pub(crate) fn version(original: &Path) -> Vec<u32> {
    let output = Command::new(original).arg("version").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.trim()
        .split('.')
        .filter_map(|part| part.parse().ok())
        .collect()
}

/// A new empty directory on a real file system, removed in the end.
pub(crate) struct Dir(pub(crate) PathBuf);

impl Dir {
    pub(crate) fn new() -> Dir {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("original-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        Dir(path)
    }

    /// A file of so many mebibytes.
    pub(crate) fn disk(&self, name: &str, mebibytes: u64) -> String {
        let path = self.0.join(name);
        fs::File::create(&path)
            .unwrap()
            .set_len(mebibytes << 20)
            .unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Lets `name` lead to `target`, whatever it led to before.
    pub(crate) fn point(&self, name: &str, target: &str) -> String {
        let path = self.0.join(name);
        let _ = fs::remove_file(&path);
        symlink(target, &path).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The original's daemon, without watchdog, in a run directory of its own.
pub(crate) struct Daemon {
    child: Child,
    dir: Dir,
}

impl Daemon {
    pub(crate) fn start(original: &Path, host_name: &str) -> Daemon {
        let dir = Dir::new();
        let child = Command::new(original)
            .args(["daemon", "-D", "-w", "0", "-e", host_name])
            .env("SANLOCK_RUN_DIR", &dir.0)
            .env("SANLOCK_PRIVILEGED", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let daemon = Daemon { child, dir };
        let deadline = Instant::now() + Duration::from_secs(30);
        while run(original, &daemon.dir.0, "client version")
            .stdout
            .contains("error")
        {
            assert!(
                Instant::now() < deadline,
                "the original daemon does not answer"
            );
            sleep(Duration::from_millis(50));
        }
        daemon
    }

    pub(crate) fn run_dir(&self) -> &Path {
        &self.dir.0
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process that holds leases until it is dropped.
pub(crate) struct Holder(Child);

impl Holder {
    /// Has a program run under the resources, and waits until it is.
    pub(crate) fn start(program: &Path, run_dir: &Path, resources: &[&str]) -> Holder {
        let mut command = Command::new(program);
        command.args(["client", "command"]);
        for resource in resources {
            command.args(["-r", resource]);
        }
        let mut child = command
            .args(["-c", "/bin/sh", "-c", "echo holding; exec sleep 1000"])
            .env("SANLOCK_RUN_DIR", run_dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = [0; 8];
        child
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut said)
            .unwrap();
        assert_eq!(
            &said, b"holding\n",
            "the program does not run, or more was said than it did"
        );
        Holder(child)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a program said, and how it ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) status: Option<i32>,
}

/// Runs a program with the words of a line.
pub(crate) fn run(program: &Path, run_dir: &Path, line: &str) -> Said {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(program)
        .args(line.split_whitespace())
        .env("SANLOCK_RUN_DIR", run_dir)
        .env("SANLOCK_HINTS", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Said {
        stdout: text(stdout),
        stderr: text(stderr),
        status: status.code(),
    }
}

/// Waits until the daemon holds no more than so many leases that are no orphans: it releases those of a
/// process some time after the process's end.
pub(crate) fn settle(original: &Path, run_dir: &Path, most: usize) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let status = run(original, run_dir, "status").stdout;
        let is_held = |line: &&str| line.starts_with("r ") && !line.ends_with(" ORPHAN");
        if status.lines().filter(is_held).count() <= most {
            return;
        }
        assert!(Instant::now() < deadline, "not released: {status}");
        sleep(Duration::from_millis(20));
    }
}

/// Both programs' lines, one after the other; panics with all that differ.
pub(crate) struct Comparison<'a> {
    pub(crate) original: &'a Path,
    pub(crate) run_dir: &'a Path,
    differences: Vec<String>,
    compared: u32,
}

impl<'a> Comparison<'a> {
    pub(crate) fn new(original: &'a Path, run_dir: &'a Path) -> Comparison<'a> {
        Comparison {
            original,
            run_dir,
            differences: Vec::new(),
            compared: 0,
        }
    }

    /// Runs the line with both, and notes where output (made comparable by `normal`) or status differ.
    pub(crate) fn line_as(&mut self, line: &str, normal: impl Fn(&str) -> String) {
        let theirs = run(self.original, self.run_dir, line);
        let ours = run(Path::new(OURS), self.run_dir, line);
        self.same(line, &theirs, &ours, normal);
    }

    /// As [`Comparison::line_as`], every byte of the output.
    pub(crate) fn line(&mut self, line: &str) {
        self.line_as(line, str::to_owned);
    }

    /// As [`Comparison::line`], each run after the leases of the one before are released.
    pub(crate) fn settled_line(&mut self, line: &str, most_held: usize) {
        let [theirs, ours] = [self.original, Path::new(OURS)].map(|program| {
            settle(self.original, self.run_dir, most_held);
            run(program, self.run_dir, line)
        });
        self.same(line, &theirs, &ours, str::to_owned);
    }

    /// Notes where two outputs differ.
    pub(crate) fn same(
        &mut self,
        what: &str,
        theirs: &Said,
        ours: &Said,
        normal: impl Fn(&str) -> String,
    ) {
        self.compared += 1;
        let normal = |said: &Said| normal(&without_earlier_commands(&said.stdout));
        let (expected, found) = (normal(theirs), normal(ours));
        if expected != found || theirs.status != ours.status {
            self.differences.push(format!(
                "{what}: status {:?} / {:?}\n--- original\n{expected}--- ours\n{found}{}",
                theirs.status, ours.status, ours.stderr
            ));
        }
    }

    pub(crate) fn note(&mut self, difference: String) {
        self.differences.push(difference);
    }

    pub(crate) fn finish(self) {
        assert!(self.compared > 0);
        assert!(
            self.differences.is_empty(),
            "{} of {} differ:\n{}",
            self.differences.len(),
            self.compared,
            self.differences.join("\n")
        );
    }
}

/// The output without connections of earlier commands, whose end the daemon has not worked on yet.
fn without_earlier_commands(text: &str) -> String {
    let earlier = |line: &&str| {
        line.trim_end()
            .strip_prefix("p -1 cmd")
            .is_some_and(|number| number.bytes().all(|b| b.is_ascii_digit()))
    };
    text.split_inclusive('\n')
        .filter(|line| !earlier(line))
        .collect()
}

/// The output with the numbers that follow these words taken out: they differ from run to run.
pub(crate) fn without(words: &'static [&'static str]) -> impl Fn(&str) -> String {
    move |text| {
        text.lines()
            .map(|line| without_in(line, words) + "\n")
            .collect()
    }
}

fn without_in(line: &str, words: &[&str]) -> String {
    let mut out: Vec<&str> = Vec::new();
    for word in line.split(' ') {
        let hidden = out.last().is_some_and(|last| words.contains(last));
        out.push(if hidden { "N" } else { word });
    }
    out.join(" ")
}

/// The output with only the keys of `    key=value` lines.
pub(crate) fn keys_only(text: &str) -> String {
    let key = |line: &str| match line.split_once('=') {
        Some((key, _)) if line.starts_with("    ") => format!("{key}=\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(key).collect()
}
