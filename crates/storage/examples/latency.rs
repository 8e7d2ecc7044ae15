//! What the way through the thread pool costs: the same requests by plain system calls in this thread,
//! by tokio's own blocking threads, and by [`DirectIo`].
//!
//! `latency DIRECTORY [ROUNDS]`: writes a file of 16 MiB in the directory and removes it.

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::future::Future;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use storage::{Buffer, DirectIo, Disk, Storage};
use tokio::runtime::{Builder, Runtime};

const MIB: usize = 1 << 20;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments
        .next()
        .ok_or("usage: latency DIRECTORY [ROUNDS]")?;
    let rounds: u32 = arguments.next().map_or(Ok(500), |rounds| rounds.parse())?;
    let path = Path::new(&directory).join("latency.tmp");
    let flags = libc::O_DIRECT | libc::O_DSYNC;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .custom_flags(flags)
        .open(&path)?;
    for place in 0..16 {
        file.write_all_at(&Buffer::zeroed(MIB), place * MIB as u64)?;
    }
    let result = measure(&path, &Arc::new(file), rounds);
    std::fs::remove_file(&path)?;
    result
}

fn measure(path: &Path, file: &Arc<File>, rounds: u32) -> Outcome<()> {
    let mut buffer = Buffer::zeroed(MIB);
    let sector = Buffer::zeroed(512);
    for (name, len) in [("read 1 MiB", MIB), ("read 512", 512)] {
        report(name, "plain pread", rounds, |n| {
            Ok(file.read_exact_at(&mut buffer[..len], place(n))?)
        })?;
    }
    report("write 512", "plain pwrite", rounds, |n| {
        Ok(file.write_all_at(&sector, place(n))?)
    })?;
    report("acquire", "plain", rounds, |n| {
        for _ in 0..3 {
            file.read_exact_at(&mut buffer, place(n))?;
            file.write_all_at(&sector, place(n))?;
        }
        Ok(())
    })?;

    let current = Builder::new_current_thread().enable_time().build()?;
    let several = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()?;
    for (runtime, kind) in [(current, "one thread"), (several, "two threads")] {
        let name = format!("spawn_blocking, {kind}");
        report_async(
            &runtime,
            "write 512",
            &name,
            rounds,
            file,
            |file, n| async move {
                let sector = Buffer::zeroed(512);
                tokio::task::spawn_blocking(move || file.write_all_at(&sector, place(n))).await??;
                Ok(())
            },
        )?;
        let storage = DirectIo::new();
        let disk = runtime.block_on(async { storage.open(path).await })?;
        let name = format!("DirectIo, {kind}");
        for (what, len) in [("read 1 MiB", MIB), ("read 512", 512)] {
            report_async(
                &runtime,
                what,
                &name,
                rounds,
                &disk,
                move |disk, n| async move {
                    disk.read(place(n), len).await?;
                    Ok(())
                },
            )?;
        }
        report_async(
            &runtime,
            "write 512",
            &name,
            rounds,
            &disk,
            |disk, n| async move { Ok(disk.write(place(n), Buffer::zeroed(512)).await?) },
        )?;
        report_async(
            &runtime,
            "acquire",
            &name,
            rounds,
            &disk,
            |disk, n| async move { requests_of_an_acquire(&*disk, n).await },
        )?;
        let opened = Arc::new((storage.clone(), path.to_owned()));
        report_async(
            &runtime,
            "open",
            &name,
            rounds,
            &opened,
            |opened, _| async move {
                opened.0.open(&opened.1).await?;
                Ok(())
            },
        )?;
        println!("{:?}", storage.status());
    }
    Ok(())
}

async fn requests_of_an_acquire(disk: &dyn Disk, n: u32) -> Outcome<()> {
    for _ in 0..3 {
        disk.read(place(n), MIB)
            .within(Duration::from_secs(10))
            .await?;
        disk.write(place(n), Buffer::zeroed(512))
            .within(Duration::from_secs(10))
            .await?;
    }
    Ok(())
}

fn place(round: u32) -> u64 {
    u64::from(round % 15) * MIB as u64
}

fn report_async<T, F>(
    runtime: &Runtime,
    what: &str,
    how: &str,
    rounds: u32,
    with: &Arc<T>,
    mut once: impl FnMut(Arc<T>, u32) -> F,
) -> Outcome<()>
where
    T: Send + Sync + ?Sized + 'static,
    F: Future<Output = Outcome<()>> + Send + 'static,
{
    // A task of its own, as a client's request would be.
    report(what, how, rounds, |n| {
        runtime.block_on(runtime.spawn(once(Arc::clone(with), n)))?
    })
}

fn report(
    what: &str,
    how: &str,
    rounds: u32,
    mut once: impl FnMut(u32) -> Outcome<()>,
) -> Outcome<()> {
    let mut times = Vec::new();
    let before = processor_time()?;
    for n in 0..rounds {
        let start = Instant::now();
        once(n)?;
        times.push(start.elapsed());
    }
    let processor = processor_time()?.saturating_sub(before) / rounds.max(1);
    times.sort_unstable();
    let at = |percent: usize| {
        times
            .get(times.len() * percent / 100)
            .copied()
            .unwrap_or_default()
    };
    println!(
        "{what:10} {how:28} p50 {:6.3} ms  p95 {:6.3} ms  p99 {:6.3} ms  processor {:6.3} ms",
        at(50).as_secs_f64() * 1e3,
        at(95).as_secs_f64() * 1e3,
        at(99).as_secs_f64() * 1e3,
        processor.as_secs_f64() * 1e3
    );
    Ok(())
}

fn processor_time() -> Outcome<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?.into())
}
