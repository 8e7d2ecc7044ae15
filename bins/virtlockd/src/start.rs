//! Starting the daemon, and ending it.

use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use config::libvirt_conf::{LoadError, Loaded};
use config::virtlockd_conf::{self, VirtlockdConf};
use daemon::{Daemonize, Inherited, Ready};
use nix::sys::signal::Signal as NixSignal;
use nix::sys::stat::{Mode, umask};
use tokio::net::UnixListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info};

use crate::list;
use crate::logging::{self, Log, Output, Priority};
use crate::options::{self, Options, Order};
use crate::paths::Paths;
use crate::pid_file::PidFile;
use crate::server::{Server, Service};

const TARGET: &str = "locking.lock_daemon";

/// Which version of libvirt's lock daemon this stands in for.
const VERSION: &str = "9.0.0";

/// The same as libvirt's clients ask for it: major * 1,000,000 + minor * 1000 + release.
pub(crate) const VERSION_NUMBER: u64 = 9_000_000;

/// Largest state file of a hand-over, as for the C daemon.
const STATE_MAX: u64 = 10 << 20;

/// Why the daemon does not run: the exit status of the C daemon, and a sentence.
struct Failure(u8, String);

impl Failure {
    const PID_FILE: u8 = 1;
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
    let program = program.to_string_lossy();
    let privileged = nix::unistd::geteuid().is_root();
    let paths = Paths::read(privileged);
    let usage = || {
        let shown = |path: &Path| path.display().to_string();
        let [config, socket, pid_file] =
            [&paths.config, &paths.socket, &paths.pid_file].map(|path| shown(path));
        options::usage(&program, &config, &socket, &pid_file)
    };
    let options = match options::parse(arguments) {
        Ok(Order::Run(options)) => options,
        Ok(Order::Version) => {
            println!("{program} (libvirt) {VERSION}");
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
                    eprintln!("{program}: {why}");
                    ExitCode::FAILURE
                }
            };
        }
        Ok(Order::Help) => {
            eprint!("{}", usage());
            return ExitCode::SUCCESS;
        }
        Err(why) => {
            eprintln!("{program}: {why}");
            eprint!("{}", usage());
            return ExitCode::FAILURE;
        }
    };
    match start(&options, &paths, privileged, inherited) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(status, why)) => {
            eprintln!("{program}: {why}");
            ExitCode::from(status)
        }
    }
}

fn start(
    options: &Options,
    paths: &Paths,
    privileged: bool,
    inherited: std::io::Result<Inherited>,
) -> Result<(), Failure> {
    let loaded = read_conf(options.config.as_deref(), &paths.config)
        .map_err(|why| Failure(Failure::CONFIG, format!("Can't load config file: {why}")))?;
    for finding in &loaded.diagnostics {
        eprintln!("virtlockd: {}", finding.one_line());
    }
    let conf = loaded.conf;
    let log = log_settings(&conf, options, paths).map_err(|why| Failure(Failure::CONFIG, why))?;
    refuse_hand_over(&paths.restart_state)?;
    // A path that was given is meant from here, not from where the daemon goes to.
    let pid_path = options.pid_file.as_deref().unwrap_or(&paths.pid_file);
    let pid_path = std::path::absolute(pid_path).map_err(|error| {
        Failure(
            Failure::PID_FILE,
            format!("Can't determine pid file path: {error}"),
        )
    })?;
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
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(why) => ready.fail(&format!("virtlockd: {why}"), Failure::INIT),
    };
    let local = tokio::task::LocalSet::new();
    let mut ready = Some(ready);
    let ended = runtime.block_on(local.run_until(async {
        let running = Running::start(options, &conf, paths, sockets, log)?;
        if let Some(ready) = ready.as_mut() {
            ready.notify();
        }
        running.until_end(ready.as_ref()).await;
        Ok(())
    }));
    drop(pid_file);
    match (ended, ready) {
        (Err(Failure(status, why)), Some(ready)) => {
            ready.fail(&format!("virtlockd: {why}"), status)
        }
        (ended, _) => ended,
    }
}

/// A file that was asked for must be there.
fn read_conf(given: Option<&Path>, default: &Path) -> Result<Loaded<VirtlockdConf>, LoadError> {
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
fn log_settings(
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
        (true, false) => Output::file(level, &paths.log_file),
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
        let why = format!("unable to create rundir {}: {error}", path.display());
        Failure(Failure::RUN_DIR, why)
    })
}

/// A daemon that was replaced by this program in the same process has left its locks open in it, and a file that says
/// which. They cannot be taken over yet, and must not be lost while their guests run: so they are kept as they are.
fn refuse_hand_over(state: &Path) -> Result<(), Failure> {
    let shown = state.display();
    let failed = |error| {
        Failure(
            Failure::INIT,
            format!("Failed to read file '{shown}': {error}"),
        )
    };
    let text = match std::fs::metadata(state) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Ok(found) if found.len() > STATE_MAX => return Err(failed("it is too large".to_owned())),
        _ => std::fs::read_to_string(state).map_err(|error| failed(error.to_string()))?,
    };
    let magic = format!("\"{}\"", std::process::id());
    let is_ours = text
        .rfind("\"magic\"")
        .is_some_and(|at| text.get(at..).is_some_and(|rest| rest.contains(&magic)));
    if !is_ours {
        // Of a process that is gone.
        return Ok(());
    }
    let why = format!(
        "this virtlockd cannot take over the locks of the one that it replaced (SIGUSR1, systemctl reload). They stay \
         held, and guests go on, but no client is answered: migrate or stop the guests of this host, then restart \
         virtlockd. The state is in {shown}\n"
    );
    loop {
        let _ = std::io::stderr().write_all(why.as_bytes());
        std::thread::sleep(Duration::from_secs(60));
    }
}

/// The daemon at work.
struct Running {
    server: Rc<Server>,
    ends: Vec<Signal>,
    reload: Signal,
}

impl Running {
    fn start(
        options: &Options,
        conf: &VirtlockdConf,
        paths: &Paths,
        sockets: Vec<(String, OwnedFd)>,
        log: Log,
    ) -> Result<Self, Failure> {
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
        let timeout = Duration::from_secs(u64::from(options.timeout));
        let server = Server::new([conf.max_clients, conf.admin_max_clients], log, timeout);
        let admin_path = paths.admin_socket();
        for (service, path, socket) in [
            (Service::Lock, paths.socket.as_path(), lock),
            (Service::Admin, &admin_path, admin),
        ] {
            let listener = match socket {
                Some(socket) => inherited_listener(socket),
                None => bind(path),
            };
            let listener = listener.map_err(|error| {
                network(format!(
                    "Failed to bind socket to '{}': {error}",
                    path.display()
                ))
            })?;
            tokio::task::spawn_local(Rc::clone(&server).accept(listener, service));
        }
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
        info!(target: TARGET, "libvirt version: {VERSION}, ready");
        Ok(Self {
            server,
            ends,
            reload,
        })
    }

    async fn until_end(mut self, ready: Option<&Ready>) {
        let [terminate, interrupt, quit] = self.ends.as_mut_slice() else {
            return;
        };
        let server = &self.server;
        let reload = async {
            while self.reload.recv().await.is_some() {
                error!(
                    target: TARGET,
                    "SIGUSR1: this virtlockd cannot hand its locks over to another program yet; it goes on as it is"
                );
            }
            std::future::pending().await
        };
        tokio::select! {
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

fn inherited_listener(socket: OwnedFd) -> std::io::Result<UnixListener> {
    let listener = std::os::unix::net::UnixListener::from(socket);
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}
