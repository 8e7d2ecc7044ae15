use super::*;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tracing::{debug, error, info, info_span, trace, warn};

const SOON: Duration = Duration::from_secs(20);

fn nowhere() -> Settings {
    Settings {
        file: None,
        syslog_threshold: Threshold::NOTHING,
        ..Settings::sanlock()
    }
}

/// A directory of a test's own, removed in the end.
struct Scratch(PathBuf);

fn scratch(name: &str) -> Scratch {
    let path = std::env::temp_dir().join(format!("daemon-log-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir(&path).unwrap();
    Scratch(path)
}

impl std::ops::Deref for Scratch {
    type Target = std::path::Path;
    fn deref(&self) -> &std::path::Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn logging(settings: Settings, work: impl FnOnce()) -> Log {
    let (layer, log) = Log::build(settings).unwrap();
    let subscriber = tracing_subscriber::registry().with(layer);
    tracing::subscriber::with_default(subscriber, work);
    log
}

/// The texts of all lines in the ring, without times and threads.
fn texts(log: &Log) -> Vec<String> {
    text_of(&log.ring().dump())
}

fn text_of(lines: &[u8]) -> Vec<String> {
    String::from_utf8(lines.to_vec())
        .unwrap()
        .lines()
        .map(|line| line.split_once("]: ").unwrap().1.to_owned())
        .collect()
}

#[test]
fn prefixes_are_upstreams() {
    let log = logging(nowhere(), || {
        info!("plain");
        info!(space = 1, "number");
        info!(space = "s12", "name");
        info!(resource = 3_u64, "resource");
        info!(space = 1, resource = %"r3", "both");
        info!(task = "main_task_name", "task");
        info!(client = %"2:9", "client");
        info!(client = %"2:9", task = "register", "both");
        info!(space = 1, task = "worker", "the space wins");
    });
    assert_eq!(
        texts(&log),
        [
            "plain",
            "s1 number",
            "s12 name",
            "r3 resource",
            "s1:r3 both",
            "main_tas task",
            "cl 2:9 client",
            "cl 2:9 register both",
            "s1 the space wins",
        ]
    );
}

#[test]
fn spans_lend_their_prefix() {
    let log = logging(nowhere(), || {
        let space = info_span!("space", space = 1).entered();
        debug!("in the space");
        let token = info_span!("token", resource = 4, host = 9).entered();
        debug!("in both");
        debug!(resource = 5, "of another");
        drop(token);
        debug!("in the space again");
        drop(space);
        let late = info_span!("late", space = tracing::field::Empty).entered();
        debug!("not yet");
        late.record("space", 7);
        debug!("now");
    });
    assert_eq!(
        texts(&log),
        [
            "s1 in the space",
            "s1:r4 in both",
            "s1:r5 of another",
            "s1 in the space again",
            "not yet",
            "s7 now",
        ]
    );
}

#[test]
fn other_fields_follow_the_message() {
    let log = logging(nowhere(), || {
        let io = std::io::Error::from_raw_os_error(libc::EIO);
        error!(host_id = 3, lease = "a b", ok = true, "message {}", 1);
        warn!(error = &io as &dyn std::error::Error);
        info!(text = ?"quoted");
        trace!("nowhere");
    });
    assert_eq!(
        texts(&log),
        [
            "message 1 host_id=3 lease=a b ok=true",
            "error=Input/output error (os error 5)",
            "text=\"quoted\"",
        ]
    );
}

#[test]
fn each_destination_has_its_threshold() {
    let directory = scratch("thresholds");
    let file = directory.join("log");
    let socket = directory.join("syslog");
    let syslog = UnixDatagram::bind(&socket).unwrap();
    let settings = Settings {
        file: Some(file.clone()),
        syslog_socket: socket,
        ..Settings::sanlock()
    };
    let log = logging(settings, || {
        debug!("debugging");
        info!("information");
        info!(priority = 4, "raised");
        warn!("warning");
        error!(space = 1, "error");
    });
    assert!(log.flush(SOON));
    assert_eq!(
        text_of(&std::fs::read(&file).unwrap()),
        ["raised", "warning", "s1 error"]
    );
    assert_eq!(
        texts(&log),
        ["debugging", "information", "raised", "warning", "s1 error"]
    );
    let mut datagram = [0; 1000];
    let length = syslog.recv(&mut datagram).unwrap();
    let datagram = String::from_utf8(datagram[..length].to_vec()).unwrap();
    assert!(datagram.starts_with("<27>"), "{datagram}");
    let (header, text) = datagram
        .split_once(&format!(" sanlock[{}]: ", std::process::id()))
        .unwrap();
    assert_eq!(header.len(), "<27>Jan  1 00:00:00".len(), "{datagram}");
    assert!(text.ends_with("]: s1 error"), "{datagram}");
    assert!(text.starts_with("20"), "{datagram}");
    syslog.set_nonblocking(true).unwrap();
    assert!(
        syslog.recv(&mut [0; 10]).is_err(),
        "only the error goes to syslog"
    );
}

#[test]
fn syslog_may_be_restarted() {
    let directory = scratch("restart");
    let socket = directory.join("syslog");
    let settings = Settings {
        syslog_socket: socket.clone(),
        syslog_whole_lines: false,
        file: None,
        ..Settings::sanlock()
    };
    let (layer, log) = Log::build(settings).unwrap();
    let subscriber = tracing_subscriber::registry().with(layer);
    let _guard = tracing::subscriber::set_default(subscriber);
    let receive = |socket: &UnixDatagram| {
        let mut datagram = [0; 1000];
        let length = socket.recv(&mut datagram).unwrap();
        let datagram = String::from_utf8(datagram[..length].to_vec()).unwrap();
        datagram.split_once("]: ").unwrap().1.to_owned()
    };
    error!("before it starts");
    assert!(log.flush(SOON));
    let first = UnixDatagram::bind(&socket).unwrap();
    error!("one");
    assert_eq!(receive(&first), "dropped 1 entries");
    assert_eq!(receive(&first), "one");
    drop(first);
    std::fs::remove_file(&socket).unwrap();
    let second = UnixDatagram::bind(&socket).unwrap();
    error!("two");
    assert_eq!(receive(&second), "two");
}

#[test]
fn a_syslog_that_does_not_read_holds_nobody_up() {
    let directory = scratch("deaf");
    let socket = directory.join("syslog");
    let _deaf = UnixDatagram::bind(&socket).unwrap();
    let settings = Settings {
        syslog_socket: socket,
        file: Some(directory.join("log")),
        file_threshold: Threshold::EVERYTHING,
        ..Settings::sanlock()
    };
    let file = directory.join("log");
    let log = logging(settings, || {
        // More than socket and queue hold; were any of it to wait, this would not end.
        for number in 0..3 * target::QUEUE {
            error!(number, "nobody reads this");
        }
        // The file has a thread of its own. It may have missed some of the flood, but works.
        let deadline = Instant::now() + SOON;
        while !std::fs::read_to_string(&file).unwrap().contains("the end") {
            assert!(Instant::now() < deadline);
            info!("the end");
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    assert_eq!(texts(&log).last().unwrap(), "the end");
    assert!(
        !log.flush(Duration::from_millis(50)),
        "syslog cannot be done"
    );
}

#[test]
fn a_log_file_that_cannot_be_opened_is_said_and_tried_again() {
    let directory = scratch("late");
    let path = directory.join("later/log");
    let settings = Settings {
        file: Some(path.clone()),
        ..nowhere()
    };
    let (layer, log) = Log::build(settings).unwrap();
    let subscriber = tracing_subscriber::registry().with(layer);
    let _guard = tracing::subscriber::set_default(subscriber);
    warn!("lost");
    assert!(log.flush(SOON));
    assert!(
        texts(&log)[0].starts_with("cannot open log file /"),
        "{:?}",
        texts(&log)
    );
    std::fs::create_dir(directory.join("later")).unwrap();
    warn!("kept");
    assert!(log.flush(SOON));
    assert_eq!(
        text_of(&std::fs::read(&path).unwrap()),
        ["dropped 2 entries", "kept"]
    );
}

#[test]
fn a_file_truncated_under_way_starts_anew() {
    let directory = scratch("truncated");
    let path = directory.join("log");
    let settings = Settings {
        file: Some(path.clone()),
        ..nowhere()
    };
    let (layer, log) = Log::build(settings).unwrap();
    let subscriber = tracing_subscriber::registry().with(layer);
    let _guard = tracing::subscriber::set_default(subscriber);
    warn!("old");
    assert!(log.flush(SOON));
    std::fs::File::create(&path).unwrap();
    warn!("new");
    assert!(log.flush(SOON));
    let written = std::fs::read(&path).unwrap();
    assert_eq!(text_of(&written), ["new"]);
    assert!(written.starts_with(b"20"), "written where the old end was");
}

/// A destination that waits until it is told to go on.
struct Stuck(Arc<AtomicBool>, std::sync::mpsc::Sender<String>);

impl target::Sink for Stuck {
    fn write(&mut self, line: &line::Line) -> bool {
        while !self.0.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let text = String::from_utf8(line.text(false).to_vec()).unwrap();
        self.1.send(text).is_ok()
    }
}

#[test]
fn what_a_stuck_destination_misses_is_counted() {
    let go = Arc::new(AtomicBool::new(false));
    let (sender, written) = std::sync::mpsc::channel();
    let stuck = Stuck(Arc::clone(&go), sender);
    let target = Target::start_with("stuck", Threshold::EVERYTHING, stuck, false, 4).unwrap();
    let hub = Hub::start(vec![target], false).unwrap();
    for number in 0..100 {
        hub.log(Priority::ERROR, &number.to_string());
    }
    assert_eq!(text_of(&hub.dump()).len(), 100, "the ring misses nothing");
    assert!(!hub.flush(Duration::from_millis(20)));
    go.store(true, Ordering::SeqCst);
    assert!(hub.flush(SOON));
    hub.log(Priority::ERROR, "last");
    assert!(hub.flush(SOON));
    let written: Vec<String> = written.try_iter().collect();
    let said: usize = written
        .iter()
        .filter_map(|line| line.strip_prefix("dropped ")?.strip_suffix(" entries"))
        .map(|count| count.parse::<usize>().unwrap())
        .sum();
    let came = written
        .iter()
        .filter(|line| !line.contains("dropped"))
        .count();
    assert_eq!(said + came, 101, "{written:?}");
    assert!((4..=7).contains(&came), "{written:?}");
    assert_eq!(written.last().unwrap(), "last");
}

#[test]
fn a_flood_is_counted_and_never_waits() {
    let hub = Hub::start_with(Vec::new(), false, 8, RING_SIZE).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5000 {
                    hub.log(Priority::ERROR, "flood");
                }
            });
        }
    });
    // Only a line that gets through tells of those that did not.
    hub.dump();
    hub.log(Priority::ERROR, "the end");
    let texts = text_of(&hub.dump());
    let said: usize = texts
        .iter()
        .filter_map(|line| line.strip_prefix("dropped ")?.strip_suffix(" entries"))
        .map(|count| count.parse::<usize>().unwrap())
        .sum();
    let came = texts.iter().filter(|line| *line == "flood").count();
    assert_eq!(said + came, 20_000);
    assert_eq!(texts.last().unwrap(), "the end");
}

#[test]
fn what_only_the_ring_takes_is_not_lost_before_somebody_looks() {
    let hub = Hub::start_with(Vec::new(), false, 80, RING_SIZE).unwrap();
    for round in 0..100 {
        for _ in 0..8 {
            hub.log(Priority::ERROR, "in between");
        }
        if round % 10 == 9 {
            assert_eq!(text_of(&hub.dump()).len(), 8 * (round + 1));
        }
    }
}

#[test]
fn who_logs_takes_no_lock_of_the_readers() {
    let hub = Hub::start(Vec::new(), false).unwrap();
    let (held, release) = (Arc::clone(&hub), Arc::new(AtomicBool::new(false)));
    let (taken, is_taken) = std::sync::mpsc::channel();
    let theirs = Arc::clone(&release);
    let reader = std::thread::spawn(move || {
        held.with_the_lock_held(|| {
            taken.send(()).unwrap();
            while !theirs.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
        });
    });
    is_taken.recv().unwrap();
    // With the lock taken for good, this ends only if it does not want it.
    for _ in 0..2 * target::QUEUE {
        hub.log(Priority::ERROR, "on we go");
    }
    release.store(true, Ordering::SeqCst);
    reader.join().unwrap();
    assert!(text_of(&hub.dump()).len() >= target::QUEUE);
}

#[test]
fn the_ring_keeps_a_megabyte() {
    let (layer, log) = Log::build(nowhere()).unwrap();
    let subscriber = tracing_subscriber::registry().with(layer);
    let long = "x".repeat(400);
    tracing::subscriber::with_default(subscriber, || {
        for number in 0..6000 {
            debug!("{number} {long}");
            if number % 1000 == 0 {
                // Empties the queue.
                let _ = log.ring().dump();
            }
        }
    });
    let dump = log.ring().dump();
    assert!(
        dump.len() > RING_SIZE - 1000 && dump.len() < RING_SIZE,
        "{}",
        dump.len()
    );
    let texts = text_of(&dump);
    assert!(texts.last().unwrap().starts_with("5999 "));
}

#[test]
fn a_line_names_time_and_thread() {
    let before = crate::Clock::monotonic_seconds();
    let log = logging(nowhere(), || warn!("text"));
    let line = String::from_utf8(log.ring().dump()).unwrap();
    let mut words = line.split(' ');
    let date = words.next().unwrap();
    assert_eq!((date.len(), date.matches('-').count()), (10, 2), "{line}");
    let time = words.next().unwrap();
    assert_eq!((time.len(), time.matches(':').count()), (8, 2), "{line}");
    let monotonic: u64 = words.next().unwrap().parse().unwrap();
    assert!((before..=crate::Clock::monotonic_seconds()).contains(&monotonic));
    let thread = format!("[{}]:", nix::unistd::gettid());
    assert_eq!(words.next(), Some(thread.as_str()));
    assert_eq!(words.next(), Some("text"));
}
