//! All that a seed decides about a run beforehand.

use std::time::Duration;

use ondisk::{AlignSize, Geometry, IoTimeout, SectorSize};
use sanlock::settings::{DEFAULT_DEBUG_CMDS, Settings};
use storage::sim::{Faults, RequestFaults};

use crate::clock::MAX_DRIFT_PPM;
use crate::faults::{Limits, Planned, plan, plan_for_wdmd};
use crate::layout::Layout;
use crate::random::Random;
use crate::theme::Theme;
use crate::watchdog::Traits;

/// What the clients of a run do, each number so many times in a thousand.
#[derive(Debug, Clone)]
pub struct Habits {
    /// Take leases shared.
    pub shared: u64,
    /// Change how a lease is held.
    pub convert: u64,
    /// Take several leases at once.
    pub several: u64,
    /// Want the lease kept when they die.
    pub persistent: u64,
    /// Use the lease's value.
    pub value: u64,
    /// Die without giving leases back.
    pub crash: u64,
    /// Ask other hosts for their leases.
    pub request: u64,
    /// Do not wait for a silent owner.
    pub no_wait: u64,
    /// Have a kill program.
    pub kill_program: u64,
    /// Do not stop when told to by `SIGTERM`.
    pub ignore_term: u64,
    /// Do not even stop when killed.
    pub stuck: u64,
    /// The longest time between two things they do.
    pub pause: Duration,
    /// The longest time that they hold leases.
    pub hold: Duration,
    /// How many there are on a host at most.
    pub per_host: usize,
}

/// A run.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// What it follows from.
    pub seed: u64,
    /// What it is about.
    pub theme: Theme,
    /// How many hosts.
    pub hosts: usize,
    /// Where the leases are.
    pub layout: Layout,
    /// Each host's I/O timeout, in seconds.
    pub io_timeouts: Vec<u32>,
    /// How many hosts the first look at a lease takes in: all, or so few that others are left out.
    pub first_look: u64,
    /// Each host's clock: millionths by which it runs fast.
    pub drifts: Vec<i64>,
    /// From the last keepalive to the reset, on all hosts.
    pub fire_timeout: u32,
    /// How wdmd and its device are.
    pub wdmd: Traits,
    /// How often in a thousand a task is kept waiting for a moment.
    pub jitter: u64,
    /// What the clients do.
    pub habits: Habits,
    /// What always goes wrong with requests.
    pub requests: Faults,
    /// How long faults may happen.
    pub length: Duration,
    /// How long after it was sent a request may be done.
    pub late: Duration,
    /// The faults.
    pub plan: Vec<Planned>,
}

impl Scenario {
    /// The scenario of a seed, with so many hosts if that is given.
    #[must_use]
    pub fn new(seed: u64, hosts: Option<usize>) -> Self {
        let random = &mut Random::new(seed, 1);
        let theme = Theme::of(seed);
        let drawn = match random.below(1000) {
            _ if theme != Theme::Anything => random.within(2..5),
            0..250 => 2,
            250..620 => 3,
            620..850 => 4,
            850..970 => random.within(5..8),
            970..995 => random.within(8..16),
            _ => random.within(16..51),
        };
        let hosts = hosts
            .unwrap_or(usize::try_from(drawn).unwrap_or(2))
            .clamp(1, 200);
        let geometry = match random.below(100) {
            0..80 => Geometry::new(SectorSize::B512, AlignSize::M1),
            _ => Geometry::new(SectorSize::B4096, AlignSize::M1),
        }
        .unwrap_or(Geometry::for_sector_size_alone(SectorSize::B512));

        let usual = random.one_of(&[10, 10, 10, 5, 5, 3, 2, 2]);
        let strangers = matches!(theme, Theme::Newcomers | Theme::Moments);
        let mixed = random.permille(if strangers { 700 } else { 250 });
        let io_timeouts: Vec<u32> = (0..hosts)
            .map(|_| {
                if mixed {
                    random.one_of(&[2, 3, 5, 10, 20])
                } else {
                    usual
                }
            })
            .collect();
        let mut io_timeouts = io_timeouts;
        if mixed && strangers {
            // Whoever takes another for one of its own kind has to be far off.
            for (index, io_timeout) in io_timeouts.iter_mut().enumerate() {
                *io_timeout = if index % 2 == 0 {
                    20
                } else {
                    random.within(2..4) as u32
                };
            }
        }
        let longest = io_timeouts.iter().copied().max().unwrap_or(usual);
        let shortest = io_timeouts.iter().copied().min().unwrap_or(usual);
        let fire_timeout = random.one_of(&[60, 60, 60, 30, 20, 10]);
        let drifting = random.permille(400);
        let drift = |random: &mut Random| match drifting {
            true => MAX_DRIFT_PPM - i64::try_from(random.below(2001)).unwrap_or(0),
            false => 0,
        };
        let drifts = (0..hosts).map(|_| drift(random)).collect();

        let resources = 1 + random.index(3);
        let unmade = random.permille(200);
        let num_hosts = if random.permille(50) {
            0
        } else {
            (hosts as u64).max(4)
        };
        let layout = Layout::new(
            (geometry, random.permille(500)),
            resources + usize::from(unmade),
            num_hosts,
            unmade,
            random.permille(250),
            random.permille(if theme == Theme::Moments { 400 } else { 100 }),
        );

        let dead = IoTimeout(longest).host_dead(Duration::from_secs(u64::from(fire_timeout)));
        let dead_soonest =
            IoTimeout(shortest).host_dead(Duration::from_secs(u64::from(fire_timeout)));
        let times = 2.0 + random.below(40) as f64 / 10.0;
        let most = if hosts > 8 { 300 } else { 700 };
        let length = dead.mul_f64(times).clamp(
            Duration::from_secs(150),
            Duration::from_secs(most).max(dead.mul_f64(2.0)),
        );
        let late = Duration::from_secs(u64::from(fire_timeout)).mul_f64(0.8);
        let limits = Limits {
            hosts,
            disks: layout.paths().len(),
            length,
            io_timeout: Duration::from_secs(u64::from(longest)),
            host_dead: dead,
            late,
            unwatched: unwatched(shortest, fire_timeout, dead_soonest),
            fire: Duration::from_secs(u64::from(fire_timeout)),
        };
        let habits = habits(random, hosts).of(theme, random);
        let requests = requests(
            random,
            Duration::from_secs(u64::from(shortest)),
            fire_timeout,
        );
        let story = &mut Random::new(seed, 2);
        let mut plan = theme
            .plan(story, &limits)
            .unwrap_or_else(|| plan(story, &limits));
        let wdmd = wdmd(seed, theme, fire_timeout, random.permille(700));
        let scripts = wdmd.scripts;
        plan.extend(plan_for_wdmd(&mut Random::new(seed, 6), &limits, scripts));
        Self {
            seed,
            theme,
            hosts,
            layout,
            io_timeouts,
            first_look: Random::new(seed, 7).one_of(&[paxos::FIRST_LOOK, 1, 2, 3]),
            drifts,
            fire_timeout,
            wdmd,
            jitter: random.one_of(&[0, 0, 5, 50]),
            habits,
            requests,
            length,
            late,
            plan,
        }
    }

    /// A host's daemon's settings.
    #[must_use]
    pub fn settings(&self, host_name: String) -> Settings {
        Settings {
            our_host_name: host_name.parse().unwrap_or_default(),
            use_watchdog: true,
            watchdog_fire_timeout: self.fire_timeout,
            kill_grace_seconds: Settings::grace_for_fire_timeout(self.fire_timeout),
            debug_cmds: DEFAULT_DEBUG_CMDS,
            first_look: self.first_look,
            ..Settings::default()
        }
    }

    /// From a host's last renewal until others take it to be dead.
    #[must_use]
    pub fn host_dead(&self, io_timeout: u32) -> Duration {
        IoTimeout(io_timeout).host_dead(Duration::from_secs(u64::from(self.fire_timeout)))
    }

    /// The longest of these times.
    #[must_use]
    pub fn longest_host_dead(&self) -> Duration {
        self.host_dead(self.io_timeouts.iter().copied().max().unwrap_or(10))
    }

    /// A sentence about it.
    #[must_use]
    pub fn describe(&self) -> String {
        format!(
            "{:?}: {} hosts, {} resources in {}, io timeouts {:?} s, fire timeout {} s, {} s with {} faults",
            self.theme,
            self.hosts,
            self.layout.resources.len(),
            self.layout.geometry,
            self.io_timeouts,
            self.fire_timeout,
            self.length.as_secs(),
            self.plan.len()
        )
    }
}

/// How long a host may stand still together with its watchdog, so that the watchdog still fires in time.
///
/// A renewal may be as old as a renewal takes when the host stops; when it goes on, wdmd may need one of
/// its intervals to see that the lease has expired and to pet the device for the last time.
fn unwatched(io_timeout: u32, fire_timeout: u32, dead: Duration) -> Duration {
    let interval = crate::watchdog::test_interval(fire_timeout);
    let renewal = IoTimeout(io_timeout).renewal_interval() + Duration::from_secs(1);
    let fire = Duration::from_secs(u64::from(fire_timeout));
    (dead.saturating_sub(renewal + fire + interval)).mul_f64(0.9)
}

fn wdmd(seed: u64, theme: Theme, fire_timeout: u32, closing_pets: bool) -> Traits {
    let random = &mut Random::new(seed, 5);
    // One that opens the device when it starts does it for clients that count on a minute.
    let held = random.permille(300) && fire_timeout == wdmd::watchdog::DEFAULT_FIRE_TIMEOUT;
    Traits {
        fire_timeout,
        closing_pets,
        counts_suspension: random.permille(600) || theme == Theme::Watched,
        held,
        bystander: random.permille(400) && !held,
        lateness: random.one_of(&[0, 20, 200]),
        scripts: random.permille(150),
    }
}

fn habits(random: &mut Random, hosts: usize) -> Habits {
    let some = [0, 50, 200, 500];
    let pause = random.one_of(&[100, 1000, 5000, 20_000]);
    let hold = random.one_of(&[50, 1000, 10_000, 60_000, 300_000]);
    Habits {
        shared: random.one_of(&some),
        convert: random.one_of(&some),
        several: random.one_of(&some),
        persistent: random.one_of(&[0, 0, 50, 200]),
        value: random.one_of(&some),
        crash: random.one_of(&some),
        request: random.one_of(&[0, 0, 50, 200]),
        no_wait: random.one_of(&some),
        kill_program: random.one_of(&some),
        ignore_term: random.one_of(&some),
        stuck: random.one_of(&[0, 0, 50, 300]),
        pause: Duration::from_millis(pause),
        hold: Duration::from_millis(hold),
        per_host: if hosts > 8 { 1 } else { 1 + random.index(3) },
    }
}

impl Habits {
    /// Habits that suit what a run is about.
    fn of(self, theme: Theme, random: &mut Random) -> Self {
        let minutes = Duration::from_secs(random.one_of(&[60, 300, 600]));
        match theme {
            Theme::Anything | Theme::Comings => self,
            Theme::Moments => {
                let hold = random.one_of(&[5, 5, 100, 60_000, 300_000]);
                Self {
                    pause: Duration::from_millis(random.one_of(&[5, 20, 300])),
                    hold: Duration::from_millis(hold),
                    several: 0,
                    no_wait: 0,
                    ..self
                }
            }
            Theme::Newcomers => Self {
                pause: Duration::from_millis(random.one_of(&[50, 300, 1000])),
                hold: minutes,
                no_wait: 0,
                ..self
            },
            Theme::CutOff | Theme::Suspensions | Theme::Watched => Self {
                pause: Duration::from_secs(1),
                hold: minutes,
                ignore_term: random.one_of(&[0, 500]),
                stuck: random.one_of(&[0, 300, 600]),
                ..self
            },
            Theme::Contention | Theme::Rivals => Self {
                pause: Duration::from_millis(random.one_of(&[20, 100, 1000])),
                hold: Duration::from_millis(random.one_of(&[5, 100, 1000])),
                several: 0,
                stuck: 0,
                ..self
            },
        }
    }
}

fn requests(random: &mut Random, io_timeout: Duration, fire_timeout: u32) -> Faults {
    let ceiling = Duration::from_micros(random.one_of(&[1000, 1000, 20_000, 300_000, 2_000_000]));
    let latency = Duration::from_micros(100)..ceiling.min(io_timeout / 4);
    let seldom = |random: &mut Random| random.one_of(&[0.0, 0.0, 0.0, 0.001, 0.01]);
    let request = RequestFaults {
        latency,
        torn: random.one_of(&[0.0, 0.2, 1.0]),
        error: seldom(random),
        lost_reply: seldom(random),
        ..RequestFaults::none()
    };
    let after_crash = Duration::from_millis(u64::from(fire_timeout) * random.one_of(&[1, 20, 100]));
    Faults {
        read: request.clone(),
        write: RequestFaults {
            partial: seldom(random),
            ..request.clone()
        },
        open: request,
        lands_after_crash: after_crash,
    }
}
