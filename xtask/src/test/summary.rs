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

/// The skipped, the table, the slowest and, as the last line, the count. Whether anything failed.
pub(crate) fn print(made: &[Made], total: Duration) -> bool {
    println!();
    for one in made {
        if let Some(why) = &one.skipped {
            println!("skipped: {}: {why}", one.name);
        }
        for (why, names) in by_reason(&one.counts.skipped_names) {
            println!("skipped: {}: {}: {why}", one.name, names.join(", "));
        }
    }

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
    println!(
        "\n{} passed, {} failed, {} skipped",
        sum.passed, sum.failed, sum.skipped
    );
    sum.failed > 0
}

/// What was skipped for the same reason, together; the reasons in the order in which they came.
fn by_reason(skipped: &[String]) -> Vec<(&str, Vec<&str>)> {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for one in skipped {
        let (name, why) = one.split_once(": ").unwrap_or((one, "ignored"));
        match reasons.iter_mut().find(|(known, _)| *known == why) {
            Some((_, names)) => names.push(name),
            None => reasons.push((why, vec![name])),
        }
    }
    reasons
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::by_reason;

    #[test]
    fn a_reason_is_said_once() {
        let skipped = ["a: no disk: sdb", "b", "c: no disk: sdb"].map(str::to_owned);
        let told = [("no disk: sdb", vec!["a", "c"]), ("ignored", vec!["b"])];
        assert_eq!(by_reason(&skipped), told);
    }
}
