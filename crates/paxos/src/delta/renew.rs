//! Renewing a host id.

use std::time::Duration;

use ondisk::{Generation, HostBitmap, HostId, Leader, Timestamp};
use storage::{Buffer, IoError, Pending};
use tokio::time::Instant;

use super::DeltaLease;
use crate::env::planted;
use crate::wait::{Raced, race};
use crate::{Context, Error};

/// How soon it looks again whether the next second has come.
const MOMENT: Duration = Duration::from_millis(50);

/// What a host says to others in its delta lease, besides that it lives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HostEvent {
    /// The generation of the host that the event is for; 0 for any.
    pub generation: Generation,
    /// The event; 0 for none.
    pub event: u64,
    /// What belongs to it.
    pub data: u64,
}

impl HostEvent {
    pub(crate) fn of(leader: &Leader) -> Self {
        Self {
            generation: Generation(leader.write_id.0),
            event: leader.write_generation.0,
            data: leader.write_timestamp.0,
        }
    }

    fn put(self, leader: &mut Leader) {
        leader.write_id = HostId(self.generation.0);
        leader.write_generation = Generation(self.event);
        leader.write_timestamp = Timestamp(self.data);
    }
}

/// How a renewal waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RenewalPolicy {
    /// How much longer the next renewal waits for a read that timed out in this one, before it sends a
    /// new one: `renewal_read_extend_sec`, which is the io timeout by default. Zero stands for half a
    /// second.
    pub read_extend: Duration,
}

impl RenewalPolicy {
    fn longer_for_the_read(self) -> Duration {
        if self.read_extend.is_zero() {
            Duration::from_millis(500)
        } else {
            self.read_extend
        }
    }
}

/// Renews one host's delta lease again and again.
///
/// One renewal reads the whole lockspace and writes one sector. It is the daemon that decides when, and
/// what follows from a failure.
#[derive(Debug)]
pub struct Renewer {
    lease: DeltaLease,
    policy: RenewalPolicy,
    /// The leader of the last renewal that succeeded.
    last: Leader,
    /// Whether the last renewal succeeded, so that what is on disk is certainly what we wrote.
    last_succeeded: bool,
    /// A read of the last renewal that has not come back.
    stuck_read: Option<Pending<Buffer>>,
}

/// What came of one renewal.
#[derive(Debug)]
pub struct Renewal {
    /// All delta leases of the lockspace, whatever came of the renewal itself; see
    /// [`scan`](crate::delta::scan).
    pub leases: Option<Buffer>,
    /// How long the read took, with the time that the last renewal waited for it; `None` if it failed.
    pub read_time: Option<Duration>,
    /// How long the write took; `None` if there was none or it failed.
    pub write_time: Option<Duration>,
    /// The renewed lease.
    pub result: Result<Renewed, Error>,
}

/// A renewed host id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewed {
    /// From when our host id's time counts: our clock right before the write was sent, however long the
    /// answer took. A renewal that was answered late may be worth nothing any more.
    pub counts_from: Timestamp,
    /// The leader on disk.
    pub leader: Leader,
}

impl Renewer {
    /// Renews a lease that [`DeltaLease::acquire`] has just acquired, with the leader that it returned.
    #[must_use]
    pub fn new(lease: DeltaLease, acquired: Leader, policy: RenewalPolicy) -> Self {
        Self {
            lease,
            policy,
            last: acquired,
            last_succeeded: true,
            stuck_read: None,
        }
    }

    /// Renews a lease of which only the owner is known to be us: what else it says is not compared.
    #[must_use]
    pub fn of_owner(lease: DeltaLease, leader: Leader, policy: RenewalPolicy) -> Self {
        Self {
            last_succeeded: false,
            ..Self::new(lease, leader, policy)
        }
    }

    /// The lease.
    #[must_use]
    pub fn lease(&self) -> &DeltaLease {
        &self.lease
    }

    /// The leader of the last renewal that succeeded, for [`DeltaLease::release`].
    #[must_use]
    pub fn last(&self) -> &Leader {
        &self.last
    }

    /// Renews the lease once: reads all leases, checks that ours is ours, writes it anew with `hosts` to
    /// be notified and `event` for them; without an event, the one on disk stays.
    ///
    /// It may take as long as a host needs to be dead, for the write is not given up earlier: there is
    /// nothing better to do. A renewal that succeeded after our time was over does not bring it back, see
    /// [`Renewed::counts_from`].
    pub async fn renew(
        &mut self,
        ctx: &Context,
        hosts: &HostBitmap,
        event: Option<HostEvent>,
    ) -> Renewal {
        let last_succeeded = std::mem::replace(&mut self.last_succeeded, false);
        let (leases, read_time) = match self.read_all(ctx).await {
            Ok(read) => read,
            Err(error) => {
                let result = Err(error);
                return Renewal {
                    leases: None,
                    read_time: None,
                    write_time: None,
                    result,
                };
            }
        };
        let (write_time, result) = match self.check(ctx, &leases, last_succeeded) {
            Ok(found) => self.write(ctx, found, hosts, event).await,
            Err(error) => (None, Err(error)),
        };
        if let Ok(renewed) = &result {
            self.last = renewed.leader.clone();
            self.last_succeeded = true;
        }
        Renewal {
            leases: Some(leases),
            read_time: Some(read_time),
            write_time,
            result,
        }
    }

    /// Reads all leases, and tells how long that took since it was first asked for.
    async fn read_all(&mut self, ctx: &Context) -> Result<(Buffer, Duration), Error> {
        let started = Instant::now();
        let timeout = ctx.io();
        let (name, area) = (self.lease.name(), &self.lease.area.area);
        if let Some(stuck) = self.stuck_read.take() {
            let longer = self.policy.longer_for_the_read();
            if let Raced::First(Ok(leases)) = race(stuck, ctx.env.sleep(longer)).await {
                tracing::info!(lease = %name, "the last renewal's read has come back");
                return Ok((leases, started.elapsed().saturating_add(timeout)));
            }
        }
        let failed = |source| name.io(area, "read all leases to renew it")(source);
        let len = self.lease.area.geometry.align.bytes();
        let started = Instant::now();
        let mut read = area.start_read(0, len).map_err(failed)?;
        match race(&mut read, ctx.env.sleep(timeout)).await {
            Raced::First(result) => Ok((result.map_err(failed)?, started.elapsed())),
            Raced::Second(()) => {
                self.stuck_read = Some(read);
                Err(failed(IoError::TimedOut { after: timeout }))
            }
        }
    }

    /// Finds our lease among all and checks that it is still ours.
    fn check(&self, ctx: &Context, leases: &[u8], last_succeeded: bool) -> Result<Leader, Error> {
        let (name, area) = (self.lease.name(), &self.lease.area.area);
        let start = usize::try_from(self.lease.offset()?).unwrap_or(usize::MAX);
        let sector = leases.get(start..).unwrap_or_default();
        let decoded = Leader::decode(sector).map_err(name.leader(area))?;
        decoded
            .verify_delta(&self.lease.space)
            .map_err(name.leader(area))?;
        let (found, last) = (decoded.record, &self.last);
        if planted!(ctx, RenewBlindly) {
            return Ok(Leader {
                owner_generation: last.owner_generation,
                ..last.clone()
            });
        }
        if found.owner_id != last.owner_id
            || found.owner_generation != last.owner_generation
            || found.resource_name != last.resource_name
        {
            return Err(Error::RenewOwner {
                lease: Box::new(name),
                name: Box::new(found.resource_name),
                generation: found.owner_generation,
            });
        }
        // After a failed renewal either its write or the one before may be there.
        if last_succeeded && found != *last {
            let timestamp = found.timestamp;
            return Err(Error::RenewDiff {
                lease: Box::new(name),
                timestamp,
            });
        }
        Ok(found)
    }

    async fn write(
        &self,
        ctx: &Context,
        found: Leader,
        hosts: &HostBitmap,
        event: Option<HostEvent>,
    ) -> (Option<Duration>, Result<Renewed, Error>) {
        let lease = &self.lease;
        let mut leader = found;
        // With the timestamp that stands there nobody could see that it was renewed: others would go on counting
        // from when it was written first, and a suspension since then may put our time far after theirs.
        while leader.timestamp == ctx.now() && !planted!(ctx, RenewedUnseen) {
            ctx.env.sleep(MOMENT).await;
        }
        let counts_from = ctx.now();
        leader.timestamp = counts_from;
        leader.io_timeout = ctx.timeouts.io.on_disk();
        if let Some(event) = event {
            event.put(&mut leader);
        }
        let mut sector = lease.sector();
        leader.encode(&mut sector);
        hosts.encode(&mut sector);
        let timeout = ctx.timeouts.io.host_dead(ctx.timeouts.watchdog_fire);
        let started = Instant::now();
        match lease.write_sector(ctx, sector, "renew it", timeout).await {
            Ok(()) => {
                let counts_from = if planted!(ctx, ExpiryFromAnswer) {
                    ctx.now()
                } else {
                    counts_from
                };
                (
                    Some(started.elapsed()),
                    Ok(Renewed {
                        counts_from,
                        leader,
                    }),
                )
            }
            Err(error) => (None, Err(error)),
        }
    }
}
