//! When what happened, and whether it was allowed.

use std::fmt;
use std::time::{Duration, Instant};

/// What is measured from outside comes a little late on a busy computer.
pub(crate) const LATENESS: Duration = Duration::from_millis(500);

/// The lease must be taken at most so long after it may.
pub(crate) const TAKEOVER_LIMIT: Duration = Duration::from_secs(5);

/// When what happened, in seconds after the victim's last renewal, and what of it was not allowed.
#[derive(Debug)]
pub(crate) struct Report {
    zero: Instant,
    times: Vec<(&'static str, f64)>,
    faults: Vec<String>,
}

impl Report {
    /// Times count from this renewal.
    pub(crate) fn since(zero: Instant) -> Report {
        Report {
            zero,
            times: Vec::new(),
            faults: Vec::new(),
        }
    }

    fn after(&self, when: Instant) -> f64 {
        if when >= self.zero {
            (when - self.zero).as_secs_f64()
        } else {
            -(self.zero - when).as_secs_f64()
        }
    }

    /// Something that happened then.
    pub(crate) fn note(&mut self, what: &'static str, when: Instant) {
        self.times.push((what, self.after(when)));
    }

    /// Something that must not be.
    pub(crate) fn fault(&mut self, text: impl Into<String>) {
        self.faults.push(text.into());
    }

    /// It must not have been before this time: safety, without any slack.
    pub(crate) fn not_before(&mut self, what: &str, when: Instant, bound: (&str, Instant)) {
        if when < bound.1 {
            self.fault(format!(
                "{what} at {:.2} s, before {} at {:.2} s",
                self.after(when),
                bound.0,
                self.after(bound.1)
            ));
        }
    }

    /// It must not have been after this time, but for what measuring adds.
    pub(crate) fn not_after(&mut self, what: &str, when: Instant, bound: (&str, Instant)) {
        if when > bound.1 + LATENESS {
            self.fault(format!(
                "{what} at {:.2} s, after {} at {:.2} s",
                self.after(when),
                bound.0,
                self.after(bound.1)
            ));
        }
    }

    /// This must have been found, because something is wrong with these hosts.
    pub(crate) fn must_have_found(&mut self, fault: &str) {
        match self.faults.iter().position(|found| found == fault) {
            Some(index) => {
                self.faults.remove(index);
            }
            None => self.fault(format!("nobody found what is wrong here: {fault}")),
        }
    }

    pub(crate) fn faults(&self) -> &[String] {
        &self.faults
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut times = self.times.clone();
        times.sort_by(|one, other| one.1.total_cmp(&other.1));
        for (index, (what, seconds)) in times.iter().enumerate() {
            let between = if index == 0 { "" } else { ", " };
            write!(f, "{between}{what} {seconds:.1}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_wrong_on_purpose_is_no_fault() {
        let mut report = Report::since(Instant::now());
        report.must_have_found("broken");
        assert_eq!(report.faults(), ["nobody found what is wrong here: broken"]);
        let mut report = Report::since(Instant::now());
        report.fault("another");
        report.fault("broken");
        report.must_have_found("broken");
        assert_eq!(report.faults(), ["another"]);
    }

    #[test]
    fn bounds_are_kept_or_said() {
        let zero = Instant::now();
        let at = |seconds: f64| zero + Duration::from_secs_f64(seconds);
        let mut report = Report::since(zero);
        report.note("reset", at(25.7));
        report.note("renewed", at(0.0));
        report.not_before("taken", at(26.1), ("the expiry", at(26.0)));
        report.not_after("the reset", at(26.2), ("the expiry", at(26.0)));
        assert!(report.faults().is_empty());
        assert_eq!(report.to_string(), "renewed 0.0, reset 25.7");
        report.not_before("taken", at(25.99), ("the expiry", at(26.0)));
        report.not_after("the reset", at(27.0), ("the expiry", at(26.0)));
        assert_eq!(
            report.faults(),
            [
                "taken at 25.99 s, before the expiry at 26.00 s",
                "the reset at 27.00 s, after the expiry at 26.00 s"
            ]
        );
    }
}
