//! All tests.

use crate::test::{Test, transcript};

/// All tests.
pub(crate) fn tests() -> Vec<Test> {
    let mut tests = transcripts();
    tests.extend(crate::background::tests());
    tests.extend(crate::contest::tests());
    tests.extend(crate::wire::tests());
    tests.extend(crate::upstream::tests());
    tests
}

fn transcripts() -> Vec<Test> {
    vec![
        transcript!("cli/usage", [], 1),
        transcript!("cli/errors", [], 1),
        transcript!("cli/no_daemon", [], 1),
        transcript!("cli/version", [], 1),
        transcript!("cli/lockspace", [], 10),
        transcript!("cli/resource", [], 8),
        transcript!("cli/status_debug", [], 4),
        transcript!("cli/hosts", [], 12),
        transcript!("cli/config_event", [], 4),
        transcript!("cli/shutdown", [], 15),
        transcript!("cli/command", [], 6),
        transcript!("cli/orphan", [], 10),
        transcript!("cli/request", [], 10),
        transcript!("cli/rindex", [], 6),
        transcript!("cli/escapes", [], 4),
        transcript!("cli/sizes", [], 3),
        transcript!("cli/direct", [], 2),
        transcript!("cli/direct_dump", [], 8),
        transcript!("cli/direct_lease", [], 8),
        transcript!("cli/direct_write_leader", [], 1),
        transcript!("cli/direct_rindex", [], 2),
        transcript!("api/misc", [CLibrary], 1),
        transcript!("api/lockspace", [CLibrary], 15),
        transcript!("api/lockspace_used", [CLibrary], 15),
        transcript!("api/lockspace_orphans", [CLibrary], 8),
        transcript!("api/acquire", [CLibrary], 6),
        transcript!("api/flags", [CLibrary], 6),
        transcript!("api/convert", [CLibrary], 4),
        transcript!("api/lvb", [CLibrary], 4),
        transcript!("api/disks", [CLibrary], 3),
        transcript!("api/events", [CLibrary], 10),
        transcript!("api/kill", [CLibrary], 10),
        transcript!("api/rindex", [CLibrary], 6),
        transcript!("python/module", [Python], 10),
        transcript!("disk/512-1M", [CLibrary], 12),
        transcript!("disk/4096-1M", [CLibrary], 12),
        transcript!("disk/4096-2M", [CLibrary], 12),
        transcript!("disk/4096-4M", [CLibrary], 12),
        transcript!("disk/4096-8M", [CLibrary], 12),
        transcript!("disk/whole", [], 2),
        transcript!("disk/mixed", [CLibrary], 6),
        transcript!("disk/lvb_outside", [CLibrary], 4),
        transcript!("disk/three", [CLibrary], 6),
        transcript!("disk/loop", [Loop], 7),
        transcript!("hosts/contention", [TwoHosts, CLibrary], 20),
        transcript!("hosts/states", [TwoHosts, CLibrary], 25),
        transcript!("hosts/restart", [TwoHosts, CLibrary], 15),
        transcript!("hosts/takeover", [TwoHosts, CLibrary], 85),
        transcript!("hosts/other_name", [TwoHosts, CLibrary], 80),
        transcript!("hosts/same_id", [TwoHosts, CLibrary], 80),
        transcript!("hosts/requests", [TwoHosts, CLibrary], 15),
        transcript!("hosts/events", [TwoHosts, CLibrary], 20),
        transcript!("hosts/lvb", [TwoHosts, CLibrary], 6),
        transcript!("hosts/rindex", [TwoHosts, CLibrary], 6),
        transcript!("hosts/leave", [TwoHosts, CLibrary], 10),
        transcript!("libvirt/guest", [CLibrary], 6),
        transcript!("libvirt/shared", [CLibrary], 5),
        transcript!("libvirt/lockfailure", [CLibrary], 15),
        transcript!("libvirt/io_failure", [CLibrary], 20),
        transcript!("libvirt/grace", [CLibrary], 65),
        transcript!("daemon/instance", [], 3),
        transcript!("daemon/signals", [], 15),
        transcript!("daemon/options", [], 30),
        transcript!("daemon/refused", [], 1),
        transcript!("daemon/name", [], 1),
        transcript!("daemon/conf", [Etc], 1),
    ]
}
