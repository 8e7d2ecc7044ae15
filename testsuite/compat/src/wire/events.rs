//! Connections that registered for events, and how they end.

use super::message::{self, Header, cmd};
use super::{connect, with_a_lockspace};
use crate::lab::Lab;
use crate::lab::failure::Failure;
use crate::test::Test;

pub(super) fn tests() -> Vec<Test> {
    vec![Test {
        name: "wire/event_end",
        needs: &[],
        seconds: 8,
        run: end,
    }]
}

/// A client that wants no more events sends the number 1, and has the daemon look by another connection.
/// What is sent behind the registration in one go counts.
fn end(lab: &mut Lab) -> Result<(), Failure> {
    let path = with_a_lockspace(lab)?;
    let space = message::lockspace("LS", 1, &path);
    let body = [space.clone(), message::event(1)].concat();
    let register = Header::new(cmd::REG_EVENT).with(&body);
    let look = Header::new(cmd::END_EVENT).with(&space);
    for (behind, later, expected) in [
        (None, None, "open"),
        (None, Some(1), "closed"),
        (None, Some(2), "open"),
        (Some(1), None, "closed"),
        (Some(2), None, "open"),
        (Some(2), Some(1), "closed"),
    ] {
        let word = |number: Option<u32>| number.map_or(Vec::new(), |n| n.to_ne_bytes().to_vec());
        let what = format!("{behind:?} behind the registration, then {later:?}");
        let mut events = connect(lab)?;
        let answer = events.ask(&[register.clone(), word(behind)].concat())?;
        lab.same(&format!("registration, {what}"), "0", &answer.to_string());
        for part in [None, later] {
            events.send(&word(part))?;
            let answer = connect(lab)?.ask(&look)?;
            lab.same(&format!("end_event, {what}"), "0", &answer.to_string());
            // An end that was sent in the first round is over before the second.
            if events.state() == "closed" {
                break;
            }
        }
        lab.same(&what, expected, &events.state());
    }
    Ok(())
}
