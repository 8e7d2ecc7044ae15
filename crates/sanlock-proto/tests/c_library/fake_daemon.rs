//! A daemon that answers what it is told, and keeps what it was asked.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use sanlock_proto::command::Afterwards;
use sanlock_proto::header::Header;
use sanlock_proto::*;

/// What a connection of the fake daemon has seen.
pub(crate) struct Seen {
    pub(crate) bytes: Vec<u8>,
    pub(crate) requests: Vec<(Header, Request)>,
}

pub(crate) type Connections = Arc<Mutex<Vec<JoinHandle<Seen>>>>;

/// A daemon that answers everything with what `answer` says; its connections in the order they came.
pub(crate) fn fake_daemon(dir: &Path, answer: fn(usize, &Request) -> Option<Reply>) -> Connections {
    let listener = UnixListener::bind(dir.join(SOCKET_NAME)).unwrap();
    let connections = Connections::default();
    let ours = Arc::clone(&connections);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            let mut list = ours.lock().unwrap();
            let at = list.len();
            list.push(std::thread::spawn(move || serve(stream, at, answer)));
        }
    });
    connections
}

/// What was seen on all connections, once they have ended.
pub(crate) fn all_seen(connections: &Connections) -> Vec<Seen> {
    let ended = std::mem::take(&mut *connections.lock().unwrap());
    ended
        .into_iter()
        .map(|connection| connection.join().unwrap())
        .collect()
}

fn serve(mut stream: UnixStream, at: usize, answer: fn(usize, &Request) -> Option<Reply>) -> Seen {
    let mut decoder = Decoder::new();
    let mut seen = Seen {
        bytes: Vec::new(),
        requests: Vec::new(),
    };
    let mut buffer = [0; 4096];
    loop {
        let len = stream.read(&mut buffer).unwrap();
        if len == 0 {
            return seen;
        }
        let bytes = &buffer[..len];
        seen.bytes.extend_from_slice(bytes);
        decoder.push(bytes);
        while let Some(incoming) = decoder.next_incoming() {
            let Incoming::Request { header, request } = incoming else {
                panic!("{incoming:?}")
            };
            if let Some(reply) = answer(at, &request) {
                stream.write_all(&reply.encode(&header)).unwrap();
            }
            let afterwards = request.command().afterwards();
            seen.requests.push((header, request));
            match afterwards {
                Afterwards::StaysOpen => {}
                Afterwards::Closes => return seen,
                Afterwards::DeliversEvents => {
                    let mut event = Vec::new();
                    EventCallback {
                        event: HostEvent {
                            host_id: 2,
                            generation: 3,
                            event: 4,
                            data: 5,
                        },
                        from_host_id: 6,
                        from_generation: 7,
                    }
                    .encode(&mut event);
                    stream.write_all(&event).unwrap();
                    let mut end = [0; 4];
                    stream.read_exact(&mut end).unwrap();
                    assert_eq!(u32::from_le_bytes(end), 1);
                    return seen;
                }
            }
        }
    }
}
