//! The command line of the test runner.

use std::path::PathBuf;
use std::time::Duration;

use crate::lab::failure::{Failure, While};
use crate::lab::program::Program;

/// How the runner is called.
pub(crate) const USAGE: &str = "\
usage: cargo run -p compat -- [OPTIONS]
  --program PROGRAM   what is tested: `original` (the installed C program, the default),
                      `original:PATH` (another build of it) or the PATH of a replacement
  --client PROGRAM    the command line program, if it is another one
  --only TEXT         only tests whose name contains TEXT (may be given again)
  --with slow         also the tests that take longer than a minute
  --soak SECONDS      how long the stress programs run (15)
  --jobs N            how many tests run at a time (8)
  --upstream DIR      upstream's source tree, instead of `apt-get source sanlock`
  --dir DIR           where lease files go (/dev/shm)
  --read DIR          read the transcripts from DIR instead of those built in
  --record DIR        read them from DIR, and write the answers found into them
  --list              only list the tests
";

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Options {
    /// The daemon.
    pub(crate) program: Program,
    /// The command line program.
    pub(crate) client: Option<Program>,
    /// Parts of names.
    pub(crate) only: Vec<String>,
    /// Whether slow tests run.
    pub(crate) slow: bool,
    /// How long stress programs run.
    pub(crate) soak: Duration,
    /// Tests at a time.
    pub(crate) jobs: usize,
    /// Upstream's source.
    pub(crate) upstream: Option<PathBuf>,
    /// Where lease files go.
    pub(crate) dir: PathBuf,
    /// Where transcripts are read from, if not those built in.
    pub(crate) read: Option<PathBuf>,
    /// Whether answers are recorded there.
    pub(crate) record: bool,
    /// Only list.
    pub(crate) list: bool,
}

impl Options {
    /// Reads the arguments. `None`: help was asked for.
    pub(crate) fn parse(arguments: &[String]) -> Result<Option<Options>, Failure> {
        let (mut program, mut client) = ("original".to_owned(), None);
        let mut only = Vec::new();
        let (mut slow, mut list) = (false, false);
        let (mut soak, mut jobs) = (15, 8);
        let (mut upstream, mut read, mut record) = (None, None, false);
        let mut dir = PathBuf::from("/dev/shm");
        let mut arguments = arguments.iter();
        while let Some(name) = arguments.next() {
            if matches!(name.as_str(), "--help" | "-h") {
                return Ok(None);
            }
            if name == "--list" {
                list = true;
                continue;
            }
            let value = arguments
                .next()
                .ok_or_else(|| format!("{name} needs a value"))?
                .clone();
            let number = || value.parse().during(|| format!("{name} {value}"));
            match name.as_str() {
                "--program" => program = value,
                "--client" => client = Some(Program::parse(&value)?),
                "--only" => only.push(value),
                "--with" if value.eq_ignore_ascii_case("slow") => slow = true,
                "--soak" => soak = number()?,
                "--jobs" => jobs = number()?.max(1),
                "--upstream" => upstream = Some(PathBuf::from(value)),
                "--dir" => dir = PathBuf::from(value),
                "--read" => read = Some(PathBuf::from(value)),
                "--record" => (read, record) = (Some(PathBuf::from(value)), true),
                _ => return Err(format!("{name} {value} is not understood").into()),
            }
        }
        Ok(Some(Options {
            program: Program::parse(&program)?,
            client,
            only,
            slow,
            soak: Duration::from_secs(soak),
            jobs: usize::try_from(jobs).during(|| "--jobs".to_owned())?,
            upstream,
            dir,
            read,
            record,
            list,
        }))
    }
}
