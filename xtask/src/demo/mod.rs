//! Two hosts, one lease file, one owner: what the lease daemon is for, in half a minute.

mod holder;
mod stage;
mod takeover;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use sanlock_proto::Name;
use sanlock_proto::flags::HostState;

use crate::cleanup;
use crate::host::{Host, Runs, Setup, exit_text, said};
use crate::program::Program;
use crate::style;
use holder::Holder;
use stage::{Stage, narrate, show_command, show_output};

/// Seconds that storage may take; the other times are multiples of it.
const IO_TIMEOUT: u32 = 2;
/// Seconds that a watchdog may take; there is none here, but everyone must count on it.
const FIRE_TIMEOUT: u32 = 4;
/// What the original always counts on.
const ORIGINAL_FIRE_TIMEOUT: u32 = 60;

/// `cargo xtask demo`
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The sanlock to show, instead of the workspace's
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,
    /// Keep the lease file and the logs
    #[arg(long)]
    keep: bool,
}

/// Plays it.
pub(crate) fn run(options: &Options) -> Result<()> {
    let program = match &options.program {
        Some(path) => Program::at(path)?,
        None => Program::built()?,
    };
    cleanup::on_signals()?;
    let (dir, _remove) =
        cleanup::temporary_dir(&std::env::temp_dir(), "leasehold-demo", options.keep)?;
    let stage = Stage::new(
        dir.clone(),
        if program.ours {
            FIRE_TIMEOUT
        } else {
            ORIGINAL_FIRE_TIMEOUT
        },
    );
    let begin = Instant::now();
    let played = play(&program, &stage);
    if options.keep {
        println!("\n{}", style::quiet(format!("Kept: {}", dir.display())));
    }
    played?;
    let seconds = begin.elapsed().as_secs_f64();
    println!(
        "\n{} {seconds:.0} s, no lease was ever held twice.",
        style::good("Done:")
    );
    Ok(())
}

fn play(program: &Program, stage: &Stage) -> Result<()> {
    println!(
        "{}",
        style::heading(
            "Two hosts share a disk. A guest's image may be written by only one of them."
        )
    );
    println!(
        "{}\n",
        style::quiet(format!(
            "Shown with {} ({})",
            program.path.display(),
            program.version
        ))
    );

    narrate(
        1,
        "Two hosts start, each with a lease daemon of its own; here they are processes.",
    );
    let conf = format!("watchdog_fire_timeout = {FIRE_TIMEOUT}\n");
    let start = |name| {
        Host::start(&Setup {
            program,
            name,
            dir: &stage.dir,
            conf: &conf,
            options: &[],
            preload: None,
            runs: Runs::Logging,
        })
    };
    let (mut first, second) = (start("host-a")?, start("host-b")?);
    let played = play_on(&mut first, &second, stage);
    if played.is_err() {
        for host in [&first, &second] {
            eprintln!(
                "{}",
                style::quiet(format!("log of {}:\n{}\n", host.name, host.log_end(20)))
            );
        }
    }
    played
}

fn play_on(first: &mut Host, second: &Host, stage: &Stage) -> Result<()> {
    prepare_disk(first, stage)?;
    join(first, second, stage)?;
    let holder = take_lease(first, stage)?;
    refuse(second, stage, first)?;

    narrate(
        6,
        "host-a crashes: its daemon and its guest are gone at once, and nobody gave the lease back.",
    );
    println!("      kill -9 {} {}", first.pid(), holder.pid());
    first.kill();
    drop(holder);
    let crashed = Instant::now();

    let takeover = takeover::wait(second, stage, crashed)?;
    takeover::check(second, stage, &takeover)
}

fn prepare_disk(host: &Host, stage: &Stage) -> Result<()> {
    narrate(
        2,
        "The shared disk gets a lockspace, where hosts show that they live, and a lease for the image.",
    );
    std::fs::File::create(stage.disk()).context("cannot create the lease file")?;
    let io_timeout = IO_TIMEOUT.to_string();
    for arguments in [
        vec![
            "client",
            "init",
            "-s",
            &stage.lockspace(0),
            "-o",
            &io_timeout,
        ],
        vec!["client", "init", "-r", &stage.resource()],
    ] {
        show_command(host, &arguments);
        host.check(&arguments)?;
    }
    Ok(())
}

fn join(first: &Host, second: &Host, stage: &Stage) -> Result<()> {
    narrate(
        3,
        "Both join the lockspace: each writes its host id and waits whether another host claims it too.",
    );
    let io_timeout = IO_TIMEOUT.to_string();
    let begin = Instant::now();
    let mut joining = Vec::new();
    for (host, id) in [(first, 1), (second, 2)] {
        let lockspace = stage.lockspace(id);
        let arguments = [
            "client",
            "add_lockspace",
            "-s",
            &lockspace,
            "-o",
            &io_timeout,
        ];
        show_command(host, &arguments);
        let child = host
            .command(&arguments)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .context("cannot start sanlock client")?;
        joining.push((host, child));
    }
    for (host, child) in joining {
        let output = child
            .wait_with_output()
            .context("cannot wait for sanlock client")?;
        if !output.status.success() {
            bail!(
                "{} could not join: {}\n{}",
                host.name,
                exit_text(&output),
                said(&output)
            );
        }
    }
    println!("      joined after {:.1} s", begin.elapsed().as_secs_f64());
    Ok(())
}

fn take_lease(host: &Host, stage: &Stage) -> Result<Holder> {
    narrate(
        4,
        "host-a takes the lease and becomes the guest: the lease is this process's as long as it lives.",
    );
    let resource = stage.resource();
    let mut holder = Holder::start(host, &resource, &stage.started(&host.name))?;
    ensure!(
        holder.wait_until_started(Duration::from_secs(20))?,
        "host-a did not get a lease that was free\n{}",
        holder.said()
    );
    println!(
        "      the guest runs on {}, pid {}",
        style::first(&host.name),
        holder.pid()
    );
    let status = host.check(&["client", "status"])?;
    ensure!(
        status.lines().any(|line| line.starts_with("r ")),
        "sanlock client status does not show the lease:\n{status}"
    );
    Ok(holder)
}

fn refuse(host: &Host, stage: &Stage, owner: &Host) -> Result<()> {
    narrate(
        5,
        "host-b asks for the same lease and is refused, because host-a is alive.",
    );
    let resource = stage.resource();
    let arguments = [
        "client",
        "command",
        "-r",
        &resource,
        "-c",
        "/bin/sleep",
        "600",
    ];
    show_command(host, &arguments);
    wait_until_seen_alive(host);
    // Our command line says more than the original's where a person watches, or this is set.
    let output = host
        .command(&arguments)
        .env("SANLOCK_HINTS", "1")
        .output()
        .context("cannot run sanlock client")?;
    let said = said(&output);
    show_output(
        &said,
        if stage.original() {
            "-243"
        } else {
            &owner.name
        },
    );
    ensure!(
        !output.status.success(),
        "host-b was given a lease that host-a holds"
    );
    ensure!(
        said.contains("-243"),
        "host-b was refused, but not with -243, which says that the owner is alive"
    );
    if stage.original() {
        println!(
            "      {}",
            style::quiet("(the original says only the number; the owner is host 1)")
        );
        return Ok(());
    }
    ensure!(
        said.contains(&owner.name),
        "the refusal does not name the owner, {}",
        owner.name
    );
    Ok(())
}

/// Until then it is refused as well, but cannot be told that the owner lives. Not worth failing for.
fn wait_until_seen_alive(host: &Host) {
    let alive = || {
        let seen = host.client().get_hosts(Name::truncated(b"DEMO"), 1);
        seen.is_ok_and(|list| {
            list.items
                .iter()
                .any(|one| one.state() == Some(HostState::Live))
        })
    };
    let end = Instant::now() + Duration::from_secs(u64::from(4 * IO_TIMEOUT));
    while !alive() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(100));
    }
}
