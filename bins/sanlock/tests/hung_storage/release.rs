//! Two hosts, and one of them does not get through to a lease: what it gives back becomes free for the
//! other, sooner or later, and never do both hold it.

use std::time::Duration;

use sanlock_proto::Resource;
use sanlock_proto::client::Registered;
use sanlock_proto::flags::{ConvertFlags, ResourceFlags};

use super::common::daemon::{Daemon, Setup};
use super::common::harness::{Case, Outcome};
use super::common::leases::{acquire, code, held, lockspace, release, resource, with};
use super::common::scratch::Scratch;
use super::common::status::{list_of, resource_lists};
use super::common::wait::until;
use super::common::{measured, unlike_the_original};
use super::faulty::{Fault, Faulty, Kind, missing};

pub const CASES: &[Case] = &[
    (
        "a_release_that_timed_out_goes_on_in_the_background",
        a_release_that_timed_out,
    ),
    (
        "a_release_that_cannot_even_open_goes_on_in_the_background",
        a_release_that_cannot_open,
    ),
    (
        "a_release_whose_answers_are_lost_frees_the_lease",
        a_release_whose_answers_are_lost,
    ),
    (
        "a_release_that_fails_frees_the_lease_later",
        a_release_that_fails,
    ),
    (
        "a_conversion_to_shared_that_failed_is_ended_later",
        a_conversion_that_fails,
    ),
    (
        "a_lease_that_is_being_shared_can_be_given_back",
        a_release_of_a_conversion_that_fails,
    ),
    (
        "an_acquire_whose_answers_are_lost_holds_nothing",
        an_acquire_whose_answers_are_lost,
    ),
    (
        "an_acquire_whose_answers_are_late_holds_nothing",
        an_acquire_whose_answers_are_late,
    ),
    (
        "a_late_write_of_a_failed_acquire_takes_nothing_from_others",
        a_late_write,
    ),
];

const IO_TIMEOUT: u32 = 2;

/// Held by another host.
const OWNED: i64 = -243;

/// Others hold it shared.
const HELD_SHARED: i64 = -11;

/// Too few of a lease's disks could be written.
const NOT_WRITTEN: i64 = -211;

/// How soon the other host must be able to take a lease once the storage is well again: a few repeats of
/// what timed out.
const FREED: Duration = Duration::from_secs(60);

/// Two daemons on one file of leases: what goes wrong for the first does not for the second. The
/// lockspace itself is never disturbed.
pub struct Pair {
    pub one: Registered,
    pub two: Registered,
    pub seen_by_one: Resource,
    pub seen_by_two: Resource,
    // The file system before the daemons that use it.
    pub faulty: Faulty,
    pub of_two: Faulty,
    pub daemons: [Daemon; 2],
    _scratch: Scratch,
}

impl Pair {
    fn new() -> Result<Self, Outcome> {
        Self::with_io_timeout(IO_TIMEOUT)
    }

    pub fn with_io_timeout(io_timeout: u32) -> Result<Self, Outcome> {
        if let Some(skipped) = missing() {
            return Err(skipped);
        }
        let scratch = Scratch::new();
        let daemons = ["one", "two"].map(|host| {
            let io_timeout = io_timeout.to_string();
            Setup::new(scratch.path(), host)
                .with(&["-o", &io_timeout])
                .start()
        });
        let faulty = Faulty::mount(&scratch, "mnt-one");
        let of_two = faulty.beside(&scratch, "mnt-two");
        let ids = scratch.file("ids", 1);
        let seen_by_one = resource("ls", "r", &faulty.file("leases", 1), 0);
        let seen_by_two = resource("ls", "r", &of_two.path("leases"), 0);
        daemons[0].format(&lockspace("ls", 1, &ids), io_timeout, &[&seen_by_one]);
        for (daemon, host_id) in daemons.iter().zip(1..) {
            daemon.join_later(&lockspace("ls", host_id, &ids), io_timeout);
        }
        for (daemon, host_id) in daemons.iter().zip(1..) {
            daemon.joined(&lockspace("ls", host_id, &ids));
        }
        let [one, two] = daemons.each_ref().map(Daemon::register);
        Ok(Self {
            one,
            two,
            seen_by_one,
            seen_by_two,
            faulty,
            of_two,
            daemons,
            _scratch: scratch,
        })
    }

    pub fn one_acquires(&mut self) -> i64 {
        acquire(&mut self.one, &self.seen_by_one)
    }

    pub fn one_releases(&mut self) -> i64 {
        release(&mut self.one, &self.seen_by_one)
    }

    pub fn two_acquires(&mut self) -> i64 {
        acquire(&mut self.two, &self.seen_by_two)
    }

    fn two_shares(&mut self) -> i64 {
        acquire(
            &mut self.two,
            &with(&self.seen_by_two, ResourceFlags::SHARED),
        )
    }

    /// Waits until the second host has the lease; then the first cannot.
    fn two_gets_it(&mut self) -> Duration {
        let took = until("the other host gets the lease", FREED, || {
            self.two_acquires() == 0
        });
        assert!(held(&mut self.one).is_empty());
        self.until_one_can_try();
        assert_eq!(self.one_acquires(), OWNED);
        assert_eq!(release(&mut self.two, &self.seen_by_two), 0);
        until("the first host gets it again", FREED, || {
            self.one_acquires() == 0
        });
        assert_eq!(self.two_acquires(), OWNED);
        for daemon in &self.daemons {
            assert_eq!(list_of(&daemon.client, "ls").as_deref(), Some("spaces"));
        }
        took
    }

    /// While its last attempt is still being tidied up, a host is told to try again later.
    fn until_one_can_try(&self) {
        until("the first host has tidied up", FREED, || {
            resource_lists(&self.daemons[0].client, "r").is_empty()
        });
    }
}

fn a_release_that_timed_out() -> Outcome {
    release_while(|faulty| faulty.io(Fault::Hang, "leases"))
}

fn a_release_that_cannot_open() -> Outcome {
    if let Some(skipped) = unlike_the_original("the daemon itself hangs") {
        return skipped;
    }
    release_while(|faulty| faulty.hang_all("leases"))
}

fn release_while(hang: impl FnOnce(&Faulty)) -> Outcome {
    let mut pair = match Pair::new() {
        Ok(pair) => pair,
        Err(skipped) => return skipped,
    };
    assert_eq!(pair.one_acquires(), 0);
    hang(&pair.faulty);
    assert_eq!(pair.one_releases(), -202);
    assert!(held(&mut pair.one).is_empty(), "the process is rid of it");
    let client = pair.daemons[0].client.clone();
    assert_eq!(resource_lists(&client, "r"), ["rem"]);
    assert_eq!(
        pair.one_acquires(),
        -11,
        "nobody here takes it before it is given back"
    );
    assert_eq!(pair.two_acquires(), OWNED);
    pair.faulty.recover();
    let took = pair.two_gets_it();
    measured(&format!("free {took:?} after the storage was back"));
    Outcome::Passed
}

fn a_release_whose_answers_are_lost() -> Outcome {
    let mut pair = match Pair::new() {
        Ok(pair) => pair,
        Err(skipped) => return skipped,
    };
    assert_eq!(pair.one_acquires(), 0);
    pair.faulty
        .only(Fault::Lose(nix::errno::Errno::EIO), Kind::Write, "leases");
    assert_eq!(pair.one_releases(), -5);
    assert!(held(&mut pair.one).is_empty());
    pair.faulty.recover();
    pair.two_gets_it();
    Outcome::Passed
}

fn a_release_that_fails() -> Outcome {
    if let Some(skipped) = unlike_the_original("it gives up, and the lease stays taken") {
        return skipped;
    }
    let mut pair = match Pair::new() {
        Ok(pair) => pair,
        Err(skipped) => return skipped,
    };
    assert_eq!(pair.one_acquires(), 0);
    pair.faulty
        .only(Fault::Error(nix::errno::Errno::EIO), Kind::Write, "leases");
    assert_eq!(pair.one_releases(), -5);
    assert!(held(&mut pair.one).is_empty());
    assert_eq!(pair.two_acquires(), OWNED);
    pair.faulty.recover();
    let took = pair.two_gets_it();
    measured(&format!("free {took:?} after the storage was back"));
    Outcome::Passed
}

/// The first host holds the lease, and makes it shared while nothing can be written.
fn converted_in_vain() -> Result<Pair, Outcome> {
    if let Some(skipped) =
        unlike_the_original("it says that the conversion failed, which it may not have")
    {
        return Err(skipped);
    }
    let mut pair = Pair::new()?;
    assert_eq!(pair.one_acquires(), 0);
    pair.faulty
        .only(Fault::Error(nix::errno::Errno::EIO), Kind::Write, "leases");
    let shared = with(&pair.seen_by_one, ResourceFlags::SHARED);
    assert_eq!(
        code(pair.one.convert(ConvertFlags::NONE, &shared.head())),
        0
    );
    let (mine, theirs) = (held(&mut pair.one), pair.two_shares());
    assert_eq!((mine.len(), theirs), (1, OWNED));
    Ok(pair)
}

fn a_conversion_that_fails() -> Outcome {
    let mut pair = match converted_in_vain() {
        Ok(pair) => pair,
        Err(skipped) => return skipped,
    };
    pair.faulty.recover();
    let took = until("the other host shares the lease", FREED, || {
        pair.two_shares() == 0
    });
    measured(&format!("shared {took:?} after the storage was back"));
    // Both hold it: neither may have it alone before the other has given it back.
    let alone = pair.seen_by_two.head();
    let mut convert = || code(pair.two.convert(ConvertFlags::NONE, &alone));
    assert_eq!(convert(), HELD_SHARED);
    assert_eq!(held(&mut pair.one).len(), 1);
    assert_eq!(release(&mut pair.one, &pair.seen_by_one), 0);
    assert_eq!(convert(), 0);
    Outcome::Passed
}

fn a_release_of_a_conversion_that_fails() -> Outcome {
    let mut pair = match converted_in_vain() {
        Ok(pair) => pair,
        Err(skipped) => return skipped,
    };
    // Whatever the background is doing just then.
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(pair.one_releases(), -5);
    assert!(held(&mut pair.one).is_empty());
    pair.faulty.recover();
    let took = pair.two_gets_it();
    measured(&format!("free {took:?} after the storage was back"));
    Outcome::Passed
}

fn an_acquire_whose_answers_are_lost() -> Outcome {
    let mut pair = match Pair::new() {
        Ok(pair) => pair,
        Err(skipped) => return skipped,
    };
    pair.faulty
        .only(Fault::Lose(nix::errno::Errno::EIO), Kind::Write, "leases");
    assert_eq!(pair.one_acquires(), NOT_WRITTEN);
    assert!(held(&mut pair.one).is_empty());
    pair.faulty.recover();
    pair.two_gets_it();
    Outcome::Passed
}

fn an_acquire_whose_answers_are_late() -> Outcome {
    let mut pair = match Pair::new() {
        Ok(pair) => pair,
        Err(skipped) => return skipped,
    };
    pair.faulty.only(Fault::Hold, Kind::Write, "leases");
    assert_eq!(pair.one_acquires(), NOT_WRITTEN);
    assert!(held(&mut pair.one).is_empty());
    assert!(pair.faulty.held() > 0);
    pair.faulty.recover();
    let took = pair.two_gets_it();
    measured(&format!("free {took:?} after the storage was back"));
    Outcome::Passed
}

fn a_late_write() -> Outcome {
    let mut pair = match Pair::new() {
        Ok(pair) => pair,
        Err(skipped) => return skipped,
    };
    pair.faulty.only(Fault::Hang, Kind::Write, "leases");
    assert_eq!(pair.one_acquires(), NOT_WRITTEN);
    assert_eq!(pair.two_acquires(), 0);
    assert!(
        pair.faulty.held() > 0,
        "the write has not reached the storage"
    );
    pair.faulty.recover();
    until("it reaches it", FREED, || pair.faulty.held() == 0);
    pair.until_one_can_try();
    assert_eq!(pair.one_acquires(), OWNED);
    assert_eq!(release(&mut pair.two, &pair.seen_by_two), 0);
    pair.two_gets_it();
    Outcome::Passed
}
