//! Starting and ending the daemon.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::ExitCode;

use daemon::memory::{self, MemoryLock};
use daemon::{Daemonize, Keeper, Need, Outcome, PidFile, Ready, make_run_dir, realtime};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{Gid, Group, chown};

use super::clerk::Clerk;
use super::marker::Marker;
use super::runner::Runner;
use super::server::{Ended, Processes, Server, Settings};
use super::{GROUP, Options, RUN_DIR, SCRIPTS_DIR};
use crate::device::{Device, RealDevice, candidates, choose};
use crate::watchdog::{Config, Level, Suspended, Watchdog};

/// The status of a daemon that could not start: the original's -1.
const NOT_STARTED: u8 = 255;

/// Name of the file in the run directory with the path of the device that is in use.
const SAVED_PATH: &str = "saved_path";

/// Mode of the socket: for root and its group.
const SOCKET_MODE: u32 = 0o660;

/// Descriptors that are needed besides those of clients.
const OWN_DESCRIPTORS: u64 = 24;

/// Why the daemon does not start.
struct Failure(String);

impl<E: fmt::Display> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// Runs the daemon to its end.
pub fn run(options: &Options) -> ExitCode {
    // The name service may be slow: before anybody waits.
    let (socket_gid, no_group) = socket_group(options.group.as_deref().unwrap_or(GROUP));
    let ready = match Daemonize::choose(options.debug).start() {
        Ok(ready) => ready,
        Err(error) => {
            daemon::console::err(format_args!("cannot fork daemon: {error}"));
            return ExitCode::FAILURE;
        }
    };
    // Processes are forked while there is nothing yet that they could inherit. The keeper, which may outlive us,
    // comes first: the clerk would not notice our end if the keeper had its socket.
    let keeper = match Keeper::start("wdmd-keeper") {
        Ok(keeper) => keeper,
        Err(error) => ready.fail(&error, NOT_STARTED),
    };
    let clerk = match Clerk::start(options.debug) {
        Ok(clerk) => clerk,
        Err(error) => ready.fail(&error, NOT_STARTED),
    };
    let mut starting = Starting {
        options,
        socket_gid,
        keeper,
        clerk,
        ready,
        began: super::now().suspended,
    };
    if let Some(sentence) = no_group {
        starting.say(format_args!("{sentence}"));
    }
    starting.run()
}

/// What says that a wdmd runs.
struct Marks {
    pid_file: PidFile,
    marker: Marker,
}

impl Marks {
    /// The watchdog is not armed.
    fn remove(self) {
        self.marker.remove();
        self.pid_file.remove();
    }
}

struct Starting<'a> {
    options: &'a Options,
    socket_gid: Gid,
    keeper: Keeper,
    clerk: Clerk,
    ready: Ready,
    /// Before there was a socket.
    began: Suspended,
}

impl Starting<'_> {
    fn run(mut self) -> ExitCode {
        let runner = match self.start_runner() {
            Ok(runner) => runner,
            Err(failure) => self.fail(&failure),
        };
        self.raise_limits();
        let marks = match self.leave_marks() {
            Ok(marks) => marks,
            Err(failure) => self.fail(&failure),
        };
        let (listener, signals, device) = match self.listen_and_choose() {
            Ok(parts) => parts,
            Err(failure) => {
                // No device was left armed.
                marks.remove();
                self.fail(&failure)
            }
        };
        let (server, ready, marks) = self.serve(runner, listener, signals, device, marks);
        let mut ready = ready;
        ready.notify();
        let (ended, mut clerk) = server.run();
        ready.stopping();
        match ended {
            Ended::Disarmed => {
                let _ = fs::remove_file(Path::new(RUN_DIR).join(SAVED_PATH));
                marks.remove();
                ExitCode::SUCCESS
            }
            // The mark stays: until the reset, or until somebody has looked.
            Ended::Armed => {
                marks.pid_file.remove();
                ExitCode::FAILURE
            }
            Ended::Broken(errno) => {
                marks.pid_file.remove();
                let line = format_args!("cannot go on: epoll_wait: {errno}");
                clerk.log(Level::Error, line);
                ExitCode::from(NOT_STARTED)
            }
        }
    }

    fn say(&mut self, line: fmt::Arguments<'_>) {
        self.clerk.log(Level::Error, line);
    }

    fn fail(mut self, failure: &Failure) -> ! {
        let line = &failure.0;
        self.say(format_args!("{line}"));
        if self.options.debug {
            // The clerk has said it.
            std::process::exit(i32::from(NOT_STARTED))
        }
        self.ready.fail(&format_args!("wdmd: {line}"), NOT_STARTED)
    }

    fn start_runner(&self) -> Result<Option<Runner>, Failure> {
        if self.options.allow_scripts == 0 {
            return Ok(None);
        }
        let directory = self.options.scripts_dir.as_deref().unwrap_or(SCRIPTS_DIR);
        Ok(Some(Runner::start(Path::new(directory))?))
    }

    fn raise_limits(&mut self) {
        let clients = u64::try_from(crate::watchdog::MAX_CLIENTS).unwrap_or(u64::MAX);
        let wanted = clients.saturating_add(OWN_DESCRIPTORS);
        if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
            if soft < wanted {
                let _ = setrlimit(Resource::RLIMIT_NOFILE, wanted.min(hard), hard);
            }
        }
    }

    fn leave_marks(&self) -> Result<Marks, Failure> {
        let directory = Path::new(RUN_DIR);
        make_run_dir(directory, 0o755, None)?;
        let pid_file = PidFile::acquire(directory, "wdmd.pid")?;
        match Marker::leave() {
            Ok(marker) => Ok(Marks { pid_file, marker }),
            Err(error) => {
                pid_file.remove();
                Err(Failure::from(error))
            }
        }
    }

    fn listen_and_choose(&mut self) -> Result<(UnixListener, SignalFd, RealDevice), Failure> {
        let mut mask = SigSet::empty();
        for signal in daemon::signals::TERMINATION {
            mask.add(signal);
        }
        mask.thread_block()?;
        daemon::signals::ignore(nix::sys::signal::Signal::SIGPIPE)?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        let device = self.choose_device()?;
        let listener = listen(Path::new(wdmd_proto::SOCKET), self.socket_gid).map_err(|error| {
            Failure(format!("cannot listen on {}: {error}", wdmd_proto::SOCKET))
        })?;
        Ok((listener, signals, device))
    }

    fn serve(
        mut self,
        runner: Option<Runner>,
        listener: UnixListener,
        signals: SignalFd,
        device: RealDevice,
        marks: Marks,
    ) -> (Server, Ready, Marks) {
        let options = self.options;
        self.announce(&device);
        let watchdog = Watchdog::new(Config {
            scripts: options.allow_scripts != 0,
            kill_after: u32::try_from(options.kill_script_sec).unwrap_or(0),
            hold: options.hold,
        });
        let settings = Settings {
            socket_gid: self.socket_gid.as_raw(),
            high_priority: options.high_priority,
            kill_script_sec: options.kill_script_sec,
            debug: options.debug,
            began: self.began,
        };
        self.take_priority();
        let Self {
            keeper,
            clerk,
            ready,
            ..
        } = self;
        let processes = Processes {
            keeper,
            clerk,
            runner,
        };
        let server = Server::new(watchdog, device, processes, listener, signals, settings);
        let failed: String = match server {
            Ok(mut server) => {
                if server.begin() {
                    return (server, ready, marks);
                }
                "the watchdog device cannot be opened".to_owned()
            }
            Err(errno) => format!("cannot wait for events: {errno}"),
        };
        marks.remove();
        ready.fail(&format_args!("wdmd: {failed}"), NOT_STARTED)
    }

    /// The one that was in use when wdmd last ended otherwise than in order, the one asked for, the usual ones.
    fn choose_device(&mut self) -> Result<RealDevice, Failure> {
        let file = Path::new(RUN_DIR).join(SAVED_PATH);
        let saved = fs::read_to_string(&file).ok();
        let saved = saved.as_deref().map(str::trim_end);
        let paths = candidates(saved, self.options.device.as_deref());
        let device =
            choose(&paths, |complaint| self.say(format_args!("{complaint}"))).ok_or_else(|| {
                let tried = paths.join(", ");
                format!("no watchdog device, load a watchdog driver; tried: {tried}")
            })?;
        if let Err(error) = fs::write(&file, format!("{}\n", device.path())) {
            self.say(format_args!("cannot write {}: {error}", file.display()));
        }
        Ok(device)
    }

    fn announce(&mut self, device: &RealDevice) {
        let (path, identity) = (device.path(), device.identity());
        let (scripts, priority) = (self.options.allow_scripts, self.options.high_priority);
        let gid = self.socket_gid;
        self.say(format_args!(
            "wdmd started S{scripts} H{priority} G{gid} using {path} \"{identity}\""
        ));
        if device.is_softdog() {
            self.say(format_args!(
                "{path} is softdog, a timer of the kernel: it cannot reset a host whose kernel hangs. Use a \
                 hardware watchdog where there is one"
            ));
        }
    }

    /// What is missing degrades the daemon; it does not stop it.
    fn take_priority(&mut self) {
        let mut outcomes = vec![
            memory::never_wait_for_storage(Need::Wished),
            memory::lock(MemoryLock::CurrentAndFuture, Need::Wished),
        ];
        if self.options.high_priority != 0 {
            outcomes.push(realtime::raise_this_thread(Need::Wished));
        }
        for outcome in outcomes {
            match outcome {
                Ok(Outcome::Done) => {}
                Ok(Outcome::Without(sentence)) => self.say(format_args!("{sentence}")),
                Err(error) => self.say(format_args!("{error}")),
            }
        }
    }
}

/// The group's number; root's, and a sentence, if there is no such group.
fn socket_group(name: &str) -> (Gid, Option<String>) {
    match Group::from_name(name) {
        Ok(Some(group)) => (group.gid, None),
        Ok(None) | Err(_) => (
            Gid::from_raw(0),
            Some(format!("group '{name}' not found, using socket gid: 0")),
        ),
    }
}

fn listen(path: &Path, group: Gid) -> io::Result<UnixListener> {
    // The pid file's lock says that no other daemon listens on it.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(SOCKET_MODE))?;
    chown(path, None, Some(group))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
