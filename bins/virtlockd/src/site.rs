//! What was asked for, and where; and how this program takes the place of another one, or the other way round.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use config::virtlockd_conf::VirtlockdConf;
use daemon::{Daemonize, Inherited};
use tracing::error;

use crate::logging::{self, Output, Priority};
use crate::options::Options;
use crate::paths::Paths;
use crate::pid_file::PidFile;
use crate::reexec::held::{self, Inheritance};
use crate::reexec::invocation::Invocation;
use crate::reexec::state::State;
use crate::reexec::{self, arrive, leave};
use crate::server::Server;
use crate::start::{self, Failure, Running, TARGET, log_settings, read_conf};

/// What was asked for, and where.
pub(crate) struct Site<'a> {
    pub(crate) options: &'a Options,
    pub(crate) paths: &'a Paths,
    pub(crate) invocation: Invocation,
}

impl Site<'_> {
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(u64::from(self.options.timeout))
    }

    /// A path that was given is meant from here, not from where the daemon goes to.
    pub(crate) fn pid_path(&self) -> Result<PathBuf, Failure> {
        let given = self.options.pid_file.as_deref();
        let path = given.unwrap_or(&self.paths.pid_file);
        std::path::absolute(path).map_err(|error| {
            let why = format!("Can't determine pid file path: {error}");
            Failure(Failure::PID_FILE, why)
        })
    }

    /// Goes on with what another program left in this process. Locks must not be lost now, whatever else is wrong.
    pub(crate) fn take_over(
        &self,
        state: Result<State, String>,
        inherited: std::io::Result<Inherited>,
    ) -> Result<(), Failure> {
        // Without handlers these would end the process. They wait until there are some.
        let _ = daemon::signals::block_in_this_thread(&reexec::MUTED);
        let conf = read_conf(self.options.config.as_deref(), &self.paths.config);
        let (conf, wrong_conf) = match conf {
            Ok(loaded) => (loaded.conf, None),
            Err(why) => (VirtlockdConf::default(), Some(why.to_string())),
        };
        let settings = log_settings(&conf, self.options, self.paths);
        let (settings, wrong_settings) = match settings {
            Ok(settings) => (settings, None),
            Err(why) => (plain(), Some(why)),
        };
        let (log, wrong_log) = match logging::start(settings) {
            Ok(log) => (Some(log), None),
            // Nothing was started then.
            Err(why) => (logging::start(plain()).ok(), Some(why)),
        };
        for why in [wrong_conf, wrong_settings, wrong_log]
            .into_iter()
            .flatten()
        {
            error!(target: TARGET, "{why}: going on without");
        }
        let (mut inherited, descriptors) = match inherited {
            Ok(inherited) => {
                let descriptors: Vec<_> = inherited.numbers().collect();
                (Some(inherited), descriptors)
            }
            Err(_) => (None, Vec::new()),
        };
        let inheritance = Inheritance {
            invocation: &self.invocation,
            state_file: &self.paths.restart_state,
            descriptors: &descriptors,
        };
        let (state, inherited, log) = match (state, inherited.as_mut(), log) {
            (Ok(state), Some(inherited), Some(log)) => (state, inherited, log),
            (Err(why), _, _) => held::stay(&why, &inheritance),
            _ => held::stay("there is no log", &inheritance),
        };
        let pid_file = self.pid_path().ok().and_then(|path| {
            let left = PidFile::take_over(&path, inherited);
            let pid_file = left.map_or_else(|| PidFile::acquire(&path), Ok);
            let failed = pid_file.as_ref().err();
            if let Some(why) = failed {
                error!(target: TARGET, "{why}: going on without");
            }
            pid_file.ok()
        });
        let runtime = match start::runtime() {
            Ok(runtime) => runtime,
            Err(error) => held::stay(&error.to_string(), &inheritance),
        };
        runtime.block_on(async {
            let limits = [conf.max_clients, conf.admin_max_clients];
            let server = Server::new(limits, log, self.timeout());
            let taken = arrive::take_over(&server, state, inherited);
            if let Err(why) = taken {
                held::stay(&why, &inheritance);
            }
            let running = match Running::start(Rc::clone(&server)) {
                Ok(running) => running,
                Err(Failure(_, why)) => held::stay(&why, &inheritance),
            };
            let _ = std::fs::remove_file(&self.paths.restart_state);
            // Told again, as the C daemon does.
            let mut ready = Daemonize::Foreground.start().ok();
            if let Some(ready) = ready.as_mut() {
                ready.notify();
            }
            running
                .until_end(ready.as_ref(), self, pid_file.as_ref())
                .await;
        });
        Ok(())
    }

    /// Puts another program in the place of this one, if it can be.
    pub(crate) async fn reexecute(&self, server: &Server, pid_file: Option<&PidFile>) -> String {
        // The C daemon ends on a mistake there, and loses the locks.
        let config = self.invocation.config();
        let loaded = read_conf(config, &self.paths.config).map_err(|why| why.to_string());
        let settings =
            loaded.and_then(|loaded| log_settings(&loaded.conf, self.options, self.paths));
        if let Err(why) = settings {
            return why;
        }
        let keep = |inherited| {
            if let Some(pid_file) = pid_file {
                pid_file.set_inherited(inherited);
            }
        };
        keep(true);
        let failed = leave::leave(server, &self.invocation, &self.paths.restart_state).await;
        keep(false);
        match failed {
            Ok(never) => match never {},
            Err(why) => why,
        }
    }
}

/// A log that can always be started.
fn plain() -> logging::Settings {
    let to = Output::stderr(Priority::WARNING);
    logging::Settings {
        level: Priority::WARNING,
        filters: Vec::new(),
        outputs: vec![to.clone()],
        default: to,
    }
}
