//! Starting the daemon, and ending it.

use std::ffi::OsStr;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;

use config::libvirt_conf::{LoadError, Loaded};
use config::qemu_conf::LockManager;
use config::qemu_lockd_conf;
use config::virtlockd_conf::{self, VirtlockdConf};
use daemon::{Daemonize, Inherited, Ready};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal as NixSignal;
use nix::sys::stat::{Mode, umask};
use tokio::net::UnixListener;
use tokio::runtime::{LocalOptions, LocalRuntime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};

use crate::inhibitor;
use crate::list;
use crate::logging::{self, Output, Priority};
use crate::options::{self, Options, Order};
use crate::paths::Paths;
use crate::pid_file::PidFile;
use crate::reexec::MUTED;
use crate::reexec::arrive::{self, Left};
use crate::reexec::invocation::{self, Invocation};
use crate::server::{Listener, Server, Service};
use crate::site::Site;

pub(crate) const TARGET: &str = "locking.lock_daemon";

/// Which version of libvirt's lock daemon this stands in for.
const VERSION: &str = "9.0.0";

/// The same as libvirt's clients ask for it: major * 1,000,000 + minor * 1000 + release.
pub(crate) const VERSION_NUMBER: u64 = 9_000_000;

/// Why the daemon does not run: the exit status of the C daemon, and a sentence.
pub(crate) struct Failure(pub(crate) u8, pub(crate) String);

impl Failure {
    pub(crate) const PID_FILE: u8 = 1;
    const CONFIG: u8 = 1;
    const RUN_DIR: u8 = 2;
    const INIT: u8 = 3;
    const SIGNAL: u8 = 4;
    const NETWORK: u8 = 6;
}

/// Runs the program.
pub(crate) fn main() -> ExitCode {
    let inherited = Inherited::at_start();
    let mut arguments = std::env::args_os();
    let program = arguments.next().unwrap_or_else(|| "virtlockd".into());
    let name = program.to_string_lossy();
    let privileged = nix::unistd::geteuid().is_root();
    let paths = Paths::read(privileged);
    let usage = || {
        let shown = |path: &Path| path.display().to_string();
        let [config, socket, pid_file] =
            [&paths.config, &paths.socket, &paths.pid_file].map(|path| shown(path));
        options::usage(&name, &config, &socket, &pid_file)
    };
    let options = match options::parse(arguments) {
        Ok(Order::Run(options)) => options,
        Ok(Order::Version) => {
            daemon::console::out(format_args!("{name} (libvirt) {VERSION}"));
            if std::env::var_os(invocation::ASKED).is_some() {
                daemon::console::out(format_args!("{}", invocation::UNBLOCKS));
            }
            return ExitCode::SUCCESS;
        }
        Ok(Order::List { as_json }) => {
            return match list::run(&paths.admin_socket(), as_json) {
                // Whoever reads no further has read enough.
                Ok(text) => match std::io::stdout().write_all(text.as_bytes()) {
                    Ok(()) => ExitCode::SUCCESS,
                    Err(_) => ExitCode::FAILURE,
                },
                Err(why) => {
                    daemon::console::err(format_args!("{name}: {why}"));
                    ExitCode::FAILURE
                }
            };
        }
        Ok(Order::Help) => {
            daemon::console::err_text(&usage());
            return ExitCode::SUCCESS;
        }
        Err(why) => {
            daemon::console::err(format_args!("{name}: {why}"));
            daemon::console::err_text(&usage());
            return ExitCode::FAILURE;
        }
    };
    if options.check_config {
        return check_config(&options, &paths);
    }
    match start(&options, &paths, privileged, inherited, &program) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(status, why)) => {
            daemon::console::err(format_args!("{name}: {why}"));
            ExitCode::from(status)
        }
    }
}

fn start(
    options: &Options,
    paths: &Paths,
    privileged: bool,
    inherited: std::io::Result<Inherited>,
    program: &OsStr,
) -> Result<(), Failure> {
    raise_descriptor_limit();
    let invocation = Invocation::new(program, options);
    let site = Site {
        options,
        paths,
        invocation,
    };
    let warning = match arrive::look(&paths.restart_state, &inherited) {
        Left::Nothing(warning) => warning,
        Left::State(state) => return site.take_over(Ok(*state), inherited),
        Left::Locks(why) => return site.take_over(Err(why), inherited),
    };
    let loaded = read_conf(options.config.as_deref(), &paths.config)
        .map_err(|why| Failure(Failure::CONFIG, format!("Can't load config file: {why}")))?;
    for finding in &loaded.diagnostics {
        daemon::console::err(format_args!("virtlockd: {}", finding.one_line()));
    }
    let conf = loaded.conf;
    let log = log_settings(&conf, options, paths).map_err(|why| Failure(Failure::CONFIG, why))?;
    let pid_path = site.pid_path()?;
    make_run_dir(&paths.run_dir, privileged)?;
    let mode = match options.daemon {
        true => Daemonize::Background,
        false => Daemonize::Foreground,
    };
    let ready = mode
        .start()
        .map_err(|why| Failure(Failure::INIT, why.to_string()))?;
    let run = || {
        let log = logging::start(log).map_err(|why| Failure(Failure::CONFIG, why))?;
        if let Some(warning) = warning {
            warn!(target: TARGET, "{warning}: it is of no use and passed over");
        }
        let pid_file =
            PidFile::acquire(&pid_path).map_err(|why| Failure(Failure::PID_FILE, why))?;
        let sockets = match inherited {
            Ok(mut inherited) => inherited.take_sockets(),
            Err(error) => Err(format!("cannot see what is open: {error}")),
        };
        let sockets = sockets.map_err(|why| Failure(Failure::NETWORK, why))?;
        Ok((log, pid_file, sockets))
    };
    let (log, pid_file, sockets) = match run() {
        Ok(started) => started,
        Err(Failure(status, why)) => ready.fail(&format!("virtlockd: {why}"), status),
    };
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(why) => ready.fail(&format!("virtlockd: {why}"), Failure::INIT),
    };
    let mut ready = Some(ready);
    let ended = runtime.block_on(async {
        let limits = [conf.max_clients, conf.admin_max_clients];
        let server = Server::new(limits, log, site.timeout());
        listen(&server, paths, sockets)?;
        let running = Running::start(server)?;
        if let Some(ready) = ready.as_mut() {
            ready.notify();
        }
        running
            .until_end(ready.as_ref(), &site, Some(&pid_file))
            .await;
        Ok(())
    });
    drop(pid_file);
    match (ended, ready) {
        (Err(Failure(status, why)), Some(ready)) => {
            ready.fail(&format!("virtlockd: {why}"), status)
        }
        (ended, _) => ended,
    }
}

/// In which tasks are this thread's from the start. In a `LocalSet` each that is woken would wake the daemon's main one as
/// well, which waits for signals and much else.
pub(crate) fn runtime() -> std::io::Result<LocalRuntime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
}

/// `--check-config`
fn check_config(options: &Options, paths: &Paths) -> ExitCode {
    let mut check = config::Check::default();
    let path = options.config.as_deref().unwrap_or(&paths.config);
    let loaded = read_conf(options.config.as_deref(), &paths.config);
    if let Some(conf) = check.loaded(path, loaded) {
        if let Err(why) = log_settings(&conf, options, paths) {
            check.wrong(format_args!("{}: {why}", path.display()));
        }
    }
    // A file that was named stands for itself.
    if options.config.is_none() {
        let beside = |name: &str| paths.config.with_file_name(name);
        if check.lock_manager(&beside("qemu.conf"), &LockManager::Lockd) {
            let path = beside("qemu-lockd.conf");
            check.loaded(&path, qemu_lockd_conf::load(&path));
        }
    }
    daemon::console::out(format_args!("{check}"));
    check.exit_code()
}

/// A file that was asked for must be there.
pub(crate) fn read_conf(
    given: Option<&Path>,
    default: &Path,
) -> Result<Loaded<VirtlockdConf>, LoadError> {
    let missing = |error: &LoadError| matches!(error, LoadError::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound);
    match virtlockd_conf::load(given.unwrap_or(default)) {
        Err(error) if given.is_none() && missing(&error) => Ok(Loaded {
            conf: VirtlockdConf::default(),
            diagnostics: Vec::new(),
        }),
        read => read,
    }
}

/// From the configuration, overruled by the environment, overruled by the command line.
pub(crate) fn log_settings(
    conf: &VirtlockdConf,
    options: &Options,
    paths: &Paths,
) -> Result<logging::Settings, String> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let mut level = Priority::WARNING;
    if conf.log_level != 0 {
        let number = conf.log_level;
        level = Priority::new(number).ok_or_else(|| {
            format!("Failed to set logging priority, argument '{number}' is invalid")
        })?;
    }
    if let Some(text) = variable("LIBVIRT_DEBUG") {
        let number = match text.as_str() {
            "debug" => Some(1),
            "info" => Some(2),
            "warning" => Some(3),
            "error" => Some(4),
            number => number.parse().ok(),
        };
        level = number.and_then(Priority::new).ok_or_else(|| {
            format!("Failed to set logging priority, argument '{text}' is invalid")
        })?;
    }
    if options.verbose {
        level = level.min(Priority::INFO);
    }
    let filters = variable("LIBVIRT_LOG_FILTERS").or_else(|| conf.log_filters.clone());
    let outputs = variable("LIBVIRT_LOG_OUTPUTS").or_else(|| conf.log_outputs.clone());
    let filters = logging::filters(filters.as_deref().unwrap_or_default());
    let outputs = logging::outputs(outputs.as_deref().unwrap_or_default());
    let has_journal = nix::unistd::access(logging::JOURNAL, nix::unistd::AccessFlags::W_OK);
    let has_terminal = nix::unistd::isatty(std::io::stdin()).unwrap_or(false);
    let default = match (options.daemon, has_journal.is_ok()) {
        (true, true) => Output::journald(level),
        (true, false) => {
            make_log_dir(&paths.log_file)?;
            Output::file(level, &paths.log_file)
        }
        (false, true) if !has_terminal => Output::journald(level),
        (false, _) => Output::stderr(level),
    };
    let mut outputs = outputs.map_err(|error| error.to_string())?;
    if outputs.is_empty() {
        outputs.push(default.clone());
    }
    Ok(logging::Settings {
        level,
        filters: filters.map_err(|error| error.to_string())?,
        outputs,
        default,
    })
}

/// The system's is there.
fn make_log_dir(log_file: &Path) -> Result<(), String> {
    let Some(dir) = log_file.parent() else {
        return Ok(());
    };
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir);
    made.map_err(|error| format!("Could not create log directory {}: {error}", dir.display()))
}

fn make_run_dir(path: &Path, privileged: bool) -> Result<(), Failure> {
    let before = umask(Mode::from_bits_truncate(if privileged {
        0o022
    } else {
        0o077
    }));
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o777)
        .create(path);
    umask(before);
    made.map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::PermissionDenied => {
                "; run it as root, or set XDG_RUNTIME_DIR to a directory of the user's"
            }
            _ => "",
        };
        let why = format!("unable to create rundir {}: {error}{hint}", path.display());
        Failure(Failure::RUN_DIR, why)
    })
}

/// As many descriptors as may be: each lock and each client needs one.
fn raise_descriptor_limit() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // What is not granted is told when it is missing.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// The daemon at work.
pub(crate) struct Running {
    server: Rc<Server>,
    ends: Vec<Signal>,
    reload: Signal,
}

/// Opens the sockets, or takes those of a service manager.
fn listen(
    server: &Rc<Server>,
    paths: &Paths,
    sockets: Vec<(String, OwnedFd)>,
) -> Result<(), Failure> {
    let network = |why: String| Failure(Failure::NETWORK, why);
    let (mut lock, mut admin) = (None, None);
    for (name, socket) in sockets {
        match name.as_str() {
            "virtlockd.socket" => lock = Some(socket),
            "virtlockd-admin.socket" => admin = Some(socket),
            _ => {
                let why = format!("Some activation file descriptors are unclaimed: {name}");
                return Err(network(why));
            }
        }
    }
    let admin_path = paths.admin_socket();
    for (service, path, socket) in [
        (Service::Lock, paths.socket.as_path(), lock),
        (Service::Admin, &admin_path, admin),
    ] {
        let unlink = socket.is_none();
        let socket = match socket {
            Some(socket) => arrive::listener(socket),
            None => bind(path),
        };
        let socket = socket.map_err(|error| {
            network(format!(
                "Failed to bind socket to '{}': {error}",
                path.display()
            ))
        })?;
        server.listen(Listener {
            service,
            socket,
            unlink,
        });
    }
    Ok(())
}

impl Running {
    /// Handles signals from now on.
    pub(crate) fn start(server: Rc<Server>) -> Result<Self, Failure> {
        tokio::task::spawn_local(inhibitor::run(server.held()));
        let handle = |kind| {
            let failed =
                |error| Failure(Failure::SIGNAL, format!("cannot handle signals: {error}"));
            signal(kind).map_err(failed)
        };
        let kinds = [
            SignalKind::terminate(),
            SignalKind::interrupt(),
            SignalKind::quit(),
        ];
        // By default it would end the daemon, and with it the locks, without a word to their owners.
        daemon::signals::ignore(NixSignal::SIGHUP)
            .map_err(|why| Failure(Failure::SIGNAL, why.to_string()))?;
        let ends = kinds.into_iter().map(handle).collect::<Result<_, _>>()?;
        let reload = handle(SignalKind::user_defined1())?;
        // Those that have come while there were no handlers come now.
        daemon::signals::unblock_in_this_thread(&MUTED)
            .map_err(|why| Failure(Failure::SIGNAL, why.to_string()))?;
        info!(target: TARGET, "libvirt version: {VERSION}, ready");
        Ok(Self {
            server,
            ends,
            reload,
        })
    }

    pub(crate) async fn until_end(
        mut self,
        ready: Option<&Ready>,
        site: &Site<'_>,
        pid_file: Option<&PidFile>,
    ) {
        let [terminate, interrupt, quit] = self.ends.as_mut_slice() else {
            return;
        };
        let server = &self.server;
        let reload = async {
            while self.reload.recv().await.is_some() {
                let why = site.reexecute(server, pid_file).await;
                error!(target: TARGET, "SIGUSR1: {why}; this virtlockd goes on, with all its locks");
            }
            std::future::pending().await
        };
        tokio::select! {
            // Who is asked to end does not hand over any more.
            biased;
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = quit.recv() => {}
            () = server.idle() => {}
            () = reload => {}
        }
        if let Some(ready) = ready {
            ready.stopping();
        }
        info!(target: TARGET, "ending");
        self.server.end().await;
    }
}

/// Makes a socket that only the daemon's user may connect to, in place of one that an earlier daemon left.
fn bind(path: &Path) -> std::io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(failed) if failed.kind() != std::io::ErrorKind::NotFound => return Err(failed),
        _ => {}
    }
    let before = umask(Mode::from_bits_truncate(0o077));
    let bound = UnixListener::bind(path);
    umask(before);
    bound
}
