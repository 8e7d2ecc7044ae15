//! Taking a host id.

use std::time::Duration;

use ondisk::{Leader, Name};

use super::DeltaLease;
use crate::env::planted;
use crate::liveness::{UNKNOWN_IO_TIMEOUT, io_timeout_of};
use crate::wait::{Raced, race};
use crate::{Cancel, Context, Error};

/// What has to be waited for before a host id may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    /// Nothing: it is free, or was last used by a host of our name.
    Nothing,
    /// The death of the host that used it last.
    Death(Duration),
}

/// What is known of the last user of a host id, if it had our host's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Namesake {
    /// It was this host, and nothing that relied on the host id then still runs.
    Gone,
    /// It was this host, and processes that relied on it may still run: it is treated like another host.
    MayLive,
}

fn before_writing(ctx: &Context, leader: &Leader, our_name: &Name, namesake: Namesake) -> First {
    let was_us = leader.resource_name == *our_name;
    if leader.timestamp.is_free() || (was_us && namesake == Namesake::Gone) {
        return First::Nothing;
    }
    let theirs = io_timeout_of(leader).unwrap_or(UNKNOWN_IO_TIMEOUT);
    let large_delay = theirs
        .renewal_interval()
        .saturating_add(theirs.renewal_warn());
    First::Death(
        theirs
            .host_dead(ctx.timeouts.watchdog_fire)
            .max(large_delay),
    )
}

impl DeltaLease {
    /// Takes the host id for the host called `our_name`, and returns the leader that says so.
    ///
    /// This takes twice the former owner's io timeout at least; 8 to 10 times and the watchdog's time
    /// if that host did not release the id and had another name, or is a [`Namesake::MayLive`]. Cancelling
    /// wakes it at once.
    ///
    /// Our host id counts from the returned leader's timestamp, which was taken before it was written.
    ///
    /// # Errors
    /// [`Error::HostIdBusy`] if another host uses the id or takes it at the same time, and whatever keeps
    /// it from being read or written. After [`Error::Cancelled`] and a failed write the lease on disk may
    /// name us: it is not ours, and others see it die.
    pub async fn acquire(
        &self,
        ctx: &Context,
        our_name: &Name,
        namesake: Namesake,
        cancel: &Cancel,
    ) -> Result<Leader, Error> {
        let (name, area) = (self.name(), &self.area.area);
        // What an earlier attempt left under way must not land between this one's steps.
        area.settle(ctx, self.offset()?, self.area.geometry.sector.bytes())
            .await
            .map_err(name.io(area, "wait for an earlier write of it"))?;
        let found = self.read(ctx).await?;
        let base = match before_writing(ctx, &found, our_name, namesake) {
            First::Death(delay) if !planted!(ctx, SkipLargeDelay) => {
                tracing::info!(
                    lease = %name, owner = ?found.resource_name, seconds = delay.as_secs(),
                    "waiting to see whether the host that used it is dead"
                );
                self.pause(ctx, delay, cancel).await?;
                let now = self.read(ctx).await?;
                if now != found && !now.timestamp.is_free() {
                    return Err(self.busy(&now));
                }
                now
            }
            _ => found.clone(),
        };

        let generation = base
            .owner_generation
            .0
            .checked_add(u64::from(!planted!(ctx, GenerationKept)))
            .ok_or_else(|| Error::Exhausted {
                lease: Box::new(name.clone()),
                what: "generation",
            })?;
        let mut ours = Leader {
            timestamp: ctx.now(),
            io_timeout: ctx.timeouts.io.on_disk(),
            owner_id: self.host,
            owner_generation: ondisk::Generation(generation),
            resource_name: written_over(&base.resource_name, our_name),
            ..base
        };
        self.write(ctx, &mut ours, "take it", ctx.io()).await?;

        // Whoever wrote at the same time as we did has finished after this, and one of us sees it.
        let theirs = io_timeout_of(&found).unwrap_or(ctx.timeouts.io);
        if !planted!(ctx, SkipShortDelay) {
            self.pause(ctx, theirs.renewal_interval(), cancel).await?;
        }
        let now = self.read(ctx).await?;
        if now != ours {
            return Err(self.busy(&now));
        }
        tracing::info!(lease = %name, generation = %ours.owner_generation, "acquired");
        Ok(ours)
    }

    async fn pause(&self, ctx: &Context, delay: Duration, cancel: &Cancel) -> Result<(), Error> {
        match race(cancel.cancelled(), ctx.env.sleep(delay)).await {
            Raced::First(()) => Err(Error::Cancelled {
                lease: Box::new(self.name()),
            }),
            Raced::Second(()) => Ok(()),
        }
    }

    fn busy(&self, found: &Leader) -> Error {
        Error::HostIdBusy {
            lease: Box::new(self.name()),
            name: Box::new(found.resource_name),
            timestamp: found.timestamp,
        }
    }
}

/// The field of `old` with `new` and, where there is room, a NUL put over its beginning, as the C program
/// leaves it.
fn written_over(old: &Name, new: &Name) -> Name {
    let mut field = *old.raw();
    let bytes = new.as_bytes();
    for (place, byte) in field.iter_mut().zip(bytes.iter().chain(&[0])) {
        *place = *byte;
    }
    Name::from_raw(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_written_as_c_does() {
        let long: Name = "n".repeat(48).parse().unwrap();
        let short: Name = "ab".parse().unwrap();
        assert_eq!(written_over(&short, &long), long);
        let over = written_over(&"hostname".parse().unwrap(), &short);
        assert_eq!(over, short);
        assert_eq!(&over.raw()[..9], b"ab\0tname\0");
    }
}
