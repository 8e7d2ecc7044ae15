//! `client version`.

use super::Line;
use crate::cli::version::dotted;
use crate::version::NUMBER;

/// Versions and protocols of this program and of the daemon; zeros where the daemon does not answer.
#[must_use]
pub fn versions(daemon: u32, daemon_proto: u32) -> Vec<Line> {
    let version = |who, number| {
        Line::new(format_args!(
            "{who} version {} ({number:#010x})",
            dotted(number)
        ))
    };
    let protocol = |who, number: u32| {
        Line::new(format_args!(
            "{who} socket protocol {}.{}",
            number >> 16,
            number & 0xffff
        ))
    };
    vec![
        version("client", NUMBER),
        version("daemon", daemon),
        protocol("client", sanlock_proto::header::PROTO),
        protocol("daemon", daemon_proto),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::text::joined;

    #[test]
    fn four_lines_even_without_daemon() {
        assert_eq!(
            joined(&versions(0, 0)),
            "client version 3.9.5 (0x03090500)\n\
             daemon version 0.0.0 (0x00000000)\n\
             client socket protocol 0.1\n\
             daemon socket protocol 0.0\n"
        );
    }
}
