//! A watchdog daemon that does not do what it is for: it keeps the device alive whatever its clients say, or do not say any
//! more. Otherwise it does what wdmd does for a lease daemon: opens the device when it is asked to, and answers.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use daemon::WatchdogDevice;
use wdmd_proto::{Message, Request, SOCKET, Status};

/// How often it keeps the device alive: no fire timeout is shorter.
const EVERY: Duration = Duration::from_secs(1);

/// The fire timeout of a wdmd that opens its device at its start, which clients of that time expect.
const FIRE_TIMEOUT: u32 = 60;

/// `e2e always-pets DEVICE`
#[derive(clap::Args)]
pub(crate) struct Options {
    device: PathBuf,
}

/// The device once it is open, and its fire timeout.
type Shared = Arc<Mutex<Option<(WatchdogDevice, u32)>>>;

/// Serves until it is killed.
pub(crate) fn run(options: &Options) -> Result<()> {
    let socket = Path::new(SOCKET);
    let about = || format!("cannot listen on {SOCKET}");
    if let Some(dir) = socket.parent() {
        fs::create_dir_all(dir).with_context(about)?;
    }
    let listener = UnixListener::bind(socket).with_context(about)?;
    let shared = Shared::default();
    let pets = Arc::clone(&shared);
    std::thread::spawn(move || {
        loop {
            if let Some((device, _)) = &*pets.lock().unwrap_or_else(PoisonError::into_inner) {
                if let Err(error) = device.keep_alive() {
                    println!("cannot keep the device alive: {error}");
                }
            }
            std::thread::sleep(EVERY);
        }
    });
    for client in listener.incoming() {
        let client = client.with_context(about)?;
        let (shared, device) = (Arc::clone(&shared), options.device.clone());
        std::thread::spawn(move || {
            if let Err(error) = serve(client, &device, &shared) {
                println!("{error:#}");
            }
        });
    }
    Ok(())
}

/// Answers a client until it goes, which changes nothing.
fn serve(mut client: UnixStream, device: &Path, shared: &Shared) -> Result<()> {
    let mut bytes = [0; Message::LEN];
    while client.read_exact(&mut bytes).is_ok() {
        let message = Message::decode(&bytes)?;
        let answer = match Request::try_from(&message)? {
            Request::OpenWatchdog { fire_timeout } => {
                Some(message.with_fire_timeout(open(device, fire_timeout, shared)?))
            }
            Request::Status => {
                let open = shared.lock().unwrap_or_else(PoisonError::into_inner);
                Some(message.with_status(Status {
                    test_interval: 1,
                    fire_timeout: open.as_ref().map_or(FIRE_TIMEOUT, |(_, timeout)| *timeout),
                    last_keepalive: 0,
                }))
            }
            Request::RefcountSet => {
                // Nobody has asked for it to be opened: a client that takes it to be open from the start.
                open(device, FIRE_TIMEOUT, shared)?;
                None
            }
            Request::Register(_)
            | Request::RefcountClear
            | Request::TestLive { .. }
            | Request::DumpDebug => None,
        };
        if let Some(answer) = answer {
            client
                .write_all(&answer.encode())
                .context("cannot answer a client")?;
        }
    }
    Ok(())
}

/// Opens the device if it is not open yet; the fire timeout in use.
fn open(path: &Path, fire_timeout: u32, shared: &Shared) -> Result<u32> {
    let mut open = shared.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, in_use)) = &*open {
        return Ok(*in_use);
    }
    let about = || format!("cannot set {} to {fire_timeout} s", path.display());
    let device = WatchdogDevice::open(path).with_context(about)?;
    let taken = device
        .set_timeout(i32::try_from(fire_timeout)?)
        .with_context(about)?;
    let in_use = u32::try_from(taken)?;
    *open = Some((device, in_use));
    Ok(in_use)
}
