//! A connection to a daemon, byte for byte.

use std::fmt;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::message::Header;
use crate::lab::failure::{Failure, While};
use crate::lab::process::{Guarded, tied};

/// How long an answer may take that must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// After this time without a byte nothing more is expected.
pub(crate) const QUIET: Duration = Duration::from_millis(1500);

/// What came back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    /// A header and what it announces.
    Reply(Header, Vec<u8>),
    /// The other end closed.
    Closed,
    /// Nothing, and the connection is open.
    Silence,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Reply(header, _) => write!(f, "{}", header.result()),
            Answer::Closed => f.write_str("closed"),
            Answer::Silence => f.write_str("silence"),
        }
    }
}

/// A connection, of this process or of one made for it.
pub(crate) struct Connection {
    output: Box<dyn Write>,
    incoming: Receiver<Vec<u8>>,
    received: Vec<u8>,
    closed: bool,
    stream: Option<UnixStream>,
    process: Option<Guarded>,
}

impl Connection {
    /// Connects this process. Never register such a connection where a lease may be lost: the
    /// daemon would kill the test.
    pub(crate) fn open(socket: &Path) -> Result<Connection, Failure> {
        let stream =
            UnixStream::connect(socket).during(|| format!("connect to {}", socket.display()))?;
        let (reader, output) = (stream.try_clone()?, stream.try_clone()?);
        let incoming = pump(reader);
        Ok(Connection {
            output: Box::new(output),
            incoming,
            received: Vec::new(),
            closed: false,
            stream: Some(stream),
            process: None,
        })
    }

    /// Connects a process of its own, which hands on all bytes: the daemon may kill it.
    pub(crate) fn through_a_process(socket: &Path) -> Result<Connection, Failure> {
        let this = std::env::current_exe().during(|| "find this program".to_owned())?;
        let mut command: Command = tied(&this);
        command
            .arg("--relay")
            .arg(socket)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = Guarded::spawn(&mut command)?;
        let child = process.child();
        let output = child.stdin.take().ok_or("no pipe")?;
        let incoming = pump(child.stdout.take().ok_or("no pipe")?);
        Ok(Connection {
            output: Box::new(output),
            incoming,
            received: Vec::new(),
            closed: false,
            stream: None,
            process: Some(process),
        })
    }

    /// The process that connected, if it is not this one.
    pub(crate) fn process(&mut self) -> Option<&mut Guarded> {
        self.process.as_mut()
    }

    /// Sends bytes.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.output
            .write_all(bytes)
            .during(|| "send to the daemon".to_owned())?;
        self.output
            .flush()
            .during(|| "send to the daemon".to_owned())
    }

    /// Ends this side's sending; what the daemon says can still be read.
    pub(crate) fn end_sending(&mut self) -> Result<(), Failure> {
        let stream = self.stream.as_ref().ok_or("no stream")?;
        stream
            .shutdown(Shutdown::Write)
            .during(|| "shut down".to_owned())
    }

    /// Takes `count` bytes, or says why there are none within `patience`.
    fn take(&mut self, count: usize, patience: Duration) -> Result<Vec<u8>, Answer> {
        let until = Instant::now() + patience;
        while self.received.len() < count {
            if self.closed {
                return Err(Answer::Closed);
            }
            match self
                .incoming
                .recv_timeout(until.saturating_duration_since(Instant::now()))
            {
                Ok(bytes) => self.received.extend_from_slice(&bytes),
                Err(RecvTimeoutError::Timeout) => return Err(Answer::Silence),
                Err(RecvTimeoutError::Disconnected) => self.closed = true,
            }
        }
        let rest = self.received.split_off(count);
        Ok(std::mem::replace(&mut self.received, rest))
    }

    /// The next reply with its body, as long as its header announces.
    pub(crate) fn answer(&mut self, patience: Duration) -> Answer {
        let header = match self.take(Header::LEN, patience) {
            Ok(bytes) => Header::read(&bytes),
            Err(answer) => return answer,
        };
        let body = usize::try_from(header.length)
            .unwrap_or(0)
            .saturating_sub(Header::LEN);
        match self.take(body, patience) {
            Ok(body) => Answer::Reply(header, body),
            // Some replies announce more than they bring.
            Err(_) => Answer::Reply(header, std::mem::take(&mut self.received)),
        }
    }

    /// The next `count` bytes; `None` when they do not come.
    pub(crate) fn bytes(&mut self, count: usize) -> Option<Vec<u8>> {
        self.take(count, PATIENCE).ok()
    }

    /// Sends a request and waits for its answer.
    pub(crate) fn ask(&mut self, bytes: &[u8]) -> Result<Answer, Failure> {
        self.send(bytes)?;
        Ok(self.answer(PATIENCE))
    }

    /// Sends bytes that may not be answered.
    pub(crate) fn try_asking(&mut self, bytes: &[u8]) -> Result<Answer, Failure> {
        self.send(bytes)?;
        Ok(self.answer(QUIET))
    }

    /// Whether the other end closes now: `closed`, `open`, or `open, N bytes more`.
    pub(crate) fn state(&mut self) -> String {
        match self.take(1 << 24, Duration::from_millis(400)) {
            Ok(_) => "open, too much more".to_owned(),
            Err(Answer::Closed) if self.received.is_empty() => "closed".to_owned(),
            Err(Answer::Closed) => format!("closed, {} bytes more", self.received.len()),
            Err(_) if self.received.is_empty() => "open".to_owned(),
            Err(_) => format!("open, {} bytes more", self.received.len()),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The reader in the background has the stream open too. It may be closed already.
        if let Some(stream) = &self.stream {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Reads to the end in the background.
fn pump(mut from: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 65536];
        while let Ok(count) = from.read(&mut buffer) {
            if count == 0 || sender.send(buffer[..count].to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}

/// What `--relay SOCKET` does: connects, and hands on all bytes in both directions.
pub(crate) fn relay(socket: &Path) -> Result<(), Failure> {
    let mut stream = UnixStream::connect(socket)?;
    let mut reader = stream.try_clone()?;
    std::thread::spawn(move || {
        let mut buffer = vec![0; 65536];
        let mut output = std::io::stdout();
        while let Ok(count) = reader.read(&mut buffer) {
            let written = output
                .write_all(&buffer[..count])
                .and_then(|()| output.flush());
            if count == 0 || written.is_err() {
                break;
            }
        }
        // The connection's end must show at the other end of the pipe, and ends this process.
        std::process::exit(0);
    });
    std::io::copy(&mut std::io::stdin(), &mut stream)?;
    Ok(())
}
