//! A leader of either kind: any sector is judged, and what is decoded is encoded to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ondisk::{HostId, Leader, LeaseKind};

fuzz_target!(|sector: &[u8]| {
    let Ok(decoded) = Leader::decode(sector) else {
        assert!(sector.len() < Leader::LEN);
        return;
    };
    let mut record = decoded.record.clone();
    let _ = format!("{record:?} {:?}", record.geometry());

    let mut again = vec![0; sector.len()];
    record.encode_verbatim(&mut again);
    assert_eq!(again[..Leader::LEN], sector[..Leader::LEN]);
    assert!(record.same_but_times(&decoded.record));

    // With its own names and a right checksum a leader is valid exactly if its kind can be read.
    let (space, resource) = (record.space_name, record.resource_name);
    record.encode(&mut again);
    let mended = Leader::decode(&again).unwrap();
    let delta = mended.verify_delta(&space);
    let paxos = mended.verify_paxos(&space, &resource, HostId(0));
    assert_eq!(delta, mended.verify_kind(LeaseKind::Delta));
    assert_eq!(paxos, mended.verify_kind(LeaseKind::Paxos));
    assert!(delta.is_err() || paxos.is_err());
    for fault in [delta, paxos].into_iter().filter_map(Result::err) {
        assert!((-229..=-220).contains(&fault.code()) && !fault.to_string().is_empty());
    }

    // The sector as it is may have a wrong checksum too.
    for (kind, fault) in [
        (LeaseKind::Delta, decoded.verify_delta(&space)),
        (
            LeaseKind::Paxos,
            decoded.verify_paxos(&space, &resource, HostId(0)),
        ),
    ] {
        let expected = decoded
            .verify_kind(kind)
            .and_then(|()| decoded.verify_checksum());
        assert_eq!(fault, expected);
    }
});
