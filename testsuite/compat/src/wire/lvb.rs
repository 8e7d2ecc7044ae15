//! The lock value block's lengths, which the library never varies.

use super::connection::{Answer, Connection};
use super::message::{self, Header, SELF, cmd};
use super::{connect, is_original, others_are_answered, registered, silence_or, with_a_lockspace};
use crate::lab::Lab;
use crate::lab::failure::Failure;
use crate::test::Test;

pub(super) fn tests() -> Vec<Test> {
    vec![
        Test {
            name: "wire/set_lvb",
            needs: &[],
            seconds: 10,
            run: set_lvb,
        },
        Test {
            name: "wire/get_lvb",
            needs: &[],
            seconds: 6,
            run: get_lvb,
        },
    ]
}

/// A process that holds the lease with its LVB.
fn holder(lab: &mut Lab, path: &str) -> Result<Connection, Failure> {
    let mut holder = registered(lab)?;
    let body = [
        message::on_disk("LS", "R", path, 1 << 20),
        message::options("x"),
    ]
    .concat();
    let acquired = holder.ask(&Header::new(cmd::ACQUIRE).flags(1).data(1, SELF).with(&body))?;
    lab.same("acquire", "0", &acquired.to_string());
    Ok(holder)
}

/// The length in the header decides how much follows.
fn set_lvb(lab: &mut Lab) -> Result<(), Failure> {
    let path = with_a_lockspace(lab)?;
    let _holder = holder(lab, &path)?;
    let name = message::resource("LS", "R", 0, 0);
    let silent = silence_or(lab, "-22");
    for (length, expected) in [
        (32 + 128 + 512, "0"),
        (32 + 128 + 1, "0"),
        (32 + 128 + 513, "-7"),
        (0x4000_0000, "-7"),
        (0, "-12"),
        (40, "-12"),
        (u32::MAX, "-12"),
        // An empty value: the C daemon waits for bytes that do not come.
        (32 + 128, silent),
    ] {
        let mut header = Header::new(cmd::SET_LVB);
        header.length = length;
        let mut bytes = [header.bytes(), name.clone()].concat();
        let value = usize::try_from(length)
            .unwrap_or(0)
            .saturating_sub(160)
            .min(513);
        bytes.extend_from_slice(&vec![b'v'; value]);
        let answer = connect(lab)?.try_asking(&bytes)?;
        let expected = match (expected, is_original(lab)) {
            // Any refusal will do.
            ("-12", false) if matches!(answer, Answer::Reply(reply, _) if reply.result() < 0) => {
                answer.to_string()
            }
            _ => expected.to_owned(),
        };
        lab.same(
            &format!("set_lvb, length {length}"),
            &expected,
            &answer.to_string(),
        );
    }
    let answered = others_are_answered(lab)?;
    lab.check("others are answered", answered);
    Ok(())
}

/// `data2` asks for a length; 0 is a sector. The C daemon sends what lies behind the value.
fn get_lvb(lab: &mut Lab) -> Result<(), Failure> {
    let path = with_a_lockspace(lab)?;
    let _holder = holder(lab, &path)?;
    let name = message::resource("LS", "R", 0, 0);
    for (asked, sane) in [(0, 512), (100, 100), (512, 512), (513, 512), (5000, 512)] {
        let answer = connect(lab)?.ask(&Header::new(cmd::GET_LVB).data(0, asked).with(&name))?;
        let Answer::Reply(reply, body) = answer else {
            lab.note(format!("get_lvb of {asked} bytes: {answer}"));
            continue;
        };
        let sent = if is_original(lab) && asked != 0 {
            asked
        } else {
            sane
        };
        let refused = !is_original(lab) && asked > 512 && reply.result() < 0;
        let found = format!("{} {} {}", reply.result(), body.len(), reply.length);
        if !refused {
            lab.same(
                &format!("get_lvb of {asked}"),
                &format!("0 {sent} {}", 32 + sent),
                &found,
            );
        }
    }
    Ok(())
}
