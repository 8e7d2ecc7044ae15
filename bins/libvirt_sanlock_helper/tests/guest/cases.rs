//! What is asked of the helper, and what it says.

use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use super::host::{Ended, Host, UUID};

const SYSTEM: &str = "qemu:///system";

fn ended(status: i32, said: &str) -> Ended {
    Ended {
        status: Some(status),
        said: said.to_owned(),
    }
}

pub fn all(host: &Host) {
    without_libvirt(host);
    one_that_never_answers(host);
    host.start_libvirt();
    host.start_guest();
    refusals(host);
    pause_and_poweroff(host);
    host.virsh(&["start", "g1"]);
    with_a_password(host);
}

fn without_libvirt(host: &Host) {
    let usage = format!("{} uri uuid action", host.program.display());
    for arguments in [&[][..], &[SYSTEM, UUID], &[SYSTEM, UUID, "pause", "now"]] {
        assert_eq!(
            host.helper(arguments, &[]),
            ended(1, &usage),
            "{arguments:?}"
        );
    }
    let no_socket = |path: &str| {
        ended(
            1,
            &format!(
                "libvirt: XML-RPC error : Failed to connect socket to '{path}': \
                 No such file or directory"
            ),
        )
    };
    let all = no_socket("/var/run/libvirt/libvirt-sock");
    for uri in [
        SYSTEM,
        "qemu:///session",
        "qemu:/system",
        "lxc:///system",
        "foo:///x",
        "",
    ] {
        // Whether the UUID or the action can be, nobody asks before there is a connection.
        assert_eq!(host.helper(&[uri, "x", "ignore"], &[]), all, "{uri}");
    }
    for (uri, wanted) in [
        (
            "qemu:///system?mode=direct",
            no_socket("/var/run/libvirt/virtqemud-sock"),
        ),
        ("qemu+unix:///system?socket=/a/b", no_socket("/a/b")),
        (
            "nonsense",
            ended(
                1,
                "libvirt:  error : no connection driver available for URI 'nonsense' does not \
                 include a driver name",
            ),
        ),
        (
            "qemu://system",
            ended(
                1,
                "libvirt:  error : internal error: invalid URI qemu://system (maybe you want \
                 qemu:///system)",
            ),
        ),
        (
            "qemu+unix://h/system",
            ended(
                1,
                "libvirt: Remote Driver error : invalid argument: using unix socket and remote \
                 server 'h' is not supported.",
            ),
        ),
        (
            "qemu+x:///system",
            ended(
                1,
                "libvirt: Remote Driver error : invalid argument: remote_open: transport in URL \
                 not recognised (should be tls|unix|ssh|ext|tcp|libssh2|libssh)",
            ),
        ),
        (
            "qemu:///system?mode=x",
            ended(
                1,
                "libvirt: Remote Driver error : invalid argument: Unknown remote mode 'x'",
            ),
        ),
    ] {
        assert_eq!(host.helper(&[uri, UUID, "pause"], &[]), wanted, "{uri}");
    }
    let unknown = ended(1, "invalid failure action: 'stop'");
    assert_eq!(host.helper(&[SYSTEM, UUID, "stop"], &[]), unknown);
}

/// The original waits for ever; ours has a deadline.
fn one_that_never_answers(host: &Host) {
    let path = host.scratch.join("silent");
    let silent = UnixListener::bind(&path).unwrap();
    let uri = format!("qemu+unix:///system?socket={}", path.display());
    let limit = [("LIBVIRT_SANLOCK_HELPER_TIMEOUT", "2")];
    if !host.is_ours() {
        let mut child = host
            .command(&[&uri, UUID, "pause"], &limit)
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_secs(4));
        assert!(
            child.try_wait().unwrap().is_none(),
            "it has a deadline after all"
        );
        child.kill().unwrap();
        child.wait().unwrap();
        return;
    }
    let late = |path: &str| {
        let tried = format!("No answer from libvirt at '{path}' within 2 seconds");
        let whole = format!("libvirt: XML-RPC error : {tried}: Connection timed out");
        ended(1, &whole)
    };
    let shown = path.display().to_string();
    let began = Instant::now();
    assert_eq!(host.helper(&[&uri, UUID, "pause"], &limit), late(&shown));
    assert!(began.elapsed() >= Duration::from_secs(2));
    // Nor does one that does not even take connections hold it up: fill the queue.
    let full = host.scratch.join("full");
    let listener = socket2_with_backlog_of_zero(&full);
    let uri = format!("qemu+unix:///system?socket={}", full.display());
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            host.command(&[&uri, UUID, "pause"], &limit)
                .spawn()
                .unwrap()
        })
        .collect();
    let shown = full.display().to_string();
    assert_eq!(host.helper(&[&uri, UUID, "pause"], &limit), late(&shown));
    for mut child in waiting {
        assert_eq!(child.wait().unwrap().code(), Some(1));
    }
    drop((silent, listener));
}

fn socket2_with_backlog_of_zero(path: &std::path::Path) -> std::os::fd::OwnedFd {
    use nix::sys::socket::{
        AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket,
    };
    use std::os::fd::AsRawFd as _;
    let kind = SockType::Stream;
    let fd = socket(AddressFamily::Unix, kind, SockFlag::SOCK_CLOEXEC, None).unwrap();
    bind(fd.as_raw_fd(), &UnixAddr::new(path).unwrap()).unwrap();
    listen(&fd, Backlog::new(0).unwrap()).unwrap();
    fd
}

fn refusals(host: &Host) {
    let nobody = "6695eb01-f6a4-8304-79aa-97f2502e1930";
    let not_found = format!(
        "libvirt: QEMU Driver error : Domain not found: no domain with matching uuid '{nobody}'"
    );
    for (arguments, said) in [
        ([SYSTEM, nobody, "poweroff"], not_found.as_str()),
        (
            [SYSTEM, "x", "pause"],
            "libvirt: Domain Config error : Invalid UUID",
        ),
        (
            ["foo:///x", UUID, "pause"],
            "libvirt:  error : no connection driver available for foo:///x",
        ),
        (
            [SYSTEM, UUID, "ignore"],
            "unsupported failure action: 'ignore'",
        ),
        (
            [SYSTEM, UUID, "restart"],
            "unsupported failure action: 'restart'",
        ),
        (
            [SYSTEM, UUID, "default"],
            "unsupported failure action: 'default'",
        ),
    ] {
        assert_eq!(
            host.helper(&arguments, &[]),
            ended(1, said),
            "{arguments:?}"
        );
    }
    assert_eq!(host.state(), "running");
}

fn pause_and_poweroff(host: &Host) {
    for uri in [
        SYSTEM,
        "qemu+unix:///system?socket=/run/libvirt/libvirt-sock",
        "",
    ] {
        assert_eq!(host.helper(&[uri, UUID, "pause"], &[]), ended(0, ""));
        assert_eq!(host.state(), "paused", "{uri}");
        host.virsh(&["resume", "g1"]);
    }
    let compact = UUID.replace('-', "").to_uppercase();
    assert_eq!(
        host.helper(&[SYSTEM, &compact, "poweroff"], &[]),
        ended(0, "")
    );
    assert_eq!(host.state(), "shut off");
    let off =
        "libvirt: Domain Config error : Requested operation is not valid: domain is not running";
    // Off is what was wanted.
    assert_eq!(host.helper(&[SYSTEM, UUID, "poweroff"], &[]), ended(0, off));
    assert_eq!(host.helper(&[SYSTEM, UUID, "pause"], &[]), ended(1, off));
}

fn with_a_password(host: &Host) {
    for mechanisms in ["SCRAM-SHA-256", "PLAIN"] {
        host.require_sasl(mechanisms);
        let good = host.credentials("auth.conf", "secret");
        let bad = host.credentials("bad.conf", "guess");
        let pause = |file: &str| {
            let set = [("LIBVIRT_AUTH_FILE", file)];
            host.helper(&[SYSTEM, UUID, "pause"], &set)
        };
        assert_eq!(pause(&good), ended(0, ""), "{mechanisms}");
        let refused = "libvirt: XML-RPC error : authentication failed: authentication failed";
        assert_eq!(pause(&bad), ended(1, refused), "{mechanisms}");
        // The original says "An error occurred, but the cause is unknown".
        let missing = pause("/nowhere");
        assert_eq!(missing.status, Some(1));
        assert!(
            !host.is_ours() || missing.said.contains("'/nowhere'"),
            "{missing:?}"
        );
        // Without a file: ours says more.
        let none = host.helper(&[SYSTEM, UUID, "pause"], &[]);
        let text = "libvirt: Remote Driver error : authentication failed: Failed to collect auth \
                    credentials";
        assert!(
            none.status == Some(1) && none.said.starts_with(text),
            "{none:?}"
        );
        let uri = format!("{SYSTEM}?authfile={good}");
        let poweroff = host.helper(&[&uri, UUID, "pause"], &[]);
        assert_eq!(poweroff, ended(0, ""), "{mechanisms}");
    }
    // Where a user of that name keeps it.
    let home = host.scratch.join("home");
    host.credentials("home/.config/libvirt/auth.conf", "secret");
    let home = [("HOME", home.to_str().unwrap())];
    assert_eq!(
        host.helper(&[SYSTEM, UUID, "poweroff"], &home),
        ended(0, "")
    );
}
