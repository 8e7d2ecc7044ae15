//! What a transcript can ask of the lab: lines that start with `@`.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::Lab;
use super::disk::{Layout, changes, show};
use super::failure::{Failure, While};
use super::process::{Guarded, lossy};

impl Lab {
    /// Does what a line asks for and returns what is to be compared with its answer.
    ///
    /// ```text
    /// file NAME SIZE            a sparse file in {DIR}
    /// fill NAME CHAR            overwrites a file with one character
    /// loop NAME FILE SECTOR     a loop device over a file; {NAME} is its path
    /// daemon NUMBER [OPTION..]  starts a daemon with further options
    /// etc NUMBER NAME           the daemon of this host finds this directory's files in /etc
    /// hold NAME HOST OPTION..   client command with these options and a sleeping command
    /// kill NAME [SIGNAL]        sends a signal (9), waits for the end unless it is 0, 18 or 19
    /// signal NAME SIGNAL        sends a signal and does not wait
    /// ends NAME                 waits for a process's end and says how it ended
    /// runs NAME                 says whether a process runs
    /// forget DAEMON             lets an ended daemon be started again
    /// sleep SECONDS
    /// patience SECONDS          how long an answer may take from here on
    /// disk NAME SECTOR ALIGN    what changed in a file since it was last looked at
    /// hex NAME OFFSET LENGTH    bytes of a file
    /// poke NAME OFFSET HEX..    overwrites bytes of a file
    /// write NAME TEXT           makes a text file; | is a line break
    /// cat NAME                  shows a text file
    /// size NAME                 the length of a file
    /// mode NAME                 the kind and the permissions of a file
    /// nodir NAME                removes an empty directory
    /// ```
    pub(super) fn directive(&mut self, words: &[String]) -> Result<String, Failure> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["file", name, size] => self.make_file(name, size_of(size)?),
            ["fill", name, with] => {
                let path = self.path(name);
                let size = usize::try_from(std::fs::metadata(&path)?.len())
                    .during(|| "size".to_owned())?;
                let byte = with.bytes().next().unwrap_or(0);
                std::fs::write(path, vec![byte; size])?;
                Ok(String::new())
            }
            ["loop", name, file, sector] => {
                self.loop_device(name, file, sector)?;
                Ok(String::new())
            }
            ["daemon", number, options @ ..] => {
                let options: Vec<String> = options.iter().map(|word| (*word).to_owned()).collect();
                self.start(number_of(number)?, &options)?;
                Ok(String::new())
            }
            ["etc", number, name] => {
                let etc = self.path(name);
                self.host(number_of(number)?).etc = Some(etc);
                Ok(String::new())
            }
            ["hold", name, host, options @ ..] => self.hold(name, number_of(host)?, options),
            ["kill", name] => self.kill(name, 9),
            ["kill", name, signal] => {
                self.kill(name, signal.parse().during(|| "signal".to_owned())?)
            }
            ["signal", name, signal] => {
                let signal: i32 = signal.parse().during(|| "signal".to_owned())?;
                let signal = Signal::try_from(signal).during(|| "signal".to_owned())?;
                self.process(name)?.signal(signal)?;
                Ok(String::new())
            }
            ["ends", name] => {
                let patience = self.patience;
                let end = self.process(name)?.wait(patience);
                end.ok_or_else(|| format!("{name} did not end").into())
            }
            ["runs", name] => {
                let end = self.process(name)?.ended();
                Ok(end.map_or_else(|| "yes".to_owned(), |end| format!("no, {end}")))
            }
            ["forget", "daemon1"] => Ok(drop_string(self.host(1).forget())),
            ["forget", "daemon2"] => Ok(drop_string(self.host(2).forget())),
            ["sleep", seconds] => {
                sleep(Duration::from_secs_f64(
                    seconds.parse().during(|| "seconds".to_owned())?,
                ));
                Ok(String::new())
            }
            ["patience", seconds] => {
                let seconds = seconds.parse().during(|| "seconds".to_owned())?;
                self.patience = Duration::from_secs(seconds);
                Ok(String::new())
            }
            ["disk", name, sector, align] => {
                let layout = Layout {
                    sector: usize::try_from(size_of(sector)?).during(|| "sector".to_owned())?,
                    align: usize::try_from(size_of(align)?).during(|| "align".to_owned())?,
                };
                let now = show(&std::fs::read(self.path(name))?, layout);
                let before = self.disks.insert((*name).to_owned(), now.clone());
                Ok(changes(&before.unwrap_or_default(), &now))
            }
            ["hex", name, offset, length] => {
                let length = usize::try_from(size_of(length)?).during(|| "length".to_owned())?;
                let mut bytes = vec![0; length];
                File::open(self.path(name))?.read_exact_at(&mut bytes, size_of(offset)?)?;
                let texts: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                Ok(texts.chunks(16).map(|line| line.join(" ") + "\n").collect())
            }
            ["poke", name, offset, bytes @ ..] => {
                let bytes: Result<Vec<u8>, _> = bytes
                    .iter()
                    .map(|byte| u8::from_str_radix(byte, 16))
                    .collect();
                let bytes = bytes.during(|| "bytes".to_owned())?;
                let file = File::options().write(true).open(self.path(name))?;
                file.write_all_at(&bytes, size_of(offset)?)?;
                Ok(String::new())
            }
            ["write", name, text] => {
                self.make_file(name, 0)?;
                std::fs::write(self.path(name), text.replace('|', "\n"))?;
                Ok(String::new())
            }
            ["cat", name] => lossy(&self.path(name)),
            ["mode", name] => {
                let metadata = std::fs::metadata(self.path(name))?;
                Ok(format!("{:o}", metadata.permissions().mode()))
            }
            ["nodir", name] => {
                std::fs::remove_dir(self.path(name))?;
                Ok(String::new())
            }
            ["size", name] => Ok(std::fs::metadata(self.path(name))?.len().to_string()),
            _ => Err(format!("the lab does not know: @ {}", words.join(" ")).into()),
        }
    }

    /// A file of this lab.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    fn make_file(&mut self, name: &str, size: u64) -> Result<String, Failure> {
        let path = self.path(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        File::create(&path)
            .and_then(|file| file.set_len(size))
            .during(|| format!("make {}", path.display()))?;
        Ok(String::new())
    }

    /// Attaches a loop device that detaches itself when nobody has it open any more, and lets
    /// `{name}` stand for it.
    pub(crate) fn loop_device(
        &mut self,
        name: &str,
        file: &str,
        sector: &str,
    ) -> Result<String, Failure> {
        let losetup = |arguments: &[&str]| -> Result<String, Failure> {
            let output = Command::new("losetup")
                .args(arguments)
                .output()
                .during(|| "run losetup".to_owned())?;
            if !output.status.success() {
                return Err(format!("losetup: {}", String::from_utf8_lossy(&output.stderr)).into());
            }
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let path = self.path(file);
        let device = losetup(&[
            "--find",
            "--show",
            "--sector-size",
            sector,
            &path.display().to_string(),
        ])?;
        // Detaching what is open is put off by the kernel until the last close.
        let opened = File::open(&device);
        losetup(&["--detach", &device])?;
        self.loops.push(opened.during(|| format!("open {device}"))?);
        self.name(name, device.clone());
        Ok(device)
    }

    fn hold(&mut self, name: &str, host: usize, options: &[&str]) -> Result<String, Failure> {
        let mut command = self.cli_command(host);
        command.args(["client", "command"]).args(options);
        command.args(["-c", "/bin/sh", "-c", "echo held; exec sleep 1000"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = Guarded::spawn(&mut command)?;
        let output = process.child().stdout.take().ok_or("no pipe")?;
        let mut said = String::new();
        for line in BufReader::new(output).lines() {
            let line = line?;
            if line == "held" {
                self.keep(name, process);
                return Ok(String::new());
            }
            said.push_str(&line);
            said.push('\n');
        }
        Ok(said)
    }

    fn kill(&mut self, name: &str, signal: i32) -> Result<String, Failure> {
        let patience = self.patience;
        let process = self.process(name)?;
        let sent = Signal::try_from(signal).during(|| "signal".to_owned())?;
        process.signal(sent)?;
        if matches!(sent, Signal::SIGSTOP | Signal::SIGCONT) {
            return Ok(String::new());
        }
        process
            .wait(patience)
            .ok_or_else(|| format!("{name} did not end"))?;
        if name.starts_with("daemon") {
            let number = if name.ends_with('2') { 2 } else { 1 };
            self.host(number).forget();
        }
        Ok(String::new())
    }
}

fn drop_string<T>(dropped: T) -> String {
    drop(dropped);
    String::new()
}

/// Reads `512`, `4K`, `1M`.
fn size_of(text: &str) -> Result<u64, Failure> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'K') => (&text[..text.len() - 1], 1 << 10),
        Some(b'M') => (&text[..text.len() - 1], 1 << 20),
        _ => (text, 1),
    };
    let number: u64 = digits.parse().during(|| format!("read {text}"))?;
    number
        .checked_mul(unit)
        .ok_or_else(|| format!("{text} is too large").into())
}

fn number_of(text: &str) -> Result<usize, Failure> {
    text.parse().during(|| format!("read {text}"))
}
