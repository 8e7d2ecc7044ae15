//! Starting the daemon, in the order in which its rights and threads allow.

use std::fmt;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use config::{Severity, sanlock_conf};
use daemon::helper::{Helper, Report};
use daemon::limits::{self, Limit};
use daemon::log::{self, Log, Threshold};
use daemon::memory::{self, MemoryLock};
use daemon::{Daemonize, Environment, HostName, Identity, Need, Outcome, PidFile, Ready};
use ondisk::Name;
use storage::{DirectIo, PoolOptions};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{debug, error, info, warn};

use crate::cli::DaemonOptions;
use crate::host::Host;
use crate::manager::Manager;
use crate::membership::Membership;
use crate::real_host::RealHost;
use crate::settings::{LogSettings, Settings};
use crate::version;

use super::{Server, bind};

/// Name of the pid file in the run directory.
const PID_FILE: &str = "sanlock.pid";

/// Mode of the run directory: root may write there through its group, without further rights.
const RUN_DIR_MODE: u32 = 0o775;

/// Bytes of stack of the thread that reads what the helper says.
const HELPER_THREAD_STACK: usize = 64 << 10;

/// The daemon cannot run.
#[derive(Debug)]
struct Failure(String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sanlock daemon: {}", self.0)
    }
}

fn because(what: &'static str) -> impl Fn(&dyn fmt::Display) -> Failure {
    move |why| Failure(format!("{what}: {why}"))
}

/// Runs the daemon to its end.
pub fn run(options: DaemonOptions) -> ExitCode {
    let environment = Environment::read();
    let loaded = crate::load_conf();
    let (settings, log_settings) = Settings::merge(&loaded.conf, &options);
    let user = options.user.as_deref().or(loaded.conf.uname.as_deref());
    let group = options.group.as_deref().or(loaded.conf.gname.as_deref());
    let (identity, identity_warnings) = Identity::resolve(user, group);
    // The name service may be slow: before anybody waits for us.
    let groups = if environment.privileged {
        identity.take_groups()
    } else {
        Ok(())
    };

    let ready = match Daemonize::choose(options.debug).start() {
        Ok(ready) => ready,
        Err(failed) => {
            daemon::console::err(format_args!("{}", because("cannot start")(&failed)));
            return ExitCode::FAILURE;
        }
    };
    let starting = Starting {
        environment,
        identity,
        settings,
        log_settings,
        demanded: Demanded::of(&loaded.conf, &options),
        debug: options.debug,
        notes: identity_warnings
            .into_iter()
            .chain(groups.err().map(|failed| failed.to_string()))
            .collect(),
        conf_notes: loaded.diagnostics,
    };
    starting.run(ready)
}

/// What was asked for by name, and therefore must not be missing.
#[derive(Debug, Clone, Copy)]
struct Demanded {
    memory_lock: Need,
    priority: Need,
}

impl Demanded {
    fn of(conf: &sanlock_conf::SanlockConf, options: &DaemonOptions) -> Self {
        let need = |asked: bool| if asked { Need::Demanded } else { Need::Wished };
        Self {
            memory_lock: need(
                options.mlock_level.is_some_and(|level| level > 0)
                    || (options.mlock_level.is_none()
                        && conf
                            .mlock_level
                            .is_some_and(|level| level != sanlock_conf::MlockLevel::Nothing)),
            ),
            priority: need(
                options
                    .high_priority
                    .map_or(conf.high_priority == Some(true), |on| on != 0),
            ),
        }
    }
}

struct Starting {
    environment: Environment,
    identity: Identity,
    settings: Settings,
    log_settings: LogSettings,
    demanded: Demanded,
    debug: bool,
    notes: Vec<String>,
    conf_notes: Vec<config::Diagnostic>,
}

impl Starting {
    fn run(self, ready: Ready) -> ExitCode {
        let mut ready = Some(ready);
        match self.start(&mut ready) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failed) => match ready.take() {
                Some(ready) => ready.fail(&failed, 1),
                None => {
                    error!("{failed}");
                    ExitCode::FAILURE
                }
            },
        }
    }

    fn start(mut self, ready: &mut Option<Ready>) -> Result<(), Failure> {
        let mut outcomes = Vec::new();
        if self.environment.privileged {
            for (limit, need) in [
                (Limit::LockedMemory, self.demanded.memory_lock),
                (Limit::RealtimePriority, self.demanded.priority),
                (Limit::CoreSize, Need::Wished),
            ] {
                let raised = limits::raise(limit, need);
                outcomes.push(raised.map_err(|failed| because("limits")(&failed))?);
            }
        }
        raise_descriptors();
        // While there is one thread, and all rights.
        let helper = Helper::spawn(self.debug)
            .map_err(|failed| because("cannot start the helper process")(&failed))?;
        let log =
            Log::start(self.log()).map_err(|failed| because("cannot start the logs")(&failed))?;
        log.log_panics();
        self.log_notes(&outcomes);

        let run_dir = self.environment.run_dir.clone();
        // Owned by root while we are: root may then make the file even without the right to override
        // permissions.
        let gid = if self.environment.privileged {
            nix::unistd::Gid::from_raw(0)
        } else {
            self.identity.gid
        };
        let pid_file = daemon::make_run_dir(&run_dir, RUN_DIR_MODE, Some((self.identity.uid, gid)))
            .and_then(|()| PidFile::acquire(&run_dir, PID_FILE))
            .map_err(|failed| because("cannot run")(&failed))?;

        self.choose_host_name();
        if self.environment.privileged {
            if let Err(failed) = self.identity.switch() {
                error!("{failed}");
            }
        }
        self.settings.uid = self.identity.uid.as_raw();
        self.settings.gid = self.identity.gid.as_raw();
        self.greet();

        // One thread: it only moves bytes and small state around, and more of them wake each other up.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|failed| because("cannot start the runtime")(&failed))?;
        let renewals = self.start_renewal_thread()?;
        self.lock_memory()?;

        let host = Arc::new(RealHost::new(
            DirectIo::new(),
            self.renewal_storage(),
            runtime.handle().clone(),
            renewals,
            Arc::new(helper),
            Membership::new(&run_dir),
        ));
        let ended = runtime.block_on(self.serve(host, &log, ready));
        log.flush(Duration::from_secs(1));
        // Whatever still hangs in the kernel is not waited for.
        runtime.shutdown_background();
        drop(pid_file);
        ended
    }

    async fn serve(
        self,
        host: Arc<RealHost>,
        log: &Log,
        ready: &mut Option<Ready>,
    ) -> Result<(), Failure> {
        use std::os::fd::AsRawFd;
        let socket = self.environment.run_dir.join(sanlock_proto::SOCKET_NAME);
        let listener = bind(&socket, &self.identity, self.environment.privileged)
            .map_err(|failed| Failure(format!("cannot make {}: {failed}", socket.display())))?;
        let manager = Manager::new(Arc::clone(&host) as Arc<dyn Host>, self.settings);
        manager.client_connected(host.helper_status().kill_fd, "helper");
        manager.client_connected(listener.as_raw_fd(), "listener");
        let server = Arc::new(Server {
            manager: Arc::clone(&manager),
            log: log.ring(),
            waiting_for_end: AtomicUsize::new(0),
        });
        std::thread::Builder::new()
            .name("helper-reports".to_owned())
            .stack_size(HELPER_THREAD_STACK)
            .spawn(move || watch_helper(&host))
            .map_err(|failed| because("cannot watch the helper")(&failed))?;
        tokio::spawn(heed_signals(Arc::clone(&manager)));
        tokio::spawn(Arc::clone(&server).accept(listener));
        if let Some(ready) = ready.as_mut() {
            ready.notify();
        }
        manager.until_ended().await;
        if let Some(ready) = ready.as_ref() {
            ready.stopping();
        }
        server.say_farewell().await;
        info!("the daemon ends");
        Ok(())
    }

    fn log(&self) -> log::Settings {
        log::Settings {
            file_threshold: Threshold::from_number(self.log_settings.file_priority),
            syslog_threshold: Threshold::from_number(self.log_settings.syslog_priority),
            stderr_threshold: if self.debug {
                Threshold::EVERYTHING
            } else {
                Threshold::NOTHING
            },
            utc: self.log_settings.utc,
            ..log::Settings::sanlock()
        }
    }

    fn log_notes(&self, outcomes: &[Outcome]) {
        for note in &self.conf_notes {
            match note.severity {
                Severity::Error => error!("{}", note.one_line()),
                _ => warn!("{}", note.one_line()),
            }
        }
        for note in &self.notes {
            error!("{note}");
        }
        for warning in outcomes.iter().filter_map(Outcome::warning) {
            warn!("{warning}");
        }
        if self.environment.run_dir != std::path::Path::new(Environment::DEFAULT_RUN_DIR) {
            warn!(
                "Using non-standard run directory '{}'",
                self.environment.run_dir.display()
            );
        }
        if !self.environment.privileged {
            warn!("Running in unprivileged mode");
        }
        if !self.settings.use_watchdog {
            warn!(
                "use_watchdog is 0: nothing resets this host when it loses its leases and cannot stop \
                 the processes that use them"
            );
        }
    }

    fn choose_host_name(&mut self) {
        let configured = self.settings.our_host_name.as_bytes();
        let name = HostName::choose((!configured.is_empty()).then_some(configured));
        self.settings.our_host_name = Name::from_bytes(name.as_bytes()).unwrap_or_default();
    }

    fn greet(&self) {
        let set = &self.settings;
        let node = nix::unistd::gethostname().unwrap_or_default();
        let node = node.to_string_lossy();
        let default = Settings::default();
        if set.io_timeout != default.io_timeout
            || set.watchdog_fire_timeout != default.watchdog_fire_timeout
        {
            warn!(
                "sanlock daemon started {} host {} ({node}) io_timeout {} watchdog_fire_timeout {}",
                version::TEXT,
                set.our_host_name,
                set.io_timeout,
                set.watchdog_fire_timeout
            );
        } else {
            warn!(
                "sanlock daemon started {} host {} ({node})",
                version::TEXT,
                set.our_host_name
            );
        }
    }

    /// Starts the thread that renews host ids, and nothing else.
    fn start_renewal_thread(&self) -> Result<tokio::runtime::Handle, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|failed| because("cannot start the renewal thread")(&failed))?;
        let handle = runtime.handle().clone();
        let priority = self
            .settings
            .high_priority
            .then_some(self.demanded.priority);
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::Builder::new()
            .name("renewal".to_owned())
            .spawn(move || {
                let raised = priority.map(daemon::realtime::raise_this_thread);
                let go_on = !matches!(raised, Some(Err(_)));
                let _ = tell.send(raised);
                if go_on {
                    runtime.block_on(std::future::pending::<()>());
                }
            })
            .map_err(|failed| because("cannot start the renewal thread")(&failed))?;
        match told.recv() {
            Ok(Some(Err(failed))) => Err(because("high_priority")(&failed)),
            Ok(Some(Ok(outcome))) => {
                if let Some(warning) = outcome.warning() {
                    warn!("{warning}");
                }
                Ok(handle)
            }
            Ok(None) | Err(_) => Ok(handle),
        }
    }

    /// Threads for renewals' requests alone.
    fn renewal_storage(&self) -> DirectIo {
        let raise = self.settings.high_priority;
        DirectIo::with_options(PoolOptions {
            name: "renewal-io".to_owned(),
            on_thread_start: Some(Arc::new(move || {
                if raise {
                    // Refused for the renewal thread already, and said there.
                    let _ = daemon::realtime::raise_this_thread(Need::Wished);
                }
            })),
            ..PoolOptions::default()
        })
    }

    fn lock_memory(&self) -> Result<(), Failure> {
        let which =
            MemoryLock::from_level(self.settings.mlock_level).unwrap_or(MemoryLock::Nothing);
        let outcome = memory::lock(which, self.demanded.memory_lock)
            .map_err(|failed| because("mlock_level")(&failed))?;
        if let Some(warning) = outcome.warning() {
            warn!("{warning}");
        }
        Ok(())
    }
}

/// As many connections as the host allows, not as many as programs get that still use `select`.
fn raise_descriptors() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
}

/// Reads what the helper says, until it is gone. Blocks: it has a thread of its own.
fn watch_helper(host: &RealHost) {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let helper = host.helper();
    loop {
        let mut watched = [PollFd::new(helper.reports(), PollFlags::POLLIN)];
        let _ = poll(&mut watched, PollTimeout::NONE);
        match helper.read_report() {
            Ok(Some(Report::Alive)) => host.helper_is_alive(),
            Ok(Some(report)) => debug!("helper: {report:?}"),
            Ok(None) => {}
            Err(_) => {
                let how = helper
                    .ended()
                    .map(|ended| format!(" ({ended})"))
                    .unwrap_or_default();
                error!(
                    "the helper process is gone{how}: no process can be stopped and no kill path run from \
                     here on; restart the daemon once this host is in no lockspace"
                );
                return;
            }
        }
    }
}

/// Ends the daemon when it is asked to, unless it is in a lockspace.
async fn heed_signals(manager: Arc<Manager>) {
    let signals = [
        SignalKind::terminate(),
        SignalKind::interrupt(),
        SignalKind::hangup(),
    ];
    let mut streams: Vec<_> = signals
        .into_iter()
        .filter_map(|kind| signal(kind).ok())
        .collect();
    loop {
        std::future::poll_fn(|context| {
            let any = streams
                .iter_mut()
                .any(|stream| matches!(stream.poll_recv(context), std::task::Poll::Ready(_)));
            if any {
                std::task::Poll::Ready(())
            } else {
                std::task::Poll::Pending
            }
        })
        .await;
        if manager.shut_down(false).is_err() {
            warn!(
                "told to end, but this host is in a lockspace: `sanlock client shutdown -f 1` leaves it"
            );
        }
    }
}
