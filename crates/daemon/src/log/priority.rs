//! syslog's priorities.

use tracing::Level;

/// A syslog priority, 0 (emergency) to 7 (debugging); smaller is more urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Priority(u8);

impl Priority {
    /// Something is wrong, and somebody should hear of it.
    pub const ERROR: Self = Self(3);
    /// Worth keeping.
    pub const WARNING: Self = Self(4);
    /// What happens.
    pub const INFORMATION: Self = Self(6);
    /// How it happens.
    pub const DEBUGGING: Self = Self(7);

    /// The nearest to `number` of 0 to 7.
    #[must_use]
    pub fn nearest(number: i64) -> Self {
        Self(u8::try_from(number.clamp(0, 7)).unwrap_or(7))
    }

    /// 0 to 7.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }
}

impl From<Level> for Priority {
    fn from(level: Level) -> Self {
        match level {
            Level::ERROR => Self::ERROR,
            Level::WARN => Self::WARNING,
            Level::INFO => Self::INFORMATION,
            _ => Self::DEBUGGING,
        }
    }
}

/// How urgent a line must be to go somewhere: syslog's -1 (nothing does) to 7 (everything does).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threshold(Option<Priority>);

impl Threshold {
    /// -1: no line.
    pub const NOTHING: Self = Self(None);
    /// 7: every line.
    pub const EVERYTHING: Self = Self(Some(Priority::DEBUGGING));

    /// Lines of this priority and more urgent ones.
    #[must_use]
    pub fn up_to(priority: Priority) -> Self {
        Self(Some(priority))
    }

    /// From the number that options and configuration files have: all negative ones are
    /// [`Threshold::NOTHING`].
    #[must_use]
    pub fn from_number(number: i64) -> Self {
        Self((number >= 0).then(|| Priority::nearest(number)))
    }

    pub(super) fn lets_pass(self, priority: Priority) -> bool {
        self.0.is_some_and(|most| priority <= most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds() {
        assert!(!Threshold::NOTHING.lets_pass(Priority::nearest(0)));
        assert_eq!(Threshold::from_number(-1), Threshold::NOTHING);
        assert_eq!(Threshold::from_number(-7), Threshold::NOTHING);
        assert_eq!(Threshold::from_number(99), Threshold::EVERYTHING);
        let warnings = Threshold::from_number(4);
        assert!(warnings.lets_pass(Priority::ERROR));
        assert!(warnings.lets_pass(Priority::WARNING));
        assert!(!warnings.lets_pass(Priority::INFORMATION));
    }

    #[test]
    fn levels() {
        let numbers = [
            Level::ERROR,
            Level::WARN,
            Level::INFO,
            Level::DEBUG,
            Level::TRACE,
        ]
        .map(|level| Priority::from(level).number());
        assert_eq!(numbers, [3, 4, 6, 7, 7]);
    }
}
