//! The socket by which tests in other languages set faults.

use std::io::{self, BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;

use crate::faults::Faults;

/// A socket that takes commands, one a line, and answers each with a line.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
}

impl Control {
    /// Listens at `path`, which must not exist, until the process ends. The socket is removed when
    /// this is dropped.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn listen(path: &Path, faults: &Faults) -> io::Result<Self> {
        let listener = UnixListener::bind(path)?;
        let faults = faults.clone();
        thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || {
                for connection in listener.incoming().map_while(Result::ok) {
                    let faults = faults.clone();
                    // A client that is refused a thread sees its connection closed.
                    let _ = thread::Builder::new().spawn(move || serve(connection, &faults));
                }
            })?;
        Ok(Self {
            path: path.to_owned(),
        })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn serve(mut connection: UnixStream, faults: &Faults) -> io::Result<()> {
    for line in BufReader::new(connection.try_clone()?).lines() {
        let answer = match faults.command(&line?) {
            Ok(answer) => answer,
            Err(error) => format!("error: {error}"),
        };
        writeln!(connection, "{answer}")?;
    }
    Ok(())
}

/// Sends one command to a listening process and returns its answer.
///
/// # Errors
/// The process cannot be reached.
pub fn send(socket: &Path, command: &str) -> io::Result<String> {
    let mut connection = UnixStream::connect(socket)?;
    writeln!(connection, "{command}")?;
    connection.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    BufReader::new(connection).read_line(&mut answer)?;
    Ok(answer.trim_end().to_owned())
}
