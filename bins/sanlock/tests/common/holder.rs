//! Processes of their own that hold leases: this very program in another role, told what to do by lines.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, ExitCode, Stdio};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use sanlock_proto::client::{Registered, socket_in};
use sanlock_proto::flags::{
    AcquireFlags, ConvertFlags, KillpathFlags, ReleaseFlags, ResourceFlags, RestrictFlags,
};
use sanlock_proto::request::Release;
use sanlock_proto::{Client, Resource};

use super::daemon::{Daemon, killed_with_us};
use super::leases::code;
use super::process::{self, End};

/// Set in a process that holds leases: the run directory of its daemon, after `deaf:` where SIGTERM is not
/// to end it.
const ROLE: &str = "LEASE_HOLDER";
const DEAF: &str = "deaf:";

/// Longer than any command here may take.
const CALL: Duration = Duration::from_secs(150);

/// A process that registered and holds what it is told to.
pub struct Holder {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Holder {
    /// One that ends on SIGTERM.
    pub fn start(daemon: &Daemon) -> Self {
        Self::play(&daemon.run_dir, "")
    }

    /// One that only SIGKILL ends.
    pub fn start_deaf(daemon: &Daemon) -> Self {
        Self::play(&daemon.run_dir, DEAF)
    }

    fn play(run_dir: &Path, deaf: &str) -> Self {
        let mut child = killed_with_us(&std::env::current_exe().unwrap())
            .env(ROLE, format!("{deaf}{}", run_dir.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let commands = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut holder = Self {
            child,
            commands,
            answers,
        };
        assert_eq!(holder.answer(), "registered");
        holder
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Takes leases; the daemon's number.
    pub fn acquire(&mut self, flags: AcquireFlags, resources: &[&Resource]) -> i64 {
        self.number(format!("acquire {}{}", flags.bits(), words(resources)))
    }

    /// Gives leases back; the daemon's number.
    pub fn release(&mut self, flags: ReleaseFlags, resources: &[&Resource]) -> i64 {
        self.number(format!("release {}{}", flags.bits(), words(resources)))
    }

    /// Sets the program that is run instead of killing it.
    pub fn killpath(&mut self, flags: KillpathFlags, path: &Path, arguments: &str) -> i64 {
        self.number(format!(
            "killpath {} {} {arguments}",
            flags.bits(),
            path.display()
        ))
    }

    pub fn restrict(&mut self, flags: RestrictFlags) -> i64 {
        self.number(format!("restrict {}", flags.bits()))
    }

    pub fn convert(&mut self, resource: &Resource) -> i64 {
        self.number(format!("convert 0{}", words(&[resource])))
    }

    /// What it holds, as the daemon tells it.
    pub fn inquire(&mut self) -> String {
        self.call("inquire 0")
    }

    fn number(&mut self, command: String) -> i64 {
        self.call(&command).parse().unwrap()
    }

    fn call(&mut self, command: &str) -> String {
        writeln!(self.commands, "{command}").unwrap();
        self.answer()
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    pub fn lives(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// How it ended, if it has.
    pub fn end(&mut self) -> Option<End> {
        self.child.try_wait().unwrap()?;
        Some(process::end_of(&mut self.child))
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn words(resources: &[&Resource]) -> String {
    let mut text = String::new();
    for resource in resources {
        let form = sanlock_proto::text::format_resource(resource).unwrap();
        let form = String::from_utf8(form).unwrap();
        text += &format!(" {} {form}", resource.flags.bits());
    }
    text
}

/// The role of this process, if it is one that holds leases.
pub fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// Does what the lines on standard input say, until there are none.
pub fn play(role: &str) -> ExitCode {
    let run_dir = match role.strip_prefix(DEAF) {
        Some(run_dir) => {
            let mut blocked = SigSet::empty();
            blocked.add(Signal::SIGTERM);
            blocked.thread_block().unwrap();
            run_dir
        }
        None => role,
    };
    let client = Client::at(socket_in(Path::new(run_dir))).with_timeout(CALL);
    let mut connection = client.register().unwrap();
    println!("registered");
    for line in std::io::stdin().lines() {
        println!("{}", obey(&mut connection, &line.unwrap()));
    }
    ExitCode::SUCCESS
}

fn obey(connection: &mut Registered, line: &str) -> String {
    let (verb, rest) = line.split_once(' ').unwrap();
    let (flags, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let flags: u32 = flags.parse().unwrap();
    let number = match verb {
        "acquire" => {
            let resources = resources(rest);
            code(connection.acquire(AcquireFlags::from_bits(flags), &resources, None))
        }
        "release" => {
            let flags = ReleaseFlags::from_bits(flags);
            code(connection.release(flags, what(flags, &resources(rest))))
        }
        "killpath" => {
            let (path, arguments) = rest.split_once(' ').unwrap();
            let path = PathBuf::from(path);
            code(connection.killpath(
                KillpathFlags::from_bits(flags),
                path.as_os_str().as_encoded_bytes(),
                arguments.as_bytes(),
            ))
        }
        "restrict" => code(connection.restrict(RestrictFlags::from_bits(flags))),
        "convert" => code(connection.convert(ConvertFlags::NONE, &resources(rest)[0].head())),
        "inquire" => {
            let state = connection.inquire().unwrap().state.unwrap_or_default();
            return String::from_utf8(state).unwrap();
        }
        _ => panic!("{line}"),
    };
    number.to_string()
}

fn what(flags: ReleaseFlags, resources: &[Resource]) -> Release {
    let heads: Vec<_> = resources.iter().map(Resource::head).collect();
    if flags.contains(ReleaseFlags::ALL) {
        Release::All
    } else if flags.contains(ReleaseFlags::ORPHAN) {
        Release::Orphan(heads[0])
    } else if flags.contains(ReleaseFlags::RENAME) {
        Release::Rename {
            resource: heads[0],
            new_name: heads[1],
        }
    } else {
        Release::Resources(heads)
    }
}

fn resources(words: &str) -> Vec<Resource> {
    let words: Vec<_> = words.split_whitespace().collect();
    words
        .chunks(2)
        .map(|pair| {
            let mut resource = sanlock_proto::text::parse_resource(pair[1].as_bytes()).unwrap();
            resource.flags = ResourceFlags::from_bits(pair[0].parse().unwrap());
            resource
        })
        .collect()
}
