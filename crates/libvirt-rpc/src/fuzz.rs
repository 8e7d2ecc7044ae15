//! Entry points for a fuzzer: each takes any bytes, does not panic, and returns whether the laws hold for them.

use crate::decoder::PacketDecoder;
use crate::error::RemoteError;
use crate::packet::{Header, MessageType, Packet};
use crate::server::{Incoming, Served};
use crate::xdr::{self, Xdr};
use crate::{admin, holders, lock, remote};

/// What is decoded is encoded and decoded to the same again, in no more bytes than there were.
fn law<T: Xdr>(bytes: &[u8]) -> bool {
    let Ok(value) = xdr::from_bytes::<T>(bytes) else {
        return true;
    };
    let again = xdr::to_bytes(&value);
    // Compared as bytes, as not every number equals itself.
    let same = xdr::from_bytes::<T>(&again).map(|value| xdr::to_bytes(&value));
    again.len() <= bytes.len() && same.as_ref() == Ok(&again)
}

fn packets(pieces: &[&[u8]]) -> (Vec<Packet>, bool) {
    let mut decoder = PacketDecoder::default();
    let mut found = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        loop {
            match decoder.next_packet() {
                Ok(Some(packet)) => found.push(packet),
                Ok(None) => break,
                Err(_) => return (found, true),
            }
        }
    }
    (found, false)
}

/// A stream is cut into the same packets however its bytes come; each packet without descriptors is encoded to what
/// decodes to it; each answer of a server decodes. The first byte says where the stream is cut.
pub fn packet(bytes: &[u8]) -> bool {
    let Some((cut, stream)) = bytes.split_first() else {
        return true;
    };
    let (front, back) = stream.split_at(usize::from(*cut).min(stream.len()));
    let whole = packets(&[stream]);
    let served = [
        Served {
            program: lock::PROGRAM,
            version: lock::VERSION,
            last: lock::CREATE_LOCKSPACE,
        },
        Served {
            program: admin::PROGRAM,
            version: admin::VERSION,
            last: admin::CONNECT_SET_DAEMON_TIMEOUT,
        },
    ];
    let encoded = |packet: &Packet| packet.encode().map(|bytes| packets(&[&bytes]));
    let good = whole.0.iter().all(|packet| {
        let plain = packet.header.kind != MessageType::CALL_WITH_FDS;
        let same = !plain || encoded(packet) == Ok((vec![packet.clone()], false));
        same && served
            .iter()
            .all(|served| match served.receive(packet.clone()) {
                Incoming::Answer(answer) => {
                    encoded(&answer).is_ok_and(|(packets, failed)| !failed && packets.len() == 1)
                }
                Incoming::Call(_) | Incoming::Nothing => true,
            })
    });
    good && whole == packets(&[front, back]) && law::<Header>(stream)
}

/// The arguments of the lock program. The first byte says of which procedure.
pub fn lock(bytes: &[u8]) -> bool {
    let Some((procedure, bytes)) = bytes.split_first() else {
        return true;
    };
    match procedure {
        1 => law::<lock::RegisterArgs>(bytes),
        2 => law::<lock::RestrictArgs>(bytes),
        3 => law::<lock::NewArgs>(bytes),
        8 => law::<lock::CreateLockSpaceArgs>(bytes),
        _ => law::<lock::ResourceArgs>(bytes),
    }
}

/// What goes either way in the admin program. The first byte says of which procedure; from 128 on, its result; from 200 on, of the
/// program that lists locks.
pub fn admin(bytes: &[u8]) -> bool {
    let Some((procedure, bytes)) = bytes.split_first() else {
        return true;
    };
    match procedure {
        1 | 14 | 15 => law::<admin::FlagsArgs>(bytes),
        4 => law::<admin::ListServersArgs>(bytes),
        5 => law::<admin::LookupServerArgs>(bytes),
        6 | 12 | 18 => law::<admin::ServerArgs>(bytes),
        7 => law::<admin::SetThreadpoolArgs>(bytes),
        8 => law::<admin::ListClientsArgs>(bytes),
        9 => law::<admin::LookupClientArgs>(bytes),
        10 | 11 => law::<admin::ClientArgs>(bytes),
        13 => law::<admin::SetClientLimitsArgs>(bytes),
        16 | 17 => law::<admin::SetLoggingArgs>(bytes),
        19 => law::<admin::SetDaemonTimeoutArgs>(bytes),
        131 => law::<admin::LibVersionRet>(bytes),
        132 => law::<admin::ListServersRet>(bytes),
        133 => law::<admin::Server>(bytes),
        134 => law::<admin::ThreadpoolParams>(bytes),
        136 => law::<admin::ListClientsRet>(bytes),
        137 => law::<admin::Client>(bytes),
        138 => law::<admin::ClientInfo>(bytes),
        140 => law::<admin::ClientLimits>(bytes),
        142 => law::<admin::LoggingOutputsRet>(bytes),
        143 => law::<admin::LoggingFiltersRet>(bytes),
        200 => law::<holders::ListArgs>(bytes),
        201 => law::<holders::ListRet>(bytes),
        _ => law::<admin::Param>(bytes),
    }
}

/// What goes either way in the remote program. The first byte says of which procedure; from 128 on, its result.
pub fn remote(bytes: &[u8]) -> bool {
    let Some((procedure, bytes)) = bytes.split_first() else {
        return true;
    };
    match procedure {
        1 => law::<remote::OpenArgs>(bytes),
        24 => law::<remote::LookupByUuidArgs>(bytes),
        68 => law::<remote::SaslStartArgs>(bytes),
        69 => law::<remote::SaslStepArgs>(bytes),
        128 => law::<remote::AuthListRet>(bytes),
        129 => law::<remote::SaslInitRet>(bytes),
        130 => law::<remote::SaslRet>(bytes),
        131 => law::<remote::PolkitRet>(bytes),
        132 => law::<remote::IsActiveRet>(bytes),
        133 => law::<remote::DomainRet>(bytes),
        _ => law::<remote::DomainArgs>(bytes),
    }
}

/// A server's answer as a client takes it: no stream of bytes makes the call do anything but return.
pub fn answer(bytes: &[u8]) -> bool {
    struct Stream<'a>(&'a [u8]);
    impl std::io::Read for Stream<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.0.read(buffer)
        }
    }
    impl std::io::Write for Stream<'_> {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut client = crate::blocking::Client::new(Stream(bytes), remote::PROGRAM, remote::VERSION);
    let mut calls = 0;
    while client
        .call::<remote::DomainRet>(remote::DOMAIN_LOOKUP_BY_UUID, &())
        .is_ok()
    {
        // Each answer takes bytes of the stream, so that it comes to an end.
        calls += 1;
        if calls > bytes.len() {
            return false;
        }
    }
    true
}

/// An error record.
pub fn error(bytes: &[u8]) -> bool {
    law::<RemoteError>(bytes)
}
