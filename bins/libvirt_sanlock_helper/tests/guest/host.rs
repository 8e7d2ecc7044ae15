//! The inside of the host.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};
use std::time::{Duration, Instant};

use super::cases;

/// Set to the program that is tested, in the process that is the host's first.
pub const INSIDE: &str = "HELPER_TEST_INSIDE";
/// Where it has a directory for its files.
pub const SCRATCH: &str = "HELPER_TEST_SCRATCH";

pub const UUID: &str = "6695eb01-f6a4-8304-79aa-97f2502e193f";

const GUEST: &str = "<domain type='qemu'><name>g1</name>\
    <uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid><memory unit='MiB'>16</memory><vcpu>1</vcpu>\
    <os><type arch='x86_64' machine='pc'>hvm</type></os>\
    <devices><emulator>/usr/bin/qemu-system-x86_64</emulator></devices></domain>";

pub struct Host {
    pub program: PathBuf,
    pub scratch: PathBuf,
}

/// How the helper ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended {
    pub status: Option<i32>,
    pub said: String,
}

pub fn be(program: &Path) -> ExitCode {
    let scratch = PathBuf::from(std::env::var_os(SCRATCH).unwrap());
    let script = Command::new("sh")
        .args(["-c", include_str!("host.sh"), "sh"])
        .arg(&scratch)
        .status();
    assert!(script.unwrap().success(), "the host cannot be set up");
    cases::all(&Host {
        program: program.to_owned(),
        scratch,
    });
    ExitCode::SUCCESS
}

impl Host {
    pub fn is_ours(&self) -> bool {
        self.program.starts_with(env!("CARGO_MANIFEST_DIR"))
            || self.program == Path::new(env!("CARGO_BIN_EXE_libvirt_sanlock_helper"))
    }

    /// Runs the helper with these arguments and variables.
    pub fn helper(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
        let output = self.command(arguments, variables).output().unwrap();
        ended(&output)
    }

    pub fn command(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
        // What hangs is ended, with a status that no case wants.
        let mut command = Command::new("timeout");
        command
            .args(["--kill-after=1", "100"])
            .arg(&self.program)
            .args(arguments);
        command.envs(variables.iter().copied()).stdin(Stdio::null());
        command
    }

    pub fn virsh(&self, arguments: &[&str]) -> String {
        let output = Command::new("virsh")
            .args(["-q", "-c", "qemu:///system"])
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let why = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "virsh {arguments:?}: {said} {why}");
        said
    }

    pub fn state(&self) -> String {
        self.virsh(&["domstate", "g1"])
    }

    pub fn start_libvirt(&self) {
        run("virtlogd", &["-d"]);
        run("libvirtd", &["-d"]);
        until("libvirtd listens", || {
            UnixStream::connect("/run/libvirt/libvirt-sock").is_ok()
        });
    }

    pub fn start_guest(&self) {
        let file = self.scratch.join("g1.xml");
        fs::write(&file, GUEST).unwrap();
        self.virsh(&["define", file.to_str().unwrap()]);
        self.virsh(&["start", "g1"]);
    }

    /// A libvirtd that wants a password on its socket, by these mechanisms.
    pub fn require_sasl(&self, mechanisms: &str) {
        let pid = fs::read_to_string("/run/libvirtd.pid").unwrap();
        // A small system has the shell's only.
        run("sh", &["-c", &format!("kill {}", pid.trim())]);
        until("libvirtd is gone", || {
            !Path::new("/proc").join(pid.trim()).exists()
        });
        fs::write("/etc/libvirt/libvirtd.conf", "auth_unix_rw = \"sasl\"\n").unwrap();
        let sasl = format!("mech_list: {mechanisms}\nsasldb_path: /etc/libvirt/passwd.db\n");
        fs::write("/etc/sasl2/libvirt.conf", sasl).unwrap();
        let user = "echo secret | saslpasswd2 -p -c -a libvirt -f /etc/libvirt/passwd.db fred";
        run("sh", &["-c", user]);
        run("libvirtd", &["-d"]);
        until("libvirtd listens", || {
            UnixStream::connect("/run/libvirt/libvirt-sock").is_ok()
        });
    }

    /// A file of credentials.
    pub fn credentials(&self, path: &str, password: &str) -> String {
        let path = self.scratch.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let text = format!(
            "[credentials-a]\nauthname=fred\npassword={password}\n\
             [auth-libvirt-default]\ncredentials=a\n"
        );
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn ended(output: &Output) -> Ended {
    Ended {
        status: output.status.code(),
        said: String::from_utf8_lossy(&output.stderr)
            .trim_end()
            .to_owned(),
    }
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {why}");
}

pub fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !reached() {
        assert!(Instant::now() < end, "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
