//! What is said at the end.

use std::time::Duration;

use super::Made;
use super::counts::Counts;
use crate::style;
use crate::table::{Align, Table};

/// One step in one line.
pub(crate) fn line(made: &Made) -> String {
    let seconds = seconds(made.duration);
    match &made.skipped {
        Some(why) => format!(
            "{} {}: {why} ({seconds})",
            style::notable("skipped"),
            made.name
        ),
        None if made.counts.failed > 0 => {
            format!("{} {} ({seconds})", style::bad("failed"), made.name)
        }
        None => format!("{} {} ({seconds})", style::good("passed"), made.name),
    }
}

/// The table, the slowest, the skipped and, as the last line, the count. Whether anything failed.
pub(crate) fn print(made: &[Made], total: Duration) -> bool {
    let mut table = Table::new(&[
        ("step", Align::Left),
        ("result", Align::Left),
        ("passed", Align::Right),
        ("failed", Align::Right),
        ("skipped", Align::Right),
        ("time", Align::Right),
    ]);
    let mut sum = Counts::default();
    for one in made {
        let counts = &one.counts;
        let result = match &one.skipped {
            Some(_) => style::notable("skipped"),
            None if counts.failed > 0 => style::bad("failed"),
            None => style::good("passed"),
        };
        table.row([
            one.name.to_owned(),
            result,
            counts.passed.to_string(),
            counts.failed.to_string(),
            counts.skipped.to_string(),
            seconds(one.duration),
        ]);
        sum.add(counts.clone());
    }
    println!("\n{}", table.text());

    let mut slowest: Vec<&Made> = made.iter().collect();
    slowest.sort_by_key(|one| std::cmp::Reverse(one.duration));
    let slowest: Vec<String> = slowest
        .iter()
        .take(3)
        .map(|one| format!("{} {}", one.name, seconds(one.duration)))
        .collect();
    println!("{} in all; slowest: {}", seconds(total), slowest.join(", "));

    for one in made {
        if let Some(why) = &one.skipped {
            println!("skipped: {}: {why}", one.name);
        }
        for name in &one.counts.skipped_names {
            println!("skipped: {}: {name}", one.name);
        }
    }
    println!(
        "\n{} passed, {} failed, {} skipped",
        sum.passed, sum.failed, sum.skipped
    );
    sum.failed > 0
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
