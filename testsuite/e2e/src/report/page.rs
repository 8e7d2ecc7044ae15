//! The report as one page that needs nothing else.

use std::fmt::Write;

use super::{Outcome, escaped, logs, timeline};
use crate::lab::{Event, EventKind, Story};

const STYLE: &str = "
body{font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:1200px;padding:0 1em;color:#222}
h1{font-size:1.5em}h2{font-size:1.15em;margin:1.8em 0 .2em}p{margin:.2em 0 .6em}
table{border-collapse:collapse}td,th{text-align:left;padding:.15em .8em .15em 0;vertical-align:top}
.ok{color:#22794a}.failed{color:#b3261e;font-weight:600}.skipped{color:#777}
pre.fault{background:#fbeaea;border-left:4px solid #b3261e;padding:.5em;white-space:pre-wrap}
svg{max-width:100%;height:auto;background:#fafafa;border:1px solid #e3e3e3}
svg text{font:11px system-ui,sans-serif;fill:#333}
svg .lane{text-anchor:end}svg .bar{fill:#fff}svg .axis{text-anchor:middle;fill:#777}svg .end{text-anchor:end}
svg text.injected{fill:#b3261e}svg text.moment{fill:#5b3b9c;font-weight:600}svg text.step{fill:#888}
line{stroke-width:1}line.tick{stroke:#999}line.step{stroke:#ccc;stroke-dasharray:2 3}
line.injected{stroke:#b3261e}line.moment{stroke:#5b3b9c}
.events{font:12px/1.4 ui-monospace,monospace;width:100%}
.events td{white-space:pre-wrap;overflow-wrap:anywhere}.events td.n{white-space:nowrap;text-align:right}
.Step td{font-weight:600;padding-top:.6em}.Injected{color:#b3261e}.Seen{color:#5b3b9c}.Log{color:#666}
summary{cursor:pointer;color:#555}";

/// The whole page.
pub(super) fn text(outcomes: &[Outcome]) -> String {
    let failed = count(outcomes, |outcome| word(outcome) == "failed");
    let skipped = count(outcomes, |outcome| word(outcome) == "skipped");
    let passed = outcomes.len() - failed - skipped;
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'><title>Whole hosts</title>\
         <style>{STYLE}</style></head><body>\n<h1>Whole hosts: {passed} passed, {failed} failed, \
         {skipped} skipped</h1>\n<table><tr><th></th><th>scenario</th><th>programs</th><th>took</th>\
         <th></th></tr>\n"
    );
    for (number, outcome) in outcomes.iter().enumerate() {
        let word = word(outcome);
        let told = match (&outcome.skipped, outcome.played.faults.first()) {
            (Some(why), _) => why,
            (None, Some(fault)) => fault.lines().next().unwrap_or_default(),
            (None, None) => outcome.played.line.as_str(),
        };
        let _ = writeln!(
            page,
            "<tr><td class='{word}'>{word}</td><td><a href='#s{number}'>{}</a></td><td>{}</td>\
             <td>{} s</td><td>{}</td></tr>",
            escaped(outcome.case.name()),
            escaped(&outcome.case.cast()),
            outcome.took.as_secs(),
            escaped(told)
        );
    }
    page.push_str("</table>\n");
    for (number, outcome) in outcomes.iter().enumerate() {
        section(&mut page, number, outcome);
    }
    page.push_str("</body></html>\n");
    page
}

fn count(outcomes: &[Outcome], which: impl Fn(&Outcome) -> bool) -> usize {
    outcomes.iter().filter(|outcome| which(outcome)).count()
}

fn word(outcome: &Outcome) -> &'static str {
    if outcome.skipped.is_some() {
        "skipped"
    } else if outcome.played.faults.is_empty() {
        "ok"
    } else {
        "failed"
    }
}

fn section(page: &mut String, number: usize, outcome: &Outcome) {
    let _ = writeln!(
        page,
        "<h2 id='s{number}'>{} <small>({}) <span class='{2}'>{2}</span></small></h2>\n<p>{3}</p>",
        escaped(outcome.case.name()),
        escaped(&outcome.case.cast()),
        word(outcome),
        escaped(outcome.case.what())
    );
    for fault in &outcome.played.faults {
        let _ = writeln!(page, "<pre class='fault'>{}</pre>", escaped(fault));
    }
    if !outcome.played.line.is_empty() {
        let _ = writeln!(page, "<p>{}</p>", escaped(&outcome.played.line));
    }
    if let Some(story) = &outcome.played.story {
        page.push_str(&timeline::svg(story));
        events(page, outcome, story);
    }
}

fn events(page: &mut String, outcome: &Outcome, story: &Story) {
    let mut all: Vec<Event> = story.events.clone();
    for log in &outcome.logs {
        all.extend(logs::events(log, story));
    }
    all.sort_by(|one, other| one.at.total_cmp(&other.at));
    page.push_str("\n<details><summary>What happened, and what the daemons said</summary>");
    page.push_str("<table class='events'>\n");
    let mut step = 0;
    for event in &all {
        let mut text = event.text.clone();
        if event.kind == EventKind::Step {
            step += 1;
            text = format!("{step}. {text}");
        }
        let _ = writeln!(
            page,
            "<tr class='{:?}'><td class='n'>{:.1}</td><td>{}</td><td>{}</td></tr>",
            event.kind,
            event.at,
            event.host.as_deref().unwrap_or_default(),
            escaped(text.trim())
        );
    }
    page.push_str("</table></details>\n");
}
