//! What a test is.

use crate::lab::Lab;
use crate::lab::failure::Failure;

/// What a test cannot do without. A test whose need is missing is skipped, by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Need {
    /// gcc and libsanlock-dev.
    CLibrary,
    /// python3-sanlock.
    Python,
    /// The right to attach loop devices.
    Loop,
    /// Two hosts: the test runs once for each pair of programs.
    TwoHosts,
    /// Upstream's source: network or `--upstream`.
    Upstream,
    /// pytest and userstorage from PyPI: network.
    Pytest,
    /// The right to lay an overlay over `/etc`.
    Etc,
}

/// One test.
#[derive(Clone, Copy)]
pub(crate) struct Test {
    /// Its name: `group/what`.
    pub(crate) name: &'static str,
    /// What it cannot do without.
    pub(crate) needs: &'static [Need],
    /// About how long it takes with the C program, in seconds. Above 60 it counts as slow.
    pub(crate) seconds: u32,
    /// The test.
    pub(crate) run: fn(&mut Lab) -> Result<(), Failure>,
}

/// A test that is a transcript: `transcripts/NAME.txt`.
macro_rules! transcript {
    ($name:literal, [$($need:ident),*], $seconds:literal) => {
        $crate::test::Test {
            name: $name,
            needs: &[$($crate::test::Need::$need),*],
            seconds: $seconds,
            run: |lab| lab.play($name, include_str!(concat!("../transcripts/", $name, ".txt"))),
        }
    };
}
pub(crate) use transcript;
