//! The rules in force, and the requests that they hold.

use std::fmt::Write;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;

use crate::rule::{Command, CommandError, Fault, Kind, Rule};

/// What goes wrong on a mounted file system, from now on; clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    rules: Mutex<Rules>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Rules {
    /// The last one that meets a request counts.
    list: Vec<(u64, Rule)>,
    last_number: u64,
    held: usize,
    under_way: usize,
    served: u64,
}

/// How much of a request to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    All,
    Half,
}

impl Faults {
    /// One more rule; of several that meet a request, the last one counts.
    pub fn add(&self, rule: Rule) {
        let mut rules = self.rules();
        rules.last_number += 1;
        let number = rules.last_number;
        rules.list.push((number, rule));
    }

    /// Takes back all rules: requests that they hold go on.
    pub fn recover(&self) {
        self.recover_where(|_| true);
    }

    /// How many requests are held now.
    #[must_use]
    pub fn held(&self) -> usize {
        self.rules().held
    }

    /// How many requests have been sent so far, of every kind.
    #[must_use]
    pub fn served(&self) -> u64 {
        self.rules().served
    }

    /// Does what a line on the control socket says, and answers it.
    ///
    /// # Errors
    /// The line is no command.
    pub fn command(&self, line: &str) -> Result<String, CommandError> {
        match line.parse()? {
            Command::Add(rule) => self.add(rule),
            Command::Recover(None) => self.recover(),
            Command::Recover(Some(pattern)) => self.recover_where(|rule| rule.pattern == pattern),
            Command::Status => return Ok(self.status()),
        }
        Ok("ok".to_owned())
    }

    fn status(&self) -> String {
        let rules = self.rules();
        let mut text = format!("held {} served {}", rules.held, rules.served);
        for (_, rule) in &rules.list {
            // Writing to a string cannot fail.
            let _ = write!(text, "; {rule}");
        }
        text
    }

    fn recover_where(&self, which: impl Fn(&Rule) -> bool) {
        self.rules().list.retain(|(_, rule)| !which(rule));
        self.0.changed.notify_all();
    }

    /// Does a request, or not, as the rules say.
    pub(crate) fn serve<T>(
        &self,
        kind: Kind,
        path: &str,
        perform: impl FnOnce(Part) -> io::Result<T>,
    ) -> io::Result<T> {
        let _under_way = UnderWay::new(self);
        let found = {
            let mut rules = self.rules();
            rules.served += 1;
            rules
                .list
                .iter()
                .rev()
                .find(|(_, rule)| rule.meets(kind, path))
                .cloned()
        };
        let Some((number, rule)) = found else {
            return perform(Part::All);
        };
        match rule.fault {
            Fault::Hang => {
                self.hold(number);
                perform(Part::All)
            }
            Fault::Hold => {
                let result = perform(Part::All);
                self.hold(number);
                result
            }
            Fault::Error(errno) => Err(errno.into()),
            Fault::Lose(errno) => perform(Part::All).and(Err(errno.into())),
            Fault::Delay(delay) => {
                thread::sleep(delay);
                perform(Part::All)
            }
            Fault::Tear | Fault::Short if !matches!(kind, Kind::Read | Kind::Write) => {
                Err(Errno::EIO.into())
            }
            Fault::Tear => perform(Part::Half).and(Err(Errno::EIO.into())),
            Fault::Short => perform(Part::Half),
        }
    }

    /// Waits until no request is under way, at most so long.
    pub(crate) fn wait_until_idle(&self, at_most: Duration) {
        let busy = |rules: &mut Rules| rules.under_way > 0;
        // Whichever it was.
        drop(
            self.0
                .changed
                .wait_timeout_while(self.rules(), at_most, busy),
        );
    }

    /// Waits until the rule is taken back.
    fn hold(&self, number: u64) {
        let mut rules = self.rules();
        rules.held += 1;
        let in_force = |rules: &mut Rules| rules.list.iter().any(|(known, _)| *known == number);
        let waited = self.0.changed.wait_while(rules, in_force);
        waited.unwrap_or_else(PoisonError::into_inner).held -= 1;
    }

    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.0.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that has not been done or refused.
struct UnderWay<'a>(&'a Faults);

impl<'a> UnderWay<'a> {
    fn new(faults: &'a Faults) -> Self {
        faults.rules().under_way += 1;
        Self(faults)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.rules().under_way -= 1;
        self.0.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serve(faults: &Faults, kind: Kind, path: &str) -> (Option<Part>, Result<(), i32>) {
        let mut done = None;
        let result = faults.serve(kind, path, |part| {
            done = Some(part);
            Ok(())
        });
        (
            done,
            result.map_err(|error| error.raw_os_error().unwrap_or(0)),
        )
    }

    #[test]
    fn the_last_rule_that_meets_a_request_counts() {
        let faults = Faults::default();
        assert_eq!(serve(&faults, Kind::Read, "a"), (Some(Part::All), Ok(())));
        faults.command("error EIO").unwrap();
        faults.command("lose ENOSPC write b").unwrap();
        assert_eq!(
            serve(&faults, Kind::Write, "b"),
            (Some(Part::All), Err(libc::ENOSPC))
        );
        assert_eq!(serve(&faults, Kind::Write, "a"), (None, Err(libc::EIO)));
        assert_eq!(serve(&faults, Kind::Open, "a"), (Some(Part::All), Ok(())));
        assert_eq!(
            faults.command("status").unwrap(),
            "held 0 served 4; error EIO io *; lose ENOSPC write b"
        );
        faults.command("recover b").unwrap();
        assert_eq!(serve(&faults, Kind::Write, "b"), (None, Err(libc::EIO)));
        faults.command("recover").unwrap();
        assert_eq!(serve(&faults, Kind::Write, "b"), (Some(Part::All), Ok(())));
    }

    #[test]
    fn torn_and_short_requests_are_done_by_half() {
        let faults = Faults::default();
        faults.command("tear all").unwrap();
        assert_eq!(
            serve(&faults, Kind::Write, "a"),
            (Some(Part::Half), Err(libc::EIO))
        );
        assert_eq!(serve(&faults, Kind::Open, "a"), (None, Err(libc::EIO)));
        faults.command("short").unwrap();
        assert_eq!(serve(&faults, Kind::Read, "a"), (Some(Part::Half), Ok(())));
    }

    #[test]
    fn held_requests_go_on_when_their_rule_is_taken_back() {
        let faults = Faults::default();
        faults.command("hang write").unwrap();
        faults.command("hold read").unwrap();
        let spawn = |kind| {
            let faults = faults.clone();
            thread::spawn(move || serve(&faults, kind, "a"))
        };
        let requests = [spawn(Kind::Write), spawn(Kind::Read), spawn(Kind::Write)];
        while faults.held() < 3 {
            thread::yield_now();
        }
        faults.recover();
        for request in requests {
            assert_eq!(request.join().unwrap(), (Some(Part::All), Ok(())));
        }
        assert_eq!(faults.held(), 0);
    }
}
