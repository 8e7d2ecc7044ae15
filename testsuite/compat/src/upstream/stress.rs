//! Upstream's stress programs, for as long as `--soak` says.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{built, cli, count, on_host};
use crate::lab::Lab;
use crate::lab::failure::Failure;
use crate::lab::process::{Guarded, lossy};
use crate::test::{Need, Test};

const ONE: &[Need] = &[Need::Upstream, Need::CLibrary];
const TWO: &[Need] = &[Need::Upstream, Need::CLibrary, Need::TwoHosts];
const DEVICES: &[Need] = &[Need::Upstream, Need::CLibrary, Need::TwoHosts, Need::Loop];

pub(super) fn tests() -> Vec<Test> {
    vec![
        Test {
            name: "upstream/sanlk_load",
            needs: ONE,
            seconds: 30,
            run: load,
        },
        Test {
            name: "upstream/sanlk_load_two",
            needs: TWO,
            seconds: 30,
            run: load_two,
        },
        Test {
            name: "upstream/sanlk_load_shared",
            needs: TWO,
            seconds: 30,
            run: load_shared,
        },
        Test {
            name: "upstream/devcount_lock",
            needs: DEVICES,
            seconds: 35,
            run: devcount_lock,
        },
        Test {
            name: "upstream/devcount_wrap",
            needs: DEVICES,
            seconds: 35,
            run: devcount_wrap,
        },
        Test {
            name: "upstream/devcount_relock",
            needs: DEVICES,
            seconds: 45,
            run: devcount_relock,
        },
    ]
}

fn load(lab: &mut Lab) -> Result<(), Failure> {
    loads(lab, &[1], &[])
}

fn load_two(lab: &mut Lab) -> Result<(), Failure> {
    loads(lab, &[1, 2], &[])
}

fn load_shared(lab: &mut Lab) -> Result<(), Failure> {
    loads(lab, &[1, 2], &["-m", "3"])
}

/// Processes that acquire and release at random, checking what they hold.
fn loads(lab: &mut Lab, hosts: &[usize], more: &[&str]) -> Result<(), Failure> {
    let program = built(lab, "sanlk_load")?;
    let base = lab.path("load").display().to_string();
    for number in [0, 1] {
        File::create(format!("{base}{number}"))?.set_len(5 << 20)?;
    }
    let said = super::ran(lab, 1, "sanlk_load", &["init", &base, "2", "4"])?;
    lab.same("init", "0", &said.end);
    let seconds = lab.plan.soak.as_secs().to_string();
    let range = hosts.len().to_string();
    let mut running = Vec::new();
    for host in hosts {
        lab.start(*host, &[])?;
        for number in [0, 1] {
            let space = format!("lockspace{number}:{host}:{base}{number}:0");
            if *host == 1 {
                // Made with an io timeout of 10 s, it would be lost at once when joined with 2 s.
                cli(lab, 1, &format!("client init -s {space} -o 2"))?;
            }
            cli(lab, *host, &format!("client add_lockspace -s {space} -o 2"))?;
        }
    }
    for host in hosts {
        let mut command = on_host(lab, *host, &program);
        let id = host.to_string();
        command.args(["rand", &base, "-i", &id, "-s", "2", "-r", "4", "-p", "4"]);
        command.args(["-S", &seconds, "-e", &range]).args(more);
        let out = lab.path(&format!("load.{host}"));
        command.stdout(File::create(&out)?);
        running.push((Guarded::spawn(&mut command)?, out));
    }
    for (mut program, out) in running {
        let patience = lab.plan.soak + Duration::from_secs(90);
        let end = program.wait(patience).ok_or("sanlk_load does not end")?;
        let said = lossy(&out)?;
        lab.same("the end", "0", &end);
        let errors: Vec<&str> = said.lines().filter(|line| line.contains("ERROR")).collect();
        lab.same("errors", "", &errors.join("\n"));
    }
    Ok(())
}

fn devcount_lock(lab: &mut Lab) -> Result<(), Failure> {
    devcount(lab, "lock", 1)
}

fn devcount_wrap(lab: &mut Lab) -> Result<(), Failure> {
    devcount(lab, "wrap", 1)
}

fn devcount_relock(lab: &mut Lab) -> Result<(), Failure> {
    devcount(lab, "relock", 1)
}

/// Two hosts count on one block device under one lease. Each looks for a while whether anybody
/// else writes, then writes; whoever sees a foreign write says so.
fn devcount(lab: &mut Lab, mode: &str, write_seconds: u32) -> Result<(), Failure> {
    let program = built(lab, "devcount")?;
    let (locks, counts) = (device(lab, "LOCKS", 2)?, device(lab, "COUNTS", 1)?);
    let said = super::ran(lab, 1, "devcount", &["init", &locks, &counts])?;
    lab.same("init", "0", &said.end);
    let mut running: Vec<(Guarded, PathBuf)> = Vec::new();
    for host in [1, 2] {
        lab.start(host, &[])?;
        let space = format!("devcount:{host}:{locks}:0");
        if host == 1 {
            cli(lab, 1, &format!("client init -s {space} -o 2"))?;
        }
        cli(lab, host, &format!("client add_lockspace -s {space} -o 2"))?;
    }
    for host in [1, 2] {
        // Line by line, because it is killed in the end.
        let mut command = on_host(lab, host, Path::new("stdbuf"));
        command.arg("-oL").arg(&program);
        let (seconds, id) = (write_seconds.to_string(), host.to_string());
        command.args([mode, &locks, "rw", &counts, "1", &seconds, &id]);
        let out = lab.path(&format!("devcount.{host}"));
        let file = File::create(&out)?;
        command
            .stdout(file.try_clone()?)
            .stderr(file)
            .current_dir(lab.dir());
        running.push((Guarded::spawn(&mut command)?, out));
    }
    std::thread::sleep(lab.plan.soak);
    // All of them are stopped before the counter is looked at.
    let mut ended = Vec::new();
    for (mut program, out) in running {
        let lives = program.ended().is_none() || mode == "wrap";
        drop(program);
        ended.push((lives, out));
    }
    let mut said = Vec::new();
    for (lives, out) in ended {
        let one = lossy(&out)?;
        let wrong: Vec<&str> = one.lines().filter(|line| line.contains("buf:")).collect();
        lab.same("foreign writes", "", &wrong.join("\n"));
        lab.check(&format!("devcount runs: {}", end_of(&one)), lives);
        said.push(one);
    }
    let turns: Vec<usize> = said
        .iter()
        .map(|said| said.matches("sanlock_acquire done").count())
        .collect();
    let mut sector = [0; 512];
    File::open(lab.path("COUNTS.back"))?.read_exact(&mut sector)?;
    match count::judge(&said, &sector) {
        Ok((turn, count)) => lab.tell(format!(
            "{count} counted in {turn} turns, {turns:?} on the hosts"
        )),
        Err(wrong) => lab.note(format!("the counter: {wrong}")),
    }
    Ok(())
}

/// The last lines of a long output.
fn end_of(text: &str) -> &str {
    let end = text.char_indices().rev().nth(2000);
    end.map_or(text, |(at, _)| &text[at..])
}

/// A loop device of some MiB.
fn device(lab: &mut Lab, name: &str, mib: u64) -> Result<String, Failure> {
    let file = format!("{name}.back");
    File::create(lab.path(&file))?.set_len(mib << 20)?;
    lab.loop_device(name, &file, "512")
}
