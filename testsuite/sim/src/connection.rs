//! A process' connection to its daemon: what the socket and the server are on a real host.

use std::sync::Arc;

use ondisk::Lver;
use sanlock::host::{KillPath, Pid};
use sanlock::manager::spec::{ResourceKey, ResourceSpec};
use sanlock::manager::{AcquireRequest, Code, Manager, ReleaseRequest};
use sanlock_proto::Command;
use tokio::sync::{mpsc, oneshot};

use crate::machine::Machine;

/// What a process wants of its daemon.
#[derive(Debug, Clone)]
pub enum Wish {
    /// Leases.
    Acquire(AcquireRequest),
    /// To give leases back.
    Release(ReleaseRequest),
    /// A lease held otherwise: shared or not.
    Convert(ResourceKey, bool, u32),
    /// A lease's value set.
    SetValue(ResourceKey, u64),
    /// A lease's value.
    GetValue(ResourceKey),
    /// That another host gives a lease up: 1 by force, 2 gracefully.
    Request(Box<ResourceSpec>, u32),
    /// That a lease is made.
    Make(Box<ResourceSpec>, u32),
}

/// The answer: a result, and a value if one was asked for.
pub type Answer = (Code, u64);

/// How a process introduces itself.
#[derive(Debug, Clone, Default)]
pub struct Introduction {
    /// `SANLK_RESTRICT_*`.
    pub restricted: u32,
    /// It wants this run instead of being told to stop.
    pub kill_program: bool,
}

/// The process' end of a connection.
#[derive(Debug)]
pub struct Connection {
    machine: Arc<Machine>,
    wishes: mpsc::UnboundedSender<(Wish, oneshot::Sender<Answer>)>,
}

/// The daemon is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

impl Connection {
    /// Connects a process and registers it; `None` without a daemon.
    #[must_use]
    pub fn open(machine: &Arc<Machine>, pid: i32, introduction: Introduction) -> Option<Self> {
        let daemon = machine.daemon()?;
        let (wishes, mut received) = mpsc::unbounded_channel::<(Wish, oneshot::Sender<Answer>)>();
        let manager = daemon.manager;
        let server = Arc::clone(machine);
        daemon.gate.spawn(async move {
            let client = manager.client_connected(pid, "");
            manager.register(client, Pid(pid));
            manager.update_client(client, |client| client.restricted = introduction.restricted);
            if introduction.kill_program {
                if let Ok(target) = manager.begin_command(client, None, Command::Killpath.number())
                {
                    let args = pid.to_string().into_bytes();
                    let program = KillPath {
                        path: b"/sbin/stop".to_vec(),
                        args,
                    };
                    manager.set_kill_path(&target, program, false);
                }
            }
            // One command at a time. A process that gives its commands itself is not seen to be gone before
            // its last one is carried out; one for which another process does is.
            let by_another = server.state().random.permille(500);
            while let Some((wish, mut answer)) = received.recv().await {
                latency(&server).await;
                let work = carry_out(&manager, client, wish);
                tokio::pin!(work);
                tokio::select! {
                    biased;
                    done = &mut work => {
                        let _ = answer.send(done);
                    }
                    () = answer.closed(), if by_another => {
                        manager.client_gone(client);
                        work.await;
                        return;
                    }
                }
            }
            manager.client_gone(client);
        });
        Some(Self {
            machine: Arc::clone(machine),
            wishes,
        })
    }

    /// Asks for something and waits for the answer.
    ///
    /// # Errors
    /// When the daemon is gone.
    pub async fn ask(&self, wish: Wish) -> Result<Answer, Gone> {
        let (answer, answered) = oneshot::channel();
        self.wishes.send((wish, answer)).map_err(|_| Gone)?;
        let answer = answered.await.map_err(|_| Gone)?;
        latency(&self.machine).await;
        Ok(answer)
    }
}

async fn latency(machine: &Machine) {
    let latency = machine.state().random.millis(0..3);
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
}

async fn carry_out(
    manager: &Arc<Manager>,
    client: sanlock::manager::clients::ClientId,
    wish: Wish,
) -> Answer {
    let code = |done: Result<(), Code>| (done.err().unwrap_or(0), 0);
    match wish {
        Wish::Acquire(request) => {
            match manager.begin_command(client, None, Command::Acquire.number()) {
                Ok(target) => code(manager.acquire(&target, request).await),
                Err(failed) => (failed, 0),
            }
        }
        Wish::Release(request) => {
            match manager.begin_command(client, None, Command::Release.number()) {
                Ok(target) => (manager.release(&target, request).await, 0),
                Err(failed) => (failed, 0),
            }
        }
        Wish::Convert(key, shared, flags) => {
            match manager.begin_command(client, None, Command::Convert.number()) {
                Ok(target) => code(manager.convert(&target, &key, shared, flags).await),
                Err(failed) => (failed, 0),
            }
        }
        Wish::SetValue(key, value) => code(manager.set_lvb(&key, &value.to_le_bytes())),
        Wish::GetValue(key) => match manager.get_lvb(&key, 8) {
            Ok(bytes) => (
                0,
                bytes
                    .first_chunk()
                    .map_or(0, |bytes| u64::from_le_bytes(*bytes)),
            ),
            Err(failed) => (failed, 0),
        },
        Wish::Request(spec, mode) => code(manager.request(&spec, mode, true).await),
        Wish::Make(spec, num_hosts) => (manager.write_resource(&spec, num_hosts, false).await, 0),
    }
}

/// A resource as a process names it.
#[must_use]
pub fn spec(machine: &Machine, resource: usize, flags: u32) -> ResourceSpec {
    let known = &machine.world.scenario.layout.resources[resource];
    ResourceSpec {
        key: known.key,
        areas: known.areas.clone(),
        flags,
        lver: Lver(0),
        data32: 0,
    }
}
