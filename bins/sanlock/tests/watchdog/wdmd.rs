//! A wdmd that remembers what it is told.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use wdmd_proto::{Message, Request};

use super::common::wait::{PATIENCE, until_some};

/// How it takes requests to open the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// As those after 3.8.5: it answers with the fire timeout in use.
    Opens(u32),
    /// As 3.8.5: it lets them pass; its status has this fire timeout.
    OpenFromStart(u32),
    /// It accepts connections and says nothing.
    Silent,
}

/// What one connection said, and whether it was closed.
#[derive(Debug, Clone, Default)]
pub struct Heard {
    pub requests: Vec<Request>,
    pub closed: bool,
}

impl Heard {
    /// The names of what was asked for, with runs of the same taken as one.
    pub fn order(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.requests.iter().map(Request::name).collect();
        names.dedup();
        names
    }

    /// All that was said of being alive.
    pub fn lives(&self) -> Vec<(u64, u64)> {
        self.requests
            .iter()
            .filter_map(|request| match request {
                Request::TestLive { renewal, expire } => Some((*renewal, *expire)),
                _ => None,
            })
            .collect()
    }
}

#[derive(Default)]
struct State {
    kind: Option<Kind>,
    heard: Vec<Heard>,
    streams: Vec<UnixStream>,
}

/// wdmd, until the process ends.
#[derive(Clone)]
pub struct Wdmd(Arc<Mutex<State>>);

impl Wdmd {
    /// Listens where wdmd does.
    pub fn start(kind: Kind) -> Self {
        let socket = Path::new(wdmd_proto::SOCKET);
        std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
        let listener = UnixListener::bind(socket).unwrap();
        let wdmd = Self(Arc::default());
        wdmd.become_a(kind);
        let accepting = wdmd.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                accepting.take_in(stream.unwrap());
            }
        });
        wdmd
    }

    /// From the next message on it is of this kind.
    pub fn become_a(&self, kind: Kind) {
        self.state().kind = Some(kind);
    }

    /// Drops all connections, as a wdmd that was killed does.
    pub fn drop_all(&self) {
        for stream in self.state().streams.drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn take_in(&self, stream: UnixStream) {
        let number = {
            let mut state = self.state();
            state.heard.push(Heard::default());
            state.streams.push(stream.try_clone().unwrap());
            state.heard.len() - 1
        };
        let wdmd = self.clone();
        std::thread::spawn(move || {
            wdmd.listen(number, stream);
            wdmd.state().heard[number].closed = true;
        });
    }

    fn listen(&self, number: usize, mut stream: UnixStream) {
        let mut bytes = [0; Message::LEN];
        while stream.read_exact(&mut bytes).is_ok() {
            let message = Message::decode(&bytes).unwrap();
            let request = Request::try_from(&message).unwrap();
            let answer = {
                let mut state = self.state();
                state.heard[number].requests.push(request);
                match (request, state.kind.unwrap()) {
                    (_, Kind::Silent) => None,
                    (Request::OpenWatchdog { .. }, Kind::Opens(timeout))
                    | (Request::Status, Kind::Opens(timeout) | Kind::OpenFromStart(timeout)) => {
                        Some(message.with_fire_timeout(timeout))
                    }
                    _ => None,
                }
            };
            if let Some(answer) = answer {
                let _ = stream.write_all(&answer.encode());
            }
        }
    }

    /// What each connection said so far, in the order in which they came.
    pub fn heard(&self) -> Vec<Heard> {
        self.state().heard.clone()
    }

    /// Waits until a connection was closed, and tells what it said.
    pub fn closed(&self, number: usize) -> Heard {
        until_some("the connection is closed", PATIENCE, || {
            self.heard()
                .get(number)
                .filter(|heard| heard.closed)
                .cloned()
        })
    }

    /// Waits until a connection said more of being alive than so many times.
    pub fn lives_more_than(&self, number: usize, count: usize) -> Vec<(u64, u64)> {
        until_some(
            "more signs of life",
            PATIENCE + Duration::from_secs(10),
            || {
                let lives = self.heard().get(number)?.lives();
                (lives.len() > count).then_some(lives)
            },
        )
    }
}
