//! Somebody who talks to the daemon, and writes down what it says.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use libvirt_rpc::admin;
use libvirt_rpc::lock::{self, ResourceArgs};
use libvirt_rpc::xdr::{self, Xdr};
use libvirt_rpc::{
    Header, MessageType, Packet, PacketDecoder, Procedure, Program, RemoteError, Serial, Status,
    Text,
};

/// A process that cannot be.
pub const NOBODY: u32 = 0x7fff_fffe;

pub struct Client {
    pub stream: UnixStream,
    decoder: PacketDecoder,
    program: Program,
    serial: u32,
}

impl Client {
    pub fn new(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let decoder = PacketDecoder::default();
        Self {
            stream,
            decoder,
            program: lock::PROGRAM,
            serial: 0,
        }
    }

    /// One of the admin program.
    pub fn admin(socket: &Path) -> Self {
        let program = admin::PROGRAM;
        Self {
            program,
            ..Self::new(socket)
        }
    }

    /// One that has registered an owner.
    pub fn registered(socket: &Path, pid: u32) -> Self {
        let mut client = Self::new(socket);
        assert_eq!(client.register(1, pid, 0), "ok");
        client
    }

    /// Calls a procedure: "ok", or all that the error says.
    pub fn call(&mut self, procedure: Procedure, arguments: &impl Xdr) -> String {
        self.serial += 1;
        let header = Header {
            program: self.program,
            version: lock::VERSION,
            procedure,
            kind: MessageType::CALL,
            serial: Serial(self.serial),
            status: Status::OK,
        };
        let bytes = Packet::new(header, arguments).encode().unwrap();
        self.stream.write_all(&bytes).unwrap();
        let answer = self.answer().expect("the connection was closed");
        let kind = MessageType::REPLY;
        let status = answer.header.status;
        assert_eq!(
            answer.header,
            Header {
                kind,
                status,
                ..header
            }
        );
        if status == Status::OK {
            assert!(answer.payload.is_empty());
            return "ok".to_owned();
        }
        let error: RemoteError = xdr::from_bytes(&answer.payload).unwrap();
        assert_eq!(
            (&error.str3, &error.guest, &error.network),
            (&None, &None, &None)
        );
        let [message, str1, str2] = [&error.message, &error.str1, &error.str2]
            .map(|text| text.as_ref().map_or("-".to_owned(), ToString::to_string));
        format!(
            "{}/{}/{} {} {} | {message} | {str1} | {str2}",
            error.code.0, error.domain.0, error.level.0, error.int1, error.int2
        )
    }

    /// Whether a call gets no answer for a while. It may get one later.
    pub fn waits(&mut self) -> bool {
        let limit = |client: &Self, time| client.stream.set_read_timeout(Some(time)).unwrap();
        limit(self, Duration::from_millis(300));
        let waits = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.restrict(0)));
        limit(self, Duration::from_secs(60));
        waits.is_err()
    }

    /// The next packet; none at the end.
    pub fn answer(&mut self) -> Option<Packet> {
        loop {
            if let Some(packet) = self.decoder.next_packet().unwrap() {
                return Some(packet);
            }
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes) {
                Ok(0) => return None,
                Ok(count) => self.decoder.push(&bytes[..count]),
                Err(failed) if failed.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(failed) => panic!("no answer: {failed}"),
            }
        }
    }

    pub fn register(&mut self, id: u32, pid: u32, flags: u32) -> String {
        let owner = lock::Owner {
            uuid: [5; 16],
            name: Text::cut("guest"),
            id,
            pid,
        };
        self.call(lock::REGISTER, &lock::RegisterArgs { owner, flags })
    }

    /// Whether a registration is answered at all: not on a connection that is closed.
    pub fn try_register(&mut self, id: u32, pid: u32) -> Option<Packet> {
        let owner = lock::Owner {
            uuid: [5; 16],
            name: Text::cut("guest"),
            id,
            pid,
        };
        let args = lock::RegisterArgs { owner, flags: 0 };
        let header = Header {
            program: self.program,
            version: lock::VERSION,
            procedure: lock::REGISTER,
            kind: MessageType::CALL,
            serial: Serial(1),
            status: Status::OK,
        };
        let bytes = Packet::new(header, &args).encode().unwrap();
        // It may have been closed already.
        let _ = self.stream.write_all(&bytes);
        self.answer()
    }

    pub fn restrict(&mut self, flags: u32) -> String {
        self.call(lock::RESTRICT, &lock::RestrictArgs { flags })
    }

    pub fn new_space(&mut self, path: &str, flags: u32) -> String {
        let path = Text::cut(path);
        self.call(lock::NEW, &lock::NewArgs { path, flags })
    }

    pub fn create_space(&mut self, path: &str) -> String {
        let path = Text::cut(path);
        self.call(lock::CREATE_LOCKSPACE, &lock::CreateLockSpaceArgs { path })
    }

    pub fn resource(&mut self, procedure: Procedure, at: (&str, &str), flags: u32) -> String {
        let (path, name) = (Text::cut(at.0), Text::cut(at.1));
        self.call(procedure, &ResourceArgs { path, name, flags })
    }

    pub fn acquire(&mut self, at: (&str, &str), flags: u32) -> String {
        self.resource(lock::ACQUIRE_RESOURCE, at, flags)
    }

    pub fn release(&mut self, at: (&str, &str)) -> String {
        self.resource(lock::RELEASE_RESOURCE, at, 0)
    }
}
