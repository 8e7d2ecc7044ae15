//! A request to end that comes when the program before is gone and the next one has no handlers yet.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;

use nix::sys::signal::Signal;

use super::client::{Client, NOBODY};
use super::host::{Lab, runs};
use super::virtlockd::wait_until;

pub fn a_request_to_end_meanwhile(lab: &Lab) {
    let mut host = lab.host("");
    let mut client = Client::registered(&host.socket(), NOBODY);
    let image = lab.file("image");
    assert_eq!(client.acquire(("", &image), 0), "ok");
    let [first, next, ..] = &lab.programs[..] else {
        panic!("there is no next program");
    };
    // The shell is the next program for a moment, with the signals as the daemon before left them.
    let (script, came) = (lab.path("script"), lab.path("came"));
    let file = host.install(&next.file);
    let text = format!(
        "#!/bin/sh\n[ \"$1\" = -V ] || {{ : > {came}; kill -TERM $$; }}\nexec {} \"$@\"\n",
        file.display()
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    host.point_at(Path::new(&script));
    let daemon = host.daemon.as_mut().unwrap();
    daemon.signal(Signal::SIGUSR1);
    match (first.name, next.name) {
        ("C", _) => {
            // With all its locks, and nobody is told.
            let signal = daemon.wait().signal();
            assert_eq!(signal, Some(Signal::SIGTERM as i32));
        }
        (_, "C") => {
            // It would never unblock it, so it is lost, and the next one counts.
            wait_until("the next program runs", || {
                runs(daemon.pid()).is_some_and(|now| now == file)
            });
            assert!(client.acquire(("", &image), 0).contains("is locked"));
            daemon.signal(Signal::SIGTERM);
            assert_eq!(daemon.wait().code(), Some(0));
        }
        _ => assert_eq!(daemon.wait().code(), Some(0)),
    }
    assert!(Path::new(&came).exists());
}
