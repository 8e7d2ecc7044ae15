//! Another program in the same process: SIGUSR1 hands everything over to a fresh executable, the C daemon or ours.
//!
//! The kernel keeps POSIX locks over `execve` as long as no descriptor of their files is closed, and this process has
//! one thread. So a successor gets the descriptors of all locked files, connections and listening sockets, and a file
//! that says what each of them is ([`state`]).
//!
//! | module | what |
//! |---|---|
//! | [`state`] | the file's contents |
//! | [`invocation`] | which program is executed, with which arguments, and whether it can run at all |
//! | [`leave`] | handing over; if that fails, this program goes on as if nothing had happened |
//! | [`arrive`] | taking over |
//! | [`held`] | if that fails: all locks stay held, and another program may try |

pub(crate) mod arrive;
pub(crate) mod held;
pub(crate) mod invocation;
pub(crate) mod leave;
pub(crate) mod state;

const TARGET: &str = "locking.lock_daemon";

/// Signals that must not end the process, and with it the locks, while no program is there to handle them: they wait, or
/// are ignored if the next program would let them wait for ever.
pub(crate) const MUTED: [nix::sys::signal::Signal; 5] = {
    use nix::sys::signal::Signal;
    [
        Signal::SIGUSR1,
        Signal::SIGHUP,
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGQUIT,
    ]
};
