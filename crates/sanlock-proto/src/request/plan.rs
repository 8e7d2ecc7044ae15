//! How much has to be read for a request.

use crate::MAX_CLIENT_MSG;
use crate::body::{Disk, HostEvent, Lockspace, Options, ResourceHead, Rindex, RindexEntry};
use crate::command::Command;
use crate::flags::ReleaseFlags;
use crate::header::Header;
use crate::name::HelperText;

/// How much of a body has to be there, see [`body_plan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyPlan {
    /// The body has exactly so many bytes.
    Complete(usize),
    /// So many bytes are needed to say more.
    AtLeast(usize),
    /// The request cannot be honoured.
    Reject {
        /// What to answer.
        result: i32,
        /// Bytes of the body that have been looked at and belong to the request.
        consumed: usize,
        /// Bytes that, by the header's length, still follow. Never trust them to come.
        announced_rest: usize,
    },
}

/// Most resources in one release: what fits into [`MAX_CLIENT_MSG`].
pub const MAX_RELEASE: usize = MAX_CLIENT_MSG / ResourceHead::LEN;

/// Largest lock value block (the largest sector).
pub const MAX_LVB: usize = 4096;

const E2BIG: i32 = -7;
const ENOMEM: i32 = -12;
const EINVAL: i32 = -22;
const ERANGE: i32 = -34;

/// How many body bytes belong to a request, given its header and the body bytes there are so far.
///
/// The daemon reads what the command needs, whatever the header's length says; only `set_lvb` counts on
/// it. Call it again when `AtLeast(n)` bytes have come: n only grows, and is never more than
/// [`MAX_CLIENT_MSG`]. Nothing here looks at the target of a command; a server looks for that first.
pub fn body_plan(command: Command, header: &Header, so_far: &[u8]) -> BodyPlan {
    let reject = |result, consumed| BodyPlan::Reject {
        result,
        consumed,
        announced_rest: header.announced_body().saturating_sub(consumed),
    };
    match command {
        Command::Acquire => acquire_plan(header, so_far),
        Command::Release => release_plan(header),
        Command::Request
        | Command::WriteResource
        | Command::ReadResource
        | Command::ReadResourceOwners => match ResourceHead::decode(so_far) {
            Err(_) => BodyPlan::AtLeast(ResourceHead::LEN),
            Ok(head) => match head.checked_disks() {
                Ok(count) => BodyPlan::Complete(resource_len(count)),
                Err(_) => reject(ERANGE, ResourceHead::LEN),
            },
        },
        Command::SetLvb => {
            let lvb_len = i64::from(header.length as i32)
                .saturating_sub((Header::LEN + ResourceHead::LEN) as i64);
            match (so_far.len(), lvb_len) {
                (..ResourceHead::LEN, _) => BodyPlan::AtLeast(ResourceHead::LEN),
                // What the C daemon makes of it: a negative length cannot be allocated.
                (_, i64::MIN..0) => reject(ENOMEM, ResourceHead::LEN),
                // The C daemon never answers this one.
                (_, 0) => reject(EINVAL, ResourceHead::LEN),
                (_, len) => match usize::try_from(len) {
                    Ok(len) if len <= MAX_LVB => BodyPlan::Complete(len + ResourceHead::LEN),
                    _ => reject(E2BIG, ResourceHead::LEN),
                },
            }
        }
        Command::NewerCommand(_) => BodyPlan::Reject {
            result: EOPNOTSUPP,
            consumed: 0,
            announced_rest: header.announced_body(),
        },
        fixed => BodyPlan::Complete(fixed_body_len(fixed)),
    }
}

/// Answer to a command of a newer sanlock: -95 (EOPNOTSUPP).
pub const EOPNOTSUPP: i32 = -95;

fn resource_len(disks: usize) -> usize {
    disks
        .saturating_mul(Disk::LEN)
        .saturating_add(ResourceHead::LEN)
}

/// Body length of the commands whose body is always the same.
fn fixed_body_len(command: Command) -> usize {
    match command {
        Command::AddLockspace
        | Command::RemLockspace
        | Command::InqLockspace
        | Command::ExamineLockspace
        | Command::HostStatus
        | Command::Renewal
        | Command::GetHosts
        | Command::EndEvent
        | Command::SetConfig
        | Command::WriteLockspace
        | Command::ReadLockspace => Lockspace::LEN,
        Command::RegEvent | Command::SetEvent => Lockspace::LEN + HostEvent::LEN,
        Command::Align => Disk::LEN,
        Command::ExamineResource | Command::GetLvb | Command::Convert => ResourceHead::LEN,
        Command::Killpath => 2 * HelperText::LEN,
        Command::FormatRindex | Command::RebuildRindex => Rindex::LEN,
        Command::UpdateRindex
        | Command::LookupRindex
        | Command::CreateResource
        | Command::DeleteResource => Rindex::LEN + RindexEntry::LEN,
        _ => 0,
    }
}

fn acquire_plan(header: &Header, so_far: &[u8]) -> BodyPlan {
    let rejected = |result, consumed: usize| BodyPlan::Reject {
        result,
        consumed,
        announced_rest: header.announced_body().saturating_sub(consumed),
    };
    // A negative count is no resource to the C daemon.
    let count = usize::try_from(header.data as i32).unwrap_or(0);
    if count > crate::MAX_RESOURCES {
        return rejected(E2BIG, 0);
    }
    let mut end = 0usize;
    for _ in 0..count {
        let head_end = end.saturating_add(ResourceHead::LEN);
        let Ok(head) = ResourceHead::decode(so_far.get(end..).unwrap_or_default()) else {
            return BodyPlan::AtLeast(head_end);
        };
        match head.checked_disks() {
            Ok(disks) => end = end.saturating_add(resource_len(disks)),
            Err(_) => return rejected(ERANGE, head_end),
        }
    }
    BodyPlan::Complete(end.saturating_add(Options::LEN))
}

fn release_plan(header: &Header) -> BodyPlan {
    let flags = ReleaseFlags::from_bits(header.flags);
    let needed = if flags.contains(ReleaseFlags::ALL) {
        0
    } else if flags.contains(ReleaseFlags::ORPHAN) {
        1
    } else if flags.contains(ReleaseFlags::RENAME) {
        2
    } else {
        match usize::try_from(header.data) {
            Ok(count) if count <= MAX_RELEASE => {
                return BodyPlan::Complete(count * ResourceHead::LEN);
            }
            _ => {
                return BodyPlan::Reject {
                    result: E2BIG,
                    consumed: 0,
                    announced_rest: header.announced_body(),
                };
            }
        }
    };
    // libsanlock sends every resource it is given, also those that the flag makes superfluous.
    let sent = header.announced_body();
    let consistent = u64::from(header.data).saturating_mul(ResourceHead::LEN as u64) == sent as u64
        && sent <= MAX_CLIENT_MSG;
    let needed = needed * ResourceHead::LEN;
    BodyPlan::Complete(if consistent { needed.max(sent) } else { needed })
}
