//! A lockspace's connection to wdmd.

use std::path::Path;
use std::time::Duration;

use ondisk::Timestamp;
use wdmd_proto::{Client, ClientError, Opened};

use crate::host::{Watchdog, WatchdogError};

/// How long wdmd has for one message. It answers at once unless it is stopped, and then the watchdog resets
/// the host before long.
const PATIENCE: Duration = Duration::from_secs(2);

/// Connects under a name and has the device opened with this fire timeout in seconds.
pub(crate) async fn connect(
    name: String,
    fire_timeout: u32,
) -> Result<Box<dyn Watchdog>, WatchdogError> {
    let connected = tokio::task::spawn_blocking(move || {
        Wdmd::connect(Path::new(wdmd_proto::SOCKET), &name, fire_timeout)
    });
    match connected.await {
        Ok(Ok(wdmd)) => Ok(Box::new(wdmd)),
        Ok(Err(failed)) => Err(failed),
        Err(gone) => Err(WatchdogError::Unreachable(gone.to_string())),
    }
}

/// A registered connection to a wdmd whose device fires after the time asked for.
#[derive(Debug)]
struct Wdmd(Client);

impl Wdmd {
    fn connect(socket: &Path, name: &str, fire_timeout: u32) -> Result<Wdmd, WatchdogError> {
        let mut client = Client::connect(socket, PATIENCE).map_err(unreachable)?;
        client.register(name).map_err(unreachable)?;
        match client.open_watchdog(fire_timeout) {
            Ok(Opened::Yes) => {}
            Ok(Opened::AtItsStart(status)) => {
                tracing::debug!(?status, "wdmd opened its device when it started");
            }
            Err(ClientError::FireTimeout { wanted, found: 0 }) => {
                return Err(WatchdogError::NotOpened { wanted });
            }
            Err(ClientError::FireTimeout { wanted, found }) => {
                return Err(WatchdogError::FireTimeout { found, wanted });
            }
            Err(failed) => return Err(unreachable(failed)),
        }
        Ok(Wdmd(client))
    }
}

impl Watchdog for Wdmd {
    // Neither waits: wdmd's queue holds the messages of hours.

    fn test_live(&mut self, renewed: Timestamp, expires: u64) -> Result<(), WatchdogError> {
        self.0.test_live(renewed.0, expires).map_err(unreachable)
    }

    fn hold(&mut self, held: bool) -> Result<(), WatchdogError> {
        let told = if held {
            self.0.refcount_set()
        } else {
            self.0.refcount_clear()
        };
        told.map_err(unreachable)
    }
}

fn unreachable(failed: ClientError) -> WatchdogError {
    WatchdogError::Unreachable(failed.to_string())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;
    use std::thread::JoinHandle;

    use wdmd_proto::{Message, Request};

    use super::*;

    /// What a daemon does with open_watchdog.
    #[derive(Clone, Copy)]
    enum Generation {
        /// Answers with this fire timeout.
        Opens(u32),
        /// Lets it pass; its status has this fire timeout.
        OpenFromStart(u32),
    }

    /// A wdmd that keeps every message until its client goes.
    struct FakeWdmd {
        socket: PathBuf,
        seen: JoinHandle<Vec<Request>>,
    }

    impl FakeWdmd {
        fn start(name: &str, generation: Generation) -> FakeWdmd {
            let socket = std::env::temp_dir()
                .join(format!("leasehold-watchdog-{name}-{}", std::process::id()));
            let listener = UnixListener::bind(&socket).expect("bind");
            let seen = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().expect("accept");
                let mut seen = Vec::new();
                let mut bytes = [0; Message::LEN];
                while stream.read_exact(&mut bytes).is_ok() {
                    let message = Message::decode(&bytes).expect("a message");
                    let request = Request::try_from(&message).expect("a request");
                    let answer = match (&request, generation) {
                        (Request::OpenWatchdog { .. }, Generation::Opens(timeout))
                        | (
                            Request::Status,
                            Generation::Opens(timeout) | Generation::OpenFromStart(timeout),
                        ) => Some(message.with_fire_timeout(timeout)),
                        _ => None,
                    };
                    if let Some(answer) = answer {
                        stream.write_all(&answer.encode()).expect("an answer");
                    }
                    seen.push(request);
                }
                seen
            });
            FakeWdmd { socket, seen }
        }

        fn end(self) -> Vec<Request> {
            let _ = std::fs::remove_file(&self.socket);
            self.seen.join().expect("the fake daemon")
        }
    }

    #[test]
    fn both_generations_are_tied_to_the_lease() {
        for (name, generation) in [
            ("new", Generation::Opens(60)),
            ("old", Generation::OpenFromStart(60)),
        ] {
            let fake = FakeWdmd::start(name, generation);
            let mut wdmd = Wdmd::connect(&fake.socket, "sanlock_LS:1", 60).expect(name);
            wdmd.hold(true).expect(name);
            wdmd.test_live(Timestamp(100), 180).expect(name);
            wdmd.test_live(Timestamp(0), 0).expect(name);
            wdmd.hold(false).expect(name);
            drop(wdmd);
            let seen = fake.end();
            assert_eq!(
                seen[seen.len() - 4..],
                [
                    Request::RefcountSet,
                    Request::TestLive {
                        renewal: 100,
                        expire: 180
                    },
                    Request::TestLive {
                        renewal: 0,
                        expire: 0
                    },
                    Request::RefcountClear,
                ],
                "{name}"
            );
        }
    }

    #[test]
    fn another_fire_timeout_is_refused() {
        for (name, generation) in [
            ("other-new", Generation::Opens(30)),
            ("other-old", Generation::OpenFromStart(30)),
        ] {
            let fake = FakeWdmd::start(name, generation);
            let refused = Wdmd::connect(&fake.socket, "sanlock_LS:1", 60);
            assert!(
                matches!(
                    refused,
                    Err(WatchdogError::FireTimeout {
                        found: 30,
                        wanted: 60
                    })
                ),
                "{name}: {refused:?}"
            );
            fake.end();
        }
    }

    #[test]
    fn a_device_that_cannot_be_opened_is_refused() {
        let fake = FakeWdmd::start("closed", Generation::Opens(0));
        let refused = Wdmd::connect(&fake.socket, "sanlock_LS:1", 60);
        assert!(
            matches!(refused, Err(WatchdogError::NotOpened { wanted: 60 })),
            "{refused:?}"
        );
        fake.end();
    }

    #[test]
    fn a_missing_daemon_is_named() {
        let refused = Wdmd::connect(Path::new("/nonexistent/wdmd.sock"), "sanlock_LS:1", 60);
        let Err(WatchdogError::Unreachable(why)) = refused else {
            panic!("{refused:?}");
        };
        assert!(why.contains("/nonexistent/wdmd.sock"), "{why}");
    }
}
