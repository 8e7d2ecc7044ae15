//! The lab: hosts with their daemons, clients, lease files, and the transcripts played on them.

pub(crate) mod client;
mod directive;
pub(crate) mod disk;
pub(crate) mod failure;
pub(crate) mod host;
mod play;
pub(crate) mod process;
pub(crate) mod program;
pub(crate) mod script;
mod text;
pub(crate) mod tools;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use client::Client;
use failure::Failure;
use host::Host;
use process::{Guarded, tied};
use program::Program;
use text::Names;
use tools::Tools;

/// How long a single answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a lab is made of.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The programs of host 1 and host 2: the daemon and the command line.
    pub(crate) programs: [(Program, Program); 2],
    /// Where the lab's files go.
    pub(crate) dir: PathBuf,
    /// Where transcripts are read from, if not those built in.
    pub(crate) read: Option<PathBuf>,
    /// Whether answers are recorded there.
    pub(crate) record: bool,
    /// How long stress programs run.
    pub(crate) soak: Duration,
    /// What was built for this run.
    pub(crate) tools: Arc<Tools>,
}

/// One test's lab. All of it is gone when it is dropped.
#[derive(Debug)]
pub(crate) struct Lab {
    clients: BTreeMap<String, Client>,
    held: BTreeMap<String, Guarded>,
    hosts: [Host; 2],
    disks: BTreeMap<String, disk::Shown>,
    /// Open loop devices: they detach themselves when the last user is gone.
    loops: Vec<File>,
    names: Names,
    mismatches: Vec<String>,
    remarks: Vec<String>,
    checks: usize,
    patience: Duration,
    /// How the lab was asked for.
    pub(crate) plan: Plan,
}

impl Lab {
    /// Makes the directories of a lab.
    pub(crate) fn new(plan: Plan) -> Result<Lab, Failure> {
        std::fs::create_dir_all(&plan.dir)?;
        let [(daemon1, client1), (daemon2, client2)] = plan.programs.clone();
        let hosts = [
            Host::new(1, daemon1, client1, &plan.dir)?,
            Host::new(2, daemon2, client2, &plan.dir)?,
        ];
        let names = vec![
            ("RUN1".to_owned(), hosts[0].run_dir.display().to_string()),
            ("RUN2".to_owned(), hosts[1].run_dir.display().to_string()),
            ("DIR".to_owned(), plan.dir.display().to_string()),
            (
                "SANLOCK".to_owned(),
                hosts[0].client.path.display().to_string(),
            ),
        ];
        Ok(Lab {
            clients: BTreeMap::new(),
            held: BTreeMap::new(),
            hosts,
            disks: BTreeMap::new(),
            loops: Vec::new(),
            names,
            mismatches: Vec::new(),
            remarks: Vec::new(),
            checks: 0,
            patience: PATIENCE,
            plan,
        })
    }

    /// The directory of this lab's files.
    pub(crate) fn dir(&self) -> &Path {
        &self.plan.dir
    }

    /// Host 1 or 2.
    pub(crate) fn host(&mut self, number: usize) -> &mut Host {
        let [first, second] = &mut self.hosts;
        if number == 2 { second } else { first }
    }

    /// Starts the daemon of a host; `{daemon1}` or `{daemon2}` is its process id.
    pub(crate) fn start(&mut self, number: usize, options: &[String]) -> Result<(), Failure> {
        self.host(number).start(options)?;
        let pid = self.host(number).running()?.pid().to_string();
        self.name(&format!("daemon{number}"), pid);
        Ok(())
    }

    /// Lets `{name}` stand for `value` in transcripts, in both directions.
    pub(crate) fn name(&mut self, name: &str, value: impl Into<String>) {
        self.names.retain(|(known, _)| known != name);
        self.names.insert(0, (name.to_owned(), value.into()));
    }

    /// Notes that something is not as expected. The test goes on and fails at its end.
    pub(crate) fn note(&mut self, mismatch: impl Into<String>) {
        self.mismatches.push(mismatch.into());
    }

    /// Compares, and notes a difference.
    pub(crate) fn same(&mut self, what: &str, expected: &str, found: &str) {
        self.checks += 1;
        let found = text::normalised(found, &self.names).join("\n");
        if expected.trim_end() != found.trim_end() {
            self.note(format!(
                "{what}\n  expected: {expected}\n  found:    {found}"
            ));
        }
    }

    /// Checks, and notes a failure.
    pub(crate) fn check(&mut self, what: &str, holds: bool) {
        self.checks += 1;
        if !holds {
            self.note(what);
        }
    }

    /// What was noted.
    pub(crate) fn mismatches(&self) -> &[String] {
        &self.mismatches
    }

    /// Says something about a test that passes, too.
    pub(crate) fn tell(&mut self, remark: impl Into<String>) {
        self.remarks.push(remark.into());
    }

    /// What was said.
    pub(crate) fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// How many comparisons were made.
    pub(crate) fn checks(&self) -> usize {
        self.checks
    }

    /// The end of the daemons' output, for a report.
    pub(crate) fn logs(&self) -> String {
        let one = |host: &Host| match host.log_end() {
            Ok(text) if !text.is_empty() => format!("log of host {}:\n{text}\n", host.number),
            _ => String::new(),
        };
        self.hosts.iter().map(one).collect()
    }

    /// The client of this name, started if there is none: `py...` is Python, others the C client.
    pub(crate) fn client(&mut self, name: &str) -> Result<&mut Client, Failure> {
        if !self.clients.contains_key(name) {
            let mut command = if name.starts_with("py") {
                let mut command = tied(Path::new("/usr/bin/python3"));
                command.arg("-u").arg(self.plan.tools.python_client()?);
                command
            } else {
                tied(&self.plan.tools.c_client()?)
            };
            self.host(script::host_of(name)).environment(&mut command);
            let mut client = Client::start(&mut command)?;
            let pid = client.process().pid().to_string();
            self.clients.insert(name.to_owned(), client);
            self.name(name, pid);
        }
        self.clients
            .get_mut(name)
            .ok_or_else(|| Failure::new("no client"))
    }

    /// The process of this name: `daemon1`, `daemon2`, a client or a program that holds leases.
    pub(crate) fn process(&mut self, name: &str) -> Result<&mut Guarded, Failure> {
        match name {
            "daemon1" => self.host(1).running(),
            "daemon2" => self.host(2).running(),
            _ => match (self.clients.get_mut(name), self.held.get_mut(name)) {
                (Some(client), _) => Ok(client.process()),
                (None, Some(held)) => Ok(held),
                (None, None) => Err(format!("no process is called {name}").into()),
            },
        }
    }

    /// Keeps a process until the end of the test, under a name for its process id.
    pub(crate) fn keep(&mut self, name: &str, process: Guarded) {
        self.name(name, process.pid().to_string());
        self.held.insert(name.to_owned(), process);
    }

    /// A command of this host's command line program, tied to the test.
    pub(crate) fn cli_command(&mut self, host: usize) -> Command {
        let host = self.host(host);
        let mut command = tied(&host.client.path);
        host.environment(&mut command);
        command
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Killed first, so that nothing writes below while it is removed.
        self.clients.clear();
        self.held.clear();
        for host in &mut self.hosts {
            drop(host.forget());
        }
        self.loops.clear();
        // A directory that is left behind is swept by the next run.
        let _ = std::fs::remove_dir_all(&self.plan.dir);
    }
}
