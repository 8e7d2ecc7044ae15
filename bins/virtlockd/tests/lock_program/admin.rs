//! The admin program, as `virt-admin` shows it.

use std::process::{Command, Output, Stdio};

use super::client::{Client, NOBODY};
use super::virtlockd::{Daemon, wait_until};
use super::{Lab, Subject};

/// Runs `virt-admin` where the daemon's sockets are.
pub fn virt_admin(daemon: &Daemon, words: &[&str]) -> Output {
    Command::new("nsenter")
        .args(["--mount", "--target", &daemon.pid().to_string()])
        .args(["virt-admin", "-c", "virtlockd:///system"])
        .args(words)
        .env("LC_ALL", "C")
        .output()
        .unwrap()
}

/// Its lines, in any order, without the times of day.
pub fn lines(daemon: &Daemon, words: &[&str]) -> Vec<String> {
    let output = virt_admin(daemon, words);
    assert!(output.status.success(), "{words:?}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<String> = text
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| without_time(line).trim_end().to_owned())
        .collect();
    lines.sort();
    lines
}

/// A line up to ` 2026-...`.
fn without_time(line: &str) -> &str {
    let is_date = |at: &usize| {
        let year = line.get(at + 1..at + 6).unwrap_or_default();
        year.starts_with("20") && year.ends_with('-')
    };
    let found = line.match_indices(' ').map(|(at, _)| at).find(is_date);
    &line[..found.unwrap_or(line.len())]
}

pub fn refused(daemon: &Daemon, words: &[&str]) -> String {
    let output = virt_admin(daemon, words);
    assert!(!output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap().trim().to_owned()
}

pub fn what_is_asked(lab: &Lab) {
    needs_virt_admin();
    let log = lab.path("log");
    let daemon = lab.daemon(&format!(
        "max_clients = 7\nadmin_max_clients = 4\nlog_filters = \"4:object 3:json\"\n\
         log_outputs = \"3:stderr 4:file:{log}\"\n"
    ));
    // The first number went to whoever waited for the start.
    let mut client = Client::registered(&daemon.socket(), NOBODY);
    assert_eq!(client.restrict(0), "ok");
    let servers = lines(&daemon, &["srv-list"]);
    let names: Vec<&str> = servers
        .iter()
        .filter_map(|line| line.split_whitespace().nth(1))
        .collect();
    assert!(
        names.contains(&"admin") && names.contains(&"virtlockd"),
        "{servers:?}"
    );
    assert_eq!(
        lines(&daemon, &["srv-threadpool-info", "virtlockd"]),
        [
            "freeWorkers    : 0",
            "jobQueueDepth  : 0",
            "maxWorkers     : 0",
            "minWorkers     : 0",
            "nWorkers       : 0",
            "prioWorkers    : 0",
        ]
    );
    assert_eq!(
        lines(&daemon, &["srv-clients-info", "virtlockd"]),
        [
            "nclients            : 1",
            "nclients_max        : 7",
            "nclients_unauth     : 0",
            "nclients_unauth_max : 7",
        ]
    );
    let clients = lines(&daemon, &["srv-clients-list", "virtlockd"]);
    assert!(
        clients.iter().any(|line| line == " 2    unix"),
        "{clients:?}"
    );
    let info = lines(&daemon, &["client-info", "virtlockd", "2"]);
    let pid = format!("unix_process_id: {}", std::process::id());
    for wanted in [
        pid.as_str(),
        "readonly       : no",
        "transport      : unix",
        "unix_group_id  : 0",
        "unix_group_name: root",
        "unix_user_id   : 0",
        "unix_user_name : root",
    ] {
        assert!(info.iter().any(|line| line == wanted), "{wanted}: {info:?}");
    }
    assert_eq!(
        lines(&daemon, &["daemon-log-outputs"]),
        [format!(" Logging outputs: 3:stderr 4:file:{log}")]
    );
    assert_eq!(
        lines(&daemon, &["daemon-log-filters"]),
        [" Logging filters: 4:*object* 3:*json*"]
    );
    // What is not there.
    assert_eq!(
        refused(&daemon, &["srv-clients-info", "other"]),
        "error: Server not found: No server named 'other'"
    );
    assert_eq!(
        refused(&daemon, &["client-info", "virtlockd", "99"]),
        "error: Client not found: No client with matching ID '99'"
    );
    // The end of a client.
    assert!(
        virt_admin(&daemon, &["client-disconnect", "virtlockd", "2"])
            .status
            .success()
    );
    assert!(client.answer().is_none());
    wait_until("it is gone", || {
        let clients = lines(&daemon, &["srv-clients-info", "virtlockd"]);
        clients.iter().any(|line| line == "nclients            : 0")
    });
}

/// Does it, and says nothing.
pub fn done(daemon: &Daemon, words: &[&str]) {
    let wanted: [String; 0] = [];
    assert_eq!(lines(daemon, words), wanted, "{words:?}");
}

pub fn needs_virt_admin() {
    if Command::new("virt-admin")
        .arg("--version")
        .output()
        .is_err()
    {
        println!("no virt-admin");
        std::process::exit(77);
    }
}

pub fn the_rest(lab: &Lab) {
    needs_virt_admin();
    let daemon = lab.daemon("");
    assert_eq!(
        refused(&daemon, &["srv-update-tls", "virtlockd"]),
        "error: Unable to update server's tls related files.\n\
         error: internal error: no tls service found, unable to update tls files"
    );
    assert_eq!(
        refused(&daemon, &["srv-update-tls", "other"]),
        "error: Server not found: No server named 'other'"
    );
    let versions = lines(&daemon, &["version"]);
    assert!(
        versions.contains(&"Running against daemon: 9.0.0".to_owned()),
        "{versions:?}"
    );
    assert_eq!(lines(&daemon, &["uri"]), ["virtlockd:///system"]);
    assert_eq!(
        lines(&daemon, &["connect"]),
        ["Reconnected to the admin server"]
    );
}

/// As on a host with a security module, whichever this one has: strace answers the daemon's question about the other end.
pub fn a_security_context(lab: &Lab) {
    const CONTEXT: &str = "system_u:system_r:svirt_t:s0:c1,c2";
    needs_virt_admin();
    let daemon = lab.daemon("");
    // Others ask about the user first: C once more when the client says something.
    let question = match lab.subject {
        Subject::C => 3,
        Subject::Ours => 2,
    };
    let bytes: String = CONTEXT.bytes().map(|byte| format!("{byte:02x}")).collect();
    let answer = format!("inject=getsockopt:retval=0:when={question}:poke_exit=@arg4={bytes}00");
    let tracer = Command::new("strace")
        .args(["-f", "-q", "-o", &lab.path("trace")])
        .args(["-e", "trace=getsockopt"])
        .args(["-e", &answer, "-p", &daemon.pid().to_string()])
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut tracer) = tracer else {
        println!("no strace");
        std::process::exit(77);
    };
    wait_until("strace watches the daemon", || {
        if tracer.try_wait().unwrap().is_some() {
            println!("strace may not watch a process here");
            std::process::exit(77);
        }
        let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
        !status.contains("TracerPid:\t0\n")
    });
    // The first number went to whoever waited for the start.
    let _client = Client::registered(&daemon.socket(), NOBODY);
    let info = lines(&daemon, &["client-info", "virtlockd", "2"]);
    let pid = nix::unistd::Pid::from_raw(tracer.id().try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    tracer.wait().unwrap();
    let wanted = format!("selinux_context: {CONTEXT}");
    assert!(info.contains(&wanted), "{info:?}");
}
