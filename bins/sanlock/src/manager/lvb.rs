//! Lease value blocks: a little data that travels with a lease.

use paxos::resource::{self, Held};
use tracing::error;

use super::resources::{LeaseValue, Stage};
use super::spec::ResourceKey;
use super::{Code, Manager, errno};

impl Manager {
    /// Reads the value of a lease that was just taken. A lease without a good value has an empty one,
    /// as in the C program; one whose value would lie in another lease has none at all.
    pub(super) async fn read_value(
        &self,
        context: &paxos::Context,
        held: &Held,
        space_id: u32,
        id: u32,
    ) -> Option<LeaseValue> {
        if !held.lease.geometry.lvb_fits() {
            error!(
                space = space_id,
                resource = id,
                "no lease value block: with {} byte sectors and areas of {} MiB it would lie inside another \
                 lease",
                held.lease.geometry.sector.bytes(),
                held.lease.geometry.align.bytes() >> 20
            );
            return None;
        }
        let data = match resource::read_lvb(context, &held.lease).await {
            Ok(data) => data.to_vec(),
            Err(failed) => {
                error!(space = space_id, resource = id, "{failed}");
                vec![0; held.lease.geometry.sector.bytes()]
            }
        };
        Some(LeaseValue { data, dirty: false })
    }

    /// Sets a held lease's value; it is written when the lease is given back.
    ///
    /// # Errors
    /// -2 not held, -22 taken without a value, -7 longer than a sector.
    pub fn set_lvb(&self, key: &ResourceKey, value: &[u8]) -> Result<(), Code> {
        let mut state = self.state();
        let resource = state
            .resources
            .get_mut(key)
            .filter(|resource| resource.stage == Stage::Held)
            .ok_or(errno::NOENT)?;
        let current = resource.lvb.as_mut().ok_or(errno::INVAL)?;
        let place = current.data.get_mut(..value.len()).ok_or(errno::TOOBIG)?;
        place.copy_from_slice(value);
        current.dirty = true;
        Ok(())
    }

    /// A held lease's value, as last read or set: `length` bytes, or a sector for zero. Never more than
    /// there is.
    ///
    /// # Errors
    /// -2 not held, -22 taken without a value.
    pub fn get_lvb(&self, key: &ResourceKey, length: u32) -> Result<Vec<u8>, Code> {
        let state = self.state();
        let resource = state
            .resources
            .get(key)
            .filter(|resource| resource.stage == Stage::Held)
            .ok_or(errno::NOENT)?;
        let value = resource.lvb.as_ref().ok_or(errno::INVAL)?;
        let wanted = match usize::try_from(length) {
            Ok(0) | Err(_) => value.data.len(),
            Ok(wanted) => wanted.min(value.data.len()),
        };
        Ok(value.data.get(..wanted).unwrap_or_default().to_vec())
    }
}
