//! What a host sees of the others in a lockspace: their delta leases, as its own renewals read them.

use std::collections::BTreeMap;
use std::time::Duration;

use ondisk::{Geometry, HostBitmap, HostId, Name, Timestamp};
use paxos::HostSeen;
use paxos::delta::{self, SeenLease};

use super::events::{HostEvent, ReceivedEvent};

/// What is known of one host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostRecord {
    /// What the scans saw of its lease.
    pub seen: HostSeen,
    /// Its name.
    pub name: Name,
    /// When it last asked us to look at resource requests, in seconds of our monotonic clock.
    pub last_req: u64,
    /// In how many scans its lease was found damaged, since it was last good.
    pub damaged: u32,
}

/// What a host's lease says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostState {
    /// Nobody holds the host id.
    Free,
    /// It renews its lease.
    Live,
    /// It has not renewed for so long that it must have stopped using its leases.
    Fail,
    /// It has not renewed for so long that its watchdog must have reset it.
    Dead,
    /// We have not watched it for long enough to tell.
    Unknown,
}

impl HostRecord {
    /// What is to be thought of this host, `now` in seconds of our monotonic clock.
    #[must_use]
    pub fn state(&self, now: u64, our_host_id: HostId, fire_timeout: Duration) -> HostState {
        let seen = &self.seen;
        if seen.timestamp.is_free() {
            return HostState::Free;
        }
        if seen.owner_id == our_host_id {
            return HostState::Live;
        }
        let last = seen.last_live.or(seen.first_check).unwrap_or_default();
        let silent_for = Duration::from_secs(now.saturating_sub(last.0));
        let io_timeout = seen.io_timeout.unwrap_or_default();
        if silent_for <= io_timeout.renewal_fail() {
            if seen.first_check == seen.last_live {
                HostState::Unknown
            } else {
                HostState::Live
            }
        } else if silent_for > io_timeout.host_dead(fire_timeout) {
            HostState::Dead
        } else {
            HostState::Fail
        }
    }
}

/// What one scan of all delta leases brought to light.
#[derive(Debug, Default)]
pub struct ScanFindings {
    /// Events that other hosts have for us.
    pub events: Vec<ReceivedEvent>,
    /// Hosts that ask us to look at the request records of resources that we hold.
    pub requests_from: Vec<HostId>,
    /// Sentences for the log.
    pub remarks: Vec<String>,
}

/// All hosts of a lockspace, as last seen.
#[derive(Debug)]
pub struct HostTable {
    space: Name,
    our_host_id: HostId,
    first_check: Option<Timestamp>,
    last_check: Option<Timestamp>,
    hosts: BTreeMap<HostId, HostRecord>,
    /// Hosts whose bit is set in our bitmap, and since when.
    bits: BTreeMap<HostId, u64>,
    /// The event that our delta lease carries.
    event: HostEvent,
    event_set_at: u64,
}

/// How often a lease that stays damaged is logged: the first time and each hundredth scan.
const DAMAGE_LOG_INTERVAL: u32 = 100;

impl HostTable {
    /// An empty table for a lockspace in which we are `our_host_id`.
    pub fn new(space: Name, our_host_id: HostId) -> Self {
        Self {
            space,
            our_host_id,
            first_check: None,
            last_check: None,
            hosts: BTreeMap::new(),
            bits: BTreeMap::new(),
            event: HostEvent::default(),
            event_set_at: 0,
        }
    }

    /// Whether any scan has been made.
    pub fn is_scanned(&self) -> bool {
        self.last_check.is_some()
    }

    /// What is known of a host; of one without a lease only when it was looked at.
    pub fn host(&self, host: HostId) -> HostRecord {
        let mut record = self.hosts.get(&host).cloned().unwrap_or_default();
        record.seen.first_check = record.seen.first_check.or(self.first_check);
        record.seen.last_check = self.last_check;
        record
    }

    /// All hosts that ever had a lease while we watched, by host id.
    pub fn hosts(&self) -> impl Iterator<Item = (HostId, HostRecord)> + '_ {
        self.hosts.keys().map(|id| (*id, self.host(*id)))
    }

    /// Looks through all delta leases of the lockspace (`area`, as just read at `now`).
    pub fn scan(
        &mut self,
        area: &[u8],
        geometry: Geometry,
        now: Timestamp,
        request_interval: Duration,
    ) -> ScanFindings {
        let mut findings = ScanFindings::default();
        self.first_check = self.first_check.or(Some(now));
        self.last_check = Some(now);
        let space = self.space;
        for lease in delta::scan(area, geometry, &space, self.our_host_id) {
            self.take_in(&lease, now, request_interval, &mut findings);
        }
        findings
    }

    fn take_in(
        &mut self,
        lease: &SeenLease,
        now: Timestamp,
        request_interval: Duration,
        findings: &mut ScanFindings,
    ) {
        let never_used = lease.is_valid && lease.owner_id == HostId(0) && lease.timestamp.is_free();
        if never_used && !self.hosts.contains_key(&lease.host) {
            return;
        }
        let first_check = self.first_check;
        let record = self.hosts.entry(lease.host).or_insert_with(|| HostRecord {
            seen: HostSeen {
                first_check,
                ..HostSeen::default()
            },
            ..HostRecord::default()
        });
        record.remark(lease, findings);
        if !record.seen.observe(lease, now) || !lease.notifies_us {
            return;
        }
        if lease.event.event != 0 {
            findings.events.push(ReceivedEvent {
                event: HostEvent {
                    host_id: self.our_host_id,
                    generation: lease.event.generation,
                    event: lease.event.event,
                    data: lease.event.data,
                },
                from_host: record.seen.owner_id,
                from_generation: record.seen.generation,
            });
        }
        let asked_before = record.last_req != 0
            && now.0.saturating_sub(record.last_req) < request_interval.as_secs();
        if !asked_before {
            record.last_req = now.0;
            findings.requests_from.push(lease.host);
        }
    }

    /// Sets a host's bit in our bitmap, so that it looks at requests and events.
    pub fn set_bit(&mut self, host: HostId, now: u64) {
        self.bits.insert(host, now);
    }

    /// Takes a host's bit out of our bitmap.
    pub fn clear_bit(&mut self, host: HostId) {
        self.bits.remove(&host);
    }

    /// The bitmap and event for our next renewal; bits that were set long enough ago are dropped.
    pub fn outgoing(&mut self, now: u64, keep: Duration) -> (HostBitmap, HostEvent) {
        self.bits
            .retain(|_, set_at| now.saturating_sub(*set_at) <= keep.as_secs());
        let mut bitmap = HostBitmap::EMPTY;
        for host in self.bits.keys().filter(|host| **host != self.our_host_id) {
            bitmap.set(*host);
        }
        (bitmap, self.event)
    }

    /// The event that our delta lease carries, and when it was set.
    pub fn event(&self) -> (HostEvent, u64) {
        (self.event, self.event_set_at)
    }

    /// Changes the event that our delta lease carries.
    pub fn set_event(&mut self, event: HostEvent, now: u64) {
        self.event = event;
        self.event_set_at = now;
    }
}

impl HostRecord {
    /// Notes what is new about a host's lease apart from its being renewed.
    fn remark(&mut self, lease: &SeenLease, findings: &mut ScanFindings) {
        if lease.is_valid {
            if self.damaged != 0 {
                findings.remarks.push(format!(
                    "the delta lease of host {} is whole again",
                    lease.host
                ));
                self.damaged = 0;
            }
            if self.name != lease.owner_name || self.seen.generation != lease.generation {
                findings.remarks.push(format!(
                    "host {} {} {} {}",
                    lease.owner_id, lease.generation, lease.timestamp, lease.owner_name
                ));
                self.name = lease.owner_name;
            }
            return;
        }
        if self.damaged % DAMAGE_LOG_INTERVAL == 0 {
            findings.remarks.push(format!(
                "the delta lease of host {} is damaged: owner {} {}, timestamp {}, name {}",
                lease.host, lease.owner_id, lease.generation, lease.timestamp, lease.owner_name
            ));
        }
        self.damaged = self.damaged.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ondisk::{AlignSize, Generation, IoTimeout, Leader, SectorSize, init_lockspace_area};

    const FIRE: Duration = Duration::from_secs(60);
    const MINUTE: Duration = Duration::from_secs(60);

    fn geometry() -> Geometry {
        Geometry::new(SectorSize::B512, AlignSize::M1).expect("a valid geometry")
    }

    fn name(text: &str) -> Name {
        text.parse().expect("a short name")
    }

    fn area() -> Vec<u8> {
        let mut area = vec![0; geometry().align.bytes()];
        init_lockspace_area(geometry(), &name("ls"), IoTimeout(10), &mut area).expect("room");
        ondisk::lockspace_commit_sector(geometry(), &name("ls"), IoTimeout(10), &mut area[..512])
            .expect("room");
        area
    }

    fn write_host(area: &mut [u8], host: u64, timestamp: u64, event: Option<(u64, u64)>) {
        let sector = &mut area[(host as usize - 1) * 512..host as usize * 512];
        let mut leader = Leader::decode(sector).expect("a whole sector").record;
        leader.owner_id = HostId(host);
        leader.owner_generation = Generation(3);
        leader.timestamp = Timestamp(timestamp);
        leader.resource_name = name("host");
        if let Some((event, data)) = event {
            leader.write_generation = Generation(event);
            leader.write_timestamp = Timestamp(data);
            let mut bitmap = HostBitmap::EMPTY;
            bitmap.set(HostId(1));
            bitmap.encode(sector);
        }
        leader.encode(sector);
    }

    #[test]
    fn a_host_is_unknown_then_live_then_failing_then_dead() {
        let mut area = area();
        let mut table = HostTable::new(name("ls"), HostId(1));
        let state = |table: &HostTable, now| table.host(HostId(2)).state(now, HostId(1), FIRE);
        assert!(!table.is_scanned());
        table.scan(&area, geometry(), Timestamp(100), MINUTE);
        assert_eq!(state(&table, 100), HostState::Free);
        write_host(&mut area, 2, 7, None);
        let mut late = HostTable::new(name("ls"), HostId(1));
        late.scan(&area, geometry(), Timestamp(100), MINUTE);
        assert_eq!(state(&late, 180), HostState::Unknown);
        assert_eq!(state(&late, 181), HostState::Fail);
        write_host(&mut area, 2, 27, None);
        late.scan(&area, geometry(), Timestamp(120), MINUTE);
        assert_eq!(state(&late, 200), HostState::Live);
        assert_eq!(state(&late, 201), HostState::Fail);
        assert_eq!(state(&late, 260), HostState::Fail);
        assert_eq!(state(&late, 261), HostState::Dead);
    }

    #[test]
    fn events_and_requests_reach_only_the_host_whose_bit_is_set() {
        let mut area = area();
        write_host(&mut area, 2, 7, Some((4, 5)));
        let mut ours = HostTable::new(name("ls"), HostId(1));
        let findings = ours.scan(&area, geometry(), Timestamp(100), MINUTE);
        assert_eq!(findings.events.len(), 1);
        assert_eq!(
            (
                findings.events[0].event.event,
                findings.events[0].event.data
            ),
            (4, 5)
        );
        assert_eq!(findings.requests_from, [HostId(2)]);
        assert!(
            ours.scan(&area, geometry(), Timestamp(110), MINUTE)
                .events
                .is_empty(),
            "nothing changed"
        );
        write_host(&mut area, 2, 27, Some((4, 5)));
        let again = ours.scan(&area, geometry(), Timestamp(120), MINUTE);
        assert_eq!(
            (again.events.len(), again.requests_from.len()),
            (1, 0),
            "asked a moment ago"
        );
        let mut other = HostTable::new(name("ls"), HostId(3));
        assert!(
            other
                .scan(&area, geometry(), Timestamp(100), MINUTE)
                .events
                .is_empty()
        );
    }

    #[test]
    fn damage_is_said_once_and_renewals_of_a_damaged_lease_still_count() {
        let mut area = area();
        write_host(&mut area, 2, 7, None);
        let mut table = HostTable::new(name("ls"), HostId(1));
        table.scan(&area, geometry(), Timestamp(100), MINUTE);
        write_host(&mut area, 2, 8, None);
        area[512] ^= 0xff;
        assert_eq!(
            table
                .scan(&area, geometry(), Timestamp(120), MINUTE)
                .remarks
                .len(),
            1
        );
        assert_eq!(table.host(HostId(2)).seen.last_live, Some(Timestamp(120)));
        assert_eq!(table.host(HostId(2)).seen.generation, Generation(3));
        assert!(
            table
                .scan(&area, geometry(), Timestamp(140), MINUTE)
                .remarks
                .is_empty()
        );
        area[512] ^= 0xff;
        assert_eq!(
            table
                .scan(&area, geometry(), Timestamp(160), MINUTE)
                .remarks
                .len(),
            1
        );
    }

    #[test]
    fn bits_fade_and_never_name_ourselves() {
        let mut table = HostTable::new(name("ls"), HostId(1));
        table.set_bit(HostId(1), 100);
        table.set_bit(HostId(9), 100);
        let (bitmap, _) = table.outgoing(160, MINUTE);
        assert_eq!(bitmap.iter().collect::<Vec<_>>(), [HostId(9)]);
        assert!(table.outgoing(161, MINUTE).0.is_empty());
    }
}
