//! A guest: a virtual machine without an operating system, that has disks.

/// Where images are.
const IMAGES: &str = "/var/lib/libvirt/images";

/// A disk of a guest.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    /// The image, or the device.
    pub(crate) source: String,
    pub(crate) target: String,
    pub(crate) shareable: bool,
    pub(crate) readonly: bool,
    /// The image's format, as libvirt and QEMU call it.
    pub(crate) format: &'static str,
}

impl Disk {
    /// An image of this name.
    pub(crate) fn image(name: &str, target: &str) -> Disk {
        Disk {
            source: format!("{IMAGES}/{name}.img"),
            target: target.to_owned(),
            shareable: false,
            readonly: false,
            format: "raw",
        }
    }

    /// A device.
    pub(crate) fn device(path: &str, target: &str) -> Disk {
        Disk {
            source: path.to_owned(),
            ..Disk::image("", target)
        }
    }

    /// With room for snapshots.
    pub(crate) fn qcow2(self) -> Disk {
        Disk {
            format: "qcow2",
            ..self
        }
    }

    pub(crate) fn shareable(self) -> Disk {
        Disk {
            shareable: true,
            ..self
        }
    }

    pub(crate) fn readonly(self) -> Disk {
        Disk {
            readonly: true,
            ..self
        }
    }

    pub(crate) fn is_device(&self) -> bool {
        self.source.starts_with("/dev/")
    }

    /// As libvirt describes it. Disks of a SCSI bus can be unplugged without a guest's help.
    pub(crate) fn xml(&self) -> String {
        let (kind, attribute) = if self.is_device() {
            ("block", "dev")
        } else {
            ("file", "file")
        };
        let flag = |set: bool, xml: &'static str| if set { xml } else { "" };
        format!(
            "<disk type='{kind}' device='disk'>\
             <driver name='qemu' type='{}' cache='none'/>\
             <source {attribute}='{}'/><target dev='{}' bus='scsi'/>{}{}</disk>\n",
            self.format,
            self.source,
            self.target,
            flag(self.shareable, "<shareable/>"),
            flag(self.readonly, "<readonly/>"),
        )
    }
}

/// A lease that a guest's description names by itself.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    pub(crate) space: &'static str,
    pub(crate) key: &'static str,
    pub(crate) path: String,
    pub(crate) offset: u64,
}

/// A guest's description.
#[derive(Clone, Debug)]
pub(crate) struct Guest {
    pub(crate) name: &'static str,
    pub(crate) disks: Vec<Disk>,
    leases: Vec<Lease>,
    on_lockfailure: Option<&'static str>,
}

impl Guest {
    pub(crate) fn new(name: &'static str) -> Guest {
        Guest {
            name,
            disks: Vec::new(),
            leases: Vec::new(),
            on_lockfailure: None,
        }
    }

    pub(crate) fn disk(mut self, disk: Disk) -> Guest {
        self.disks.push(disk);
        self
    }

    /// One disk, with this image.
    pub(crate) fn image(self, name: &str) -> Guest {
        self.disk(Disk::image(name, "sda"))
    }

    pub(crate) fn lease(mut self, lease: Lease) -> Guest {
        self.leases.push(lease);
        self
    }

    /// What is to be done when its leases are lost.
    pub(crate) fn on_lockfailure(self, action: &'static str) -> Guest {
        Guest {
            on_lockfailure: Some(action),
            ..self
        }
    }

    /// As libvirt describes it. The same name is the same guest on every host.
    pub(crate) fn xml(&self) -> String {
        let number = self.name.bytes().fold(0_u32, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(u32::from(byte))
        });
        let lockfailure = self
            .on_lockfailure
            .map(|action| format!("<on_lockfailure>{action}</on_lockfailure>\n"))
            .unwrap_or_default();
        let disks: String = self.disks.iter().map(Disk::xml).collect();
        let leases: String = self
            .leases
            .iter()
            .map(|lease| {
                format!(
                    "<lease><lockspace>{}</lockspace><key>{}</key>\
                     <target path='{}' offset='{}'/></lease>\n",
                    lease.space, lease.key, lease.path, lease.offset
                )
            })
            .collect();
        format!(
            "<domain type='qemu'>\n<name>{}</name>\n\
             <uuid>00000000-0000-4000-9000-{number:012x}</uuid>\n\
             <memory unit='MiB'>64</memory>\n<vcpu>1</vcpu>\n\
             <os><type arch='x86_64' machine='pc'>hvm</type></os>\n{lockfailure}\
             <devices>\n<emulator>/run/lab/emulator</emulator>\n\
             <controller type='scsi' index='0' model='virtio-scsi'/>\n\
             <controller type='usb' model='none'/><memballoon model='none'/>\n\
             {disks}{leases}</devices>\n</domain>\n",
            self.name
        )
    }
}
