//! The name by which a host signs its delta leases.

use std::fmt;
use std::fs;
use std::path::Path;

use uuid::Uuid;

/// Longest name in a delta lease, in bytes.
const LONGEST: usize = 48;

const PRODUCT_UUID: &str = "/sys/devices/virtual/dmi/id/product_uuid";

/// A host's name in delta leases: 1 to 48 bytes.
///
/// Hosts must not share one. Without a configured name it is `UUID.NODE`, cut to 48 bytes, as
/// upstream makes it: the machine's product UUID (since 3.9), which is the same after a restart, so
/// that the host is recognised, or a random one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostName {
    bytes: Vec<u8>,
    source: HostNameSource,
}

/// Where a [`HostName`] comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostNameSource {
    /// `our_host_name` or `-e`.
    Configured,
    /// The machine's firmware.
    ProductUuid,
    /// Made up now; another one after the next start.
    Random,
}

impl HostName {
    /// The configured name, else the machine's, else a random one. An empty name counts as none, and
    /// more than 48 bytes are cut.
    #[must_use]
    pub fn choose(configured: Option<&[u8]>) -> Self {
        Self::choose_with(configured, Path::new(PRODUCT_UUID), &node_name())
    }

    fn choose_with(configured: Option<&[u8]>, product_uuid: &Path, node: &[u8]) -> Self {
        if let Some(name) = configured.filter(|name| !name.is_empty()) {
            return Self {
                bytes: name.iter().copied().take(LONGEST).collect(),
                source: HostNameSource::Configured,
            };
        }
        let (uuid, source) = match fs::read_to_string(product_uuid)
            .ok()
            .and_then(|text| usable(text.trim()))
        {
            Some(uuid) => (uuid, HostNameSource::ProductUuid),
            None => (Uuid::new_v4().to_string(), HostNameSource::Random),
        };
        let bytes = uuid.bytes().chain([b'.']).chain(node.iter().copied());
        Self {
            bytes: bytes.take(LONGEST).collect(),
            source,
        }
    }

    /// The name.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where it comes from.
    #[must_use]
    pub fn source(&self) -> HostNameSource {
        self.source
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.bytes))
    }
}

/// A product UUID as the firmware writes it, unless it is one that many machines have.
fn usable(text: &str) -> Option<String> {
    // What board makers leave in when they do not set one.
    const PLACEHOLDER: Uuid = Uuid::from_u128(0x0300_0200_0400_0500_0006_0007_0008_0009);
    let uuid = Uuid::try_parse(text).ok()?;
    let common = uuid.is_nil() || uuid.is_max() || uuid == PLACEHOLDER;
    (!common).then(|| text.to_owned())
}

fn node_name() -> Vec<u8> {
    use std::os::unix::ffi::OsStringExt;
    nix::unistd::gethostname().map_or_else(|_| Vec::new(), OsStringExt::into_vec)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "4C4C4544-0042-3510-8054-B4C04F4D3232";

    fn with_product_uuid(text: &str) -> HostName {
        let path = std::env::temp_dir().join(format!(
            "product_uuid-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        fs::write(&path, text).unwrap();
        let name = HostName::choose_with(None, &path, b"host.example.com");
        fs::remove_file(&path).unwrap();
        name
    }

    #[test]
    fn a_configured_name_wins() {
        let name = HostName::choose(Some(b"node1"));
        assert_eq!(
            (name.as_bytes(), name.source()),
            (&b"node1"[..], HostNameSource::Configured)
        );
        assert_eq!(HostName::choose(Some(&[b'n'; 60])).as_bytes(), [b'n'; 48]);
        assert_ne!(
            HostName::choose(Some(b"")).source(),
            HostNameSource::Configured
        );
    }

    #[test]
    fn the_machine_names_itself() {
        let name = with_product_uuid(&format!("{UUID}\n"));
        assert_eq!(name.source(), HostNameSource::ProductUuid);
        assert_eq!(name.to_string(), format!("{UUID}.host.exampl"));
        assert_eq!(name.as_bytes().len(), 48);
    }

    #[test]
    fn names_that_many_machines_have_are_not_used() {
        for text in [
            "",
            "Not Specified\n",
            "00000000-0000-0000-0000-000000000000\n",
            "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF\n",
            "03000200-0400-0500-0006-000700080009\n",
        ] {
            assert_eq!(
                with_product_uuid(text).source(),
                HostNameSource::Random,
                "{text}"
            );
        }
    }

    #[test]
    fn random_names_differ() {
        let nowhere = Path::new("/nonexistent");
        let one = HostName::choose_with(None, nowhere, b"n");
        let two = HostName::choose_with(None, nowhere, b"n");
        assert_ne!(one, two);
        assert_eq!(one.as_bytes().len(), 38);
        assert!(one.to_string().ends_with(".n"));
        assert_eq!(one.source(), HostNameSource::Random);
    }
}
