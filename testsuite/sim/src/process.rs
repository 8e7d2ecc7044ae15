//! What the processes of a host do with leases.

use std::sync::Arc;
use std::time::Duration;

use sanlock::manager::spec::ResourceKey;
use sanlock::manager::{AcquireRequest, ReleaseRequest};

use crate::checker::Claim;
use crate::connection::{Connection, Gone, Introduction, Wish, spec};
use crate::machine::{Machine, Obedience, Process};
use crate::random::Random;
use crate::trace::{Asked, Death, Event, Mode};

/// `SANLK_RES_SHARED`.
pub const RES_SHARED: u32 = 0x4;
/// `SANLK_RES_PERSISTENT`.
const RES_PERSISTENT: u32 = 0x8;
/// `SANLK_ACQUIRE_LVB`.
const ACQUIRE_LVB: u32 = 0x1;
/// `SANLK_ACQUIRE_ORPHAN`.
const ACQUIRE_ORPHAN: u32 = 0x2;
/// `SANLK_ACQUIRE_OWNER_NOWAIT`.
const ACQUIRE_OWNER_NOWAIT: u32 = 0x8;
/// `SANLK_RESTRICT_SIGKILL`.
const RESTRICT_SIGKILL: u32 = 0x2;

/// What became of a process' use of its leases.
enum End {
    /// It goes on with others.
    GoesOn,
    /// It ends.
    Exits,
    /// It dies without a word.
    Crashes,
    /// The daemon is gone, and with it all that the process could do about its leases.
    Stranded,
}

impl From<Gone> for End {
    fn from(Gone: Gone) -> Self {
        Self::Stranded
    }
}

/// A process at work.
pub(crate) struct Worker {
    pub(crate) machine: Arc<Machine>,
    pub(crate) pid: i32,
    pub(crate) connection: Connection,
    process: Process,
    random: Random,
}

/// Starts a process that takes leases and gives them back for a while.
pub fn start(machine: &Arc<Machine>) -> Option<i32> {
    let habits = &machine.world.scenario.habits;
    let mut random = machine.state().random.fork();
    let obedience = match random.below(1000) {
        chance if chance < habits.stuck => Obedience::Stuck,
        chance if chance < habits.stuck + habits.ignore_term => Obedience::IgnoresTerm,
        _ => random.one_of(&[Obedience::AtOnce, Obedience::Slowly, Obedience::Orderly]),
    };
    let introduction = Introduction {
        restricted: if random.permille(30) {
            RESTRICT_SIGKILL
        } else {
            0
        },
        kill_program: random.permille(habits.kill_program),
    };
    run(machine, obedience, introduction, random, |worker| {
        Box::pin(worker.work())
    })
}

/// Starts a process that does what `life` says, and ends; none if the host is off.
pub(crate) fn run<F>(
    machine: &Arc<Machine>,
    obedience: Obedience,
    introduction: Introduction,
    random: Random,
    life: F,
) -> Option<i32>
where
    F: FnOnce(Worker) -> std::pin::Pin<Box<dyn Future<Output = Death> + Send>> + Send + 'static,
{
    let restricted = introduction.restricted & RESTRICT_SIGKILL != 0;
    let (pid, process) = machine.new_process(obedience, restricted)?;
    let gate = Arc::clone(&machine.state().gate);
    let machine = Arc::clone(machine);
    gate.spawn(async move {
        let killed = Arc::clone(&process.killed);
        let lives = async {
            match Connection::open(&machine, pid, introduction) {
                Some(connection) => {
                    let machine = Arc::clone(&machine);
                    life(Worker {
                        machine,
                        pid,
                        connection,
                        process,
                        random,
                    })
                    .await
                }
                None => Death::Exit,
            }
        };
        tokio::select! {
            biased;
            () = killed.notified() => {}
            how = lives => machine.process_died(pid, how),
        }
    });
    Some(pid)
}

impl Worker {
    async fn work(mut self) -> Death {
        let rounds = 1 + self.random.below(20);
        for _ in 0..rounds {
            let pause = self.machine.world.scenario.habits.pause;
            if self.wait(pause).await || self.machine.world.is_quiet() {
                break;
            }
            match self.round().await {
                End::GoesOn => {}
                End::Exits => return Death::Exit,
                End::Crashes => return Death::Crash,
                // It goes on with its work as long as the host lives.
                End::Stranded if self.uses_something() => std::future::pending().await,
                End::Stranded => return Death::Exit,
            }
        }
        Death::Exit
    }

    fn uses_something(&self) -> bool {
        let (host, pid) = (self.machine.number, self.pid);
        self.machine
            .world
            .check(|checker| !checker.claims_of(host, pid).is_empty())
    }

    /// Waits for a random time up to `longest`; true if it was told to stop meanwhile.
    async fn wait(&mut self, longest: Duration) -> bool {
        let pause = self.random.time(Duration::ZERO..longest);
        let mut left = pause;
        loop {
            let step = left.min(Duration::from_secs(2));
            tokio::select! {
                biased;
                () = self.process.stop.notified() => return true,
                () = tokio::time::sleep(step) => {}
            }
            left -= step;
            if left.is_zero() || self.machine.world.is_quiet() {
                return false;
            }
        }
    }

    /// Asks for something that is about these resources.
    pub(crate) async fn ask(
        &self,
        what: Asked,
        which: &[usize],
        wish: Wish,
    ) -> Result<(i32, u64), Gone> {
        let bits = which
            .iter()
            .fold(0, |bits, resource| bits | (1 << (resource % 64)));
        self.machine.event(Event::Asks(self.pid, what, bits));
        let answer = self.connection.ask(wish).await?;
        self.machine
            .event(Event::Answered(self.pid, what, answer.0));
        Ok(answer)
    }

    pub(crate) fn claim(&self, resource: usize, mode: Mode) {
        self.machine.event(Event::Uses(self.pid, resource, mode));
        let (host, pid) = (self.machine.number, self.pid);
        self.machine.world.check(|checker| {
            let host_id = checker.member(host).map_or(0, |member| member.host_id);
            checker.claim(Claim {
                host,
                host_id,
                pid,
                resource,
                mode,
            });
        });
    }

    pub(crate) fn unclaim(&self, resource: usize) {
        self.machine.event(Event::Leaves(self.pid, resource));
        let (host, pid) = (self.machine.number, self.pid);
        self.machine
            .world
            .check(|checker| checker.unclaim(host, pid, resource));
    }

    pub(crate) fn key(&self, resource: usize) -> ResourceKey {
        self.machine.world.scenario.layout.resources[resource].key
    }

    /// Takes leases, uses them and gives them back.
    async fn round(&mut self) -> End {
        let world = Arc::clone(&self.machine.world);
        let habits = &world.scenario.habits;
        let known = world.scenario.layout.resources.len();
        let first = self.random.index(known);
        let mut which = vec![first];
        if known > 1 && self.random.permille(habits.several) {
            which.push((first + 1 + self.random.index(known - 1)) % known);
            which.sort_unstable();
        }
        if self.random.permille(habits.request) {
            let mode = self.random.one_of(&[1, 2]);
            let wish = Wish::Request(Box::new(spec(&self.machine, first, 0)), mode);
            match self.ask(Asked::Request, &[first], wish).await {
                Ok(_) => {}
                Err(gone) => return gone.into(),
            }
        }
        match self.take(&which).await {
            Ok(Some(mode)) => {
                let end = self.use_them(&mut which, mode).await;
                end.unwrap_or_else(End::from)
            }
            Ok(None) => End::GoesOn,
            Err(gone) => gone.into(),
        }
    }

    async fn take(&mut self, which: &[usize]) -> Result<Option<Mode>, Gone> {
        let world = Arc::clone(&self.machine.world);
        let habits = &world.scenario.habits;
        let shared = self.random.permille(habits.shared);
        let mut flags = 0;
        if shared {
            flags |= RES_SHARED;
        }
        if self.random.permille(habits.persistent) {
            flags |= RES_PERSISTENT;
        }
        let mut acquire_flags = 0;
        if self.random.permille(habits.value) {
            acquire_flags |= ACQUIRE_LVB;
        }
        if self.random.permille(habits.no_wait) {
            acquire_flags |= ACQUIRE_OWNER_NOWAIT;
        }
        if habits.persistent != 0 && self.random.permille(600) {
            acquire_flags |= ACQUIRE_ORPHAN;
        }
        let resources = which
            .iter()
            .map(|one| spec(&self.machine, *one, flags))
            .collect();
        let request = AcquireRequest {
            flags: acquire_flags,
            resources,
            owner_name: b"worker".to_vec(),
        };
        let (asked, mode) = match shared {
            true => (Asked::Shared, Mode::Shared),
            false => (Asked::Exclusive, Mode::Exclusive),
        };
        let (code, _) = self.ask(asked, which, Wish::Acquire(request)).await?;
        if code != 0 {
            world.count(refusal(code));
            return Ok(None);
        }
        world.count(if shared {
            "acquired shared"
        } else {
            "acquired exclusive"
        });
        which.iter().for_each(|one| self.claim(*one, mode));
        if acquire_flags & ACQUIRE_LVB != 0 {
            for one in which {
                let (code, value) = self
                    .ask(Asked::GetValue, &[*one], Wish::GetValue(self.key(*one)))
                    .await?;
                if code == 0 {
                    let (host, pid) = (self.machine.number, self.pid);
                    world.check(|checker| checker.value_read(host, pid, *one, value));
                }
            }
        }
        Ok(Some(mode))
    }

    /// Uses leases for a while and, unless it dies, gives them back.
    async fn use_them(&mut self, which: &mut [usize], mode: Mode) -> Result<End, Gone> {
        let world = Arc::clone(&self.machine.world);
        let habits = &world.scenario.habits;
        let mut modes: Vec<_> = which.iter().map(|one| (*one, mode)).collect();
        let acts = self.random.below(3);
        for _ in 0..acts {
            if self.wait(habits.hold / 2).await || world.is_quiet() {
                return self.give_back(which, End::Exits).await;
            }
            let place = self.random.index(modes.len());
            let (resource, mode) = modes[place];
            if self.random.permille(habits.convert) {
                modes[place].1 = self.convert(resource, mode).await?;
            }
            if modes[place].1 == Mode::Exclusive && self.random.permille(habits.value) {
                let value = world.check(crate::checker::Checker::new_value);
                let wish = Wish::SetValue(self.key(resource), value);
                self.ask(Asked::SetValue, &[resource], wish).await?;
            }
        }
        let stop = self.wait(habits.hold).await;
        if !stop && self.random.permille(habits.crash) {
            return Ok(End::Crashes);
        }
        let end = if stop || world.is_quiet() {
            End::Exits
        } else {
            End::GoesOn
        };
        self.give_back(which, end).await
    }

    async fn convert(&mut self, resource: usize, mode: Mode) -> Result<Mode, Gone> {
        let (asked, wanted) = match mode {
            Mode::Shared => (Asked::Upgrade, Mode::Exclusive),
            Mode::Exclusive => (Asked::Downgrade, Mode::Shared),
        };
        if wanted == Mode::Shared {
            // It uses the resource as it wants to from now on.
            self.claim(resource, Mode::Shared);
        }
        let shared = wanted == Mode::Shared;
        let wish = Wish::Convert(self.key(resource), shared, 0);
        let (code, _) = self.ask(asked, &[resource], wish).await?;
        if code != 0 {
            self.machine.world.count("conversion refused");
            // It is told that it has what it had.
            self.claim(resource, mode);
            return Ok(mode);
        }
        self.machine.world.count(if shared {
            "converted to shared"
        } else {
            "converted to exclusive"
        });
        self.claim(resource, wanted);
        Ok(wanted)
    }

    async fn give_back(&mut self, which: &[usize], end: End) -> Result<End, Gone> {
        which.iter().for_each(|one| self.unclaim(*one));
        let all = matches!(end, End::Exits) || self.random.permille(300);
        let request = if all {
            ReleaseRequest::All
        } else {
            ReleaseRequest::These(which.iter().map(|one| self.key(*one)).collect())
        };
        let (code, _) = self
            .ask(Asked::Release, which, Wish::Release(request))
            .await?;
        self.machine.world.count(if code == 0 {
            "released"
        } else {
            "release failed"
        });
        Ok(end)
    }
}

fn refusal(code: i32) -> &'static str {
    match code {
        -247..=-243 => "refused: owned by another host",
        -11 => "refused: held shared, or being given back",
        -16 | -17 | -114 => "refused: held on this host",
        -28 => "refused: lockspace not usable",
        -202 => "refused: storage timeout",
        -5 => "refused: storage error",
        -223..=-212 => "refused: no lease, or ballot lost",
        -117 => "refused: orphan",
        _ => "refused: other reasons",
    }
}

/// Starts a process that makes a resource, however often it takes.
pub fn start_maker(machine: &Arc<Machine>, resource: usize) -> Option<i32> {
    let random = machine.state().random.fork();
    run(
        machine,
        Obedience::AtOnce,
        Introduction::default(),
        random,
        move |mut worker| {
            Box::pin(async move {
                loop {
                    let longest = Duration::from_secs(60);
                    if worker.wait(longest).await {
                        return Death::Exit;
                    }
                    // What failed may have been done, or be done yet: then others use it.
                    let world = &worker.machine.world;
                    let [general, _] = worker.machine.labels();
                    if world.storage.under_way(general) != 0 {
                        continue;
                    }
                    if !world.check(|checker| checker.is_unmade(resource)) {
                        return Death::Exit;
                    }
                    let wish = make(&worker.machine, resource);
                    match worker.ask(Asked::Make, &[resource], wish).await {
                        Ok((0, _)) | Err(Gone) => return Death::Exit,
                        Ok(_) => {}
                    }
                }
            })
        },
    )
}

/// The wish to make a resource.
pub(crate) fn make(machine: &Machine, resource: usize) -> Wish {
    const ALIGN_1M: u32 = 0x10;
    let layout = &machine.world.scenario.layout;
    let sector = match layout.geometry.sector {
        ondisk::SectorSize::B512 => 0x100,
        ondisk::SectorSize::B4096 => 0x200,
    };
    let num_hosts = u32::try_from(layout.resources[resource].num_hosts).unwrap_or(0);
    Wish::Make(
        Box::new(spec(machine, resource, sector | ALIGN_1M)),
        num_hosts,
    )
}
