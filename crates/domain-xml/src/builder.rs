//! Puts a domain together from its document.

use std::ops::Range;

use crate::document::{Document, Element, Fault, Piece};
use crate::domain::{Disk, Domain, DomainLease, OnLockFailure, Source};

/// Where in a domain's XML an element stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Status,
    Domain,
    Devices,
    Disk,
    Lease,
    Text(Field),
    Other,
}

/// Elements whose text matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Name,
    Uuid,
    OnLockFailure,
    Key,
    Lockspace,
}

/// More disks and leases than any domain has.
const MAX_DEVICES: usize = 4096;

/// Puts a domain together.
#[derive(Default)]
pub(crate) struct Builder {
    domain: Domain,
    /// The elements around what is read.
    around: Vec<Place>,
    /// Of several elements of one kind the first one counts.
    seen: Vec<Field>,
    has_domain: bool,
    text: String,
    disk: OpenDisk,
    lease: OpenLease,
}

#[derive(Default)]
struct OpenDisk {
    disk: Disk,
    kind: Option<Kind>,
    has_source: bool,
    has_target: bool,
}

#[derive(Default)]
struct OpenLease {
    key: String,
    lockspace: String,
    has_target: bool,
    path: Option<String>,
    offset: u64,
    place: Range<usize>,
}

/// `<disk type=…>`.
#[derive(Clone, Copy)]
enum Kind {
    File,
    Block,
    Dir,
    Volume,
    Remote,
}

impl Builder {
    pub(crate) fn read(text: &str) -> Result<Domain, Fault> {
        let mut document = Document::new(text);
        let mut builder = Self::default();
        let mut end = 0..0;
        while let Some(piece) = document.next()? {
            match piece {
                Piece::Start(element) => {
                    end = element.place.clone();
                    let place = builder.start(&element)?;
                    builder.around.push(place);
                }
                Piece::Text(text) => {
                    // Also that of elements within.
                    let is_wanted = |place: &Place| matches!(place, Place::Text(_));
                    if builder.around.iter().any(is_wanted) {
                        builder.text.push_str(&text);
                    }
                }
                Piece::End => {
                    if let Some(place) = builder.around.pop() {
                        builder.end(place, &end)?;
                    }
                }
            }
        }
        if !builder.has_domain {
            return Err(Fault::new(0..1, "there is no <domain> in this <domstatus>"));
        }
        if builder.domain.name.is_empty() {
            return Err(Fault::new(0..1, "the domain has no <name>"));
        }
        Ok(builder.domain)
    }

    fn start(&mut self, element: &Element) -> Result<Place, Fault> {
        let name = element.name.as_deref().unwrap_or_default();
        let place = match (self.around.last(), name) {
            (None, "domain") | (Some(Place::Status), "domain") if !self.has_domain => {
                self.has_domain = true;
                Place::Domain
            }
            (None, "domstatus") => Place::Status,
            (None, _) => {
                return Err(Fault::new(
                    element.place.clone(),
                    "this is no domain: its outermost element is neither <domain> nor <domstatus>",
                )
                .help("`virsh dumpxml NAME` prints the XML of a domain"));
            }
            (Some(Place::Domain), "name") => self.field(Field::Name),
            (Some(Place::Domain), "uuid") => self.field(Field::Uuid),
            (Some(Place::Domain), "on_lockfailure") => self.field(Field::OnLockFailure),
            (Some(Place::Domain), "devices") => Place::Devices,
            (Some(Place::Devices), "disk") => {
                self.disk = open_disk(element)?;
                Place::Disk
            }
            (Some(Place::Devices), "lease") => {
                self.seen
                    .retain(|field| !matches!(field, Field::Key | Field::Lockspace));
                self.lease = OpenLease {
                    place: element.place.clone(),
                    ..OpenLease::default()
                };
                Place::Lease
            }
            (Some(Place::Disk), _) => {
                self.disk.part(name, element);
                Place::Other
            }
            (Some(Place::Lease), "key") => self.field(Field::Key),
            (Some(Place::Lease), "lockspace") => self.field(Field::Lockspace),
            (Some(Place::Lease), "target") if !self.lease.has_target => {
                self.lease.has_target = true;
                self.lease.path = element.attribute("path").map(str::to_owned);
                if let Some(offset) = element.attribute("offset") {
                    self.lease.offset = number(offset).ok_or_else(|| {
                        Fault::new(
                            element.place.clone(),
                            "the offset of a lease is a number of bytes",
                        )
                    })?;
                }
                Place::Other
            }
            _ => Place::Other,
        };
        Ok(place)
    }

    /// A text that is wanted, unless there was one already.
    fn field(&mut self, field: Field) -> Place {
        if self.seen.contains(&field) {
            return Place::Other;
        }
        self.seen.push(field);
        self.text.clear();
        Place::Text(field)
    }

    /// The end of an element; `inner` is the last that began.
    fn end(&mut self, place: Place, inner: &Range<usize>) -> Result<(), Fault> {
        let devices = self.domain.disks.len() + self.domain.leases.len();
        match place {
            Place::Text(field) => {
                let text = std::mem::take(&mut self.text);
                match field {
                    Field::Name => self.domain.name = text,
                    Field::Uuid => self.domain.uuid = Some(text),
                    Field::Key => self.lease.key = text,
                    Field::Lockspace => self.lease.lockspace = text,
                    Field::OnLockFailure if text.is_empty() => {}
                    Field::OnLockFailure => {
                        self.domain.on_lock_failure =
                            OnLockFailure::named(&text).ok_or_else(|| {
                                Fault::new(
                                    inner.clone(),
                                    "libvirt does not know this action of <on_lockfailure>",
                                )
                                .help("write poweroff or pause")
                            })?;
                    }
                }
            }
            Place::Disk | Place::Lease if devices >= MAX_DEVICES => {
                let message = format!("the domain has more than {MAX_DEVICES} disks and leases");
                return Err(Fault::new(inner.clone(), message));
            }
            Place::Disk => {
                let disk = std::mem::take(&mut self.disk).disk;
                self.insert(disk);
            }
            Place::Lease => {
                let lease = std::mem::take(&mut self.lease).closed()?;
                self.domain.leases.push(lease);
            }
            Place::Status | Place::Domain | Place::Devices | Place::Other => {}
        }
        Ok(())
    }

    /// As libvirt does: before the first disk of its bus that has a later target, else behind the last of its bus, else
    /// at the end.
    fn insert(&mut self, disk: Disk) {
        let disks = &mut self.domain.disks;
        let mut at = None;
        for (index, other) in disks.iter().enumerate().rev() {
            if other.bus != disk.bus {
                continue;
            }
            let both_named = other.target.is_some() && disk.target.is_some();
            if both_named && other.index() > disk.index() {
                at = Some(index);
            } else if at.is_none() {
                at = Some(index + 1);
            }
        }
        disks.insert(at.unwrap_or(disks.len()), disk);
    }
}

fn open_disk(element: &Element) -> Result<OpenDisk, Fault> {
    let unknown = |what: &str, value: &str| {
        let message = format!(
            "libvirt does not know the {what} of this disk, '{}'",
            value.escape_debug()
        );
        Fault::new(element.place.clone(), message)
    };
    let kind = match element.attribute("type") {
        None | Some("file") => Kind::File,
        Some("block") => Kind::Block,
        Some("dir") => Kind::Dir,
        Some("volume") => Kind::Volume,
        Some("network" | "nvme" | "vhostuser") => Kind::Remote,
        Some(other) => return Err(unknown("type", other)),
    };
    let readonly = match element.attribute("device") {
        None | Some("disk" | "floppy" | "lun") => false,
        Some("cdrom") => true,
        Some(other) => return Err(unknown("device", other)),
    };
    Ok(OpenDisk {
        disk: Disk {
            readonly,
            ..Disk::default()
        },
        kind: Some(kind),
        ..OpenDisk::default()
    })
}

impl OpenDisk {
    /// An element in it.
    fn part(&mut self, name: &str, element: &Element) {
        let attribute = |name: &str| element.attribute(name).map(str::to_owned);
        match name {
            "source" if !self.has_source => {
                self.has_source = true;
                let local = |name: &str| match attribute(name) {
                    Some(path) if !path.is_empty() => Source::Local(path),
                    _ => Source::Empty,
                };
                self.disk.source = match self.kind {
                    Some(Kind::File) => local("file"),
                    Some(Kind::Block) => local("dev"),
                    Some(Kind::Dir) => local("dir"),
                    Some(Kind::Volume) => match (attribute("pool"), attribute("volume")) {
                        (Some(pool), Some(volume)) => Source::Volume { pool, volume },
                        _ => Source::Empty,
                    },
                    Some(Kind::Remote) | None => Source::Remote,
                };
            }
            "target" if !self.has_target => {
                self.has_target = true;
                self.disk.target = attribute("dev");
                self.disk.bus = attribute("bus");
            }
            "readonly" => self.disk.readonly = true,
            "shareable" => self.disk.shareable = true,
            _ => {}
        }
    }
}

impl OpenLease {
    fn closed(self) -> Result<DomainLease, Fault> {
        let missing = |what| Fault::new(self.place.clone(), format!("this lease has no {what}"));
        if self.key.is_empty() {
            return Err(missing("<key>"));
        }
        if self.lockspace.is_empty() {
            return Err(missing("<lockspace>"));
        }
        if !self.has_target {
            return Err(missing("<target>"));
        }
        let path = self.path.ok_or_else(|| missing("path in its <target>"))?;
        Ok(DomainLease {
            key: self.key,
            lockspace: self.lockspace,
            path,
            offset: self.offset,
        })
    }
}

/// As libvirt reads numbers: after blanks and a plus.
fn number(text: &str) -> Option<u64> {
    let text = text.trim_start_matches([' ', '\t', '\n', '\r', '\u{b}', '\u{c}']);
    let digits = text.strip_prefix('+').unwrap_or(text);
    if digits.starts_with('+') {
        return None;
    }
    digits.parse().ok()
}
