//! Two hosts that want one lease at the same moment, again and again.

use std::time::{Duration, Instant};

use crate::lab::Lab;
use crate::lab::failure::Failure;
use crate::test::{Need, Test};

const NEEDS: &[Need] = &[Need::CLibrary, Need::TwoHosts];

/// The tests of this group.
pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test {
            name: "hosts/contest",
            needs: NEEDS,
            seconds: 30,
            run: exclusive,
        },
        Test {
            name: "hosts/contest_shared",
            needs: NEEDS,
            seconds: 30,
            run: shared,
        },
    ]
}

const PATIENCE: Duration = Duration::from_secs(60);

/// What a host may be told that did not get the lease: held, lost in the other's ballot, lost in
/// the commit, or lost while it tried to share.
const REFUSED: &[&str] = &[
    "acquire -243",
    "acquire -244",
    "acquire -245",
    "acquire -246",
    "acquire -11",
];

/// Of two that want it for themselves exactly one gets it, or none, and never both.
fn exclusive(lab: &mut Lab) -> Result<(), Failure> {
    let lease = arena(lab)?;
    let want = format!("acquire self 0 {lease}");
    let mut wins = [0, 0];
    let until = Instant::now() + lab.plan.soak;
    while Instant::now() < until {
        let answers = both(lab, [&want, &want])?;
        let got = answers
            .iter()
            .filter(|answer| *answer == "acquire 0")
            .count();
        lab.check(
            &format!("at most one gets the lease: {answers:?}"),
            got <= 1,
        );
        for (host, name) in ["a", "a2"].into_iter().enumerate() {
            if answers[host] == "acquire 0" {
                wins[host] += 1;
                let said = ask(lab, name, "release self 1")?;
                lab.same("release", "release 0", &said);
            } else {
                let known = REFUSED.contains(&answers[host].as_str());
                lab.check(&format!("an answer is {}", answers[host]), known);
            }
        }
    }
    lab.check(
        &format!("somebody gets it: {wins:?}"),
        wins[0] + wins[1] > 0,
    );
    Ok(())
}

/// One wants to share, one wants it for itself: never both.
fn shared(lab: &mut Lab) -> Result<(), Failure> {
    let lease = arena(lab)?;
    let (share, own) = (
        format!("acquire self 0 {lease}:SH"),
        format!("acquire self 0 {lease}"),
    );
    let mut round = 0;
    let mut held_by_both = 0;
    let until = Instant::now() + lab.plan.soak;
    while Instant::now() < until {
        round += 1;
        let wants = match round % 3 {
            0 => [share.as_str(), own.as_str()],
            1 => [own.as_str(), share.as_str()],
            _ => [share.as_str(), share.as_str()],
        };
        let mut answers = both(lab, wants)?;
        let got = answers
            .iter()
            .filter(|answer| *answer == "acquire 0")
            .count();
        if round % 3 == 2 {
            // Who is refused because both asked at the same moment gets it by asking again.
            let late = answers.iter().position(|answer| answer != "acquire 0");
            if let Some(late) = late.filter(|_| got == 1) {
                answers[late] = ask(lab, ["a", "a2"][late], &share)?;
                lab.same("a share asked for again", "acquire 0", &answers[late]);
            }
            held_by_both += u32::from(got > 0);
        } else {
            lab.check(&format!("not both get the lease: {answers:?}"), got <= 1);
        }
        for (answer, name) in answers.iter().zip(["a", "a2"]) {
            if answer == "acquire 0" {
                let said = ask(lab, name, "release self 1")?;
                lab.same("release", "release 0", &said);
            } else {
                let known = REFUSED.contains(&answer.as_str());
                lab.check(&format!("an answer is {answer}"), known);
            }
        }
    }
    lab.check(
        &format!("in {round} rounds it was shared {held_by_both} times"),
        held_by_both > 0,
    );
    Ok(())
}

/// Two hosts that know each other, with a registered client each. Returns the lease.
fn arena(lab: &mut Lab) -> Result<String, Failure> {
    let path = lab.path("ls");
    std::fs::File::create(&path)?.set_len(2 << 20)?;
    let path = path.display().to_string();
    lab.start(1, &[])?;
    lab.start(2, &[])?;
    ask(lab, "a", &format!("write_lockspace 0 0 2 LS:0:{path}:0"))?;
    let lease = format!("LS:R:{path}:1048576");
    ask(lab, "a", &format!("write_resource 0 0 0 {lease}"))?;
    let joins = [1, 2].map(|host| format!("add_lockspace 0 2 LS:{host}:{path}:0"));
    let joined = both(lab, [&joins[0], &joins[1]])?;
    lab.check(
        &format!("both join: {joined:?}"),
        joined == ["add_lockspace 0", "add_lockspace 0"],
    );
    for (name, other) in [("a", 2), ("a2", 1)] {
        ask(lab, name, "register")?;
        let since = Instant::now();
        while !ask(lab, name, &format!("get_hosts LS {other}"))?.ends_with("flags 3") {
            if since.elapsed() > PATIENCE {
                return Err(format!("{name} does not see host {other} alive").into());
            }
            std::thread::sleep(Duration::from_millis(250));
        }
    }
    Ok(lease)
}

fn ask(lab: &mut Lab, name: &str, line: &str) -> Result<String, Failure> {
    let client = lab.client(name)?;
    client.tell(line)?;
    Ok(client.answer(PATIENCE)?.trim().to_owned())
}

/// Tells both clients before waiting for either.
fn both(lab: &mut Lab, lines: [&str; 2]) -> Result<[String; 2], Failure> {
    lab.client("a")?.tell(lines[0])?;
    lab.client("a2")?.tell(lines[1])?;
    let first = lab.client("a")?.answer(PATIENCE)?.trim().to_owned();
    let second = lab.client("a2")?.answer(PATIENCE)?.trim().to_owned();
    Ok([first, second])
}
