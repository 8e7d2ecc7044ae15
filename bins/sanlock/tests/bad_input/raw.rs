//! A connection on which anything can be sent.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use sanlock_proto::{Client, Command, Header, Request};

use super::common::wait::PATIENCE;

/// How long nothing may come for it to count as silence.
const SILENCE: Duration = Duration::from_millis(300);

pub struct Raw(UnixStream);

/// What came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// A header.
    Reply(Header),
    /// The end of the connection.
    End,
    /// Nothing, for a while.
    Silence,
}

impl Raw {
    pub fn connect(client: &Client) -> Self {
        Self(UnixStream::connect(client.socket()).unwrap())
    }

    pub fn send(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.write_all(bytes).unwrap();
        self
    }

    /// Sends what may come to nothing because the daemon closes the connection.
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).is_ok()
    }

    /// Says that nothing more will be sent.
    pub fn half_close(&mut self) -> &mut Self {
        self.0.shutdown(Shutdown::Write).unwrap();
        self
    }

    /// Waits patiently for a header or the end.
    pub fn next(&mut self) -> Came {
        self.next_within(PATIENCE)
    }

    /// A short wait for anything.
    pub fn next_soon(&mut self) -> Came {
        self.next_within(SILENCE)
    }

    fn next_within(&mut self, time: Duration) -> Came {
        self.0.set_read_timeout(Some(time)).unwrap();
        let mut bytes = [0; Header::LEN];
        let mut got = 0;
        while got < bytes.len() {
            match self.0.read(&mut bytes[got..]) {
                Ok(0) => return Came::End,
                Ok(count) => got += count,
                Err(failed) if failed.kind() == ErrorKind::WouldBlock && got == 0 => {
                    return Came::Silence;
                }
                Err(failed) if failed.kind() == ErrorKind::ConnectionReset => return Came::End,
                Err(failed) => panic!("after {got} bytes: {failed}"),
            }
        }
        Came::Reply(Header::decode(&bytes).unwrap())
    }

    /// Whether requests are answered again once the daemon has waited, in vain, for bytes that were
    /// announced: what comes meanwhile may be taken for them.
    pub fn becomes_usable(&mut self) -> bool {
        let version = Request::Version.encode();
        let answered = |came| matches!(came, Came::Reply(_));
        (0..20).any(|_| answered(self.send(&version).next_soon()))
    }

    /// Whatever comes within a moment, be it half an answer.
    pub fn glance(&mut self) {
        self.0
            .set_read_timeout(Some(Duration::from_millis(2)))
            .unwrap();
        let _ = self.0.read(&mut [0; 4096]);
    }

    /// The result of the next reply, whose body is read and dropped.
    pub fn result(&mut self) -> i32 {
        let Came::Reply(header) = self.next() else {
            panic!("no reply")
        };
        let mut body = vec![0; header.announced_body()];
        self.0.read_exact(&mut body).unwrap();
        header.result()
    }

    /// Whether requests are still answered on this connection.
    pub fn is_usable(&mut self) -> bool {
        self.send(&Request::Version.encode());
        match self.next() {
            Came::Reply(header) => header.command == Command::Version.number(),
            _ => false,
        }
    }
}

/// A message that consists of a header with these fields changed.
pub fn header(command: u32, change: impl FnOnce(&mut Header)) -> Vec<u8> {
    let mut header = Header::request(command, 0, 0, 0, u32::MAX);
    change(&mut header);
    let mut bytes = Vec::new();
    header.encode(&mut bytes);
    bytes
}

/// A whole message whose header is changed.
pub fn changed(request: &Request, change: impl FnOnce(&mut Header)) -> Vec<u8> {
    let mut message = request.encode();
    let mut header = Header::decode(&message).unwrap();
    change(&mut header);
    let mut bytes = Vec::new();
    header.encode(&mut bytes);
    message.splice(..Header::LEN, bytes);
    message
}
