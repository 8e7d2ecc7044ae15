//! The remote program, as far as it takes to stop or pause a guest: what is said on `libvirt-sock` and on the
//! sockets of the daemons that serve one hypervisor.
//!
//! A client asks how it may prove who it is, does so, opens a hypervisor's driver by its URI and names guests by
//! their UUID.

use crate::packet::{Procedure, Program, STRING_MAX, Version};
use crate::text::{Chars, List, Text};
use crate::xdr::{Decoder, Encoder, Xdr, XdrError, xdr_structs};

/// The program's number.
pub const PROGRAM: Program = Program(0x2000_8086);
/// Its version.
pub const VERSION: Version = Version(1);

/// Most bytes of one step of SASL (`REMOTE_AUTH_SASL_DATA_MAX`).
pub const SASL_DATA_MAX: usize = 65_536;
/// Most ways to prove who one is (`REMOTE_AUTH_TYPE_LIST_MAX`).
pub const AUTH_TYPES_MAX: usize = 20;

/// A string of this program.
pub type RemoteText = Text<STRING_MAX>;
/// What SASL sends in one step.
pub type SaslData = Chars<SASL_DATA_MAX>;

/// [`OpenArgs`].
pub const CONNECT_OPEN: Procedure = Procedure(1);
/// Nothing either way.
pub const CONNECT_CLOSE: Procedure = Procedure(2);
/// [`DomainArgs`].
pub const DOMAIN_DESTROY: Procedure = Procedure(12);
/// [`LookupByUuidArgs`]; returns [`DomainRet`].
pub const DOMAIN_LOOKUP_BY_UUID: Procedure = Procedure(24);
/// [`DomainArgs`].
pub const DOMAIN_SUSPEND: Procedure = Procedure(34);
/// Nothing; returns [`AuthListRet`].
pub const AUTH_LIST: Procedure = Procedure(66);
/// Nothing; returns [`SaslInitRet`].
pub const AUTH_SASL_INIT: Procedure = Procedure(67);
/// [`SaslStartArgs`]; returns [`SaslRet`].
pub const AUTH_SASL_START: Procedure = Procedure(68);
/// [`SaslStepArgs`]; returns [`SaslRet`].
pub const AUTH_SASL_STEP: Procedure = Procedure(69);
/// Nothing; returns [`PolkitRet`].
pub const AUTH_POLKIT: Procedure = Procedure(70);
/// [`DomainArgs`]; returns [`IsActiveRet`].
pub const DOMAIN_IS_ACTIVE: Procedure = Procedure(150);

/// A way to prove who one is (`remote_auth_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuthType(pub i32);

impl AuthType {
    /// No need to.
    pub const NONE: Self = Self(0);
    /// By SASL.
    pub const SASL: Self = Self(1);
    /// The server asks polkit about the process at the other end of its socket.
    pub const POLKIT: Self = Self(2);
}

impl Xdr for AuthType {
    fn encode(&self, to: &mut Encoder) {
        self.0.encode(to);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, XdrError> {
        i32::decode(from).map(Self)
    }
}

xdr_structs! {
    /// Opens a hypervisor's driver.
    #[derive(Eq)]
    pub struct OpenArgs {
        /// Its URI; nothing, or an empty one, for whichever the server finds.
        pub name: Option<RemoteText>,
        /// 0, or 1 to only look.
        pub flags: u32,
    }

    /// Which ways there are.
    #[derive(Eq)]
    pub struct AuthListRet {
        /// The one that the server likes best comes first.
        pub types: List<AuthType, AUTH_TYPES_MAX>,
    }

    /// What the server can do of SASL.
    #[derive(Eq)]
    pub struct SaslInitRet {
        /// Names of mechanisms, with blanks or commas between.
        pub mechanisms: RemoteText,
    }

    /// Begins with one of them.
    #[derive(Eq)]
    pub struct SaslStartArgs {
        /// Its name.
        pub mechanism: RemoteText,
        /// Whether there is no data, which is not the same as empty data.
        pub nil: bool,
        /// What the mechanism begins with.
        pub data: SaslData,
    }

    /// Goes on.
    #[derive(Eq)]
    pub struct SaslStepArgs {
        /// Whether there is no data.
        pub nil: bool,
        /// The mechanism's answer.
        pub data: SaslData,
    }

    /// What the server says to a step.
    #[derive(Eq)]
    pub struct SaslRet {
        /// Whether it is content.
        pub complete: bool,
        /// Whether there is no data.
        pub nil: bool,
        /// What it says in the mechanism's words.
        pub data: SaslData,
    }

    /// What polkit said.
    #[derive(Eq)]
    pub struct PolkitRet {
        /// Whether that is all.
        pub complete: bool,
    }

    /// A guest.
    #[derive(Eq)]
    pub struct Domain {
        /// Its name.
        pub name: RemoteText,
        /// Its UUID.
        pub uuid: [u8; 16],
        /// Its number while it runs, or -1.
        pub id: i32,
    }

    /// Asks for the guest with a UUID.
    #[derive(Eq)]
    pub struct LookupByUuidArgs {
        /// The UUID.
        pub uuid: [u8; 16],
    }

    /// That guest.
    #[derive(Eq)]
    pub struct DomainRet {
        /// The guest.
        pub domain: Domain,
    }

    /// Does something with a guest.
    #[derive(Eq)]
    pub struct DomainArgs {
        /// The guest.
        pub domain: Domain,
    }

    /// Whether a guest runs.
    #[derive(Eq)]
    pub struct IsActiveRet {
        /// 1 if so, 0 if not.
        pub active: i32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xdr::{from_bytes, to_bytes};

    #[test]
    fn opening_as_virsh_does() {
        let args = OpenArgs {
            name: Some(RemoteText::new("qemu:///system").unwrap()),
            flags: 0,
        };
        let bytes = to_bytes(&args);
        let wanted = b"\0\0\0\x01\0\0\0\x0eqemu:///system\0\0\0\0\0\0";
        assert_eq!(bytes, wanted);
        assert_eq!(from_bytes::<OpenArgs>(&bytes), Ok(args));
    }

    #[test]
    fn no_data_is_not_empty_data() {
        let none = SaslStepArgs {
            nil: true,
            data: SaslData::default(),
        };
        assert_eq!(to_bytes(&none), [0, 0, 0, 1, 0, 0, 0, 0]);
        let data = SaslData::new(*b"a\0\xff").unwrap();
        let some = SaslStepArgs { nil: false, data };
        let bytes = [
            [0, 0, 0, 0],
            [0, 0, 0, 3],
            [0, 0, 0, b'a'],
            [0, 0, 0, 0],
            [255, 255, 255, 255],
        ]
        .concat();
        assert_eq!(to_bytes(&some), bytes);
        assert_eq!(from_bytes::<SaslStepArgs>(&bytes), Ok(some));
    }

    #[test]
    fn limits() {
        let many = to_bytes(&List::<AuthType, 21>::cut(vec![AuthType::NONE; 21]));
        let long = XdrError::TooLong { len: 21, max: 20 };
        assert_eq!(from_bytes::<AuthListRet>(&many), Err(long));
        assert!(SaslData::new(vec![0; SASL_DATA_MAX + 1]).is_err());
    }
}
