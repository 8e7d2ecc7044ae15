//! What the daemon says about itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use sanlock_proto::state::{Attached, StateRecord};
use sanlock_proto::{Client, StateKind};

use super::leases::name;

/// The status record of a lockspace, wherever it is listed.
pub fn lockspace(client: &Client, space: &str) -> Option<StateRecord> {
    let records = client.status(None).unwrap();
    records
        .into_iter()
        .find(|one| one.kind() == StateKind::Lockspace && one.name == name(space))
}

/// The list that a lockspace is on: spaces, add, rem; nothing if there is none.
pub fn list_of(client: &Client, space: &str) -> Option<String> {
    lockspace(client, space).map(|record| record.value("list").unwrap().to_owned())
}

/// A number in a joined lockspace's status record.
pub fn lockspace_number(client: &Client, space: &str, key: &str) -> i64 {
    let record = lockspace(client, space).unwrap_or_else(|| panic!("no lockspace {space}"));
    record
        .value(key)
        .unwrap_or_else(|| panic!("no {key}"))
        .parse()
        .unwrap()
}

/// When a lockspace's host id was renewed last, in seconds of the daemon's clock.
pub fn renewed_at(client: &Client, space: &str) -> i64 {
    lockspace_number(client, space, "renewal_last_success")
}

/// The seconds of the daemon's clock.
pub fn monotime(client: &Client) -> i64 {
    let records = client.status(Some(StateKind::Daemon)).unwrap();
    records[0].value("monotime").unwrap().parse().unwrap()
}

/// The records of a resource, one for each that holds it.
pub fn resources(client: &Client, resource: &str) -> Vec<StateRecord> {
    let records = client.status(None).unwrap();
    records
        .into_iter()
        .filter(|one| matches!(one.attached, Attached::Resource(_)) && one.name == name(resource))
        .collect()
}

/// The lists that a resource's records are on.
pub fn resource_lists(client: &Client, resource: &str) -> Vec<String> {
    let records = resources(client, resource);
    records
        .iter()
        .map(|one| one.value("list").unwrap().to_owned())
        .collect()
}

/// The generation that this host has in a lockspace.
pub fn generation(client: &Client, space: &str) -> i64 {
    lockspace_number(client, space, "host_generation")
}

/// Asks for the status again and again while other things go on.
pub struct Prober {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Probed>>,
}

/// An answer that took no longer did not wait for storage, which would take an I/O timeout of two seconds
/// at least: a bound that holds on a computer busy with other things. Measured are a few milliseconds.
pub const AT_ONCE: Duration = Duration::from_millis(1900);

/// How quickly the answers came.
#[derive(Debug, Clone, Copy, Default)]
pub struct Probed {
    pub count: u32,
    pub slowest: Duration,
}

impl Prober {
    pub fn start(client: &Client) -> Self {
        let client = client.clone();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut probed = Probed::default();
            while !stopped.load(Ordering::Acquire) {
                let began = Instant::now();
                client.status(None).unwrap();
                probed.slowest = probed.slowest.max(began.elapsed());
                probed.count += 1;
                sleep(Duration::from_millis(20));
            }
            probed
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }

    pub fn stop(mut self) -> Probed {
        self.stop.store(true, Ordering::Release);
        self.thread.take().unwrap().join().unwrap()
    }
}
