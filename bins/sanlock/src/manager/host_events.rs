//! Setting events for other hosts, and hearing of theirs.

use ondisk::{Generation, HostId, Name};
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::events::{HostEvent, ReceivedEvent};
use super::space::Space;
use super::{Code, Manager, errno, locked};

/// `SANLK_SETEV_CUR_GENERATION`: fill in the host's generation as last seen.
const CUR_GENERATION: u32 = 0x1;
/// `SANLK_SETEV_CLEAR_HOSTID`: take the host's bit out of the bitmap.
const CLEAR_HOSTID: u32 = 0x2;
/// `SANLK_SETEV_CLEAR_EVENT`: take the event out of the lease.
const CLEAR_EVENT: u32 = 0x4;
/// `SANLK_SETEV_REPLACE_EVENT`: replace an event that others may not have seen yet.
const REPLACE_EVENT: u32 = 0x8;
/// `SANLK_SETEV_ALL_HOSTS`: tell every host.
const ALL_HOSTS: u32 = 0x10;

impl Manager {
    /// Hears of a lockspace's events.
    ///
    /// # Errors
    /// -22 no name, -2 not joined, -50 too many listeners.
    pub fn register_event(&self, name: &Name) -> Result<mpsc::Receiver<ReceivedEvent>, Code> {
        if name.is_empty() {
            return Err(errno::INVAL);
        }
        let space = self.joined_lockspace(name).ok_or(errno::NOENT)?;
        let listener = locked(&space.events).add().ok_or(errno::NOCSI)?;
        debug!(space = space.id, "a client listens for events");
        Ok(listener)
    }

    /// Forgets listeners whose connections ended.
    ///
    /// # Errors
    /// -22 no name, -2 not joined.
    pub fn end_event(&self, name: &Name) -> Result<(), Code> {
        if name.is_empty() {
            return Err(errno::INVAL);
        }
        let space = self.joined_lockspace(name).ok_or(errno::NOENT)?;
        locked(&space.events).drop_closed();
        Ok(())
    }

    /// Sets the event that our next renewal carries to another host.
    ///
    /// # Errors
    /// -22 bad host id or no name, -2 not joined, -16 an earlier event may not have been seen yet.
    pub fn set_event(&self, name: &Name, mut event: HostEvent, flags: u32) -> Result<(), Code> {
        let largest = ondisk::Geometry::for_sector_size_alone(ondisk::SectorSize::B512).max_hosts();
        if name.is_empty() || event.host_id == HostId(0) || event.host_id.0 > largest {
            return Err(errno::INVAL);
        }
        let space = self.joined_lockspace(name).ok_or(errno::NOENT)?;
        let max_hosts = space
            .geometry
            .get()
            .map_or(0, |geometry| geometry.max_hosts());
        if event.host_id.0 > max_hosts {
            return Err(errno::INVAL);
        }
        let now = self.now();
        let mut hosts = locked(&space.hosts);
        if event.generation == Generation(0) && flags & CUR_GENERATION != 0 {
            event.generation = hosts.host(event.host_id).seen.generation;
        }
        if flags & CLEAR_EVENT != 0 {
            hosts.set_event(HostEvent::default(), now);
            return Ok(());
        }
        if flags & CLEAR_HOSTID != 0 {
            hosts.clear_bit(event.host_id);
            return Ok(());
        }
        if flags & REPLACE_EVENT == 0 {
            let (current, set_at) = hosts.event();
            let unseen = now.saturating_sub(set_at) < space.set_bitmap.as_secs();
            if unseen && current.event != 0 && event.event != 0 && current.event != event.event {
                warn!(
                    space = space.id,
                    "event {} for host {} is not set: event {} for host {} was set {} s ago",
                    event.event,
                    event.host_id,
                    current.event,
                    current.host_id,
                    now.saturating_sub(set_at)
                );
                return Err(errno::BUSY);
            }
        }
        hosts.set_bit(event.host_id, now);
        hosts.set_event(event, now);
        if flags & ALL_HOSTS != 0 {
            for host in 1..=max_hosts {
                hosts.set_bit(HostId(host), now);
            }
        }
        Ok(())
    }

    /// Passes an event from another host on to our clients.
    pub(super) fn deliver_event(&self, space: &Space, event: ReceivedEvent) {
        let listeners = locked(&space.events).send(event);
        debug!(
            space = space.id,
            "event {} from host {} for {listeners} listeners", event.event.event, event.from_host
        );
    }
}
