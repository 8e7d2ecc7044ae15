//! Sizes, offsets and constants.

use std::fmt::Write as _;

use sanlock_proto::flags::*;
use sanlock_proto::*;

use crate::common::TempDir;
use crate::harness::{Outcome, skipped};
use crate::probe::{probe, run, table};

pub(crate) fn layouts() -> Outcome {
    let dir = TempDir::new("layout");
    let program = match probe(dir.path(), "") {
        Ok(program) => program,
        Err(why) => return skipped(why),
    };
    let text = run(&program, "layout", "", None);
    let c = table(&text);
    let sizes = [
        ("sanlk_disk", Disk::LEN),
        ("sanlk_lockspace", Lockspace::LEN),
        ("sanlk_resource", ResourceHead::LEN),
        ("sanlk_options", Options::LEN),
        ("sanlk_host", HostEntry::LEN),
        ("sanlk_host_event", HostEvent::LEN),
        ("sanlk_rindex", Rindex::LEN),
        ("sanlk_rentry", RindexEntry::LEN),
    ];
    for (name, len) in sizes {
        assert_eq!(c[name], len as i64, "{name}");
    }

    // Where a field's first byte lands.
    let at =
        |encoded: Vec<u8>, marker: u8| encoded.iter().position(|b| *b == marker).unwrap() as i64;
    let encode = |f: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        f(&mut out);
        out
    };
    let marked = Name::from_bytes(&[0xaa]).unwrap();
    let disk = Disk {
        path: DiskPath::from_bytes(&[0xdd]).unwrap(),
        offset: 0xee,
    };
    let lockspace = Lockspace {
        name: marked,
        host_id: 0xbb,
        flags: LockspaceFlags::from_bits(0xcc),
        disk: disk.clone(),
    };
    let bytes = encode(&|out| lockspace.encode(out));
    assert_eq!(at(bytes.clone(), 0xaa), c["sanlk_lockspace.name"]);
    assert_eq!(at(bytes.clone(), 0xbb), c["sanlk_lockspace.host_id"]);
    assert_eq!(at(bytes.clone(), 0xcc), c["sanlk_lockspace.flags"]);
    assert_eq!(at(bytes.clone(), 0xdd), c["sanlk_lockspace.host_id_disk"]);
    assert_eq!(
        at(bytes, 0xee),
        c["sanlk_lockspace.host_id_disk"] + c["sanlk_disk.offset"]
    );

    let resource = Resource {
        lockspace: marked,
        name: Name::from_bytes(&[0xbb]).unwrap(),
        lver: 0xcc,
        data64: 0xc1,
        data32: 0xc2,
        flags: ResourceFlags::from_bits(0xc3),
        disks: vec![disk.clone()],
    };
    let bytes = encode(&|out| resource.encode(out));
    assert_eq!(at(bytes.clone(), 0xaa), c["sanlk_resource.lockspace_name"]);
    assert_eq!(at(bytes.clone(), 0xbb), c["sanlk_resource.name"]);
    assert_eq!(at(bytes.clone(), 0xcc), c["sanlk_resource.lver"]);
    assert_eq!(at(bytes.clone(), 0xc1), c["sanlk_resource.data64"]);
    assert_eq!(at(bytes.clone(), 0xc2), c["sanlk_resource.data32"]);
    assert_eq!(at(bytes.clone(), 0xc3), c["sanlk_resource.flags"]);
    assert_eq!(at(bytes.clone(), 1), c["sanlk_resource.num_disks"]);
    assert_eq!(at(bytes, 0xdd), c["sanlk_resource.disks"]);

    let options = Options {
        owner_name: marked,
        flags: 0xbb,
        len: 0xcc,
    };
    let bytes = encode(&|out| options.encode(out));
    assert_eq!(at(bytes.clone(), 0xaa), c["sanlk_options.owner_name"]);
    assert_eq!(at(bytes.clone(), 0xbb), c["sanlk_options.flags"]);
    assert_eq!(at(bytes, 0xcc), c["sanlk_options.len"]);

    let host = HostEntry {
        host_id: 1,
        generation: 2,
        timestamp: 3,
        io_timeout: 4,
        flags: 5,
    };
    let bytes = encode(&|out| host.encode(out));
    for (marker, field) in [
        (1, "host_id"),
        (2, "generation"),
        (3, "timestamp"),
        (4, "io_timeout"),
        (5, "flags"),
    ] {
        assert_eq!(
            at(bytes.clone(), marker),
            c[format!("sanlk_host.{field}").as_str()]
        );
    }
    let event = HostEvent {
        host_id: 1,
        generation: 2,
        event: 3,
        data: 4,
    };
    let bytes = encode(&|out| event.encode(out));
    for (marker, field) in [(1, "host_id"), (2, "generation"), (3, "event"), (4, "data")] {
        assert_eq!(
            at(bytes.clone(), marker),
            c[format!("sanlk_host_event.{field}").as_str()]
        );
    }
    let rindex = Rindex {
        flags: RindexFlags::from_bits(0xbb),
        max_resources: 0xcc,
        lockspace: marked,
        disk,
    };
    let bytes = encode(&|out| rindex.encode(out));
    assert_eq!(at(bytes.clone(), 0xbb), c["sanlk_rindex.flags"]);
    assert_eq!(at(bytes.clone(), 0xcc), c["sanlk_rindex.max_resources"]);
    assert_eq!(at(bytes.clone(), 0xaa), c["sanlk_rindex.lockspace_name"]);
    assert_eq!(at(bytes, 0xdd), c["sanlk_rindex.disk"]);
    let entry = RindexEntry {
        name: marked,
        offset: 0xbb,
        flags: 0xcc,
    };
    let bytes = encode(&|out| entry.encode(out));
    assert_eq!(at(bytes.clone(), 0xaa), c["sanlk_rentry.name"]);
    assert_eq!(at(bytes.clone(), 0xbb), c["sanlk_rentry.offset"]);
    assert_eq!(at(bytes, 0xcc), c["sanlk_rentry.flags"]);
    Outcome::Passed
}

pub(crate) fn constants() -> Outcome {
    let mut ours: Vec<(String, i64)> = Vec::new();
    macro_rules! flags {
        ($prefix:literal, $set:ident, $($flag:ident)*) => {
            $(ours.push((format!("SANLK_{}{}", $prefix, stringify!($flag)), $set::$flag.bits().into()));)*
        };
    }
    flags!("LSF_", LockspaceFlags, ADD REM ALIGN1M ALIGN2M ALIGN4M ALIGN8M SECTOR512 SECTOR4K NO_TIMEOUT USING_CAW);
    flags!("RES_", ResourceFlags, LVER NUM_HOSTS SHARED PERSISTENT ALIGN1M ALIGN2M ALIGN4M ALIGN8M SECTOR512 SECTOR4K USING_CAW);
    flags!("RIF_", RindexFlags, ALIGN1M ALIGN2M ALIGN4M ALIGN8M SECTOR512 SECTOR4K);
    flags!("ADD_", AddFlags, ASYNC NODELAY NO_WATCHDOG);
    flags!("REM_", RemFlags, ASYNC UNUSED);
    flags!("INQ_", InqFlags, WAIT);
    flags!("WRITE_", WriteFlags, CLEAR USE_CAW NO_CAW);
    flags!("GET_HOST_", GetHostsFlags, LOCAL);
    flags!("CONFIG_", ConfigCommand, USED UNUSED USED_BY_ORPHANS UNUSED_BY_ORPHANS IO_TIMEOUT);
    flags!("SETEV_", SetEventFlags, CUR_GENERATION CLEAR_HOSTID CLEAR_EVENT REPLACE_EVENT ALL_HOSTS);
    flags!("RESTRICT_", RestrictFlags, ALL SIGKILL SIGTERM);
    flags!("KILLPATH_", KillpathFlags, PID);
    flags!("ACQUIRE_", AcquireFlags, LVB ORPHAN ORPHAN_ONLY OWNER_NOWAIT);
    flags!("", AcquireFlags, FOR_CLIENT_ID);
    flags!("REL_", ReleaseFlags, ALL RENAME ORPHAN NO_DISK);
    flags!("CONVERT_", ConvertFlags, OWNER_NOWAIT);
    flags!("REQUEST_", RequestFlags, NEXT_LVER);
    flags!("RX_", RindexOpFlags, NO_LOCKSPACE);
    flags!("RXUP_", RindexOpFlags, ADD REM);
    for state in [
        HostState::Unknown,
        HostState::Free,
        HostState::Live,
        HostState::Fail,
        HostState::Dead,
    ] {
        ours.push((format!("SANLK_HOST_{}", state.name()), state.bits().into()));
    }
    ours.push(("SANLK_HOST_MASK".into(), HostState::MASK.into()));
    ours.push(("SANLK_HOST_DEAD_EXT".into(), HostState::DEAD_EXT.into()));
    ours.push(("SANLK_HOST_DEAD_SEC".into(), HostState::DEAD_SEC.into()));
    ours.push((
        "SANLK_HOST_UNKNOWN_OLD".into(),
        HostState::UNKNOWN_OLD.into(),
    ));
    ours.push(("SANLK_REQ_FORCE".into(), ForceMode::FORCE.0.into()));
    ours.push(("SANLK_REQ_GRACEFUL".into(), ForceMode::GRACEFUL.0.into()));
    ours.push(("SANLK_MAX_RESOURCES".into(), MAX_RESOURCES as i64));
    ours.push(("SANLK_MAX_DISKS".into(), MAX_DISKS as i64));
    ours.push(("SANLK_NAME_LEN".into(), Name::LEN as i64));
    ours.push(("SANLK_PATH_LEN".into(), DiskPath::LEN as i64));
    ours.push(("SANLK_HELPER_PATH_LEN".into(), HelperText::LEN as i64));
    ours.push(("SANLK_MAX_RES_STR".into(), text::MAX_RESOURCE_TEXT as i64));
    for reading in numbers::all() {
        if reading.symbol.starts_with("SANLK_") && reading.source != numbers::Source::Sanlock5 {
            ours.push((reading.symbol.into(), reading.number.into()));
        }
    }
    for reading in numbers::all().filter(|r| r.source == numbers::Source::System) {
        ours.push((reading.symbol.into(), (-reading.number).into()));
    }

    let mut values = String::new();
    for (name, _) in &ours {
        writeln!(values, "#ifdef {name}\nVALUE({name});\n#endif").unwrap();
    }
    let dir = TempDir::new("values");
    // The macro's own name is to be printed, not its value: `#m` takes it before expansion.
    let program = match probe(dir.path(), &values) {
        Ok(program) => program,
        Err(why) => return skipped(why),
    };
    let text = run(&program, "values", "", None);
    let c = table(&text);
    assert!(c.len() > 100, "{}", c.len());
    let is_newer = c.contains_key("SANLK_HOST_DEAD_EXT");
    for (name, value) in &ours {
        match c.get(name.as_str()) {
            // 5.x gave these two other numbers
            Some(-252 | -253) if is_newer => {}
            Some(theirs) => assert_eq!(theirs, value, "{name}"),
            None => assert!(!is_newer, "{name} is not in the headers"),
        }
    }
    Outcome::Passed
}
