//! Asking the owner of a lease to give it up.

use ondisk::{HostId, Lver, RequestRecord};
use storage::Buffer;

use super::{ResourceLease, leader};
use crate::{Context, Error};

/// What is asked of a lease's owner.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Request {
    /// The version that the asking host wants to acquire.
    pub lver: Option<Lver>,
    /// Without `lver`: the version after the present one.
    pub next_lver: bool,
    /// What shall happen: 1 the owner's process is killed, 2 its kill program runs first. 0 without
    /// `lver` takes a request back.
    pub force_mode: u32,
}

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requested {
    /// The owner to be notified; `None` if the lease is free, so that nothing was written, or was not
    /// looked at, because a request was taken back.
    pub owner: Option<HostId>,
    /// What was written.
    pub record: Option<RequestRecord>,
}

/// Writes a request for the lease's owner into the lease. The owner looks at it when it is notified.
///
/// # Errors
/// If the lease cannot be read or written, if it has the wanted version already, or if another host has
/// asked for a later one.
pub async fn request(
    ctx: &Context,
    lease: &ResourceLease,
    request: Request,
) -> Result<Requested, Error> {
    let mut lease = lease.clone();
    lease.settle(ctx).await?;
    let mut wanted = request.lver.unwrap_or_default();
    let takes_back = wanted == Lver(0) && request.force_mode == 0;
    let mut owner = None;
    if !takes_back {
        let leader = leader::read(ctx, &lease, HostId(0)).await?.leader;
        lease.geometry = leader.geometry().unwrap_or(lease.geometry);
        if !leader.is_owned() {
            return Ok(Requested {
                owner: None,
                record: None,
            });
        }
        owner = Some(leader.owner_id);
        if wanted == Lver(0) && request.next_lver {
            wanted = Lver(leader.lver.0.saturating_add(1));
        }
        if leader.lver >= wanted {
            let (lease, found) = (lease.boxed_name(), leader.lver);
            return Err(Error::RequestOld {
                lease,
                wanted,
                found,
            });
        }
    }
    let found = read_request(ctx, &lease).await?;
    if !takes_back && found.lver > wanted {
        let (lease, found) = (lease.boxed_name(), found.lver);
        return Err(Error::RequestLver {
            lease,
            wanted,
            found,
        });
    }
    let force_mode = request.force_mode;
    let record = RequestRecord {
        lver: wanted,
        force_mode,
        ..RequestRecord::new()
    };
    write_request(ctx, &lease, &record).await?;
    Ok(Requested {
        owner,
        record: Some(record),
    })
}

/// Reads what is asked of the lease's owner.
///
/// # Errors
/// If it cannot be read or is no request record.
pub async fn read_request(ctx: &Context, lease: &ResourceLease) -> Result<RequestRecord, Error> {
    let name = lease.lease_name();
    // Like the C program: on the first disk only.
    let Some(area) = lease.areas.first() else {
        return Err(Error::LeadersDiffer {
            lease: lease.boxed_name(),
        });
    };
    let offset = lease.geometry.request_offset();
    let sector = area
        .read(ctx, offset, lease.sector_len())
        .await
        .map_err(name.io(area, "read the request record"))?;
    let verified =
        RequestRecord::decode(&sector).and_then(|record| record.verify().map(|()| record));
    verified.map_err(|fault| Error::Request {
        at: name.at(area),
        fault,
    })
}

async fn write_request(
    ctx: &Context,
    lease: &ResourceLease,
    record: &RequestRecord,
) -> Result<(), Error> {
    let Some(area) = lease.areas.first() else {
        return Err(Error::LeadersDiffer {
            lease: lease.boxed_name(),
        });
    };
    let mut sector = Buffer::zeroed(lease.sector_len());
    record.encode(&mut sector);
    let written = area
        .write(ctx, lease.geometry.request_offset(), sector)
        .await;
    written.map_err(lease.lease_name().io(area, "write the request record"))
}

impl Requested {
    /// Whether a request record concerns the owner of version `ours`: it asks for a later one.
    #[must_use]
    pub fn concerns_owner(record: &RequestRecord, ours: Lver) -> bool {
        record.force_mode != 0 && record.lver != Lver(0) && record.lver > ours
    }
}
