//! What `-h` and `-V` print.

use super::options::Given;

/// The original's text, and our own options after it.
pub(super) fn usage(given: &Given) -> String {
    let options = &given.daemon;
    let scripts_dir = options
        .scripts_dir
        .as_deref()
        .unwrap_or(crate::service::SCRIPTS_DIR);
    format!(
        "Usage:\n\
         wdmd [options]\n\
         \n\
         --version, -V          print version\n\
         --help, -h             print usage\n\
         --dump, -d             print debug from daemon\n\
         --probe, -p            print path of functional watchdog device\n\
         --trytimeout, -t <sec> set the timeout value for watchdog device\n\
         --forcefire, -F        force watchdog to fire and reset machine, use with -t\n\
         -D                     debug: no fork and print all logging to stderr\n\
         -H 0|1                 use high priority features (1 yes, 0 no, default 0)\n\
         -G <name>              group ownership for the socket\n\
         -S 0|1                 allow script tests (default {})\n\
         -s <path>              path to scripts dir (default {scripts_dir})\n\
         -k <num>               kill unfinished scripts after num seconds (default {})\n\
         -w <path>              path to the watchdog device to try first\n\
         --hold                 keep the watchdog device open from start to end\n\
         --json                 with --dump or --probe: print a JSON document\n\
         --check-config         say what is wrong with {}, and start nothing\n",
        options.allow_scripts,
        options.kill_script_sec,
        super::check_config::PROGRAM.path().display()
    )
}

/// The wdmd that this one stands in for, and what it really is.
pub(super) fn version() -> String {
    format!(
        "wdmd version {} (leasehold {})",
        crate::VERSION,
        env!("CARGO_PKG_VERSION")
    )
}
