//! The daemon's view of the simulated host that it runs on.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ondisk::{HostId, Name, Timestamp};
use sanlock::host::{HelperError, Host, KillPath, Pid, StopSignal, Watchdog, WatchdogError};
use storage::block_queue::MaxSectors;
use storage::{BoxFuture, Storage};
use wdmd_proto::Request;

use crate::gate::Gate;
use crate::machine::Machine;
use crate::trace::Event;
use crate::watchdog::ClientId;

/// How long the daemon waits for wdmd's answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// One daemon's host.
pub struct SimHost {
    machine: Arc<Machine>,
    boots: u32,
    gate: Arc<Gate>,
    storage: [Arc<dyn Storage>; 2],
}

impl fmt::Debug for SimHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimHost({})", self.machine.number)
    }
}

impl SimHost {
    /// The host of a daemon whose tasks run behind `gate`.
    #[must_use]
    pub fn new(machine: &Arc<Machine>, gate: &Arc<Gate>) -> Self {
        Self {
            machine: Arc::clone(machine),
            boots: machine.state().boots,
            gate: Arc::clone(gate),
            storage: machine
                .labels()
                .map(|label| machine.world.storage.host(label)),
        }
    }
}

impl Host for SimHost {
    fn monotonic(&self) -> Duration {
        self.machine.monotonic()
    }

    fn suspended(&self) -> Duration {
        self.machine.state().clock.suspended()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<()> {
        Box::pin(Arc::clone(&self.machine).sleep(duration))
    }

    fn random_below(&self, bound: u64) -> u64 {
        self.machine.state().random.below(bound)
    }

    fn storage(&self) -> Arc<dyn Storage> {
        let [general, _] = &self.storage;
        Arc::clone(general)
    }

    fn renewal_storage(&self) -> Arc<dyn Storage> {
        let [_, renewals] = &self.storage;
        Arc::clone(renewals)
    }

    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.gate.spawn(task);
    }

    fn spawn_renewal(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.gate.spawn(task);
    }

    fn connect_watchdog(
        &self,
        name: String,
        fire_timeout: u32,
    ) -> BoxFuture<Result<Box<dyn Watchdog>, WatchdogError>> {
        let (machine, boots) = (Arc::clone(&self.machine), self.boots);
        Box::pin(async move {
            let latency = machine.state().random.millis(0..20);
            tokio::time::sleep(latency).await;
            let (client, answered) = {
                let mut state = machine.state();
                if state.no_watchdog != 0 {
                    return Err(WatchdogError::Unreachable(format!("{name}: not now")));
                }
                state.watchdog.connect(name.as_bytes(), fire_timeout)
            };
            machine.wdmd_called.notify_one();
            let connection = Connection {
                machine,
                boots,
                client,
            };
            let Ok(Ok(answer)) = tokio::time::timeout(PATIENCE, answered).await else {
                return Err(WatchdogError::Unreachable(format!("{name}: no answer")));
            };
            let wanted = fire_timeout;
            match answer.fire_timeout {
                found if found == wanted => Ok(Box::new(connection) as Box<dyn Watchdog>),
                0 => Err(WatchdogError::NotOpened { wanted }),
                found => Err(WatchdogError::FireTimeout { found, wanted }),
            }
        })
    }

    fn note_membership(&self, space: Name, host: HostId, joined: bool) -> BoxFuture<()> {
        let mut state = self.machine.state();
        if joined {
            state.noted.insert((space, host));
        } else {
            state.noted.remove(&(space, host));
        }
        Box::pin(std::future::ready(()))
    }

    fn died_joined(&self, space: Name, host: HostId) -> BoxFuture<bool> {
        Box::pin(std::future::ready(
            self.machine.state().noted.contains(&(space, host)),
        ))
    }

    fn kill(&self, pid: Pid, signal: StopSignal) -> Result<(), HelperError> {
        self.through_helper(move |machine| machine.signal(pid, signal.number()))
    }

    fn run_kill_path(&self, program: &KillPath, _pid: Option<Pid>) -> Result<(), HelperError> {
        // The program's argument says whom it is for.
        let pid = std::str::from_utf8(&program.args)
            .ok()
            .and_then(|text| text.parse().ok());
        let Some(pid) = pid else { return Ok(()) };
        self.through_helper(move |machine| {
            machine.event(Event::KillProgram(pid));
            machine.world.count("kill program run");
            // It may well fail.
            if machine.state().random.permille(800) {
                machine.signal(Pid(pid), StopSignal::Term.number());
            }
        })
    }

    fn describe_process(&self, pid: Pid) -> String {
        format!("process {pid} of host {}", self.machine.number)
    }

    fn set_max_sectors(
        &self,
        _path: PathBuf,
        _wanted: MaxSectors,
        _align_size: usize,
    ) -> BoxFuture<u32> {
        Box::pin(std::future::ready(0))
    }
}

impl SimHost {
    fn through_helper(
        &self,
        order: impl FnOnce(&Arc<Machine>) + Send + 'static,
    ) -> Result<(), HelperError> {
        let (gate, latency) = {
            let mut state = self.machine.state();
            if state.helper_stuck != 0 {
                return Err(HelperError::Full);
            }
            (Arc::clone(&state.gate), state.random.millis(0..50))
        };
        let machine = Arc::clone(&self.machine);
        gate.spawn(async move {
            tokio::time::sleep(latency).await;
            order(&machine);
        });
        Ok(())
    }
}

/// A connection to wdmd; closed when it is dropped.
#[derive(Debug)]
struct Connection {
    machine: Arc<Machine>,
    boots: u32,
    client: ClientId,
}

impl Connection {
    fn wdmd(&self, tell: impl FnOnce(&mut crate::watchdog::Watchdog)) {
        let mut state = self.machine.state();
        if state.on && state.boots == self.boots {
            tell(&mut state.watchdog);
            self.machine.wdmd_called.notify_one();
        }
    }
}

impl Watchdog for Connection {
    fn test_live(&mut self, renewed: Timestamp, expire: u64) -> Result<(), WatchdogError> {
        let renewal = renewed.0;
        self.wdmd(|wdmd| wdmd.send(self.client, Request::TestLive { renewal, expire }));
        Ok(())
    }

    fn hold(&mut self, held: bool) -> Result<(), WatchdogError> {
        let request = if held {
            Request::RefcountSet
        } else {
            Request::RefcountClear
        };
        self.wdmd(|wdmd| wdmd.send(self.client, request));
        Ok(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.wdmd(|wdmd| wdmd.disconnect(self.client));
    }
}
