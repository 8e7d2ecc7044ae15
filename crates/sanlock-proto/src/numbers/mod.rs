//! Every result number, what it means and what to do about it.
//!
//! Results are 0 or positive for success, `-errno` as the operating system counts, or -201 and below for
//! sanlock's own. Two complications are dealt with here: sanlock 5.x gave new numbers to two results of 3.x
//! and added some, and lvmlockd has numbers of its own that begin at -210 and mean something else.

mod errno;
mod lvmlockd;
mod sanlock;

use std::fmt;

/// Who uses a number in this meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// All of sanlock, 3.x and later.
    Sanlock,
    /// sanlock 3.x; 5.x has another number for it.
    Sanlock3,
    /// sanlock 4.x or 5.x; not this daemon, but a newer host or program may report it.
    Sanlock5,
    /// The operating system's error numbers, in the sense sanlock uses them.
    System,
    /// LVM's lock daemon: not sanlock at all.
    Lvmlockd,
}

impl Source {
    /// Two or three words for it: `sanlock 5.x`.
    pub const fn name(self) -> &'static str {
        match self {
            Source::Sanlock => "sanlock",
            Source::Sanlock3 => "sanlock 3.x",
            Source::Sanlock5 => "sanlock 5.x",
            Source::System => "system error",
            Source::Lvmlockd => "lvmlockd, not sanlock",
        }
    }
}

/// Whether doing the same again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Retry {
    /// It succeeded: there is nothing to retry.
    Pointless,
    /// Not before something has been put right.
    AfterFixing,
    /// Yes, once another host or process has moved on.
    Later,
    /// Yes, at once or after a moment.
    Now,
}

impl Retry {
    /// A sentence.
    pub const fn sentence(self) -> &'static str {
        match self {
            Retry::Pointless => "There is nothing to retry.",
            Retry::AfterFixing => "Trying again helps only after the cause is removed.",
            Retry::Later => "Trying again helps once the other host or process has moved on.",
            Retry::Now => "Trying again, after a second or two, often helps.",
        }
    }
}

/// One meaning of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The number.
    pub number: i32,
    /// Its symbol in C: `SANLK_ACQUIRE_IDLIVE`.
    pub symbol: &'static str,
    /// Who uses it.
    pub source: Source,
    /// What happened: a clause without capital and full stop.
    pub meaning: &'static str,
    /// What to check or do: one or more sentences.
    pub advice: &'static str,
    /// Whether doing the same again can help.
    pub retry: Retry,
}

/// Everything there is to say about a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The number.
    pub number: i32,
    /// Its meanings, the one of this daemon first. Empty for a number nobody uses.
    pub readings: Vec<&'static Reading>,
}

impl Explanation {
    /// The meaning that the number has when this daemon or its client reports it.
    pub fn main(&self) -> Option<&'static Reading> {
        self.readings.first().copied()
    }

    /// The meanings it has elsewhere.
    pub fn others(&self) -> &[&'static Reading] {
        self.readings.get(1..).unwrap_or_default()
    }
}

/// Paragraphs for a terminal, the last line with its end.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(main) = self.main() else {
            return if self.number > 0 {
                writeln!(
                    f,
                    "{}: a positive result is a success: a count or a size.",
                    self.number
                )
            } else {
                writeln!(
                    f,
                    "{}: not a result of sanlock, nor a system error it uses.",
                    self.number
                )
            };
        };
        write_reading(f, main)?;
        for other in self.others() {
            writeln!(f)?;
            write_reading(f, other)?;
        }
        Ok(())
    }
}

fn write_reading(f: &mut fmt::Formatter<'_>, reading: &Reading) -> fmt::Result {
    writeln!(
        f,
        "{} {} ({})",
        reading.number,
        reading.symbol,
        reading.source.name()
    )?;
    writeln!(f, "  What happened: {}.", reading.meaning)?;
    writeln!(f, "  What to do:    {}", reading.advice)?;
    writeln!(f, "  Try again?     {}", reading.retry.sentence())
}

/// All meanings of a number.
pub fn explain(number: i32) -> Explanation {
    Explanation {
        number,
        readings: all().filter(|reading| reading.number == number).collect(),
    }
}

/// The meanings of a symbol; `SANLK_` may be left out and case does not matter.
pub fn by_symbol(symbol: &str) -> Vec<&'static Reading> {
    let same = |reading: &&Reading| {
        let short = reading
            .symbol
            .strip_prefix("SANLK_")
            .unwrap_or(reading.symbol);
        reading.symbol.eq_ignore_ascii_case(symbol) || short.eq_ignore_ascii_case(symbol)
    };
    all().filter(same).collect()
}

/// One line for logs and error messages: `-243 (SANLK_ACQUIRE_IDLIVE): the lease is held by ...`.
pub fn describe(number: i32) -> String {
    match all().find(|reading| reading.number == number && reading.source != Source::Lvmlockd) {
        Some(_) if number == 0 => String::from("0: success"),
        Some(reading) => format!("{number} ({}): {}", reading.symbol, reading.meaning),
        None if number > 0 => format!("{number}: success"),
        None => format!("{number}: a number that sanlock does not use"),
    }
}

/// The symbol of a number as this daemon uses it.
pub fn symbol(number: i32) -> Option<&'static str> {
    all()
        .find(|reading| reading.number == number)
        .map(|reading| reading.symbol)
}

/// Every meaning of every number: sanlock's, then the system's, then those of others.
pub fn all() -> impl Iterator<Item = &'static Reading> {
    sanlock::READINGS
        .iter()
        .chain(errno::READINGS)
        .chain(lvmlockd::READINGS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_number_symbol_and_meaning() {
        let line = describe(-243);
        assert!(line.starts_with("-243 (SANLK_ACQUIRE_IDLIVE): "), "{line}");
        assert_eq!(describe(-9999), "-9999: a number that sanlock does not use");
        assert_eq!(describe(1048576), "1048576: success");
        assert_eq!(describe(0), "0: success");
    }

    #[test]
    fn a_number_of_two_layers_is_explained_in_both() {
        let explanation = explain(-210);
        assert_eq!(explanation.main().unwrap().symbol, "SANLK_DBLOCK_READ");
        let others: Vec<_> = explanation.others().iter().map(|r| r.source).collect();
        assert_eq!(others, [Source::Lvmlockd]);
        assert!(explanation.to_string().contains("ENOLS"));
    }

    #[test]
    fn numbers_that_5x_moved_are_known_in_both_places() {
        assert_eq!(explain(-250).main().unwrap().source, Source::Sanlock3);
        assert_eq!(explain(-252).main().unwrap().source, Source::Sanlock5);
        assert_eq!(
            by_symbol("release_lver")
                .iter()
                .map(|r| r.number)
                .collect::<Vec<_>>(),
            [-250, -252]
        );
    }

    #[test]
    fn every_reading_is_complete_and_no_source_says_a_number_twice() {
        for reading in all() {
            assert!(!reading.meaning.ends_with('.'), "{}", reading.symbol);
            assert!(reading.advice.ends_with('.'), "{}", reading.symbol);
            let same = all().filter(|r| r.number == reading.number && r.source == reading.source);
            assert_eq!(same.count(), 1, "{}", reading.number);
        }
    }

    #[test]
    fn symbols_are_found_with_and_without_prefix() {
        assert_eq!(
            by_symbol("SANLK_LEADER_MAGIC").first().unwrap().number,
            -223
        );
        assert_eq!(by_symbol("leader_magic").first().unwrap().number, -223);
        assert_eq!(by_symbol("enoent").first().unwrap().number, -2);
        assert!(by_symbol("nothing").is_empty());
    }
}
