//! What a process uses: processor time and memory.

use std::time::Duration;

use anyhow::{Context, Result};
use nix::time::ClockId;
use nix::unistd::Pid;

/// A process and everything it has started.
fn family(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    let mut next = 0;
    while let Some(parent) = all.get(next).copied() {
        next += 1;
        let Ok(threads) = std::fs::read_dir(format!("/proc/{parent}/task")) else {
            continue;
        };
        for thread in threads.flatten() {
            let children =
                std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            all.extend(
                children
                    .split_whitespace()
                    .filter_map(|pid| pid.parse::<u32>().ok()),
            );
        }
    }
    all
}

/// Processor time of a daemon and its helpers since they began, threads that have ended included, as exact
/// as the scheduler counts it.
pub(super) fn processor_time(pid: u32) -> Result<Duration> {
    let mut sum = Duration::ZERO;
    for pid in family(pid) {
        let raw = i32::try_from(pid).context("a process id is out of range")?;
        let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(raw))
            .with_context(|| format!("cannot find the processor clock of process {pid}"))?;
        sum += Duration::from(
            clock
                .now()
                .with_context(|| format!("cannot read the processor clock of {pid}"))?,
        );
    }
    Ok(sum)
}

/// Memory in MiB.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Memory {
    /// Pages that are in memory.
    pub(super) resident: f64,
    /// The same, shared pages divided by the number of those who share them.
    pub(super) proportional: f64,
}

/// What a daemon and its helpers occupy.
pub(super) fn memory(pid: u32) -> Result<Memory> {
    let mut sum = Memory::default();
    for pid in family(pid) {
        let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
            .with_context(|| format!("cannot read the memory of process {pid}"))?;
        sum.resident += kibibytes(&text, "Rss:") / 1024.0;
        sum.proportional += kibibytes(&text, "Pss:") / 1024.0;
    }
    Ok(sum)
}

fn kibibytes(text: &str, name: &str) -> f64 {
    text.lines()
        .find_map(|line| {
            line.strip_prefix(name)?
                .trim()
                .strip_suffix(" kB")?
                .trim()
                .parse()
                .ok()
        })
        .unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_processor_time_grows_and_memory_is_there() {
        let own = std::process::id();
        let before = processor_time(own).expect("processor time");
        let mut sum = 0u64;
        while processor_time(own).expect("processor time") < before + Duration::from_millis(5) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let memory = memory(own).expect("memory");
        assert!(
            memory.resident > 0.1 && memory.proportional > 0.0,
            "{memory:?}"
        );
    }

    #[test]
    fn names_are_matched_as_a_whole() {
        let text = "Rss:            1024 kB\nPss:             512 kB\nPss_Anon:          1 kB\n";
        assert_eq!(kibibytes(text, "Pss:"), 512.0);
    }
}
