//! When the locks of the program before cannot be taken over: they stay held.

use std::convert::Infallible;
use std::io::Write as _;
use std::os::fd::RawFd;
use std::path::Path;
use std::time::Duration;

use daemon::signals;
use nix::sys::signal::Signal;
use serde_json::Value;
use tracing::error;

use super::TARGET;
use super::invocation::Invocation;

/// How often it is said what is wrong.
const COMPLAIN: Duration = Duration::from_secs(60);

/// Where another program can be found, and what it is to take over.
pub(crate) struct Inheritance<'a> {
    pub(crate) invocation: &'a Invocation,
    pub(crate) state_file: &'a Path,
    /// All that was open at the start.
    pub(crate) descriptors: &'a [RawFd],
}

/// Keeps all descriptors open and answers nobody, for guests run on these locks; SIGUSR1 lets another program try, with
/// the same descriptors and the same state file.
///
/// Only SIGKILL ends the process: whatever else asks for its end does not know that guests lose their locks with it.
pub(crate) fn stay(why: &str, inheritance: &Inheritance<'_>) -> ! {
    let text = format!(
        "the locks of the virtlockd that this one replaced (SIGUSR1, systemctl reload) cannot be taken over: {why}. They \
         stay held and guests go on, but no client is answered. Either install a virtlockd that can and send SIGUSR1, or \
         migrate or stop the guests of this host, then kill this process (kill -KILL {})",
        std::process::id()
    );
    let complain = |text: &str| {
        error!(target: TARGET, "{text}");
        let _ = writeln!(std::io::stderr(), "virtlockd: {text}");
    };
    let requests_to_end = [
        Signal::SIGHUP,
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGQUIT,
    ];
    for signal in requests_to_end {
        let _ = signals::ignore(signal);
    }
    // What is executed in this one's place may be the C daemon, which unblocks nothing.
    let _ = signals::unblock_in_this_thread(&requests_to_end);
    // Blocked before its default can end the process.
    let _ = signals::block_in_this_thread(&[Signal::SIGUSR1]);
    let _ = signals::reset(Signal::SIGUSR1);
    loop {
        complain(&text);
        if signals::arrives_within(Signal::SIGUSR1, COMPLAIN) {
            let Err(failed) = let_another_try(inheritance);
            complain(&failed);
        }
    }
}

fn let_another_try(inheritance: &Inheritance<'_>) -> Result<Infallible, String> {
    let invocation = inheritance.invocation;
    let file = invocation.find()?;
    can_be_tried(inheritance)?;
    // It would end a program that has no handler yet, so it is ignored until there is one.
    let _ignored = signals::Ignored::begin(&[Signal::SIGUSR1]);
    let _ = signals::unblock_in_this_thread(&[Signal::SIGUSR1]);
    let failed = invocation.execute(&file);
    let _ = signals::block_in_this_thread(&[Signal::SIGUSR1]);
    failed
}

/// Whether a program that knows the state's format could take it over: the C daemon ends, and loses the locks, on
/// anything that is cut short or not there.
fn can_be_tried(inheritance: &Inheritance<'_>) -> Result<(), String> {
    let shown = inheritance.state_file.display();
    let text = std::fs::read(inheritance.state_file)
        .map_err(|error| format!("cannot read state file {shown}: {error}"))?;
    let state: Value = serde_json::from_slice(&text)
        .map_err(|error| format!("state file {shown} is damaged: {error}"))?;
    if state.get("magic").and_then(Value::as_str) != Some(&std::process::id().to_string()) {
        return Err(format!("state file {shown} is not for this process"));
    }
    let mut named = Vec::new();
    collect(&state, &mut named);
    let missing = named.iter().find(|fd| {
        let fd = RawFd::try_from(**fd);
        !fd.is_ok_and(|fd| inheritance.descriptors.contains(&fd))
    });
    if let Some(fd) = missing {
        return Err(format!("state file {shown}: descriptor {fd} is not open"));
    }
    match daemon::keep_open(inheritance.descriptors.iter().copied()) {
        true => Ok(()),
        false => Err("a descriptor has been closed in the attempt".to_owned()),
    }
}

/// All descriptors' numbers, wherever they stand.
fn collect(value: &Value, named: &mut Vec<i64>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| collect(value, named)),
        Value::Object(members) => {
            for (key, value) in members {
                match (key.as_str(), value.as_i64()) {
                    ("fd", Some(fd)) => named.push(fd),
                    _ => collect(value, named),
                }
            }
        }
        _ => {}
    }
}
