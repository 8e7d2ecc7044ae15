//! The command line.

use std::path::PathBuf;

use config::qemu_sanlock_conf;

/// Removes the leases that libvirt made for disks and that nobody holds.
///
/// A line for each file tells whether it was removed (PASS) or not (FAIL): most often because a guest holds its
/// lease, which is as it should be. A lease is only removed while it is held by this program itself.
#[derive(Debug, clap::Parser)]
#[command(name = "virt-sanlock-cleanup", version, max_term_width = 100)]
pub(crate) struct Options {
    /// Say nothing but why it could not begin
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// Only say what would be removed
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,

    /// Say all as one JSON document
    #[arg(long)]
    pub(crate) json: bool,

    /// A line for each file on a terminal too, instead of the progress bar
    #[arg(short, long)]
    pub(crate) verbose: bool,

    /// How many leases are worked on at a time
    #[arg(short, long, value_name = "COUNT", default_value_t = 16,
          value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) jobs: u16,

    /// Say what is wrong with the configuration, and remove nothing
    #[arg(long)]
    pub(crate) check_config: bool,

    /// Where the leases are, instead of what the configuration says
    #[arg(long, value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,

    /// The configuration of libvirt's sanlock driver
    #[arg(long, value_name = "FILE", default_value = qemu_sanlock_conf::PATH)]
    pub(crate) config: PathBuf,
}
