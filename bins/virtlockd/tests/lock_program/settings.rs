//! The admin program's settings, as `virt-admin` and others change them.

use libvirt_rpc::admin::{self, Param, ParamValue};
use libvirt_rpc::{List, Procedure, Text};

use super::Lab;
use super::admin::{done, lines, needs_virt_admin, refused};
use super::client::{Client, NOBODY};
use super::virtlockd::{Daemon, wait_until};

pub fn limits(lab: &Lab) {
    needs_virt_admin();
    let daemon = lab.daemon("max_clients = 7\n");
    let limits = |server| -> Vec<String> {
        let lines = lines(&daemon, &["srv-clients-info", server]);
        lines
            .into_iter()
            .filter(|line| line.contains("_max"))
            .collect()
    };
    let set = ["srv-clients-set", "virtlockd"];
    done(&daemon, &[&set[..], &["--max-clients", "9"]].concat());
    assert_eq!(
        limits("virtlockd"),
        ["nclients_max        : 9", "nclients_unauth_max : 7"]
    );
    done(
        &daemon,
        &[&set[..], &["--max-unauth-clients", "0"]].concat(),
    );
    done(&daemon, &[&set[..], &["--max-clients", "3"]].concat());
    assert_eq!(
        limits("virtlockd"),
        ["nclients_max        : 3", "nclients_unauth_max : 0"]
    );
    // The other server has its own.
    assert_eq!(
        limits("admin"),
        ["nclients_max        : 5000", "nclients_unauth_max : 5000"]
    );
    for (words, why) in [
        (
            &["--max-unauth-clients", "4"][..],
            "error: Unable to change server's client-related configuration limits\n\
             error: invalid argument: The overall maximum number of clients waiting for authentication must not \
             be less than the overall maximum number of clients",
        ),
        (
            &["--max-clients", "3", "--max-unauth-clients", "4"],
            "error: --max-unauth-clients must be less than or equal to --max-clients",
        ),
        (
            &[],
            "error: At least one of options --max-clients, --max-unauth-clients is mandatory",
        ),
    ] {
        assert_eq!(refused(&daemon, &[&set[..], words].concat()), why);
    }
    // They count: with two more, the fourth waits.
    let [first, second, third] = [0; 3].map(|_| Client::registered(&daemon.socket(), NOBODY));
    let mut fourth = Client::new(&daemon.socket());
    assert!(fourth.waits());
    done(&daemon, &[&set[..], &["--max-clients", "4"]].concat());
    assert!(fourth.answer().is_some());
    // Fewer than there are: nobody has to go, and nobody comes before two have gone.
    done(&daemon, &[&set[..], &["--max-clients", "3"]].concat());
    let mut fifth = Client::new(&daemon.socket());
    drop(first);
    assert!(fifth.waits());
    drop(second);
    assert!(fifth.answer().is_some());
    drop(third);
}

pub fn workers(lab: &Lab) {
    needs_virt_admin();
    let daemon = lab.daemon("");
    let set = ["srv-threadpool-set", "virtlockd"];
    let workers = |server: &str, name: &str| {
        let lines = lines(&daemon, &["srv-threadpool-info", server]);
        let line = lines.iter().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().last().unwrap().to_owned()
    };
    done(&daemon, &[&set[..], &["--priority-workers", "3"]].concat());
    wait_until("there are three", || workers("virtlockd", "prio") == "3");
    assert_eq!(workers("admin", "prio"), "0");
    assert_eq!(workers("virtlockd", "nWorkers"), "0");
    done(&daemon, &[&set[..], &["--priority-workers", "1"]].concat());
    wait_until("there is one", || workers("virtlockd", "prio") == "1");
    done(
        &daemon,
        &[&set[..], &["--min-workers", "0", "--max-workers", "0"]].concat(),
    );
    for (words, why) in [
        (
            &["--max-workers", "2"][..],
            "error: Unable to change server workerpool parameters\n\
             error: invalid argument: maxWorkers must not be switched from zero to non-zero and vice versa",
        ),
        (
            &["--min-workers", "2"],
            "error: Unable to change server workerpool parameters\n\
             error: invalid argument: minWorkers cannot be larger than maxWorkers",
        ),
        (
            &["--min-workers", "2", "--max-workers", "1"],
            "error: --min-workers must be less than or equal to --max-workers",
        ),
    ] {
        assert_eq!(refused(&daemon, &[&set[..], words].concat()), why);
    }
}

pub fn log(lab: &Lab) {
    needs_virt_admin();
    let (first, second) = (lab.path("first"), lab.path("second"));
    let daemon = lab.daemon(&format!("log_outputs = \"4:file:{first}\"\n"));
    let shown = |what| lines(&daemon, &[what]).join("");
    let set = |what, to: &str| done(&daemon, &[what, to]);
    let error = || {
        let mut client = Client::registered(&daemon.socket(), NOBODY);
        assert!(client.acquire(("", "/nonexistent/x"), 0).contains("Unable"));
    };
    let log = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let [outputs, filters] = ["daemon-log-outputs", "daemon-log-filters"];
    // A bad one changes nothing.
    let unable = "error: Unable to change daemon logging settings\nerror: ";
    let missing = format!("1:file:{}/no/such", lab.path("x"));
    let at = missing.strip_prefix("1:file:").unwrap();
    for (to, why) in [
        ("1:stderr x", "invalid argument: Malformed format for log output 'x'".to_owned()),
        ("9:stderr", "invalid argument: Invalid log priority '9' for log output '9:stderr'".to_owned()),
        ("-1:stderr", "invalid argument: Invalid log priority '-1' for log output '-1:stderr'".to_owned()),
        ("1:tape", "invalid argument: Invalid log destination 'tape' for log output '1:tape'".to_owned()),
        (
            "1:file",
            "invalid argument: Log output '1:file' does not meet the format requirements for destination type \
             'file'".to_owned(),
        ),
        (&missing, format!("failed to open {at}: No such file or directory")),
    ] {
        assert_eq!(refused(&daemon, &[outputs, to]), format!("{unable}{why}"));
    }
    for (to, why) in [
        ("x", "Malformed format for filter 'x'"),
        ("0:x", "Invalid priority '0' for filter '0:x'"),
        ("1:", "Invalid match string ''"),
        ("1:x 2:+", "Invalid match string '+'"),
    ] {
        assert_eq!(
            refused(&daemon, &[filters, to]),
            format!("{unable}invalid argument: {why}")
        );
    }
    assert_eq!(shown(outputs), format!(" Logging outputs: 4:file:{first}"));
    assert_eq!(shown(filters), " Logging filters:");
    // From one file to another, of which the last with one name counts.
    set(
        outputs,
        &format!("4:file:{second}  3:syslog:x  3:stderr 1:file:{second} +4:stderr"),
    );
    assert_eq!(
        shown(outputs),
        format!(" Logging outputs: 3:syslog:x 1:file:{second} 4:stderr")
    );
    let before = log(&first);
    error();
    wait_until("it is logged in the other file", || {
        log(&second).contains("Unable to open resource /nonexistent/x")
    });
    assert_eq!(log(&first), before);
    // What is logged there.
    assert!(!log(&second).contains(": debug : "));
    set(filters, "1:rpc 1:+locking:x  3:l*ck?pace");
    assert_eq!(
        shown(filters),
        " Logging filters: 1:*rpc* 1:*locking* 3:*l*ck?pace*"
    );
    let mut client = Client::registered(&daemon.socket(), NOBODY);
    assert_eq!(client.acquire(("", &lab.file("image")), 0), "ok");
    wait_until("more is logged", || log(&second).contains(": debug : "));
    set(filters, "");
    assert_eq!(shown(filters), " Logging filters:");
    let before = log(&second);
    assert_eq!(client.release(("", &lab.path("image"))), "ok");
    assert_eq!(
        log(&second).matches(": debug : ").count(),
        before.matches(": debug : ").count()
    );
    // The default is where it would go without a word in the configuration.
    set(outputs, "");
    assert_eq!(shown(outputs), " Logging outputs: 3:stderr");
}

pub fn the_time_out(lab: &Lab) {
    needs_virt_admin();
    let mut daemon = lab.daemon("");
    let set = |daemon: &Daemon, seconds| done(daemon, &["daemon-timeout", "--timeout", seconds]);
    set(&daemon, "1");
    let client = Client::registered(&daemon.socket(), NOBODY);
    set(&daemon, "0");
    drop(client);
    std::thread::sleep(std::time::Duration::from_millis(2500));
    assert_eq!(lines(&daemon, &["srv-list"]).len(), 4);
    set(&daemon, "1");
    assert_eq!(daemon.wait().code(), Some(0));
}

/// What `virt-admin` never sends.
pub fn bad_arguments(lab: &Lab) {
    let daemon = lab.daemon("");
    let mut client = Client::admin(&daemon.admin_socket());
    let server = |name: &str| admin::Server {
        name: Text::cut(name),
    };
    let uint = |name: &str, value| Param {
        field: Text::cut(name),
        value: ParamValue::UInt(value),
    };
    let mut limits = |name: &str, params: Vec<Param>, flags| {
        let (server, params) = (server(name), List::cut(params));
        let args = admin::SetClientLimitsArgs {
            server,
            params,
            flags,
        };
        client.call(admin::SERVER_SET_CLIENT_LIMITS, &args)
    };
    let int = Param {
        field: Text::cut("nclients_max"),
        value: ParamValue::Int(1),
    };
    let text = Param {
        field: Text::cut("nclients_unauth_max"),
        value: ParamValue::String(Text::cut("1")),
    };
    let twice = vec![uint("nclients_max", 1), uint("nclients_max", 2)];
    let unknown = vec![uint("nclients_max", 1), uint("nclients_none", 2)];
    assert_eq!(limits("virtlockd", Vec::new(), 0), "ok");
    for (name, params, flags, why) in [
        (
            "x",
            Vec::new(),
            1,
            "95/62/2 -1 -1 | Server not found: no server with matching name 'x' found",
        ),
        (
            "virtlockd",
            vec![uint(&"y".repeat(80), 1)],
            1,
            "1/0/2 -1 -1 | internal error: parameter yyyyyyyy",
        ),
        (
            "virtlockd",
            vec![uint(&"y".repeat(79), 1)],
            1,
            "8/62/2 0 0 | unsupported flags (0x1) in function adminServerSetClientLimits",
        ),
        (
            "virtlockd",
            vec![int],
            0,
            "8/0/2 -1 -1 | invalid argument: invalid type 'int' for parameter 'nclients_max', expected 'uint'",
        ),
        (
            "virtlockd",
            vec![text],
            0,
            "8/0/2 -1 -1 | invalid argument: invalid type 'string' for parameter 'nclients_unauth_max', expected 'uint'",
        ),
        (
            "virtlockd",
            twice,
            0,
            "8/0/2 -1 -1 | invalid argument: parameter 'nclients_max' occurs multiple times",
        ),
        (
            "virtlockd",
            unknown,
            0,
            "74/0/2 -1 -1 | argument unsupported: parameter 'nclients_none' not supported",
        ),
        (
            "virtlockd",
            vec![uint("", 0)],
            0,
            "74/0/2 -1 -1 | argument unsupported: parameter '' not supported",
        ),
    ] {
        let said = limits(name, params, flags);
        assert!(said.starts_with(why), "{said}");
    }
    let mut threads = |params: Vec<Param>, flags| {
        let (server, params) = (server("virtlockd"), List::cut(params));
        let args = admin::SetThreadpoolArgs {
            server,
            params,
            flags,
        };
        client.call(admin::SERVER_SET_THREADPOOL_PARAMETERS, &args)
    };
    for (params, flags, why) in [
        (
            vec![uint("maxWorkers", 1)],
            0,
            "8/0/2 -1 -1 | invalid argument: maxWorkers must not be",
        ),
        (
            vec![uint("minWorkers", 1)],
            0,
            "8/0/2 -1 -1 | invalid argument: minWorkers cannot be",
        ),
        (
            vec![uint("nWorkers", 1)],
            0,
            "74/0/2 -1 -1 | argument unsupported: parameter 'nWorkers'",
        ),
        (
            Vec::new(),
            8,
            "8/62/2 0 0 | unsupported flags (0x8) in function adminServerSetThreadPoolParameters",
        ),
    ] {
        let said = threads(params, flags);
        assert!(said.starts_with(why), "{said}");
    }
    for (procedure, function) in [
        (
            admin::CONNECT_SET_LOGGING_OUTPUTS,
            "adminConnectSetLoggingOutputs",
        ),
        (
            admin::CONNECT_SET_LOGGING_FILTERS,
            "adminConnectSetLoggingFilters",
        ),
    ] {
        let args = admin::SetLoggingArgs {
            text: None,
            flags: 2,
        };
        let said = client.call(procedure, &args);
        let why = format!("8/62/2 0 0 | unsupported flags (0x2) in function {function}");
        assert!(said.starts_with(&why), "{said}");
        let args = admin::SetLoggingArgs { flags: 0, ..args };
        assert_eq!(client.call(procedure, &args), "ok");
        let args = admin::SetLoggingArgs {
            text: Some(Text::cut("\t 1")),
            flags: 0,
        };
        let said = client.call(procedure, &args);
        assert!(
            said.starts_with("8/0/2 -1 -1 | invalid argument: Malformed format for"),
            "{said}"
        );
    }
    let args = admin::SetDaemonTimeoutArgs {
        timeout: 1,
        flags: 1,
    };
    let said = client.call(admin::CONNECT_SET_DAEMON_TIMEOUT, &args);
    let why = "8/62/2 0 0 | unsupported flags (0x1) in function adminConnectSetDaemonTimeout";
    assert!(said.starts_with(why), "{said}");
    let server = server("virtlockd");
    let said = client.call(
        admin::SERVER_UPDATE_TLS_FILES,
        &admin::ServerArgs { server, flags: 0 },
    );
    assert!(
        said.starts_with("1/7/2 -1 -1 | internal error: no tls service found"),
        "{said}"
    );
    // Those of later versions.
    let said = client.call(Procedure(20), &());
    assert!(
        said.starts_with("39/7/2 -1 -1 | unknown procedure: 20"),
        "{said}"
    );
}
