//! One scenario's time line, as SVG: who held which lease when, and what happened meanwhile.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::escaped;
use crate::lab::{EventKind, Held, Story};

const WIDTH: f64 = 1160.0;
/// Room for names.
const LEFT: f64 = 250.0;
const RIGHT: f64 = 30.0;
const ROW: f64 = 24.0;
/// Labels that are closer to each other than this are put on different rows.
const LABEL: f64 = 130.0;
const COLOURS: &[&str] = &[
    "#2f7ed8", "#d9822b", "#3d9970", "#b04a9c", "#7a6b5d", "#c23b3b",
];

/// A picture under construction.
struct Picture {
    text: String,
    end: f64,
}

impl Picture {
    fn x(&self, at: f64) -> f64 {
        let share = (at / self.end).clamp(0.0, 1.0);
        LEFT + share * (WIDTH - LEFT - RIGHT)
    }

    fn line(&mut self, class: &str, at: f64, top: f64, bottom: f64) {
        let x = self.x(at);
        let _ = write!(
            self.text,
            "<line class='{class}' x1='{x:.1}' x2='{x:.1}' y1='{top:.1}' y2='{bottom:.1}'/>"
        );
    }

    fn words(&mut self, class: &str, x: f64, y: f64, words: &str) {
        let words = escaped(words);
        let _ = write!(
            self.text,
            "<text class='{class}' x='{x:.1}' y='{y:.1}'>{words}</text>"
        );
    }
}

/// A mark with words at the top.
struct Mark<'a> {
    at: f64,
    class: &'static str,
    words: String,
    title: &'a str,
}

/// What each lease is called: by its image where that is known, else by its first digits.
fn short(lease: &str) -> &str {
    let is_sum = lease.len() >= 32 && lease.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_sum {
        lease.get(..8).unwrap_or(lease)
    } else {
        lease
    }
}

fn marks(story: &Story) -> Vec<Mark<'_>> {
    let mut marks: Vec<Mark<'_>> = Vec::new();
    let mut step = 0;
    for event in &story.events {
        let (class, words) = match (event.kind, &event.host) {
            (EventKind::Step, _) => {
                step += 1;
                ("step", format!("{step}"))
            }
            (EventKind::Injected, Some(host)) => ("injected", format!("{host}: {}", event.text)),
            (EventKind::Seen, None) => ("moment", format!("{} {:.1}", event.text, event.at)),
            _ => continue,
        };
        marks.push(Mark {
            at: event.at,
            class,
            words: words.chars().take(34).collect(),
            title: &event.text,
        });
    }
    marks.sort_by(|one, other| one.at.total_cmp(&other.at));
    marks
}

/// The picture, or nothing if nothing happened.
pub(super) fn svg(story: &Story) -> String {
    // What would have been due later has its place too.
    let times = story.events.iter().map(|event| event.at);
    let mut picture = Picture {
        text: String::new(),
        end: times.fold(story.took.max(0.1), f64::max),
    };
    let marks = marks(story);
    // Words that would lie on others go one row further down.
    let mut rows: Vec<f64> = Vec::new();
    let mut placed = Vec::new();
    for mark in &marks {
        let x = picture.x(mark.at);
        let width = match mark.class {
            "step" => 18.0,
            _ => LABEL.max(mark.words.len() as f64 * 6.2),
        };
        let row = match rows.iter().position(|end| *end <= x) {
            Some(row) => row,
            None => {
                rows.push(0.0);
                rows.len() - 1
            }
        };
        if let Some(end) = rows.get_mut(row) {
            *end = x + width;
        }
        placed.push((mark, row));
    }
    let top = 20.0 + rows.len() as f64 * 15.0;
    let lanes = lanes(story);
    let bottom = top + lanes.len() as f64 * ROW + 8.0;
    for (mark, row) in placed {
        let y = 14.0 + row as f64 * 15.0;
        picture.line(mark.class, mark.at, y - 8.0, bottom);
        let _ = write!(
            picture.text,
            "<g><title>{:.1} s: {}</title>",
            mark.at,
            escaped(mark.title)
        );
        let x = picture.x(mark.at) + 3.0;
        // At the right end words go to the left of their line.
        let wide = x + mark.words.len() as f64 * 6.2 > WIDTH;
        if wide {
            let class = format!("{} end", mark.class);
            picture.words(&class, x - 6.0, y, &mark.words);
        } else {
            picture.words(mark.class, x, y, &mark.words);
        }
        picture.text.push_str("</g>");
    }
    bars(&mut picture, story, &lanes, top);
    axis(&mut picture, bottom);
    let height = bottom + 26.0;
    format!(
        "<svg viewBox='0 0 {WIDTH} {height:.0}' width='{WIDTH}' height='{height:.0}' role='img'>{}</svg>",
        picture.text
    )
}

/// A row for each lease of each host.
type Lane<'a> = ((&'a str, &'a str), Vec<&'a Held>);

fn lanes(story: &Story) -> Vec<Lane<'_>> {
    let mut lanes: BTreeMap<(&str, &str), Vec<&Held>> = BTreeMap::new();
    for held in &story.held {
        let lane = (held.lease.as_str(), held.host.as_str());
        lanes.entry(lane).or_default().push(held);
    }
    lanes.into_iter().collect()
}

fn bars(picture: &mut Picture, story: &Story, lanes: &[Lane<'_>], top: f64) {
    let mut holders: Vec<&str> = story.held.iter().map(|held| held.holder.as_str()).collect();
    holders.sort_unstable();
    holders.dedup();
    for (number, ((lease, host), bars)) in lanes.iter().enumerate() {
        let y = top + number as f64 * ROW;
        let name = format!("lease {} on {host}", short(lease));
        picture.words("lane", LEFT - 10.0, y + 15.0, &name);
        for held in bars {
            let from = picture.x(held.from);
            let until = picture.x(held.until.unwrap_or(story.took));
            let colour = holders
                .iter()
                .position(|holder| *holder == held.holder)
                .and_then(|index| COLOURS.get(index % COLOURS.len()))
                .unwrap_or(&"#888");
            let ended = held.until.unwrap_or(story.took);
            let _ = write!(
                picture.text,
                "<g><title>{} held {} on {host}: {:.1} s to {ended:.1} s</title>\
                 <rect x='{from:.1}' y='{:.1}' width='{:.1}' height='{:.1}' rx='3' fill='{colour}'/>",
                escaped(&held.holder),
                escaped(lease),
                held.from,
                y + 3.0,
                (until - from).max(2.0),
                ROW - 6.0
            );
            if until - from > held.holder.len() as f64 * 7.0 {
                picture.words("bar", from + 5.0, y + 15.5, &held.holder);
            }
            picture.text.push_str("</g>");
        }
    }
}

fn axis(picture: &mut Picture, y: f64) {
    let step = [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0]
        .into_iter()
        .find(|step| picture.end / step <= 16.0)
        .unwrap_or(120.0);
    let mut at = 0.0;
    while at <= picture.end {
        picture.line("tick", at, y, y + 5.0);
        let x = picture.x(at);
        picture.words("axis", x, y + 18.0, &format!("{at} s"));
        at += step;
    }
}
