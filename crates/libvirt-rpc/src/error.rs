//! libvirt's error record, and the texts that belong to its codes.

use std::fmt;
use std::io;

use crate::packet::STRING_MAX;
use crate::text::Text;
use crate::xdr::{Decoder, Encoder, Xdr, XdrError, xdr_structs};

/// A string of an error.
pub type ErrorText = Text<STRING_MAX>;

/// What kind of error it is (`virErrorNumber`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorCode(pub i32);

impl ErrorCode {
    /// Something went wrong inside.
    pub const INTERNAL_ERROR: Self = Self(1);
    /// The function does not exist.
    pub const NO_SUPPORT: Self = Self(3);
    /// An argument makes no sense.
    pub const INVALID_ARG: Self = Self(8);
    /// The server would not have the caller.
    pub const AUTH_FAILED: Self = Self(45);
    /// There is nothing that could be connected to.
    pub const NO_CONNECT: Self = Self(5);
    /// A configuration file cannot be understood.
    pub const CONF_SYNTAX: Self = Self(33);
    /// No guest has this UUID.
    pub const NO_DOMAIN: Self = Self(42);
    /// The caller may not do this.
    pub const OPERATION_DENIED: Self = Self(29);
    /// The system refused.
    pub const SYSTEM_ERROR: Self = Self(38);
    /// The call itself was wrong.
    pub const RPC: Self = Self(39);
    /// Not now, in this state.
    pub const OPERATION_INVALID: Self = Self(55);
    /// An argument that is fine in itself is not supported here.
    pub const ARGUMENT_UNSUPPORTED: Self = Self(74);
    /// The operation is not supported here.
    pub const OPERATION_UNSUPPORTED: Self = Self(84);
    /// Somebody else has it.
    pub const RESOURCE_BUSY: Self = Self(87);
    /// No server has this name.
    pub const NO_SERVER: Self = Self(95);
    /// No client has this number.
    pub const NO_CLIENT: Self = Self(96);

    /// The words with which libvirt begins a message of this code, with `%s` for the rest.
    #[must_use]
    pub fn format(self) -> &'static str {
        match self {
            Self::INTERNAL_ERROR => "internal error: %s",
            Self::NO_SUPPORT => "this function is not supported by the connection driver: %s",
            Self::INVALID_ARG => "invalid argument: %s",
            Self::NO_CONNECT => "no connection driver available for %s",
            Self::CONF_SYNTAX => "configuration file syntax error: %s",
            Self::AUTH_FAILED => "authentication failed: %s",
            Self::OPERATION_DENIED => "operation forbidden: %s",
            Self::OPERATION_INVALID => "Requested operation is not valid: %s",
            Self::ARGUMENT_UNSUPPORTED => "argument unsupported: %s",
            Self::OPERATION_UNSUPPORTED => "Operation not supported: %s",
            Self::RESOURCE_BUSY => "resource busy: %s",
            Self::NO_SERVER => "Server not found: %s",
            Self::NO_CLIENT => "Client not found: %s",
            _ => "%s",
        }
    }
}

/// Which part of libvirt an error comes from (`virErrorDomain`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorDomain(pub i32);

impl ErrorDomain {
    /// No part in particular.
    pub const NONE: Self = Self(0);
    /// The client's side of the remote program.
    pub const REMOTE: Self = Self(13);
    /// What is known of guests.
    pub const DOMAIN: Self = Self(20);
    /// The remote procedure calls, and the lock program's procedures.
    pub const RPC: Self = Self(7);
    /// The lock daemon and driver.
    pub const LOCKING: Self = Self(42);
    /// The lock spaces.
    pub const LOCKSPACE: Self = Self(51);
    /// The admin program.
    pub const ADMIN: Self = Self(62);

    /// The words with which libvirt's programs say where an error comes from.
    #[must_use]
    pub fn name(self) -> &'static str {
        let index = usize::try_from(self.0).ok();
        index
            .and_then(|index| DOMAINS.get(index))
            .unwrap_or(&"Unknown")
    }
}

/// The names of libvirt's error domains, by their number.
#[rustfmt::skip]
const DOMAINS: [&str; 73] = [
    "", "Xen Driver", "Xen Daemon", "Xen Store", "S-Expression", "XML Util", "Domain", "XML-RPC", "Proxy Daemon",
    "Config File", "QEMU Driver", "Network", "Test Driver", "Remote Driver", "OpenVZ Driver", "Xen XM Driver",
    "Linux Statistics", "LXC Driver", "Storage Driver", "Network Driver", "Domain Config", "User Mode Linux Driver",
    "Node Device Driver", "Xen Inotify Driver", "Security Driver", "VirtualBox Driver", "Network Interface Driver",
    "Open Nebula Driver", "ESX Driver", "Power Hypervisor Driver", "Secrets Driver", "CPU Driver", "XenAPI Driver",
    "Network Filter Driver", "Lifecycle Hook", "Domain Snapshot", "Audit Utils", "Sysinfo Utils", "I/O Stream Utils",
    "VMware Driver", "Event Loop", "Xen Light Driver", "Lock Driver", "Hyper-V Driver", "Capabilities Utils",
    "URI Utils", "Authentication Utils", "DBus Utils", "Parallels Cloud Server", "Device Config",
    "SSH transport layer", "Lock Space", "Init control", "Identity", "Cgroup", "Access Manager", "Systemd", "Bhyve",
    "Crypto", "Firewall", "Polkit", "Thread jobs", "Admin Interface", "Log Manager", "Xen XL Config", "Perf",
    "Libssh transport layer", "Resource control", "FirewallD", "Domain Checkpoint", "TPM", "BPF",
    "Cloud-Hypervisor Driver",
];

/// How bad it is: 1 for a warning, 2 for an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorLevel(pub i32);

impl ErrorLevel {
    /// An error.
    pub const ERROR: Self = Self(2);
}

macro_rules! as_number {
    ($($name:ident),*) => { $(
        impl Xdr for $name {
            fn encode(&self, to: &mut Encoder) {
                self.0.encode(to);
            }

            fn decode(from: &mut Decoder<'_>) -> Result<Self, XdrError> {
                i32::decode(from).map(Self)
            }
        }
    )* };
}

as_number!(ErrorCode, ErrorDomain, ErrorLevel);

xdr_structs! {
    /// A guest that an error is about. Nobody uses it any more.
    #[derive(Eq)]
    pub struct ErrorGuest {
        /// Its name.
        pub name: ErrorText,
        /// Its UUID.
        pub uuid: [u8; 16],
        /// Its number.
        pub id: i32,
    }

    /// A network that an error is about. Nobody uses it any more.
    #[derive(Eq)]
    pub struct ErrorNetwork {
        /// Its name.
        pub name: ErrorText,
        /// Its UUID.
        pub uuid: [u8; 16],
    }

    /// Why a call failed, as libvirt tells it: the payload of a reply with
    /// [`Status::ERROR`](crate::Status::ERROR).
    #[derive(Eq)]
    pub struct RemoteError {
        /// What kind of error.
        pub code: ErrorCode,
        /// Where it comes from.
        pub domain: ErrorDomain,
        /// What the user reads.
        pub message: Option<ErrorText>,
        /// How bad it is.
        pub level: ErrorLevel,
        /// Unused.
        pub guest: Option<ErrorGuest>,
        /// The code's own words, as a format.
        pub str1: Option<ErrorText>,
        /// What is put into them.
        pub str2: Option<ErrorText>,
        /// Nothing.
        pub str3: Option<ErrorText>,
        /// The system's error number, or -1.
        pub int1: i32,
        /// -1.
        pub int2: i32,
        /// Unused.
        pub network: Option<ErrorNetwork>,
    }
}

impl RemoteError {
    /// With the code's own words before the detail, as `virReportError` has it.
    pub fn new(code: ErrorCode, domain: ErrorDomain, detail: impl Into<Vec<u8>>) -> Self {
        let detail = detail.into();
        let format = code.format();
        let mut message = format
            .strip_suffix("%s")
            .unwrap_or(format)
            .as_bytes()
            .to_vec();
        message.extend_from_slice(&detail);
        Self {
            code,
            domain,
            message: Some(Text::cut(message)),
            level: ErrorLevel::ERROR,
            guest: None,
            str1: Some(Text::cut(format)),
            str2: Some(Text::cut(detail)),
            str3: None,
            int1: -1,
            int2: -1,
            network: None,
        }
    }

    /// What was tried, and what the system said to it, as `virReportSystemError` has it.
    pub fn system(domain: ErrorDomain, tried: impl Into<Vec<u8>>, error: &io::Error) -> Self {
        let mut detail = tried.into();
        detail.extend_from_slice(b": ");
        detail.extend_from_slice(system_text(error).as_bytes());
        let int1 = error.raw_os_error().unwrap_or(-1);
        let plain = Self::new(ErrorCode::SYSTEM_ERROR, domain, detail);
        Self { int1, ..plain }
    }

    /// Flags that the named function of libvirt does not know, as `virCheckFlags` has it: without the code's own
    /// words.
    #[must_use]
    pub fn unsupported_flags(domain: ErrorDomain, unsupported: u32, function: &str) -> Self {
        let message = format!("unsupported flags (0x{unsupported:x}) in function {function}");
        Self {
            message: Some(Text::cut(message)),
            str1: Some(Text::cut(function)),
            str2: Some(Text::cut("flags")),
            int1: 0,
            int2: 0,
            ..Self::new(ErrorCode::INVALID_ARG, domain, "")
        }
    }
}

/// The system's words without Rust's addition of the number.
fn system_text(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text.get(..end).unwrap_or_default().to_owned(),
        None => text,
    }
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => write!(f, "{message}"),
            None => write!(f, "error {} without a message", self.code.0),
        }
    }
}

impl std::error::Error for RemoteError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(error: &RemoteError) -> [String; 3] {
        [&error.message, &error.str1, &error.str2].map(|text| text.as_ref().unwrap().to_string())
    }

    #[test]
    fn a_code_has_words_of_its_own() {
        let code = ErrorCode::RESOURCE_BUSY;
        let error = RemoteError::new(code, ErrorDomain::LOCKSPACE, "it is locked");
        let wanted = [
            "resource busy: it is locked",
            "resource busy: %s",
            "it is locked",
        ];
        assert_eq!(texts(&error), wanted);
        assert_eq!((error.int1, error.int2), (-1, -1));
    }

    #[test]
    fn the_system_has_its_number() {
        let missing = io::Error::from_raw_os_error(2);
        let error = RemoteError::system(ErrorDomain::LOCKSPACE, "Unable to open x", &missing);
        let whole = "Unable to open x: No such file or directory";
        assert_eq!(texts(&error), [whole, "%s", whole]);
        assert_eq!(error.int1, 2);
    }

    #[test]
    fn domains_have_names() {
        for (domain, name) in [
            (ErrorDomain::RPC, "XML-RPC"),
            (ErrorDomain::REMOTE, "Remote Driver"),
            (ErrorDomain::LOCKSPACE, "Lock Space"),
            (ErrorDomain::ADMIN, "Admin Interface"),
            (ErrorDomain(-1), "Unknown"),
            (ErrorDomain(73), "Unknown"),
        ] {
            assert_eq!(domain.name(), name);
        }
    }

    #[test]
    fn flags_name_the_function() {
        let error = RemoteError::unsupported_flags(ErrorDomain::RPC, 0x10, "f");
        let whole = "unsupported flags (0x10) in function f";
        assert_eq!(texts(&error), [whole, "f", "flags"]);
    }
}
