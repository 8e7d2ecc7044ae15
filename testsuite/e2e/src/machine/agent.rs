//! Our end of the wire to the agent in a machine; `crate::guest` is the other.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// What a command said, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: i32,
    pub(crate) text: String,
}

type Waiting = Arc<Mutex<BTreeMap<u64, Sender<Said>>>>;

/// The wire.
pub(super) struct Agent {
    requests: Mutex<UnixStream>,
    waiting: Waiting,
    next: AtomicU64,
}

impl Agent {
    pub(super) fn new(stream: UnixStream) -> Result<Agent> {
        let answers = stream.try_clone().context("cannot hear the machine")?;
        let waiting = Waiting::default();
        let found = Arc::clone(&waiting);
        std::thread::spawn(move || {
            let mut answers = BufReader::new(answers);
            while let Ok((number, said)) = answer(&mut answers) {
                if let Some(waiting) = locked(&found).remove(&number) {
                    // Nobody may wait any longer.
                    let _ = waiting.send(said);
                }
            }
            // Whoever waits learns that the machine is gone.
            locked(&found).clear();
        });
        Ok(Agent {
            requests: Mutex::new(stream),
            waiting,
            next: AtomicU64::new(1),
        })
    }

    /// Waits for the answer at most this long.
    pub(super) fn ask(&self, request: &str, limit: Duration) -> Result<Said> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = channel();
        locked(&self.waiting).insert(number, sender);
        self.send(number, request)?;
        receiver
            .recv_timeout(limit)
            .with_context(|| format!("no answer within {} s", limit.as_secs()))
    }

    /// Waits for no answer.
    pub(super) fn tell(&self, request: &str) -> Result<()> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.send(number, request)
    }

    fn send(&self, number: u64, request: &str) -> Result<()> {
        ensure!(!request.contains('\n'), "a request is one line: {request}");
        locked(&self.requests)
            .write_all(format!("{number} {request}\n").as_bytes())
            .context("the machine's agent cannot be reached")
    }
}

fn answer(answers: &mut impl BufRead) -> Result<(u64, Said)> {
    let mut head = String::new();
    answers.read_line(&mut head)?;
    let mut fields = head.split_whitespace();
    let mut field = || fields.next().context("the answer is incomplete");
    let number = field()?.parse()?;
    let status = field()?.parse()?;
    let length: u64 = field()?.parse()?;
    let mut text = Vec::new();
    answers.take(length).read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok((number, Said { status, text }))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
