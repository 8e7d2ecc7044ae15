//! The transcripts: what is said to the programs, and what they answered.
//!
//! A transcript is read from top to bottom. `#` starts a comment. A step is one of
//!
//! ```text
//! $ client status        run the command line program against host 1 (2$ against host 2)
//! a> register            tell the C client `a` (a2: on host 2) what to call
//! a& acquire ...         the same without waiting for the answer
//! a.                     the answer that was not waited for
//! py> sanlock.align(...) evaluate Python (py2: on host 2)
//! @ file ls 1M           something for the lab to do, see `stage.rs`
//! ~a> get_hosts ...      a step that is repeated until it answers as expected, or patience ends
//! ```
//!
//! and is followed by the lines of its answer: `| ` standard output, `! ` standard error,
//! `= ` the exit status when it is not 0. A tag in front holds a line for some programs only:
//! `c-3.8|` for a client of that generation, `d-3.9|` for a daemon, `cd-` for both together,
//! `d-orig|` for the C daemon (where it has a fault that nobody should copy), `d-ours|` for a
//! replacement, `d-3.9orig|` for the C daemon of that generation.

use super::failure::Failure;

/// Where an expected line is looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stream {
    /// `|`
    Out,
    /// `!`
    Err,
    /// `=`
    End,
}

/// One line of an expected answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Line {
    /// `c-3.8`, `d-orig` ...; empty: for everybody.
    pub(crate) tag: String,
    /// Where it is expected.
    pub(crate) stream: Stream,
    /// What is expected.
    pub(crate) text: String,
}

impl Line {
    /// The line as it stands in a transcript.
    pub(crate) fn written(&self) -> String {
        let mark = match self.stream {
            Stream::Out => '|',
            Stream::Err => '!',
            Stream::End => '=',
        };
        let blank = if self.text.is_empty() { "" } else { " " };
        format!("{}{mark}{blank}{}", self.tag, self.text)
    }
}

/// Something in a transcript.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Item {
    /// A comment or an empty line.
    Remark(String),
    /// A step.
    Step(Step),
}

/// Who is spoken to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Verb {
    /// The command line program, with this host's daemon.
    Cli(usize),
    /// A named client, waiting for its answer.
    Ask(String),
    /// A named client, not waiting.
    Tell(String),
    /// The answer of a named client.
    Answer(String),
    /// The lab itself.
    Lab,
}

/// One step and the answer that is expected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Step {
    /// Line number, from 1.
    pub(crate) number: usize,
    /// The line as it stands in the transcript.
    pub(crate) written: String,
    /// Repeat until it answers as expected.
    pub(crate) until: bool,
    /// Who is spoken to.
    pub(crate) verb: Verb,
    /// What is said.
    pub(crate) words: String,
    /// The expected answer.
    pub(crate) answer: Vec<Line>,
}

/// Reads a transcript.
pub(crate) fn parse(text: &str) -> Result<Vec<Item>, Failure> {
    let mut items: Vec<Item> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        if line.is_empty() || line.starts_with('#') {
            items.push(Item::Remark(line.to_owned()));
        } else if let Some(expected) = parse_line(line) {
            match items.last_mut() {
                Some(Item::Step(step)) => step.answer.push(expected),
                _ => return Err(format!("line {number}: an answer to nothing: {line}").into()),
            }
        } else if let Some(step) = parse_step(number, line) {
            items.push(Item::Step(step));
        } else {
            return Err(format!("line {number}: not understood: {line}").into());
        }
    }
    Ok(items)
}

fn parse_line(line: &str) -> Option<Line> {
    let at = line.find(['|', '!', '='])?;
    let (tag, rest) = line.split_at(at);
    let known = tag.is_empty()
        || matches!(
            tag.split_once('-'),
            Some((
                "c" | "d" | "cd",
                "3.8" | "3.9" | "3.9orig" | "orig" | "ours"
            ))
        );
    if !known {
        return None;
    }
    let stream = match rest.chars().next()? {
        '|' => Stream::Out,
        '!' => Stream::Err,
        _ => Stream::End,
    };
    let text = &rest[1..];
    let text = text.strip_prefix(' ').unwrap_or(text).to_owned();
    Some(Line {
        tag: tag.to_owned(),
        stream,
        text,
    })
}

fn parse_step(number: usize, line: &str) -> Option<Step> {
    let (until, said) = match line.strip_prefix('~') {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    let (head, words) = said.split_once(' ').unwrap_or((said, ""));
    let named = |mark: char| {
        let name = head.strip_suffix(mark)?;
        let fits = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        fits.then(|| name.to_owned())
    };
    let verb = match head {
        "$" | "1$" => Verb::Cli(1),
        "2$" => Verb::Cli(2),
        "@" => Verb::Lab,
        _ => match (named('>'), named('&'), named('.')) {
            (Some(name), _, _) => Verb::Ask(name),
            (_, Some(name), _) => Verb::Tell(name),
            (_, _, Some(name)) => Verb::Answer(name),
            _ => return None,
        },
    };
    let (written, words) = (line.to_owned(), words.to_owned());
    Some(Step {
        number,
        written,
        until,
        verb,
        words,
        answer: Vec::new(),
    })
}

/// The host that a client of this name belongs to: 2 when the name ends so, else 1.
pub(crate) fn host_of(name: &str) -> usize {
    if name.ends_with('2') { 2 } else { 1 }
}

/// Splits a command line at blanks; single quotes keep blanks together, `{x*48}` is 48 times `x`.
pub(crate) fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let (mut quoted, mut some) = (false, false);
    for c in line.chars() {
        match c {
            '\'' => (quoted, some) = (!quoted, true),
            ' ' if !quoted => {
                if some {
                    words.push(std::mem::take(&mut word));
                }
                some = false;
            }
            _ => {
                word.push(c);
                some = true;
            }
        }
    }
    if some {
        words.push(word);
    }
    words
}

/// Replaces `{x*48}` by 48 times `x`.
pub(crate) fn repeated(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let many = from.find('}').and_then(|end| {
            let (what, count) = from[1..end].split_once('*')?;
            Some((what.repeat(count.parse().ok()?), end))
        });
        match many {
            Some((text, end)) => {
                out.push_str(&text);
                rest = &from[end + 1..];
            }
            None => {
                out.push('{');
                rest = &from[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_and_answers_are_told_apart() {
        let text =
            "# why\n$ client status\n| daemon x\nd-3.8| old\n= 1\n\n~a2> register\n@ sleep 1";
        let items = parse(text).unwrap();
        let steps: Vec<&Step> = items
            .iter()
            .filter_map(|item| match item {
                Item::Step(step) => Some(step),
                Item::Remark(_) => None,
            })
            .collect();
        assert_eq!(steps.len(), 3);
        assert_eq!(steps[0].verb, Verb::Cli(1));
        assert_eq!(steps[0].answer.len(), 3);
        assert_eq!(steps[0].answer[1].tag, "d-3.8");
        assert_eq!(steps[0].answer[2].stream, Stream::End);
        assert_eq!(steps[1].verb, Verb::Ask("a2".to_owned()));
        assert!(steps[1].until);
        assert_eq!(host_of("a2"), 2);
        assert!(parse("| to nothing").is_err() && parse("what").is_err());
        assert_eq!(steps[0].answer[1].written(), "d-3.8| old");
    }

    #[test]
    fn words_are_split_at_blanks_outside_quotes() {
        assert_eq!(words("a 'b c'  d\\ e ''"), ["a", "b c", "d\\", "e", ""]);
        assert_eq!(repeated("-s {n*3}:{DIR}"), "-s nnn:{DIR}");
    }
}
