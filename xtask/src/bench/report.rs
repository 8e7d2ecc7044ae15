//! The table, for people and as a file.

use super::Session;
use super::figures::{Figure, digits};
use crate::style;
use crate::table::{Align, Table};

fn table(figures: &[Figure], paint: bool) -> Table {
    let mut table = Table::new(&[
        ("", Align::Left),
        ("unit", Align::Left),
        ("ours", Align::Right),
        ("original", Align::Right),
        ("ratio", Align::Right),
        ("floor", Align::Right),
        ("target", Align::Left),
        ("", Align::Left),
    ]);
    for figure in figures {
        if let Some(why) = &figure.why_not {
            table.row([format!("{}: skipped, {why}", figure.name)]);
            continue;
        }
        let value = |index: usize| {
            figure
                .values
                .get(index)
                .map_or_else(|| "–".to_owned(), |value| digits(*value))
        };
        let mark = match (figure.met(), paint) {
            (Some(true), true) => style::good("✓"),
            (Some(true), false) => "✓".to_owned(),
            (Some(false), true) => style::bad("✗"),
            (Some(false), false) => "✗".to_owned(),
            (None, _) => String::new(),
        };
        table.row([
            figure.name.clone(),
            figure.unit.name().to_owned(),
            value(0),
            value(1),
            figure.ratio().map_or_else(|| "–".to_owned(), ratio_text),
            figure.floor.map_or_else(String::new, digits),
            figure
                .target
                .map_or_else(String::new, |target| target.text(figure.unit)),
            mark,
        ]);
    }
    table
}

fn ratio_text(ratio: f64) -> String {
    if ratio < 0.1 {
        format!("{ratio:.4}")
    } else {
        format!("{ratio:.2}")
    }
}

/// What was measured where.
fn circumstances(session: &Session) -> Vec<String> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let mut lines: Vec<String> = session
        .contestants
        .iter()
        .map(|one| format!("{}: {}", one.label, version(&one.program.version)))
        .collect();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    lines.push(format!(
        "Linux {}, {cores} cores, lease files on {}; {} rounds",
        read("/proc/sys/kernel/osrelease").trim(),
        file_system(session),
        session.rounds
    ));
    if session.load_before >= 0.5 {
        lines.push(format!(
            "the machine was busy (load {:.1}): nothing here is exact, and waiting for a processor may count \
             for more than anything else",
            session.load_before
        ));
    }
    lines.push(
        "ratio: ours divided by the original's; floor: the same reads and writes without a daemon, or the \
         time that the algorithm must wait"
            .to_owned(),
    );
    lines
}

/// The version without the program's path.
fn version(line: &str) -> &str {
    line.split_once(' ').map_or(line, |(_, version)| version)
}

/// Kind of the file system that the lease files are on.
fn file_system(session: &Session) -> String {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let (place, kind) = (fields.next()?, fields.next()?);
            session
                .dir
                .starts_with(place)
                .then_some((place.len(), kind))
        })
        .max_by_key(|(len, _)| *len)
        .map_or_else(
            || "an unknown file system".to_owned(),
            |(_, kind)| kind.to_owned(),
        )
}

/// Shows the table.
pub(super) fn print(session: &Session, figures: &[Figure], markdown: bool) {
    if markdown {
        print!("{}", self::markdown(session, figures));
        return;
    }
    println!();
    print!("{}", table(figures, true).text());
    println!();
    for line in circumstances(session) {
        println!("{}", style::quiet(line));
    }
}

/// The report as a file.
pub(super) fn markdown(session: &Session, figures: &[Figure]) -> String {
    let mut text = String::from("# Bench\n\n");
    for line in circumstances(session) {
        text.push_str(&format!("* {line}\n"));
    }
    text.push('\n');
    text.push_str(&table(figures, false).markdown());
    text
}
