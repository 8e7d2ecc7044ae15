//! Compares with libsanlock's headers and library: layouts, constants, the bytes it sends for every call, what
//! it makes of our replies, and its string forms.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../../../daemon/tests/common/harness.rs"]
mod harness;

mod calls;
mod command_line;
mod fake_daemon;
mod layout;
mod probe;
mod strings;

use std::process::ExitCode;

fn main() -> ExitCode {
    harness::run(&[
        (
            "structs_have_the_sizes_and_offsets_of_the_headers",
            layout::layouts,
        ),
        (
            "constants_have_the_values_of_the_headers",
            layout::constants,
        ),
        (
            "every_call_of_the_library_is_understood_and_sent_alike",
            calls::calls,
        ),
        ("python_clients_are_understood", calls::python),
        (
            "strings_are_parsed_and_printed_as_by_the_library",
            strings::strings,
        ),
        (
            "the_c_command_line_understands_our_records",
            command_line::command_line,
        ),
    ])
}
