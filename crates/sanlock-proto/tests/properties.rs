//! Laws that hold for all values and all bytes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::collection::vec;
use proptest::prelude::*;
use sanlock_proto::command::Command;
use sanlock_proto::flags::*;
use sanlock_proto::header::Header;
use sanlock_proto::reply::{ReplyBody, reply_body};
use sanlock_proto::request::{BodyPlan, Release, body_plan};
use sanlock_proto::state::Attached;
use sanlock_proto::*;

fn name() -> impl Strategy<Value = Name> {
    vec(1u8.., 0..=48).prop_map(|bytes| Name::from_bytes(&bytes).unwrap())
}

fn disk() -> impl Strategy<Value = Disk> {
    (vec(1u8.., 0..=1023), any::<u64>()).prop_map(|(path, offset)| Disk {
        path: DiskPath::from_bytes(&path).unwrap(),
        offset,
    })
}

fn lockspace() -> impl Strategy<Value = Lockspace> {
    (name(), any::<u64>(), any::<u32>(), disk()).prop_map(|(name, host_id, flags, disk)| {
        Lockspace {
            name,
            host_id,
            flags: LockspaceFlags::from_bits(flags),
            disk,
        }
    })
}

fn resource() -> impl Strategy<Value = Resource> {
    (
        name(),
        name(),
        any::<(u64, u64, u32, u32)>(),
        vec(disk(), 1..=4),
    )
        .prop_map(
            |(lockspace, name, (lver, data64, data32, flags), disks)| Resource {
                lockspace,
                name,
                lver,
                data64,
                data32,
                flags: ResourceFlags::from_bits(flags),
                disks,
            },
        )
}

fn head() -> impl Strategy<Value = ResourceHead> {
    (resource(), any::<u32>()).prop_map(|(resource, num_disks)| ResourceHead {
        num_disks,
        ..resource.head()
    })
}

fn host() -> impl Strategy<Value = HostEntry> {
    any::<(u64, u64, u64, u32, u32)>().prop_map(
        |(host_id, generation, timestamp, io_timeout, flags)| HostEntry {
            host_id,
            generation,
            timestamp,
            io_timeout,
            flags,
        },
    )
}

fn event() -> impl Strategy<Value = HostEvent> {
    any::<(u64, u64, u64, u64)>().prop_map(|(host_id, generation, event, data)| HostEvent {
        host_id,
        generation,
        event,
        data,
    })
}

fn rindex() -> impl Strategy<Value = Rindex> {
    (name(), any::<(u32, u32)>(), disk()).prop_map(|(lockspace, (flags, max_resources), disk)| {
        Rindex {
            flags: RindexFlags::from_bits(flags),
            max_resources,
            lockspace,
            disk,
        }
    })
}

fn entry() -> impl Strategy<Value = RindexEntry> {
    (name(), any::<(u64, u32)>()).prop_map(|(name, (offset, flags))| RindexEntry {
        name,
        offset,
        flags,
    })
}

fn helper() -> impl Strategy<Value = HelperText> {
    vec(1u8.., 0..=126).prop_map(|bytes| HelperText::truncated(&bytes))
}

fn target() -> impl Strategy<Value = Target> {
    any::<u32>().prop_map(Target::from_data2)
}

fn release() -> impl Strategy<Value = Request> {
    let what = prop_oneof![
        Just((ReleaseFlags::ALL, Release::All)),
        head().prop_map(|h| (ReleaseFlags::ORPHAN, Release::Orphan(h))),
        (head(), head()).prop_map(|(resource, new_name)| (
            ReleaseFlags::RENAME,
            Release::Rename { resource, new_name }
        )),
        vec(head(), 0..20).prop_map(|list| (ReleaseFlags::NONE, Release::Resources(list))),
    ];
    (target(), any::<u32>(), what).prop_map(|(target, bits, (flag, what))| {
        let spare = ReleaseFlags::ALL | ReleaseFlags::ORPHAN | ReleaseFlags::RENAME;
        Request::Release {
            target,
            flags: ReleaseFlags::from_bits(bits).without(spare) | flag,
            what,
        }
    })
}

fn request() -> impl Strategy<Value = Request> {
    let simple = prop_oneof![
        Just(Request::Register),
        any::<u32>().prop_map(|b| Request::Restrict {
            flags: RestrictFlags::from_bits(b)
        }),
        Just(Request::Version),
        any::<bool>().prop_map(|force| Request::Shutdown { force }),
        any::<bool>().prop_map(|force| Request::ShutdownWait { force }),
        proptest::option::of((1u32..).prop_map(StateKind::from_number))
            .prop_map(|up_to| Request::Status { up_to }),
        Just(Request::LogDump),
        Just(Request::GetLockspaces),
        (target(), any::<u32>()).prop_map(|(target, b)| Request::Inquire {
            target,
            flags: InquireFlags::from_bits(b)
        }),
        disk().prop_map(|disk| Request::Align { disk }),
        (target(), any::<u32>(), helper(), helper()).prop_map(|(target, b, path, args)| {
            Request::Killpath {
                target,
                flags: KillpathFlags::from_bits(b),
                path,
                args,
            }
        }),
    ];
    let lockspaces = (0usize..12, lockspace(), event(), any::<[u32; 3]>()).prop_map(
        |(at, lockspace, event, [b, data, data2])| match at {
            0 => Request::HostStatus { lockspace },
            1 => Request::Renewal { lockspace },
            2 => Request::GetHosts {
                lockspace,
                flags: GetHostsFlags::from_bits(b),
            },
            3 => Request::RegEvent { lockspace, event },
            4 => Request::EndEvent { lockspace },
            5 => Request::SetEvent {
                lockspace,
                event,
                flags: SetEventFlags::from_bits(b),
            },
            6 => Request::SetConfig {
                lockspace,
                command: ConfigCommand::from_bits(b),
            },
            7 => Request::AddLockspace {
                lockspace,
                flags: AddFlags::from_bits(b),
                io_timeout: data,
            },
            8 => Request::InqLockspace {
                lockspace,
                flags: InqFlags::from_bits(b),
            },
            9 => Request::RemLockspace {
                lockspace,
                flags: RemFlags::from_bits(b),
            },
            10 => Request::WriteLockspace {
                lockspace,
                flags: WriteFlags::from_bits(b),
                max_hosts: data,
                io_timeout: data2,
            },
            _ => Request::ExamineLockspace { lockspace },
        },
    );
    let resources =
        (0usize..5, resource(), any::<[u32; 3]>()).prop_map(|(at, resource, [b, data, data2])| {
            match at {
                0 => Request::WriteResource {
                    resource,
                    flags: WriteFlags::from_bits(b),
                    data,
                    data2,
                },
                1 => Request::ReadResource { resource },
                2 => Request::ReadResourceOwners { resource },
                3 => Request::ExamineResource {
                    resource: resource.head(),
                },
                _ => Request::Request {
                    resource,
                    flags: RequestFlags::from_bits(b),
                    force_mode: ForceMode(data),
                },
            }
        });
    let heads = (
        0usize..3,
        target(),
        head(),
        any::<u32>(),
        vec(any::<u8>(), 1..=4096),
    )
        .prop_map(|(at, target, resource, b, lvb)| match at {
            0 => Request::SetLvb { resource, lvb },
            1 => Request::GetLvb {
                resource,
                length: b,
            },
            _ => Request::Convert {
                target,
                flags: ConvertFlags::from_bits(b),
                resource,
            },
        });
    let acquire = (
        target(),
        any::<u32>(),
        vec(resource(), 0..=8),
        name(),
        any::<(u32, u32)>(),
    )
        .prop_map(
            |(target, b, resources, owner_name, (flags, len))| Request::Acquire {
                target,
                flags: AcquireFlags::from_bits(b),
                resources,
                options: Options {
                    owner_name,
                    flags,
                    len,
                },
            },
        );
    let rindexes = (0usize..6, rindex(), entry(), any::<[u32; 3]>()).prop_map(
        |(at, rindex, entry, [b, data, data2])| {
            let flags = RindexOpFlags::from_bits(b);
            match at {
                0 => Request::FormatRindex { rindex, flags },
                1 => Request::RebuildRindex { rindex, flags },
                2 => Request::UpdateRindex {
                    rindex,
                    entry,
                    flags,
                },
                3 => Request::LookupRindex {
                    rindex,
                    entry,
                    flags,
                },
                4 => Request::CreateResource {
                    rindex,
                    entry,
                    flags,
                    data,
                    data2,
                },
                _ => Request::DeleteResource {
                    rindex,
                    entry,
                    flags,
                },
            }
        },
    );
    prop_oneof![
        simple,
        lockspaces,
        resources,
        heads,
        acquire,
        release(),
        rindexes
    ]
}

fn record() -> impl Strategy<Value = StateRecord> {
    let attached = prop_oneof![
        (5u32..).prop_map(|kind| Attached::Nothing(StateKind::from_number(kind))),
        Just(Attached::Nothing(StateKind::Daemon)),
        lockspace().prop_map(Attached::Lockspace),
        resource().prop_map(Attached::Resource),
    ];
    (
        any::<(u32, u32, u64)>(),
        name(),
        vec(1u8.., 0..=4095),
        attached,
    )
        .prop_map(
            |((flags, data32, data64), name, text, attached)| StateRecord {
                flags,
                data32,
                data64,
                name,
                text,
                attached,
            },
        )
}

fn reply() -> impl Strategy<Value = (Command, Reply)> {
    let n = any::<(i32, u32)>;
    prop_oneof![
        any::<i32>().prop_map(|result| (Command::AddLockspace, Reply::Result(result))),
        any::<u32>().prop_map(|version| (Command::Version, Reply::Version { version })),
        Just((Command::ShutdownWait, Reply::ShutdownDone)),
        (n(), vec(lockspace(), 0..5)).prop_map(|((result, count), lockspaces)| (
            Command::GetLockspaces,
            Reply::Lockspaces {
                result,
                count,
                lockspaces
            }
        )),
        (n(), vec(host(), 0..50)).prop_map(|((result, count), hosts)| (
            Command::GetHosts,
            Reply::Hosts {
                result,
                count,
                hosts
            }
        )),
        (n(), proptest::option::of(vec(1u8.., 0..5000))).prop_map(|((result, count), state)| (
            Command::Inquire,
            Reply::Inquire {
                result,
                count,
                state
            }
        )),
        (n(), lockspace()).prop_map(|((result, io_timeout), lockspace)| (
            Command::ReadLockspace,
            Reply::ReadLockspace {
                result,
                io_timeout,
                lockspace
            }
        )),
        (any::<i32>(), head()).prop_map(|(result, resource)| (
            Command::ReadResource,
            Reply::ReadResource { result, resource }
        )),
        (n(), head(), vec(host(), 0..50)).prop_map(|((result, count), resource, hosts)| (
            Command::ReadResourceOwners,
            Reply::Owners {
                result,
                count,
                resource,
                hosts
            }
        )),
        (
            any::<i32>(),
            proptest::option::of(vec(any::<u8>(), 1..=4096))
        )
            .prop_map(|(result, lvb)| (Command::GetLvb, Reply::Lvb { result, lvb })),
        (any::<i32>(), entry()).prop_map(|(result, entry)| (
            Command::LookupRindex,
            Reply::RindexEntry { result, entry }
        )),
        vec(any::<u8>(), 0..5000).prop_map(|text| (Command::LogDump, Reply::LogDump(text))),
        (n(), vec(record(), 0..6)).prop_map(|((result, data2), records)| (
            Command::Status,
            Reply::Records {
                result,
                data2,
                records
            }
        )),
    ]
}

/// Everything a decoder gives for a stream that comes in pieces of this size.
fn decode_in_pieces(stream: &[u8], piece: usize) -> (Vec<Incoming>, Decoder) {
    let mut decoder = Decoder::new();
    let mut found = Vec::new();
    for bytes in stream.chunks(piece) {
        decoder.push(bytes);
        while let Some(incoming) = decoder.next_incoming() {
            found.push(incoming);
        }
    }
    (found, decoder)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn requests_survive_the_wire_in_any_pieces(requests in vec(request(), 1..5), piece in 1usize..3000) {
        let stream: Vec<u8> = requests.iter().flat_map(Request::encode).collect();
        let (found, decoder) = decode_in_pieces(&stream, piece);
        let found: Vec<Request> = found
            .into_iter()
            .map(|incoming| match incoming {
                Incoming::Request { request, .. } => request,
                other => panic!("{other:?}"),
            })
            .collect();
        prop_assert_eq!(found, requests);
        prop_assert_eq!(decoder.cut(), None);
        prop_assert_eq!(decoder.needed(), Header::LEN);
    }

    #[test]
    fn reading_no_more_than_needed_never_reads_into_the_next_request(requests in vec(request(), 1..4)) {
        let stream: Vec<u8> = requests.iter().flat_map(Request::encode).collect();
        let mut rest = stream.as_slice();
        for request in &requests {
            let mut decoder = Decoder::new();
            let found = loop {
                if let Some(found) = decoder.next_incoming() {
                    break found;
                }
                let (now, later) = rest.split_at(decoder.needed());
                prop_assert!(!now.is_empty());
                decoder.push(now);
                rest = later;
            };
            prop_assert!(decoder.pending().is_empty());
            let is_same = matches!(&found, Incoming::Request { request: found, .. } if found == request);
            prop_assert!(is_same);
        }
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn replies_survive_the_wire((command, reply) in reply(), seq in any::<u32>(), flags in any::<u32>()) {
        let request = Header { seq, ..Header::request(command.number(), flags, 77, 5, 6) };
        let message = reply.encode(&request);
        let header = Header::decode(&message).unwrap();
        let body = &message[Header::LEN..];
        match reply_body(command, &header).unwrap() {
            ReplyBody::Bytes(len) => prop_assert_eq!(len, body.len()),
            ReplyBody::UntilEnd => {}
        }
        prop_assert_eq!(Reply::decode(command, &header, body).unwrap(), reply);
    }

    #[test]
    fn all_bytes_obey_the_laws_of_the_fuzz_targets(bytes in vec(any::<u8>(), 0..6000)) {
        prop_assert!(fuzz::header(&bytes));
        prop_assert!(fuzz::structs(&bytes));
        prop_assert!(fuzz::request(&bytes));
        prop_assert!(fuzz::stream(&bytes));
        prop_assert!(fuzz::reply(&bytes));
        prop_assert!(fuzz::state_record(&bytes));
    }

    #[test]
    fn all_texts_obey_the_laws_of_the_fuzz_targets(
        text in vec(prop_oneof![Just(b':'), Just(b'\\'), Just(b' '), Just(b'0'), any::<u8>()], 0..200)
    ) {
        prop_assert!(fuzz::resource_text(&text));
        prop_assert!(fuzz::lockspace_text(&text));
        prop_assert!(fuzz::state_text(&text));
        prop_assert!(fuzz::path_text(&text));
    }

    #[test]
    fn damaged_requests_are_never_taken_for_more_than_they_are(
        request in request(),
        at in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
        piece in 1usize..2000,
    ) {
        let mut stream = request.encode();
        let at = at.index(stream.len());
        stream[at] = byte;
        let whole = decode_in_pieces(&stream, stream.len()).0;
        let pieces = decode_in_pieces(&stream, piece).0;
        prop_assert_eq!(whole, pieces);
    }

    #[test]
    fn plans_stay_within_the_largest_message(words in any::<[u32; 5]>(), command in 1u32..=44, body in vec(any::<u8>(), 0..2000)) {
        let [flags, length, seq, data, data2] = words;
        let header = Header { flags, length, seq, data, data2, ..Header::request(command, 0, 0, 0, 0) };
        let command = Command::from_number(command).unwrap();
        match body_plan(command, &header, &body) {
            BodyPlan::Complete(len) => prop_assert!(len <= MAX_CLIENT_MSG),
            BodyPlan::AtLeast(len) => prop_assert!(len > body.len() && len <= MAX_CLIENT_MSG),
            BodyPlan::Reject { result, consumed, .. } => {
                prop_assert!(result < 0);
                prop_assert!(consumed <= body.len());
            }
        }
    }
}
