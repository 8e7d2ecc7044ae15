//! The results as JUnit XML, which build services read.

use super::{Outcome, escaped};

/// The whole file.
pub(super) fn text(outcomes: &[Outcome]) -> String {
    let failed = outcomes
        .iter()
        .filter(|outcome| !outcome.played.faults.is_empty())
        .count();
    let skipped = outcomes
        .iter()
        .filter(|outcome| outcome.skipped.is_some())
        .count();
    let took: f64 = outcomes
        .iter()
        .map(|outcome| outcome.took.as_secs_f64())
        .sum();
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <testsuite name=\"e2e\" tests=\"{}\" failures=\"{failed}\" errors=\"0\" \
         skipped=\"{skipped}\" time=\"{took:.1}\">\n",
        outcomes.len()
    );
    for outcome in outcomes {
        text.push_str(&format!(
            "  <testcase classname=\"{}\" name=\"{}\" time=\"{:.1}\"",
            escaped(&outcome.case.cast()),
            escaped(outcome.case.name()),
            outcome.took.as_secs_f64()
        ));
        let faults = &outcome.played.faults;
        if let Some(why) = &outcome.skipped {
            let why = escaped(why);
            text.push_str(&format!(
                ">\n    <skipped message=\"{why}\"/>\n  </testcase>\n"
            ));
        } else if let Some(first) = faults.first() {
            let first = escaped(first);
            let all = escaped(&faults.join("\n"));
            text.push_str(&format!(
                ">\n    <failure message=\"{first}\">{all}</failure>\n  </testcase>\n"
            ));
        } else {
            text.push_str("/>\n");
        }
    }
    text.push_str("</testsuite>\n");
    text
}
