//! Upstream's own tests, fetched when they are run: nothing of them is in this repository.

mod count;
mod fetch;
mod programs;
mod stress;
mod suite;

pub(crate) use fetch::{python, source};

use std::path::PathBuf;
use std::process::Command;

use crate::lab::Lab;
use crate::lab::failure::Failure;
use crate::lab::process::{Said, run, tied};
use crate::lab::tools::compile;
use crate::test::Test;

/// The tests of this group.
pub(crate) fn tests() -> Vec<Test> {
    [suite::tests(), programs::tests(), stress::tests()].concat()
}

/// Compiles one of upstream's C programs into the lab.
fn built(lab: &mut Lab, name: &str) -> Result<PathBuf, Failure> {
    let source = source(&lab.plan.tools)?;
    let headers = source.join("src").display().to_string();
    let program = lab.path(name);
    if program.exists() {
        return Ok(program);
    }
    let file = source.join("tests").join(format!("{name}.c"));
    compile(&file, &program, &["-I", &headers, "-lsanlock"])
}

/// A command of this program on a host, tied to the test.
fn on_host(lab: &mut Lab, host: usize, program: &std::path::Path) -> Command {
    let mut command = tied(program);
    lab.host(host).environment(&mut command);
    command
}

/// Runs a program on a host to its end.
fn ran(lab: &mut Lab, host: usize, name: &str, arguments: &[&str]) -> Result<Said, Failure> {
    let program = built(lab, name)?;
    let scratch = lab.path(&format!("said{host}"));
    std::fs::create_dir_all(&scratch)?;
    let mut command = on_host(lab, host, &program);
    command.args(arguments);
    run(&mut command, &scratch, std::time::Duration::from_secs(150))
}

/// The command line program of a host, which must succeed.
fn cli(lab: &mut Lab, host: usize, line: &str) -> Result<String, Failure> {
    let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let said = lab
        .host(host)
        .cli(&words, std::time::Duration::from_secs(60))?;
    if said.end == "0" {
        Ok(said.stdout)
    } else {
        Err(format!("{line}: {said:?}").into())
    }
}

/// Both hosts in the lockspace `LS` in `{DIR}/ls`, with leases `R` at 1 MiB and `S` at 2 MiB.
fn two_hosts(lab: &mut Lab, io_timeout: u32) -> Result<String, Failure> {
    let path = lab.path("ls");
    std::fs::File::create(&path)?.set_len(4 << 20)?;
    let path = path.display().to_string();
    lab.start(1, &[])?;
    lab.start(2, &[])?;
    cli(
        lab,
        1,
        &format!("client init -s LS:0:{path}:0 -o {io_timeout}"),
    )?;
    cli(lab, 1, &format!("client init -r LS:R:{path}:1M"))?;
    cli(lab, 1, &format!("client init -r LS:S:{path}:2M"))?;
    for host in [1, 2] {
        cli(
            lab,
            host,
            &format!("client add_lockspace -s LS:{host}:{path}:0 -o {io_timeout}"),
        )?;
    }
    Ok(path)
}
