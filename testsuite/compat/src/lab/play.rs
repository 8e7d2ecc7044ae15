//! Plays a transcript and compares.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::Lab;
use super::failure::{Failure, While};
use super::script::{self, Item, Line, Step, Stream, Verb, host_of, repeated};
use super::text::{Names, filled, matches, normalised};

/// Between two tries of a step that is repeated.
const PAUSE: Duration = Duration::from_millis(250);

/// How long a recording run repeats a step before it takes the answer as it is.
const RECORDING: Duration = Duration::from_secs(20);

impl Lab {
    /// Plays the transcript `name`. Differences are noted, or recorded if this run records.
    pub(crate) fn play(&mut self, name: &str, text: &str) -> Result<(), Failure> {
        let file = self
            .plan
            .read
            .as_ref()
            .map(|dir| dir.join(format!("{name}.txt")));
        let text = match &file {
            Some(path) => std::fs::read_to_string(path)?,
            None => text.to_owned(),
        };
        let mut items = script::parse(&text).during(|| format!("transcript {name}"))?;
        let mut played = Ok(());
        for item in &mut items {
            if let Item::Step(step) = item {
                played = self.step(name, step);
                if played.is_err() {
                    break;
                }
            }
        }
        if let Some(path) = file.filter(|_| self.plan.record) {
            write(&path, &items)?;
        }
        played
    }

    fn step(&mut self, name: &str, step: &mut Step) -> Result<(), Failure> {
        let patience = if self.plan.record {
            RECORDING
        } else {
            self.patience
        };
        let until = Instant::now() + patience;
        let at = || format!("{name}.txt, line {}: {}", step.number, step.written);
        let expected = self.expected(step);
        let mut taken = self.take(step);
        while step.until && !expected.is_empty() && Instant::now() < until {
            if taken
                .as_ref()
                .is_ok_and(|found| agree(&expected, found, &self.names))
            {
                break;
            }
            sleep(PAUSE);
            taken = self.take(step);
        }
        let found = taken.during(at)?;
        self.checks += 1;
        if agree(&expected, &found, &self.names) {
            return Ok(());
        }
        if self.plan.record && step.answer.iter().all(|line| line.tag.is_empty()) {
            step.answer = found;
            return Ok(());
        }
        self.note(format!("{}\n{}", at(), difference(&expected, &found)));
        Ok(())
    }

    /// Does a step once.
    fn take(&mut self, step: &Step) -> Result<Vec<Line>, Failure> {
        let words = filled(&repeated(&step.words), &self.names);
        let patience = self.patience;
        match &step.verb {
            Verb::Cli(host) => {
                let said = self.host(*host).cli(&script::words(&words), patience)?;
                let mut lines = self.lines(&said.stdout, Stream::Out);
                lines.extend(self.lines(&said.stderr, Stream::Err));
                if said.end != "0" {
                    lines.extend(self.lines(&said.end, Stream::End));
                }
                Ok(lines)
            }
            Verb::Lab => {
                let said = self.directive(&script::words(&words))?;
                Ok(self.lines(&said, Stream::Out))
            }
            Verb::Ask(client) => {
                let client = self.client(client)?;
                client.tell(&words)?;
                let said = client.answer(patience)?;
                Ok(self.lines(&said, Stream::Out))
            }
            Verb::Tell(client) => {
                self.client(client)?.tell(&words)?;
                Ok(Vec::new())
            }
            Verb::Answer(client) => {
                let said = self.client(client)?.answer(patience)?;
                Ok(self.lines(&said, Stream::Out))
            }
        }
    }

    fn lines(&self, text: &str, stream: Stream) -> Vec<Line> {
        normalised(text, &self.names)
            .into_iter()
            .map(|text| Line {
                tag: String::new(),
                stream,
                text,
            })
            .collect()
    }

    /// The lines that hold for the programs of this lab.
    fn expected(&mut self, step: &Step) -> Vec<Line> {
        let number = match &step.verb {
            Verb::Cli(host) => *host,
            Verb::Ask(name) | Verb::Tell(name) | Verb::Answer(name) => host_of(name),
            Verb::Lab => 1,
        };
        let host = self.host(number);
        let holds = |tag: &str| match tag.split_once('-') {
            Some(("c", tag)) => host.client.answers_to(tag),
            Some(("d", tag)) => host.daemon.answers_to(tag),
            Some((_, tag)) => Some(
                host.client.answers_to(tag) == Some(true)
                    && host.daemon.answers_to(tag) == Some(true),
            ),
            None => Some(true),
        };
        step.answer
            .iter()
            .filter(|line| holds(&line.tag).unwrap_or(false))
            .cloned()
            .collect()
    }
}

/// Whether an answer is as expected, stream by stream. A line `{...}` stands for any lines.
///
/// Both are compared with the values of this run in them: a number that a process id happens to be equal to
/// is still that number.
fn agree(expected: &[Line], found: &[Line], names: &Names) -> bool {
    [Stream::Out, Stream::Err, Stream::End]
        .into_iter()
        .all(|stream| {
            let of = |lines: &[Line]| -> Vec<String> {
                let lines = lines.iter().filter(|line| line.stream == stream);
                let lines = lines.map(|line| filled(&line.text, names)).collect();
                with_clients_sorted(lines)
            };
            lines_agree(&of(expected), &of(found))
        })
}

/// The same with neighbouring lines about clients in the order of the alphabet. `status` has them in the order
/// of their connections' numbers, and which number is free depends on which ends the daemon has seen.
fn with_clients_sorted(mut lines: Vec<String>) -> Vec<String> {
    let is_client = |line: &String| line.starts_with("p ");
    for run in lines.chunk_by_mut(|one, next| is_client(one) && is_client(next)) {
        run.sort();
    }
    lines
}

fn lines_agree(expected: &[String], found: &[String]) -> bool {
    match expected.split_first() {
        None => found.is_empty(),
        Some((any, rest)) if any == "{...}" => {
            (0..=found.len()).any(|skipped| lines_agree(rest, &found[skipped..]))
        }
        Some((pattern, rest)) => found
            .split_first()
            .is_some_and(|(line, further)| matches(pattern, line) && lines_agree(rest, further)),
    }
}

/// Where two answers differ: what is equal before and behind is left out.
fn difference(expected: &[Line], found: &[Line]) -> String {
    let same = |(a, b): &(&Line, &Line)| a.stream == b.stream && matches(&a.text, &b.text);
    let before = expected.iter().zip(found).take_while(same).count();
    let (expected, found) = (&expected[before..], &found[before..]);
    let behind = expected
        .iter()
        .rev()
        .zip(found.iter().rev())
        .take_while(same)
        .count();
    let show = |lines: &[Line]| -> String {
        let lines = &lines[..lines.len() - behind];
        lines
            .iter()
            .map(|line| format!("    {}\n", line.written()))
            .collect()
    };
    let (wanted, got) = (show(expected), show(found));
    let equal = if before > 0 {
        format!(" ({before} lines are equal)")
    } else {
        String::new()
    };
    format!("  expected{equal}:\n{wanted}  found:\n{got}")
}

fn write(path: &Path, items: &[Item]) -> Result<(), Failure> {
    let mut text = String::new();
    for item in items {
        match item {
            Item::Remark(remark) => text.push_str(&format!("{remark}\n")),
            Item::Step(step) => {
                text.push_str(&format!("{}\n", step.written));
                step.answer
                    .iter()
                    .for_each(|line| text.push_str(&format!("{}\n", line.written())));
            }
        }
    }
    std::fs::write(path, text).during(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_compared_in_any_order_and_nothing_else_is() {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let sorted = |text: &str| with_clients_sorted(lines(text));
        assert_eq!(
            sorted("daemon x\np 7 b\np -1 a\ns 2\ns 1\np 1\nr 1"),
            lines("daemon x\np -1 a\np 7 b\ns 2\ns 1\np 1\nr 1")
        );
    }
}
