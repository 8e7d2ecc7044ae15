//! The admin program: what `virt-admin` says on `virtlockd-admin-sock`.

use crate::packet::{Procedure, Program, STRING_MAX, Version};
use crate::text::{List, Text};
use crate::xdr::{Decoder, Encoder, Xdr, XdrError, xdr_structs};

/// The program's number.
pub const PROGRAM: Program = Program(0x0690_0690);
/// Its version.
pub const VERSION: Version = Version(1);

/// Most servers in a list.
pub const SERVERS_MAX: usize = 16_384;
/// Most clients in a list.
pub const CLIENTS_MAX: usize = 16_384;
/// Most parameters of a thread pool.
pub const THREADPOOL_MAX: usize = 32;
/// Most facts about a client.
pub const CLIENT_INFO_MAX: usize = 64;
/// Most limits of clients.
pub const CLIENT_LIMITS_MAX: usize = 32;

/// A string of this program.
pub type AdminText = Text<STRING_MAX>;

/// [`FlagsArgs`], nothing.
pub const CONNECT_OPEN: Procedure = Procedure(1);
/// Nothing, nothing.
pub const CONNECT_CLOSE: Procedure = Procedure(2);
/// Nothing, [`LibVersionRet`].
pub const CONNECT_GET_LIB_VERSION: Procedure = Procedure(3);
/// [`ListServersArgs`], [`ListServersRet`].
pub const CONNECT_LIST_SERVERS: Procedure = Procedure(4);
/// [`LookupServerArgs`], [`Server`].
pub const CONNECT_LOOKUP_SERVER: Procedure = Procedure(5);
/// [`ServerArgs`], [`ThreadpoolParams`].
pub const SERVER_GET_THREADPOOL_PARAMETERS: Procedure = Procedure(6);
/// [`SetThreadpoolArgs`], nothing.
pub const SERVER_SET_THREADPOOL_PARAMETERS: Procedure = Procedure(7);
/// [`ListClientsArgs`], [`ListClientsRet`].
pub const SERVER_LIST_CLIENTS: Procedure = Procedure(8);
/// [`LookupClientArgs`], [`Client`].
pub const SERVER_LOOKUP_CLIENT: Procedure = Procedure(9);
/// [`ClientArgs`], [`ClientInfo`].
pub const CLIENT_GET_INFO: Procedure = Procedure(10);
/// [`ClientArgs`], nothing.
pub const CLIENT_CLOSE: Procedure = Procedure(11);
/// [`ServerArgs`], [`ClientLimits`].
pub const SERVER_GET_CLIENT_LIMITS: Procedure = Procedure(12);
/// [`SetClientLimitsArgs`], nothing.
pub const SERVER_SET_CLIENT_LIMITS: Procedure = Procedure(13);
/// [`FlagsArgs`], [`LoggingOutputsRet`].
pub const CONNECT_GET_LOGGING_OUTPUTS: Procedure = Procedure(14);
/// [`FlagsArgs`], [`LoggingFiltersRet`].
pub const CONNECT_GET_LOGGING_FILTERS: Procedure = Procedure(15);
/// [`SetLoggingArgs`], nothing.
pub const CONNECT_SET_LOGGING_OUTPUTS: Procedure = Procedure(16);
/// [`SetLoggingArgs`], nothing.
pub const CONNECT_SET_LOGGING_FILTERS: Procedure = Procedure(17);
/// [`ServerArgs`], nothing.
pub const SERVER_UPDATE_TLS_FILES: Procedure = Procedure(18);
/// [`SetDaemonTimeoutArgs`], nothing.
pub const CONNECT_SET_DAEMON_TIMEOUT: Procedure = Procedure(19);

/// The value of a parameter, with its type.
#[derive(Debug, Clone, PartialEq)]
pub enum ParamValue {
    /// A number.
    Int(i32),
    /// A number.
    UInt(u32),
    /// A number.
    LLong(i64),
    /// A number.
    ULLong(u64),
    /// A number.
    Double(f64),
    /// Zero or not, kept as it came.
    Boolean(i32),
    /// A string.
    String(AdminText),
}

impl ParamValue {
    /// Number of its type (`virTypedParameterType`).
    #[must_use]
    pub fn kind(&self) -> i32 {
        match self {
            Self::Int(_) => 1,
            Self::UInt(_) => 2,
            Self::LLong(_) => 3,
            Self::ULLong(_) => 4,
            Self::Double(_) => 5,
            Self::Boolean(_) => 6,
            Self::String(_) => 7,
        }
    }
}

impl Xdr for ParamValue {
    fn encode(&self, to: &mut Encoder) {
        self.kind().encode(to);
        match self {
            Self::Int(value) | Self::Boolean(value) => value.encode(to),
            Self::UInt(value) => value.encode(to),
            Self::LLong(value) => value.encode(to),
            Self::ULLong(value) => value.encode(to),
            Self::Double(value) => value.encode(to),
            Self::String(value) => value.encode(to),
        }
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, XdrError> {
        Ok(match i32::decode(from)? {
            1 => Self::Int(Xdr::decode(from)?),
            2 => Self::UInt(Xdr::decode(from)?),
            3 => Self::LLong(Xdr::decode(from)?),
            4 => Self::ULLong(Xdr::decode(from)?),
            5 => Self::Double(Xdr::decode(from)?),
            6 => Self::Boolean(Xdr::decode(from)?),
            7 => Self::String(Xdr::decode(from)?),
            other => return Err(XdrError::Union(other)),
        })
    }
}

xdr_structs! {
    /// A parameter by its name.
    pub struct Param {
        /// The name.
        pub field: AdminText,
        /// The value.
        pub value: ParamValue,
    }

    /// A server of the daemon.
    #[derive(Eq)]
    pub struct Server {
        /// Its name.
        pub name: AdminText,
    }

    /// A client of a server.
    #[derive(Eq)]
    pub struct Client {
        /// Whose client.
        pub server: Server,
        /// Its number, never used twice.
        pub id: u64,
        /// When it connected, in seconds since 1970.
        pub timestamp: i64,
        /// How it is connected: 0 for a local socket.
        pub transport: u32,
    }

    /// Nothing but flags.
    pub struct FlagsArgs {
        /// 0.
        pub flags: u32,
    }

    /// Which libvirt it is.
    pub struct LibVersionRet {
        /// Major * 1,000,000 + minor * 1000 + release.
        pub version: u64,
    }

    /// Which servers there are.
    pub struct ListServersArgs {
        /// 0 if the number will do.
        pub need_results: u32,
        /// 0.
        pub flags: u32,
    }

    /// The servers.
    pub struct ListServersRet {
        /// If they were asked for.
        pub servers: List<Server, SERVERS_MAX>,
        /// How many.
        pub count: u32,
    }

    /// Whether there is such a server.
    pub struct LookupServerArgs {
        /// Its name.
        pub name: AdminText,
        /// 0.
        pub flags: u32,
    }

    /// Something about a server.
    pub struct ServerArgs {
        /// Which.
        pub server: Server,
        /// 0.
        pub flags: u32,
    }

    /// How many threads work for a server.
    pub struct ThreadpoolParams {
        /// By name.
        pub params: List<Param, THREADPOOL_MAX>,
    }

    /// How many threads are to work for a server.
    pub struct SetThreadpoolArgs {
        /// Which.
        pub server: Server,
        /// By name.
        pub params: List<Param, THREADPOOL_MAX>,
        /// 0.
        pub flags: u32,
    }

    /// Which clients a server has.
    pub struct ListClientsArgs {
        /// Which server.
        pub server: Server,
        /// 0 if the number will do.
        pub need_results: u32,
        /// 0.
        pub flags: u32,
    }

    /// The clients.
    pub struct ListClientsRet {
        /// If they were asked for.
        pub clients: List<Client, CLIENTS_MAX>,
        /// How many.
        pub count: u32,
    }

    /// Whether there is such a client.
    pub struct LookupClientArgs {
        /// Of which server.
        pub server: Server,
        /// Its number.
        pub id: u64,
        /// 0.
        pub flags: u32,
    }

    /// Something about a client.
    pub struct ClientArgs {
        /// Which.
        pub client: Client,
        /// 0.
        pub flags: u32,
    }

    /// What is known about a client.
    pub struct ClientInfo {
        /// By name.
        pub params: List<Param, CLIENT_INFO_MAX>,
    }

    /// How many clients a server has and may have.
    pub struct ClientLimits {
        /// By name.
        pub params: List<Param, CLIENT_LIMITS_MAX>,
    }

    /// How many clients a server is to have at most.
    pub struct SetClientLimitsArgs {
        /// Which.
        pub server: Server,
        /// By name.
        pub params: List<Param, CLIENT_LIMITS_MAX>,
        /// 0.
        pub flags: u32,
    }

    /// Where the daemon logs to.
    pub struct LoggingOutputsRet {
        /// As in the configuration.
        pub outputs: AdminText,
        /// How many.
        pub count: u32,
    }

    /// What the daemon logs.
    pub struct LoggingFiltersRet {
        /// As in the configuration, if there are any.
        pub filters: Option<AdminText>,
        /// How many.
        pub count: u32,
    }

    /// Where or what the daemon is to log.
    pub struct SetLoggingArgs {
        /// As in the configuration; nothing for the defaults.
        pub text: Option<AdminText>,
        /// 0.
        pub flags: u32,
    }

    /// After how long without clients the daemon ends.
    pub struct SetDaemonTimeoutArgs {
        /// Seconds, 0 for never.
        pub timeout: u32,
        /// 0.
        pub flags: u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xdr::{from_bytes, to_bytes};

    #[test]
    fn values_carry_their_type() {
        let text = ParamValue::String(Text::cut("a"));
        assert_eq!(to_bytes(&text), [0, 0, 0, 7, 0, 0, 0, 1, 97, 0, 0, 0]);
        assert_eq!(from_bytes(&to_bytes(&text)), Ok(text));
        assert_eq!(from_bytes::<ParamValue>(&[0; 8]), Err(XdrError::Union(0)));
    }
}
