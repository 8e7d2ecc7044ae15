//! Laws that hold for all values and all bytes.

#![allow(clippy::unwrap_used)]

use libvirt_rpc::xdr::{from_bytes, to_bytes};
use libvirt_rpc::{
    ErrorCode, ErrorDomain, Header, List, MessageType, Packet, PacketDecoder, Procedure, Program,
    RemoteError, Serial, Status, Text, Version, admin, fuzz, lock,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn text<const MAX: usize>() -> impl Strategy<Value = Text<MAX>> {
    vec(1_u8.., 0..40).prop_map(|bytes| Text::new(bytes).unwrap())
}

fn param() -> impl Strategy<Value = admin::Param> {
    use admin::ParamValue::{Boolean, Int, LLong, String, UInt, ULLong};
    let value = prop_oneof![
        any::<i32>().prop_map(Int),
        any::<u32>().prop_map(UInt),
        any::<i64>().prop_map(LLong),
        any::<u64>().prop_map(ULLong),
        any::<i32>().prop_map(Boolean),
        text().prop_map(String),
    ];
    (text(), value).prop_map(|(field, value)| admin::Param { field, value })
}

fn header() -> impl Strategy<Value = Header> {
    (any::<[u32; 3]>(), any::<i32>(), 0..7, any::<i32>()).prop_map(
        |([program, version, serial], procedure, kind, status)| Header {
            program: Program(program),
            version: Version(version),
            procedure: Procedure(procedure),
            kind: MessageType(kind),
            serial: Serial(serial),
            status: Status(status),
        },
    )
}

proptest! {
    #[test]
    fn owners_survive_the_wire(
        uuid: [u8; 16], name in text(), id: u32, pid: u32, flags: u32, path in text(), file in text(),
    ) {
        let owner = lock::Owner { uuid, name, id, pid };
        let args = lock::RegisterArgs { owner, flags };
        prop_assert_eq!(from_bytes::<lock::RegisterArgs>(&to_bytes(&args)).unwrap(), args);
        let args = lock::ResourceArgs { path, name: file, flags };
        prop_assert_eq!(from_bytes::<lock::ResourceArgs>(&to_bytes(&args)).unwrap(), args);
    }

    #[test]
    fn parameters_survive_the_wire(params in vec(param(), 0..33)) {
        let fits = params.len() <= admin::CLIENT_LIMITS_MAX;
        match List::new(params) {
            Ok(params) => {
                let limits = admin::ClientLimits { params };
                prop_assert_eq!(from_bytes::<admin::ClientLimits>(&to_bytes(&limits)).unwrap(), limits);
            }
            Err(_) => prop_assert!(!fits),
        }
    }

    #[test]
    fn errors_survive_the_wire(code: i32, domain: i32, detail in vec(1_u8.., 0..200)) {
        let error = RemoteError::new(ErrorCode(code), ErrorDomain(domain), detail);
        prop_assert_eq!(from_bytes::<RemoteError>(&to_bytes(&error)).unwrap(), error);
    }

    #[test]
    fn a_stream_may_be_cut_anywhere(
        packets in vec((header(), vec(any::<u8>(), 0..90)), 0..6),
        cuts in vec(1_usize..70, 1..20),
    ) {
        let packets: Vec<Packet> = packets
            .into_iter()
            .filter(|(header, _)| header.kind != MessageType::CALL_WITH_FDS)
            .map(|(header, payload)| Packet { header, payload })
            .collect();
        let stream: Vec<u8> =
            packets.iter().flat_map(|packet| packet.encode().unwrap()).collect();
        let mut decoder = PacketDecoder::default();
        let mut found = Vec::new();
        let mut rest = stream.as_slice();
        for cut in cuts.iter().cycle() {
            let (piece, more) = rest.split_at((*cut).min(rest.len()));
            decoder.push(piece);
            while let Some(packet) = decoder.next_packet().unwrap() {
                found.push(packet);
            }
            rest = more;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(found, packets);
        prop_assert!(!decoder.is_within_packet());
    }

    #[test]
    fn all_bytes_obey_the_laws_of_the_fuzz_targets(
        bytes in vec(prop_oneof![3 => Just(0_u8), 1 => any::<u8>(), 2 => 0..9_u8], 0..300),
    ) {
        prop_assert!(fuzz::packet(&bytes));
        prop_assert!(fuzz::lock(&bytes));
        prop_assert!(fuzz::admin(&bytes));
        prop_assert!(fuzz::error(&bytes));
        prop_assert!(fuzz::remote(&bytes));
        prop_assert!(fuzz::answer(&bytes));
    }

    #[test]
    fn a_packet_obeys_the_law_of_the_fuzz_target(
        cut: u8, header in header(), payload in vec(any::<u8>(), 0..90), good: bool,
    ) {
        let header = match good {
            true => Header { program: lock::PROGRAM, version: lock::VERSION, ..header },
            false => header,
        };
        let mut bytes = vec![cut];
        bytes.extend(Packet { header, payload }.encode().unwrap());
        prop_assert!(fuzz::packet(&bytes));
    }
}
