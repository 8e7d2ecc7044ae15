//! Upstream's small C programs, one lease at a time.

use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{built, cli, on_host, ran, two_hosts};
use crate::lab::Lab;
use crate::lab::failure::Failure;
use crate::lab::process::{Guarded, Said};
use crate::test::{Need, Test};

const ONE: &[Need] = &[Need::Upstream, Need::CLibrary];
const TWO: &[Need] = &[Need::Upstream, Need::CLibrary, Need::TwoHosts];

pub(super) fn tests() -> Vec<Test> {
    vec![
        Test {
            name: "upstream/sanlk_lockr",
            needs: TWO,
            seconds: 15,
            run: lockr,
        },
        Test {
            name: "upstream/sanlk_lvb",
            needs: TWO,
            seconds: 15,
            run: lvb,
        },
        Test {
            name: "upstream/sanlk_rename",
            needs: ONE,
            seconds: 15,
            run: rename,
        },
        Test {
            name: "upstream/sanlk_testr",
            needs: TWO,
            seconds: 20,
            run: testr,
        },
        Test {
            name: "upstream/sanlk_events",
            needs: TWO,
            seconds: 25,
            run: events,
        },
        Test {
            name: "upstream/sanlk_client",
            needs: TWO,
            seconds: 25,
            run: client,
        },
        Test {
            name: "upstream/sanlk_string",
            needs: ONE,
            seconds: 3,
            run: string,
        },
        Test {
            name: "upstream/sanlk_mixmsg",
            needs: ONE,
            seconds: 75,
            run: mixmsg,
        },
    ]
}

/// Acquire, sleep, release; refused to a neighbour and to another host meanwhile.
fn lockr(lab: &mut Lab) -> Result<(), Failure> {
    let path = two_hosts(lab, 1)?;
    let arguments = |seconds: &'static str| vec!["LS", "R", &path, "1048576", seconds];
    for host in [1, 2] {
        let said = ran(lab, host, "sanlk_lockr", &arguments("0"))?;
        lab.same("alone", "0", &complaint(&said));
    }
    let program = built(lab, "sanlk_lockr")?;
    let mut holder = on_host(lab, 1, &program);
    let mut holder = Guarded::spawn(holder.args(arguments("8")))?;
    wait_until_held(lab, &path)?;
    let said = ran(lab, 1, "sanlk_lockr", &arguments("0"))?;
    lab.same("a neighbour", "255 acquire error -17", &complaint(&said));
    let said = ran(lab, 2, "sanlk_lockr", &arguments("0"))?;
    lab.same("another host", "255 acquire error -243", &complaint(&said));
    let end = holder.wait(Duration::from_secs(60)).unwrap_or_default();
    lab.same("the holder", "0", &end);
    let said = ran(lab, 2, "sanlk_lockr", &arguments("0"))?;
    lab.same("after it", "0", &complaint(&said));
    Ok(())
}

/// How a program ended and what it complained of.
fn complaint(said: &Said) -> String {
    format!("{} {}", said.end, said.stderr).trim().to_owned()
}

fn wait_until_held(lab: &mut Lab, path: &str) -> Result<(), Failure> {
    let since = Instant::now();
    while !cli(lab, 1, &format!("client read -r LS:R:{path}:1M -h 1"))?.contains("h 1 gen") {
        if since.elapsed() > Duration::from_secs(30) {
            return Err("the lease is not taken".into());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// A value set by one host and read by the other.
fn lvb(lab: &mut Lab) -> Result<(), Failure> {
    let path = two_hosts(lab, 1)?;
    let value: Vec<u8> = (0..512_u32).map(|index| index.to_le_bytes()[0]).collect();
    let (from, to) = (lab.path("from"), lab.path("to"));
    std::fs::write(&from, &value)?;
    let (from, to_text) = (from.display().to_string(), to.display().to_string());
    let said = ran(
        lab,
        1,
        "sanlk_lvb",
        &["set", "LS", "R", &path, "1048576", &from],
    )?;
    lab.same("set", "0", &said.end);
    let said = ran(
        lab,
        2,
        "sanlk_lvb",
        &["get", "LS", "R", &path, "1048576", &to_text],
    )?;
    lab.same("get", "0", &said.end);
    lab.check("the value is the same", std::fs::read(&to)? == value);
    Ok(())
}

/// A lease that gets another name when it is released.
fn rename(lab: &mut Lab) -> Result<(), Failure> {
    let path = two_hosts(lab, 1)?;
    let said = ran(
        lab,
        1,
        "sanlk_rename",
        &["LS", "R", "NEW", &path, "1048576"],
    )?;
    lab.same("rename", "0", &said.end);
    let leader = cli(lab, 1, &format!("direct read_leader -r LS:NEW:{path}:1M"))?;
    lab.check(
        "the leader has the new name",
        leader.contains("resource_name NEW\n"),
    );
    Ok(())
}

/// Whether an acquire would fail because of the owners.
fn testr(lab: &mut Lab) -> Result<(), Failure> {
    let path = two_hosts(lab, 1)?;
    let resource = format!("LS:R:{path}:1048576");
    wait_until_alive(lab)?;
    let last = |text: &str| text.lines().last().unwrap_or_default().to_owned();
    let said = ran(lab, 2, "sanlk_testr", &[&resource])?;
    lab.same("free", "test_flags 0", &last(&said.stdout));
    let program = built(lab, "sanlk_lockr")?;
    let mut holder = on_host(lab, 1, &program);
    let mut holder = Guarded::spawn(holder.args(["LS", "R", &path, "1048576", "6"]))?;
    wait_until_held(lab, &path)?;
    let said = ran(lab, 2, "sanlk_testr", &[&resource])?;
    lab.same(
        "held by a host that lives",
        "test_flags 1",
        &last(&said.stdout),
    );
    holder
        .wait(Duration::from_secs(60))
        .ok_or("the holder does not end")?;
    let said = ran(lab, 2, "sanlk_testr", &[&resource])?;
    lab.same("free again", "test_flags 0", &last(&said.stdout));
    Ok(())
}

/// Waits until host 2 has seen host 1 renew.
fn wait_until_alive(lab: &mut Lab) -> Result<(), Failure> {
    let since = Instant::now();
    loop {
        let hosts = cli(lab, 2, "client gets -h 1")?;
        if hosts
            .lines()
            .any(|line| line.starts_with("h 1 ") && line.ends_with(" LIVE"))
        {
            return Ok(());
        }
        if since.elapsed() > Duration::from_secs(60) {
            return Err(format!("host 1 is not alive for host 2: {hosts}").into());
        }
        std::thread::sleep(Duration::from_millis(250));
    }
}

/// An event of host 2 comes to host 1.
fn events(lab: &mut Lab) -> Result<(), Failure> {
    two_hosts(lab, 1)?;
    wait_until_alive(lab)?;
    let program = built(lab, "sanlk_events")?;
    let out = lab.path("events");
    let mut command = on_host(lab, 1, &program);
    // A terminal's buffering, so that lines come when they are printed.
    command
        .arg("LS")
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(&out)?);
    let mut listener = Guarded::spawn(&mut command)?;
    std::thread::sleep(Duration::from_secs(1));
    cli(lab, 2, "client set_event -s LS -i 1 -g 1 -e 7 -d 9")?;
    std::thread::sleep(Duration::from_secs(6));
    listener.signal(Signal::SIGTERM)?;
    let end = listener.wait(Duration::from_secs(20)).unwrap_or_default();
    let said = std::fs::read_to_string(&out)?;
    lab.same("the listener's end", "0", &end);
    let event = "get_event host_id 1 generation 1 event 0x7 data 0x9 from 2 1\n";
    // It may come more than once.
    lab.check(&format!("the event came: {said}"), said.contains(event));
    Ok(())
}

/// A holder without a killpath that another host asks to go.
fn client(lab: &mut Lab) -> Result<(), Failure> {
    let path = two_hosts(lab, 1)?;
    wait_until_alive(lab)?;
    let program = built(lab, "sanlk_client")?;
    let mut command = on_host(lab, 1, &program);
    command
        .args(["LS", "R", &path, "1048576", "none"])
        .stdout(Stdio::null());
    let mut holder = Guarded::spawn(&mut command)?;
    wait_until_held(lab, &path)?;
    cli(lab, 2, &format!("client request -r LS:R:{path}:1M:2 -f 2"))?;
    let end = holder.wait(Duration::from_secs(40)).unwrap_or_default();
    lab.same("the holder", "signal 15", &end);
    let since = Instant::now();
    while ran(lab, 2, "sanlk_lockr", &["LS", "R", &path, "1048576", "0"])?.end != "0" {
        if since.elapsed() > Duration::from_secs(40) {
            return Err("host 2 does not get the lease".into());
        }
    }
    Ok(())
}

/// Texts of resources there and back, in the library alone.
fn string(lab: &mut Lab) -> Result<(), Failure> {
    let arguments = [
        "LA:R1:/dev/foo1\\:xx:0:/dev/foo2\\:yy:0",
        "LB:R2:/dev/bar:11",
    ];
    let said = ran(lab, 1, "sanlk_string", &arguments)?;
    let last = said.stdout.lines().last().unwrap_or_default();
    let expected = "\"LA:R1:/dev/foo1\\:xx:0:/dev/foo2\\:yy:0:0 LB:R2:/dev/bar:11:0\"";
    lab.same("the last line", expected, last);
    Ok(())
}

/// Half messages between whole ones on a registered connection: the daemon must live.
fn mixmsg(lab: &mut Lab) -> Result<(), Failure> {
    let space = "1271384c-24db-4c9b-bebf-61a1916b6cb1";
    let path = lab.path("mix");
    std::fs::File::create(&path)?.set_len(3 << 20)?;
    let path = path.display().to_string();
    lab.start(1, &[])?;
    cli(lab, 1, &format!("client init -s {space}:0:{path}:0 -o 2"))?;
    cli(
        lab,
        1,
        &format!("client add_lockspace -s {space}:1:{path}:0 -o 2"),
    )?;
    let said = ran(lab, 1, "sanlk_mixmsg", &[&path])?;
    lab.same("mixmsg", "0", &said.end);
    // It was printed to a file, so all of it came at the end; what counts is the daemon.
    cli(lab, 1, "client gets")?;
    let status = cli(lab, 1, "client status")?;
    lab.check(
        &format!("no lease is left: {status}"),
        !status.lines().any(|l| l.starts_with("r ")),
    );
    Ok(())
}
