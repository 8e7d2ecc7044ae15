//! Talks to the C daemon (Debian's virtlockd, or what `$VIRTLOCKD_UPSTREAM` names), running with a `/run` of its own:
//! what our server end answers before a procedure is reached must be what it answers, to the byte; what our client
//! end makes of its answers must encode to the same bytes again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    dead_code
)]

#[path = "../../daemon/tests/common/harness.rs"]
mod harness;
#[path = "common/virtlockd.rs"]
mod virtlockd;

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use harness::{Outcome, skipped};
use libvirt_rpc::client::{CallError, Client};
use libvirt_rpc::server::{Incoming, Served};
use libvirt_rpc::xdr::{self, Xdr};
use libvirt_rpc::{
    ErrorCode, Header, MessageType, Packet, PacketDecoder, Procedure, Program, RemoteError, Serial,
    Status, Text, Version, admin, keepalive, lock,
};
use virtlockd::Daemon;

fn main() -> ExitCode {
    harness::run(&[
        ("answers_before_a_procedure_are_the_same_bytes", answers),
        (
            "what_is_no_packet_ends_the_connection_on_both_sides",
            nonsense,
        ),
        ("errors_of_the_lock_program_are_the_same_bytes", errors),
        ("the_client_gets_on_with_the_lock_program", lock_client),
        (
            "results_of_the_admin_program_encode_to_the_same_bytes",
            admin_client,
        ),
    ])
}

fn start() -> Result<Daemon, Outcome> {
    let program = virtlockd::original().map_err(skipped)?;
    match virtlockd::cannot_be_isolated() {
        Some(why) => Err(skipped(format!("no mount namespace: {why}"))),
        None => Ok(Daemon::start(&program, &["-f", "/dev/null"])),
    }
}

macro_rules! daemon {
    () => {
        match start() {
            Ok(daemon) => daemon,
            Err(outcome) => return outcome,
        }
    };
}

const LOCK: Served = Served {
    program: lock::PROGRAM,
    version: lock::VERSION,
    last: lock::CREATE_LOCKSPACE,
};

const ADMIN: Served = Served {
    program: admin::PROGRAM,
    version: admin::VERSION,
    last: admin::CONNECT_SET_DAEMON_TIMEOUT,
};

fn connect(socket: &Path) -> UnixStream {
    let stream = UnixStream::connect(socket).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    stream
}

/// The next packet, and its bytes; nothing at the end.
fn receive(stream: &mut UnixStream) -> Option<(Packet, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut decoder = PacketDecoder::default();
    loop {
        let mut byte = [0; 1];
        match stream.read(&mut byte) {
            Ok(0) => return None,
            Ok(_) => bytes.push(byte[0]),
            Err(failed) if failed.kind() == std::io::ErrorKind::ConnectionReset => return None,
            Err(failed) => panic!("{failed}"),
        }
        decoder.push(&byte);
        if let Some(packet) = decoder.next_packet().unwrap() {
            return Some((packet, bytes));
        }
    }
}

fn header(served: &Served, procedure: Procedure) -> Header {
    Header {
        program: served.program,
        version: served.version,
        procedure,
        kind: MessageType::CALL,
        serial: Serial(0x1234_5678),
        status: Status::OK,
    }
}

fn answers() -> Outcome {
    let daemon = daemon!();
    for (served, socket) in [(LOCK, daemon.socket()), (ADMIN, daemon.admin_socket())] {
        let good = header(&served, Procedure(1));
        let mut headers = vec![
            Header {
                program: Program(0),
                ..good
            },
            Header {
                program: Program(u32::MAX),
                ..good
            },
            Header {
                version: Version(2),
                ..good
            },
            Header {
                version: Version(u32::MAX),
                ..good
            },
            Header {
                program: keepalive::PROGRAM,
                ..good
            },
            Header {
                kind: MessageType::MESSAGE,
                ..good
            },
            Header {
                kind: MessageType::REPLY,
                ..good
            },
            Header {
                kind: MessageType::STREAM,
                ..good
            },
            Header {
                kind: MessageType::STREAM_HOLE,
                ..good
            },
            Header {
                kind: MessageType::REPLY_WITH_FDS,
                ..good
            },
            Header {
                kind: MessageType(77),
                ..good
            },
            Header {
                kind: MessageType(-1),
                ..good
            },
        ];
        headers.extend([1, 2, 3, -1].map(|status| Header {
            status: Status(status),
            ..good
        }));
        let procedures = [0, -1, served.last.0 + 1, i32::MAX, i32::MIN];
        headers.extend(procedures.map(|number| Header {
            procedure: Procedure(number),
            ..good
        }));
        let mut packets: Vec<Packet> = headers
            .into_iter()
            .map(|header| Packet::new(header, &()))
            .collect();
        packets.push(keepalive::packet(keepalive::PING));
        packets.push(keepalive::packet(keepalive::PONG));
        packets.push(keepalive::packet(Procedure(9)));
        for packet in packets {
            // A ping behind it tells whether it is answered at all.
            let mut stream = connect(&socket);
            stream.write_all(&packet.encode().unwrap()).unwrap();
            let ping = keepalive::packet(keepalive::PING);
            stream.write_all(&ping.encode().unwrap()).unwrap();
            let wanted = match served.receive(packet.clone()) {
                Incoming::Answer(answer) => answer.encode().unwrap(),
                Incoming::Nothing => keepalive::packet(keepalive::PONG).encode().unwrap(),
                Incoming::Call(call) => panic!("{call:?}"),
            };
            let (_, found) = receive(&mut stream).unwrap_or_else(|| panic!("closed: {packet:?}"));
            assert_eq!(found, wanted, "{packet:?}");
        }
        // Arguments that do not decode.
        for payload in [vec![], vec![0; 3], vec![255; 40]] {
            let header = header(&served, Procedure(5));
            let packet = Packet { header, payload };
            let mut stream = connect(&socket);
            stream.write_all(&packet.encode().unwrap()).unwrap();
            let Incoming::Call(call) = served.receive(packet) else {
                panic!("not a call");
            };
            let error = call.arguments::<lock::ResourceArgs>().unwrap_err();
            let wanted = call.fail(&error).encode().unwrap();
            assert_eq!(receive(&mut stream).unwrap().1, wanted);
        }
    }
    Outcome::Passed
}

fn nonsense() -> Outcome {
    let daemon = daemon!();
    let call = Packet::new(header(&LOCK, Procedure(99)), &())
        .encode()
        .unwrap();
    let with_fds = |count: u32| {
        let kind = MessageType::CALL_WITH_FDS;
        let header = Header {
            kind,
            ..header(&LOCK, Procedure(99))
        };
        Packet::new(header, &count).encode().unwrap()
    };
    let none = {
        let kind = MessageType::CALL_WITH_FDS;
        Packet::new(
            Header {
                kind,
                ..header(&LOCK, Procedure(99))
            },
            &(),
        )
        .encode()
        .unwrap()
    };
    let long = [&33_554_437_u32.to_be_bytes()[..], &call[4..]].concat();
    let short = [&27_u32.to_be_bytes()[..], &call[4..27]].concat();
    for bytes in [
        vec![0, 0, 0, 0],
        vec![0, 0, 0, 3],
        vec![0, 0, 0, 4],
        vec![255; 4],
        long,
        short,
        with_fds(33),
        with_fds(u32::MAX),
        none,
    ] {
        let mut stream = connect(&daemon.socket());
        stream.write_all(&bytes).unwrap();
        assert!(receive(&mut stream).is_none(), "C answers {bytes:?}");
        let mut decoder = PacketDecoder::default();
        decoder.push(&bytes);
        assert!(decoder.next_packet().is_err(), "we take {bytes:?}");
    }
    // No descriptors after all: an ordinary call.
    let mut stream = connect(&daemon.socket());
    stream.write_all(&with_fds(0)).unwrap();
    let mut decoder = PacketDecoder::default();
    decoder.push(&with_fds(0));
    let packet = decoder.next_packet().unwrap().unwrap();
    let Incoming::Answer(answer) = LOCK.receive(packet) else {
        panic!("not refused");
    };
    assert_eq!(receive(&mut stream).unwrap().1, answer.encode().unwrap());
    Outcome::Passed
}

fn resource(path: &str, name: &str, flags: u32) -> lock::ResourceArgs {
    let [path, name] = [path, name].map(|text| Text::new(text).unwrap());
    lock::ResourceArgs { path, name, flags }
}

fn errors() -> Outcome {
    use libvirt_rpc::ErrorDomain as Domain;
    let daemon = daemon!();
    let owner = lock::Owner {
        uuid: [7; 16],
        name: Text::new("guest").unwrap(),
        id: 1,
        // A process that cannot be.
        pid: u32::MAX >> 1,
    };
    let mut stream = connect(&daemon.socket());
    let register = lock::RegisterArgs { owner, flags: 0 };
    let packet = Packet::new(header(&LOCK, lock::REGISTER), &register);
    stream.write_all(&packet.encode().unwrap()).unwrap();
    assert_eq!(receive(&mut stream).unwrap().0.header.status, Status::OK);
    let missing = std::io::Error::from_raw_os_error(2);
    for (procedure, arguments, wanted) in [
        (
            lock::RELEASE_RESOURCE,
            resource("", "/nowhere", 0),
            RemoteError::new(
                ErrorCode::RESOURCE_BUSY,
                Domain::LOCKSPACE,
                "Lockspace resource '/nowhere' is not locked",
            ),
        ),
        (
            lock::ACQUIRE_RESOURCE,
            resource("", "/nowhere", 0),
            RemoteError::system(
                Domain::LOCKSPACE,
                "Unable to open resource /nowhere",
                &missing,
            ),
        ),
        (
            lock::ACQUIRE_RESOURCE,
            resource("", "/nowhere", 4),
            RemoteError::unsupported_flags(
                Domain::RPC,
                4,
                "virLockSpaceProtocolDispatchAcquireResource",
            ),
        ),
        (
            lock::ACQUIRE_RESOURCE,
            resource("/nospace", "x", 0),
            RemoteError::new(
                ErrorCode::INTERNAL_ERROR,
                Domain::RPC,
                "Lockspace for path /nospace does not exist",
            ),
        ),
    ] {
        let packet = Packet::new(header(&LOCK, procedure), &arguments);
        stream.write_all(&packet.encode().unwrap()).unwrap();
        let (found, bytes) = receive(&mut stream).unwrap();
        let error: RemoteError = xdr::from_bytes(&found.payload).unwrap();
        assert_eq!(error, wanted);
        let Incoming::Call(call) = LOCK.receive(packet) else {
            panic!("not a call");
        };
        assert_eq!(bytes, call.fail(&wanted).encode().unwrap());
    }
    Outcome::Passed
}

fn with_client<F: Future<Output = ()>>(
    socket: &Path,
    served: Served,
    test: impl FnOnce(Client<tokio::net::UnixStream>) -> F,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let stream = tokio::net::UnixStream::connect(socket).await.unwrap();
        let client = Client::new(stream, served.program, served.version);
        let limit = Duration::from_secs(60);
        tokio::time::timeout(limit, test(client)).await.unwrap();
    });
}

fn lock_client() -> Outcome {
    let daemon = daemon!();
    let file = std::env::temp_dir().join(format!("libvirt-rpc-{}", std::process::id()));
    std::fs::write(&file, "").unwrap();
    let name = file.to_str().unwrap().to_owned();
    with_client(&daemon.socket(), LOCK, async |mut client| {
        let before: Result<(), _> = client
            .call(lock::ACQUIRE_RESOURCE, &resource("", &name, 0))
            .await;
        assert!(matches!(before, Err(CallError::Refused(error))
            if error.code == ErrorCode::OPERATION_INVALID));
        let owner = lock::Owner {
            uuid: [1; 16],
            name: Text::new("guest").unwrap(),
            id: 1,
            pid: u32::MAX >> 1,
        };
        let register = lock::RegisterArgs { owner, flags: 0 };
        client.call::<()>(lock::REGISTER, &register).await.unwrap();
        client
            .call::<()>(lock::ACQUIRE_RESOURCE, &resource("", &name, 0))
            .await
            .unwrap();
        let again: Result<(), _> = client
            .call(lock::ACQUIRE_RESOURCE, &resource("", &name, 0))
            .await;
        assert!(matches!(again, Err(CallError::Refused(error))
            if error.code == ErrorCode::RESOURCE_BUSY));
        client
            .call::<()>(lock::RELEASE_RESOURCE, &resource("", &name, 0))
            .await
            .unwrap();
        let restrict = lock::RestrictArgs { flags: 0 };
        client.call::<()>(lock::RESTRICT, &restrict).await.unwrap();
    });
    std::fs::remove_file(file).unwrap();
    Outcome::Passed
}

/// Calls, and has the result encoded to the same bytes again.
fn call<R: Xdr>(stream: &mut UnixStream, procedure: Procedure, arguments: &impl Xdr) -> R {
    let packet = Packet::new(header(&ADMIN, procedure), arguments);
    stream.write_all(&packet.encode().unwrap()).unwrap();
    let (answer, _) = receive(stream).unwrap();
    if answer.header.status != Status::OK {
        let error: RemoteError = xdr::from_bytes(&answer.payload).unwrap();
        panic!("{procedure:?}: {error}");
    }
    let value = xdr::from_bytes(&answer.payload).unwrap();
    assert_eq!(xdr::to_bytes(&value), answer.payload, "{procedure:?}");
    value
}

fn admin_client() -> Outcome {
    let daemon = daemon!();
    // The C daemon knows who a client is only after its first call.
    let mut other = connect(&daemon.socket());
    let packet = Packet::new(
        header(&LOCK, lock::RESTRICT),
        &lock::RestrictArgs { flags: 0 },
    );
    other.write_all(&packet.encode().unwrap()).unwrap();
    receive(&mut other).unwrap();
    let mut stream = connect(&daemon.admin_socket());
    let flags = admin::FlagsArgs { flags: 0 };
    call::<()>(&mut stream, admin::CONNECT_OPEN, &flags);
    let version: admin::LibVersionRet = call(&mut stream, admin::CONNECT_GET_LIB_VERSION, &());
    assert!(version.version >= 9_000_000, "{version:?}");
    let list = admin::ListServersArgs {
        need_results: 1,
        flags: 0,
    };
    let servers: admin::ListServersRet = call(&mut stream, admin::CONNECT_LIST_SERVERS, &list);
    let mut names: Vec<String> = servers
        .servers
        .iter()
        .map(|server| server.name.to_string())
        .collect();
    names.sort();
    assert_eq!(names, ["admin", "virtlockd"]);
    let server = admin::Server {
        name: Text::new("virtlockd").unwrap(),
    };
    let of_server = admin::ServerArgs {
        server: server.clone(),
        flags: 0,
    };
    let pool: admin::ThreadpoolParams = call(
        &mut stream,
        admin::SERVER_GET_THREADPOOL_PARAMETERS,
        &of_server,
    );
    assert!(!pool.params.is_empty());
    let limits: admin::ClientLimits =
        call(&mut stream, admin::SERVER_GET_CLIENT_LIMITS, &of_server);
    let limit = |name: &str| {
        let found = limits
            .params
            .iter()
            .find(|param| param.field.as_bytes() == name.as_bytes());
        found.map(|param| param.value.clone())
    };
    assert_eq!(limit("nclients_max"), Some(admin::ParamValue::UInt(1024)));
    let mut clients = None;
    virtlockd::wait_until("the client is listed", || {
        let list = admin::ListClientsArgs {
            server: server.clone(),
            need_results: 1,
            flags: 0,
        };
        let found: admin::ListClientsRet = call(&mut stream, admin::SERVER_LIST_CLIENTS, &list);
        let there = found.clients.len() == 1;
        clients = Some(found.clients.into_vec());
        there
    });
    let client = clients.unwrap().remove(0);
    let of_client = admin::ClientArgs { client, flags: 0 };
    let info: admin::ClientInfo = call(&mut stream, admin::CLIENT_GET_INFO, &of_client);
    let pid = info
        .params
        .iter()
        .find(|param| param.field.as_bytes() == b"unix_process_id");
    let own = i32::try_from(std::process::id()).unwrap();
    assert_eq!(
        pid.map(|param| param.value.clone()),
        Some(admin::ParamValue::Int(own))
    );
    let outputs: admin::LoggingOutputsRet =
        call(&mut stream, admin::CONNECT_GET_LOGGING_OUTPUTS, &flags);
    assert_eq!(outputs.count, 1);
    let filters: admin::LoggingFiltersRet =
        call(&mut stream, admin::CONNECT_GET_LOGGING_FILTERS, &flags);
    assert_eq!(filters.count, 0);
    Outcome::Passed
}
