//! What to do about a failure: beside libvirt's own words, which scripts know, for those who read them.

use std::io::IsTerminal as _;

use libvirt_rpc::{ErrorCode, RemoteError};
use nix::libc::{EACCES, ECONNREFUSED, ENOENT, EPERM, ETIMEDOUT};

use crate::say;

/// Whether standard error gets it: 1 for always, 0 for never; otherwise where a person reads it. The log always does.
const WANTED: &str = "SANLOCK_HINTS";

/// How the program is called.
pub(crate) const USAGE: &str = "the lease daemon starts this program; by hand: libvirt_sanlock_helper qemu:///system UUID poweroff, \
                                or pause (virsh domuuid NAME says a guest's UUID)";

/// What can be done to a guest.
pub(crate) const ACTIONS: &str = "poweroff and pause can be done";

/// Says it, where somebody wants to hear it.
pub(crate) fn give(advice: &str) {
    let wanted = match std::env::var(WANTED).as_deref() {
        Ok("1") => true,
        Ok("0") => false,
        _ => std::io::stderr().is_terminal(),
    };
    if wanted {
        say(format_args!("libvirt_sanlock_helper: {advice}"));
    }
}

/// The advice for a failure, if there is any.
pub(crate) fn about(failure: &RemoteError) -> Option<&'static str> {
    Some(match failure.code {
        ErrorCode::SYSTEM_ERROR => match failure.int1 {
            ENOENT | ECONNREFUSED => {
                "libvirt does not run, or has its socket elsewhere: start it (systemctl start libvirtd.socket, or \
                 virtqemud.socket), or name the socket in the URI (qemu+unix:///system?socket=PATH)"
            }
            EACCES | EPERM => {
                "the socket is for root, and for unix_sock_group in libvirtd.conf or virtqemud.conf: run as one of them"
            }
            ETIMEDOUT => {
                "libvirt hangs: see whether virsh list answers, and what its log says; LIBVIRT_SANLOCK_HELPER_TIMEOUT has \
                 the seconds to wait"
            }
            _ => return None,
        },
        ErrorCode::AUTH_FAILED => {
            "libvirt wants to know who asks (auth_unix_rw in libvirtd.conf or virtqemud.conf): with polkit be root, with \
             SASL have /etc/libvirt/auth.conf name user and password in [credentials-NAME], and NAME in \
             [auth-libvirt-default]"
        }
        ErrorCode::NO_DOMAIN => "virsh list --all --uuid lists the guests of this host",
        ErrorCode::INVALID_ARG if failure.domain == libvirt_rpc::ErrorDomain::DOMAIN => {
            "a UUID has 32 hexadecimal digits; virsh domuuid NAME says a guest's"
        }
        ErrorCode::NO_CONNECT | ErrorCode::ARGUMENT_UNSUPPORTED => {
            "the guest must be on this host; its URI is qemu:///system, or what virsh uri says"
        }
        ErrorCode::OPERATION_INVALID => "virsh domstate says what the guest does",
        ErrorCode::CONF_SYNTAX => {
            "auth.conf has [credentials-NAME] with authname=USER and password=WORD, and [auth-libvirt-default] with \
             credentials=NAME"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::io;

    use libvirt_rpc::ErrorDomain;

    use super::*;

    #[test]
    fn what_a_user_gets_wrong_has_a_remedy() {
        for (number, wanted) in [
            (ENOENT, "systemctl start"),
            (ECONNREFUSED, "systemctl start"),
            (EACCES, "unix_sock_group"),
            (ETIMEDOUT, "LIBVIRT_SANLOCK_HELPER_TIMEOUT"),
        ] {
            let error = io::Error::from_raw_os_error(number);
            let failure = RemoteError::system(ErrorDomain::RPC, "tried", &error);
            assert!(about(&failure).unwrap().contains(wanted), "{number}");
        }
        let failure = |code| RemoteError::new(code, ErrorDomain::REMOTE, "x");
        assert!(about(&failure(ErrorCode::AUTH_FAILED)).is_some());
        assert!(about(&failure(ErrorCode::NO_DOMAIN)).is_some());
        assert_eq!(about(&failure(ErrorCode::RPC)), None);
    }
}
