//! The structs that follow the header. Each knows its size, decodes from exactly as many bytes and never
//! trusts a count; padding is sent as zeros and not looked at.

use crate::error::DecodeError;
use crate::flags::{HostState, LockspaceFlags, ResourceFlags, RindexFlags};
use crate::header::{Header, MAGIC};
use crate::name::{DiskPath, Name};
use crate::wire::{Put, Reader};

/// A place on a disk (`struct sanlk_disk`, 1040 bytes: path 1024, offset at 1024, two pad words).
///
/// The C daemon sends its sector size and file descriptor in the pad words; they mean nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    /// Path of a file or block device.
    pub path: DiskPath,
    /// Bytes from the start of the file or device.
    pub offset: u64,
}

impl Disk {
    /// Bytes on the wire.
    pub const LEN: usize = 1040;

    /// Reads a disk from the first 1040 bytes.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn decode(bytes: &[u8]) -> Result<Disk, DecodeError> {
        Disk::read(&mut Reader::new("disk", bytes))
    }

    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Disk, DecodeError> {
        let path = DiskPath::from_raw(&r.array()?);
        let offset = r.u64()?;
        r.skip(8)?;
        Ok(Disk { path, offset })
    }

    /// Appends the 1040 bytes to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let path = self.path.as_bytes();
        out.put(path);
        out.pad(DiskPath::LEN.saturating_sub(path.len()));
        out.put_u64(self.offset);
        out.pad(8);
    }
}

/// A lockspace (`struct sanlk_lockspace`, 1104 bytes: name 48, host_id at 48, flags at 56, four bytes of
/// padding, disk at 64).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lockspace {
    /// Its name.
    pub name: Name,
    /// The host id in it, 1 to 2000; 0 where it does not matter.
    pub host_id: u64,
    /// `SANLK_LSF_*`.
    pub flags: LockspaceFlags,
    /// Where its delta leases are.
    pub disk: Disk,
}

impl Lockspace {
    /// Bytes on the wire.
    pub const LEN: usize = 1104;

    /// A lockspace of which only the name matters.
    pub fn named(name: Name) -> Lockspace {
        Lockspace {
            name,
            ..Lockspace::default()
        }
    }

    /// Reads a lockspace from the first 1104 bytes.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn decode(bytes: &[u8]) -> Result<Lockspace, DecodeError> {
        Lockspace::read(&mut Reader::new("lockspace", bytes))
    }

    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Lockspace, DecodeError> {
        let name = Name::from_raw(r.array()?);
        let host_id = r.u64()?;
        let flags = LockspaceFlags::from_bits(r.u32()?);
        r.skip(4)?;
        Ok(Lockspace {
            name,
            host_id,
            flags,
            disk: Disk::read(r)?,
        })
    }

    /// Appends the 1104 bytes to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put(self.name.raw());
        out.put_u64(self.host_id);
        out.put_u32(self.flags.bits());
        out.pad(4);
        self.disk.encode(out);
    }
}

/// A resource without its disks (`struct sanlk_resource`, 128 bytes: lockspace name 48, name 48, lver at
/// 96, data64 at 104, data32 at 112, unused, flags at 120, num_disks at 124).
///
/// Release, convert, examine and the lvb commands send it alone, whatever `num_disks` says; so do the
/// replies of the read commands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResourceHead {
    /// The lockspace it belongs to.
    pub lockspace: Name,
    /// Its name.
    pub name: Name,
    /// Lease version; counts with [`ResourceFlags::LVER`].
    pub lver: u64,
    /// Number whose meaning depends on the command.
    pub data64: u64,
    /// Number whose meaning depends on the command; num_hosts with [`ResourceFlags::NUM_HOSTS`].
    pub data32: u32,
    /// `SANLK_RES_*`.
    pub flags: ResourceFlags,
    /// How many disks the sender says there are; not checked.
    pub num_disks: u32,
}

impl ResourceHead {
    /// Bytes on the wire.
    pub const LEN: usize = 128;

    /// Reads a resource from the first 128 bytes.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn decode(bytes: &[u8]) -> Result<ResourceHead, DecodeError> {
        ResourceHead::read(&mut Reader::new("resource", bytes))
    }

    pub(crate) fn read(r: &mut Reader<'_>) -> Result<ResourceHead, DecodeError> {
        let lockspace = Name::from_raw(r.array()?);
        let name = Name::from_raw(r.array()?);
        let lver = r.u64()?;
        let data64 = r.u64()?;
        let data32 = r.u32()?;
        r.skip(4)?;
        let flags = ResourceFlags::from_bits(r.u32()?);
        Ok(ResourceHead {
            lockspace,
            name,
            lver,
            data64,
            data32,
            flags,
            num_disks: r.u32()?,
        })
    }

    /// Appends the 128 bytes to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put(self.lockspace.raw());
        out.put(self.name.raw());
        out.put_u64(self.lver);
        out.put_u64(self.data64);
        out.put_u32(self.data32);
        out.pad(4);
        out.put_u32(self.flags.bits());
        out.put_u32(self.num_disks);
    }

    /// The number of disks, if it is one to four as every command with disks demands.
    ///
    /// # Errors
    /// [`DecodeError::TooMany`] (-34, ERANGE) for 0 and for more than four.
    pub fn checked_disks(&self) -> Result<usize, DecodeError> {
        usize::try_from(self.num_disks)
            .ok()
            .filter(|count| (1..=crate::MAX_DISKS).contains(count))
            .ok_or(DecodeError::TooMany {
                what: "number of disks of a resource",
                value: self.num_disks.into(),
                limit: crate::MAX_DISKS as u64,
            })
    }
}

/// A resource with its disks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resource {
    /// The lockspace it belongs to.
    pub lockspace: Name,
    /// Its name.
    pub name: Name,
    /// Lease version; counts with [`ResourceFlags::LVER`].
    pub lver: u64,
    /// Number whose meaning depends on the command.
    pub data64: u64,
    /// Number whose meaning depends on the command; num_hosts with [`ResourceFlags::NUM_HOSTS`].
    pub data32: u32,
    /// `SANLK_RES_*`.
    pub flags: ResourceFlags,
    /// Where its lease is: one to four places in what the daemon accepts.
    pub disks: Vec<Disk>,
}

impl Resource {
    /// The resource without its disks, as some commands send it.
    pub fn head(&self) -> ResourceHead {
        ResourceHead {
            lockspace: self.lockspace,
            name: self.name,
            lver: self.lver,
            data64: self.data64,
            data32: self.data32,
            flags: self.flags,
            num_disks: u32::try_from(self.disks.len()).unwrap_or(u32::MAX),
        }
    }

    /// A resource from its two halves; the count in the head is not looked at.
    pub fn from_head(head: ResourceHead, disks: Vec<Disk>) -> Resource {
        Resource {
            lockspace: head.lockspace,
            name: head.name,
            lver: head.lver,
            data64: head.data64,
            data32: head.data32,
            flags: head.flags,
            disks,
        }
    }

    /// Bytes on the wire.
    pub fn encoded_len(&self) -> usize {
        self.disks
            .len()
            .saturating_mul(Disk::LEN)
            .saturating_add(ResourceHead::LEN)
    }

    /// Reads a resource of one to four disks from the front of `bytes`.
    ///
    /// # Errors
    /// [`DecodeError::Short`]; [`DecodeError::TooMany`] for 0 or more than four disks.
    pub fn decode(bytes: &[u8]) -> Result<Resource, DecodeError> {
        Resource::read(&mut Reader::new("resource", bytes))
    }

    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Resource, DecodeError> {
        let head = ResourceHead::read(r)?;
        let count = head.checked_disks()?;
        let mut disks = Vec::with_capacity(count);
        for _ in 0..count {
            disks.push(Disk::read(r)?);
        }
        Ok(Resource::from_head(head, disks))
    }

    /// Appends head and disks to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.head().encode(out);
        for disk in &self.disks {
            disk.encode(out);
        }
    }
}

/// What acquire says about the acquirer (`struct sanlk_options`, 56 bytes: owner name 48, flags, len).
/// The string that `len` announces is not sent by libsanlock and not read by the daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Name for people, shown by status; empty leaves the client without one.
    pub owner_name: Name,
    /// Unused.
    pub flags: u32,
    /// Unused.
    pub len: u32,
}

impl Options {
    /// Bytes on the wire.
    pub const LEN: usize = 56;

    /// Reads options from the first 56 bytes.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn decode(bytes: &[u8]) -> Result<Options, DecodeError> {
        Options::read(&mut Reader::new("acquire options", bytes))
    }

    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Options, DecodeError> {
        Ok(Options {
            owner_name: Name::from_raw(r.array()?),
            flags: r.u32()?,
            len: r.u32()?,
        })
    }

    /// Appends the 56 bytes to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put(self.owner_name.raw());
        out.put_u32(self.flags);
        out.put_u32(self.len);
    }
}

/// A host of a lockspace, or an owner of a resource (`struct sanlk_host`, 32 bytes).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostEntry {
    /// Its host id.
    pub host_id: u64,
    /// Its generation.
    pub generation: u64,
    /// Timestamp of its lease: seconds of that host's monotonic clock, 0 if free.
    pub timestamp: u64,
    /// Its io timeout in seconds.
    pub io_timeout: u32,
    /// [`HostState`] in the low four bits.
    pub flags: u32,
}

impl HostEntry {
    /// Bytes on the wire.
    pub const LEN: usize = 32;

    /// The state in the flags.
    pub fn state(&self) -> Option<HostState> {
        HostState::from_flags(self.flags)
    }

    /// Reads a host from the first 32 bytes.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn decode(bytes: &[u8]) -> Result<HostEntry, DecodeError> {
        HostEntry::read(&mut Reader::new("host", bytes))
    }

    pub(crate) fn read(r: &mut Reader<'_>) -> Result<HostEntry, DecodeError> {
        Ok(HostEntry {
            host_id: r.u64()?,
            generation: r.u64()?,
            timestamp: r.u64()?,
            io_timeout: r.u32()?,
            flags: r.u32()?,
        })
    }

    /// Appends the 32 bytes to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_u64(self.host_id);
        out.put_u64(self.generation);
        out.put_u64(self.timestamp);
        out.put_u32(self.io_timeout);
        out.put_u32(self.flags);
    }
}

/// An event between hosts (`struct sanlk_host_event`, 32 bytes).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostEvent {
    /// The host it is for.
    pub host_id: u64,
    /// The generation it is for, or 0.
    pub generation: u64,
    /// What has happened, in numbers agreed between the programs that use it.
    pub event: u64,
    /// More about it.
    pub data: u64,
}

impl HostEvent {
    /// Bytes on the wire.
    pub const LEN: usize = 32;

    /// Reads an event from the first 32 bytes.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn decode(bytes: &[u8]) -> Result<HostEvent, DecodeError> {
        HostEvent::read(&mut Reader::new("host event", bytes))
    }

    pub(crate) fn read(r: &mut Reader<'_>) -> Result<HostEvent, DecodeError> {
        Ok(HostEvent {
            host_id: r.u64()?,
            generation: r.u64()?,
            event: r.u64()?,
            data: r.u64()?,
        })
    }

    /// Appends the 32 bytes to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        for word in [self.host_id, self.generation, self.event, self.data] {
            out.put_u64(word);
        }
    }
}

/// What the daemon sends on a connection that was registered for events (`struct event_cb`, 80 bytes:
/// a header of its own with cmd 1, the event, the sender's host id and generation).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventCallback {
    /// The event.
    pub event: HostEvent,
    /// The host it came from.
    pub from_host_id: u64,
    /// That host's generation.
    pub from_generation: u64,
}

impl EventCallback {
    /// Bytes on the wire.
    pub const LEN: usize = 80;

    /// Command number in its header (`SM_CB_GET_EVENT`).
    pub const COMMAND: u32 = 1;

    /// Version in its header (`SM_CB_PROTO`).
    pub const PROTO: u32 = 1;

    /// Reads a callback from the first 80 bytes. The header in it is not looked at: libsanlock does
    /// not either.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn decode(bytes: &[u8]) -> Result<EventCallback, DecodeError> {
        let mut r = Reader::new("event callback", bytes);
        r.skip(Header::LEN)?;
        Ok(EventCallback {
            event: HostEvent::read(&mut r)?,
            from_host_id: r.u64()?,
            from_generation: r.u64()?,
        })
    }

    /// Appends the 80 bytes to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let header = Header {
            magic: MAGIC,
            version: EventCallback::PROTO,
            command: EventCallback::COMMAND,
            length: EventCallback::LEN as u32,
            ..Header::default()
        };
        header.encode(out);
        self.event.encode(out);
        out.put_u64(self.from_host_id);
        out.put_u64(self.from_generation);
    }
}

/// A resource index (`struct sanlk_rindex`, 1104 bytes: flags, max_resources, unused 8, lockspace name at
/// 16, disk at 64).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rindex {
    /// `SANLK_RIF_*`.
    pub flags: RindexFlags,
    /// Most resources the index may hold; 0 for the most that fit.
    pub max_resources: u32,
    /// The lockspace it belongs to.
    pub lockspace: Name,
    /// Where it is.
    pub disk: Disk,
}

impl Rindex {
    /// Bytes on the wire.
    pub const LEN: usize = 1104;

    /// Reads an index from the first 1104 bytes.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn decode(bytes: &[u8]) -> Result<Rindex, DecodeError> {
        Rindex::read(&mut Reader::new("resource index", bytes))
    }

    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Rindex, DecodeError> {
        let flags = RindexFlags::from_bits(r.u32()?);
        let max_resources = r.u32()?;
        r.skip(8)?;
        let lockspace = Name::from_raw(r.array()?);
        Ok(Rindex {
            flags,
            max_resources,
            lockspace,
            disk: Disk::read(r)?,
        })
    }

    /// Appends the 1104 bytes to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_u32(self.flags.bits());
        out.put_u32(self.max_resources);
        out.pad(8);
        out.put(self.lockspace.raw());
        self.disk.encode(out);
    }
}

/// An entry of a resource index (`struct sanlk_rentry`, 64 bytes: name 48, offset, flags, unused).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RindexEntry {
    /// The resource's name.
    pub name: Name,
    /// Where its lease is, in bytes from the start of the disk.
    pub offset: u64,
    /// Unused.
    pub flags: u32,
}

impl RindexEntry {
    /// Bytes on the wire.
    pub const LEN: usize = 64;

    /// Reads an entry from the first 64 bytes.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn decode(bytes: &[u8]) -> Result<RindexEntry, DecodeError> {
        RindexEntry::read(&mut Reader::new("resource index entry", bytes))
    }

    pub(crate) fn read(r: &mut Reader<'_>) -> Result<RindexEntry, DecodeError> {
        let name = Name::from_raw(r.array()?);
        let offset = r.u64()?;
        let flags = r.u32()?;
        r.skip(4)?;
        Ok(RindexEntry {
            name,
            offset,
            flags,
        })
    }

    /// Appends the 64 bytes to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put(self.name.raw());
        out.put_u64(self.offset);
        out.put_u32(self.flags);
        out.pad(4);
    }
}
