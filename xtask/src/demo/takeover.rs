//! The second host's wait for the first one's death, and what must be true afterwards.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::IO_TIMEOUT;
use super::holder::Holder;
use super::stage::{Stage, narrate, show_command};
use crate::host::Host;
use crate::style;

/// How much later than expected the take-over may come before the demo has failed: three renewals.
const PATIENCE: Duration = Duration::from_secs(6 * IO_TIMEOUT as u64);

/// Waits with a countdown until the second host's guest runs.
///
/// The client waits inside the daemon once that doubts the owner; until then it is refused at once.
pub(crate) fn wait(host: &Host, stage: &Stage, crashed: Instant) -> Result<Holder> {
    let (dead, known) = (stage.host_dead(), stage.known_dead());
    narrate(
        7,
        &format!(
            "host-b asks again and waits: {} s after host-a's last sign of life, no sooner, its watchdog has fired for sure.",
            dead.as_secs()
        ),
    );
    let resource = stage.resource();
    let started = stage.started(&host.name);
    show_command(
        host,
        &[
            "client",
            "command",
            "-r",
            &resource,
            "-c",
            "/bin/sh -c 'sleep 600'",
        ],
    );
    let mut line = Line::default();
    let mut holder = Holder::start_quietly(host, &resource, &started)?;
    loop {
        if holder.has_started() {
            line.end();
            let after = crashed.elapsed().as_secs_f64();
            let name = style::second(&host.name);
            println!(
                "      the guest runs on {name}, pid {}, {after:.1} s after the crash",
                holder.pid()
            );
            return Ok(holder);
        }
        if holder.has_ended()? {
            // Both -243 (the owner seems alive) and -247 (to be tried again) pass.
            let said = holder.said();
            if !said.contains("-24") {
                line.end();
                bail!("host-b was refused for another reason than a living owner:\n{said}");
            }
            std::thread::sleep(Duration::from_millis(300));
            holder = Holder::start_quietly(host, &resource, &started)?;
        }
        let waited = crashed.elapsed();
        if waited > known + PATIENCE {
            line.end();
            bail!(
                "host-b did not take the lease over within {} s",
                waited.as_secs()
            );
        }
        line.show(waited, known);
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The countdown: one line that is redrawn, or a line every few seconds where that is impossible.
#[derive(Default)]
struct Line {
    last: Option<u64>,
}

impl Line {
    fn show(&mut self, waited: Duration, limit: Duration) {
        let seconds = waited.as_secs();
        let redraw = style::on_terminal();
        if self.last == Some(seconds) || (!redraw && seconds % 5 != 0) {
            return;
        }
        self.last = Some(seconds);
        let text = match limit.checked_sub(waited) {
            Some(left) => {
                let total = limit.as_secs().max(1);
                let done = usize::try_from(seconds * 30 / total).unwrap_or(30).min(30);
                let bar = format!("{}{}", "█".repeat(done), "░".repeat(30 - done));
                format!(
                    "      {bar} host-b knows that host-a is dead in at most {} s",
                    left.as_secs() + 1
                )
            }
            None => format!("      {} any moment now", "█".repeat(30)),
        };
        if redraw {
            print!("\r\x1b[K{text}");
            // Only the look of it is lost.
            let _ = std::io::stdout().flush();
        } else {
            println!("{text}");
        }
    }

    fn end(&self) {
        if style::on_terminal() && self.last.is_some() {
            print!("\r\x1b[K");
        }
    }
}

/// What the disk says now: host 2 owns the lease, and took it no sooner than allowed.
pub(crate) fn check(host: &Host, stage: &Stage, holder: &Holder) -> Result<()> {
    let resource = stage.resource();
    let arguments = ["direct", "read_leader", "-r", &resource];
    show_command(host, &arguments);
    let lease = host.check(&arguments)?;
    let sign_of_life = host.check(&["direct", "read_leader", "-s", &stage.lockspace(1)])?;
    let (owner, lver) = (number(&lease, "owner_id")?, number(&lease, "lver")?);
    println!("        owner_id {owner}, lver {lver}");
    ensure!(
        owner == 2,
        "the disk says that host {owner} owns the lease, not host 2"
    );
    ensure!(
        lver == 2,
        "the lease changed hands once, but its lver is {lver}"
    );
    // Both clocks are this machine's.
    let (taken, alive) = (
        number(&lease, "timestamp")?,
        number(&sign_of_life, "timestamp")?,
    );
    let dead = stage.host_dead().as_secs();
    ensure!(
        taken >= alive + dead,
        "host-b took the lease {} s after host-a's last sign of life, but {dead} s must pass",
        taken.saturating_sub(alive)
    );
    println!(
        "      {} host-a's last sign of life is {} s older than the new owner's lease; {dead} s had to pass",
        style::good("✓"),
        taken - alive
    );
    ensure!(holder.has_started(), "the guest on host-b is gone");
    let status = host.check(&["client", "status"])?;
    ensure!(
        status.lines().any(|line| line.starts_with("r ")),
        "sanlock client status on host-b does not show the lease:\n{status}"
    );
    Ok(())
}

/// A number of a text of lines `name number`.
fn number(text: &str, name: &str) -> Result<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        .and_then(|value| value.trim().parse().ok())
        .with_context(|| format!("sanlock direct read_leader shows no {name}:\n{text}"))
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_are_found_by_their_whole_name() {
        let text = "read_leader done 0\nowner_id 2\nio_timeout 1\ntimestamp 17\n";
        assert_eq!(number(text, "timestamp").ok(), Some(17));
        assert!(number(text, "time").is_err());
    }
}
