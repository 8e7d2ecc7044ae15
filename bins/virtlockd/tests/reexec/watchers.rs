//! Processes that look at locks, or try to get them, all the time.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fcntl::Kind;
use fcntl::record_lock::{self, NotLocked};

const ORDER: &str = "VIRTLOCKD_TEST_WATCH";

/// How many files are looked at each millisecond.
const AT_A_TIME: usize = 500;

/// What is done with each file.
#[derive(Clone, Copy)]
pub enum Deed {
    /// The kernel is asked who holds its lock.
    Look,
    /// Its lock is asked for.
    Try,
}

/// A process that does it until it is told to stop.
pub struct Watcher(Child);

impl Watcher {
    pub fn start(deed: Deed, files: &[String], holder: u32) -> Self {
        let deed = match deed {
            Deed::Look => "look",
            Deed::Try => "try",
        };
        let list = std::env::temp_dir().join(format!("watch-{deed}-{}", std::process::id()));
        std::fs::write(&list, files.join("\n")).unwrap();
        let order = format!("{deed}\n{holder}\n{}", list.display());
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env(ORDER, order);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It says when it has begun.
        let mut ready = [0];
        child
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut ready)
            .unwrap();
        std::fs::remove_file(list).unwrap();
        Self(child)
    }

    /// Stops it: how often it looked, and what it found that must not be.
    pub fn stop(self) -> (u64, String) {
        let output = self.0.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        let (count, found) = said.trim_start().split_once('\n').unwrap();
        (count.parse().unwrap(), found.to_owned())
    }
}

/// Is the watcher, if this process was started as one.
pub fn obey() {
    let Ok(order) = std::env::var(ORDER) else {
        return;
    };
    let words: Vec<&str> = order.split('\n').collect();
    let [deed, holder, list] = words.as_slice() else {
        panic!("{order}");
    };
    let holder: i32 = holder.parse().unwrap();
    let files: Vec<(String, File)> = std::fs::read_to_string(list)
        .unwrap()
        .lines()
        .map(|path| {
            let file = OpenOptions::new().read(true).write(true).open(path);
            (path.to_owned(), file.unwrap())
        })
        .collect();
    println!();
    static STOP: AtomicBool = AtomicBool::new(false);
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        STOP.store(true, Ordering::Relaxed);
    });
    let (mut looks, mut found) = (0_u64, Vec::new());
    let mut next = files.iter().cycle();
    while !STOP.load(Ordering::Relaxed) {
        let since = Instant::now();
        for (path, file) in next.by_ref().take(AT_A_TIME.min(files.len())) {
            match *deed {
                "look" => match record_lock::holder(file, Kind::Exclusive) {
                    Some(pid) if pid == holder => {}
                    other => found.push(format!("{path} was held by {other:?}")),
                },
                _ => match record_lock::take(file, Kind::Exclusive) {
                    Err(NotLocked::Held) => {}
                    other => found.push(format!("{path} was given away: {other:?}")),
                },
            }
        }
        looks += 1;
        std::thread::sleep(Duration::from_millis(1).saturating_sub(since.elapsed()));
    }
    println!("{looks}");
    found.truncate(10);
    println!("{}", found.join("\n"));
    std::process::exit(0);
}
