//! The load: many connections in one thread, so that the daemon is what is measured.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use libvirt_rpc::lock::{self, LockText, ResourceArgs};
use libvirt_rpc::packet::{HEADER_BYTES, LENGTH_BYTES};
use libvirt_rpc::xdr::{self, Xdr};
use libvirt_rpc::{Header, MessageType, Packet, Procedure, RemoteError, Serial, Status, Text};
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

/// A process that cannot be, so that nobody is killed when the load ends.
const NOBODY: u32 = 0x7fff_fffe;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What one connection acquires and releases.
pub(super) struct Resource {
    acquire: Vec<u8>,
    release: Vec<u8>,
    space: Option<Vec<u8>>,
}

impl Resource {
    /// An image, which is there, or a resource of a lock space, whose file is made when it is acquired.
    pub(super) fn new(dir: &Path, name: &str, autocreate: bool) -> Result<Self> {
        let text = |path: &Path| LockText::new(path.as_os_str().as_encoded_bytes());
        let (path, name, space) = if autocreate {
            let directory = text(&dir.join("space"))?;
            let args = lock::CreateLockSpaceArgs {
                path: directory.clone(),
            };
            let create = packet(lock::CREATE_LOCKSPACE, &args)?;
            (directory, LockText::new(name)?, Some(create))
        } else {
            let image = dir.join(format!("image.{name}"));
            std::fs::write(&image, "").context("cannot make an image")?;
            (Text::default(), text(&image)?, None)
        };
        let args = |flags| ResourceArgs {
            path: path.clone(),
            name: name.clone(),
            flags,
        };
        let flags = match autocreate {
            true => lock::ACQUIRE_AUTOCREATE,
            false => 0,
        };
        Ok(Self {
            acquire: packet(lock::ACQUIRE_RESOURCE, &args(flags))?,
            release: packet(lock::RELEASE_RESOURCE, &args(0))?,
            space,
        })
    }
}

fn packet(procedure: Procedure, arguments: &impl Xdr) -> Result<Vec<u8>> {
    let header = Header {
        program: lock::PROGRAM,
        version: lock::VERSION,
        procedure,
        kind: MessageType::CALL,
        serial: Serial(1),
        status: Status::OK,
    };
    Ok(Packet::new(header, arguments).encode()?)
}

/// A connection on which an owner is registered.
pub(super) fn connection(socket: &Path) -> Result<UnixStream> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let owner = lock::Owner {
        uuid: [9; 16],
        name: Text::cut("load"),
        id: 1,
        pid: NOBODY,
    };
    let args = lock::RegisterArgs { owner, flags: 0 };
    stream.write_all(&packet(lock::REGISTER, &args)?)?;
    succeeded(&mut stream)?;
    Ok(stream)
}

/// Reads an answer, which must be a success.
fn succeeded(stream: &mut UnixStream) -> Result<()> {
    let mut answer = [0; LENGTH_BYTES + HEADER_BYTES];
    stream.read_exact(&mut answer)?;
    let (length, header) = answer.split_at(LENGTH_BYTES);
    let length = usize::try_from(xdr::from_bytes::<u32>(length)?)?;
    let mut rest = vec![0; length.saturating_sub(answer.len())];
    stream.read_exact(&mut rest)?;
    match xdr::from_bytes::<Header>(header)?.status {
        Status::OK => Ok(()),
        _ => bail!("{}", xdr::from_bytes::<RemoteError>(&rest)?),
    }
}

/// Connections, each with a resource of its own.
pub(super) struct Lanes(Vec<(UnixStream, Resource)>);

impl Lanes {
    pub(super) fn new(
        count: usize,
        connect: impl Fn() -> Result<UnixStream>,
        resource: impl Fn(usize) -> Result<Resource>,
    ) -> Result<Self> {
        let mut lanes = Vec::new();
        for number in 0..count {
            let (mut stream, resource) = (connect()?, resource(number)?);
            if let Some(create) = &resource.space {
                stream.write_all(create)?;
                succeeded(&mut stream)?;
            }
            lanes.push((stream, resource));
        }
        Ok(Self(lanes))
    }

    /// The same work without a daemon, and the least there can be of it: one thread that waits for each client in turn, in
    /// the order in which they ask, opens, locks and closes what it is asked for, and looks at nothing else.
    pub(super) fn bare(count: usize, resource: impl Fn(usize) -> Result<Resource>) -> Result<Self> {
        let (mut lanes, mut theirs) = (Vec::new(), Vec::new());
        for number in 0..count {
            let (ours, server) = UnixStream::pair()?;
            ours.set_read_timeout(Some(PATIENCE))?;
            lanes.push((ours, resource(number)?));
            theirs.push((server, None));
        }
        // Ends with the other ends.
        thread::spawn(move || -> Result<()> {
            loop {
                for (stream, held) in &mut theirs {
                    serve(stream, held)?;
                }
            }
        });
        Ok(Self(lanes))
    }

    /// All at once.
    pub(super) fn acquire(&mut self) -> Result<()> {
        self.all(|resource| &resource.acquire)
    }

    /// All at once.
    pub(super) fn release(&mut self) -> Result<()> {
        self.all(|resource| &resource.release)
    }

    fn all(&mut self, packet: impl Fn(&Resource) -> &[u8]) -> Result<()> {
        for (stream, resource) in &mut self.0 {
            stream.write_all(packet(resource))?;
        }
        for (stream, _) in &mut self.0 {
            succeeded(stream)?;
        }
        Ok(())
    }

    /// Acquires and releases for that long; how often.
    pub(super) fn run(&mut self, duration: Duration) -> Result<usize> {
        let (begin, mut rounds) = (Instant::now(), 0);
        while begin.elapsed() < duration {
            self.acquire()?;
            self.release()?;
            rounds += 1;
        }
        Ok(rounds * self.0.len())
    }
}

/// Answers one request.
fn serve(stream: &mut UnixStream, held: &mut Option<Held>) -> Result<()> {
    let mut bytes = [0; 4096];
    let count = stream.read(&mut bytes)?;
    let (_, packet) = bytes
        .get(..count)
        .and_then(|bytes| bytes.split_at_checked(LENGTH_BYTES))
        .context("the other end has gone")?;
    let (header, arguments) = packet.split_at(HEADER_BYTES);
    let header: Header = xdr::from_bytes(header)?;
    if header.procedure == lock::ACQUIRE_RESOURCE {
        *held = Some(Held::acquire(&xdr::from_bytes(arguments)?)?);
    } else if let Some(held) = held.take() {
        held.release()?;
    }
    let kind = MessageType::REPLY;
    let answer = Packet::new(Header { kind, ..header }, &());
    stream.write_all(&answer.encode()?)?;
    Ok(())
}

/// A file that is locked.
struct Held {
    _file: File,
    /// Where it was made, if it was.
    made: Option<PathBuf>,
}

impl Held {
    fn acquire(args: &ResourceArgs) -> Result<Self> {
        let as_path = |text: &LockText| PathBuf::from(OsStr::from_bytes(text.as_bytes()));
        let autocreate = !args.path.is_empty();
        let path = as_path(&args.path).join(as_path(&args.name));
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(autocreate)
            .mode(0o600);
        let file = options.open(&path)?;
        let lock = libc::flock {
            l_type: libc::F_WRLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: 0,
            l_len: 1,
            l_pid: 0,
        };
        fcntl(&file, FcntlArg::F_SETLK(&lock))?;
        Ok(Self {
            _file: file,
            made: autocreate.then_some(path),
        })
    }

    fn release(self) -> Result<()> {
        if let Some(path) = &self.made {
            std::fs::remove_file(path)?;
        }
        Ok(())
    }
}
