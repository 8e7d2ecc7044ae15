//! What a daemon writes for its successor in the same process: the C daemon's JSON, in both directions.
//!
//! Keys that only ours writes are passed over by the C daemon; what is optional here is what it may leave out.

use std::collections::BTreeSet;
use std::os::fd::RawFd;

use fcntl::SpaceState;
use serde::{Deserialize, Serialize};

/// Largest state that the C daemon reads.
pub(crate) const STATE_MAX: usize = 10 << 20;

/// The whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) daemon: DaemonState,
    /// The lock space in which names are paths.
    #[serde(rename = "defaultLockspace")]
    pub(crate) default_space: SpaceState,
    /// Those with a directory.
    #[serde(rename = "lockspaces")]
    pub(crate) spaces: Vec<SpaceState>,
    /// The process that it is for: its pid.
    pub(crate) magic: String,
    /// Processes that lost their connection and are being ended, with their locks held until then. Only ours.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        rename = "endingOwners"
    )]
    pub(crate) ending: Vec<EndingOwner>,
}

/// Its sockets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct DaemonState {
    pub(crate) servers: Servers,
}

/// By their names; old daemons have no admin server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Servers {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) admin: Option<ServerState<Nobody>>,
    pub(crate) virtlockd: ServerState<OwnerState>,
}

/// A server with its limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ServerState<P> {
    #[serde(default)]
    pub(crate) min_workers: u32,
    #[serde(default)]
    pub(crate) max_workers: u32,
    #[serde(default)]
    pub(crate) priority_workers: u32,
    pub(crate) max_clients: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_anonymous_clients: Option<u32>,
    /// -1 as a number without a sign: no client is asked whether it is there.
    #[serde(default = "never", rename = "keepaliveInterval")]
    pub(crate) keepalive_interval: u32,
    #[serde(default, rename = "keepaliveCount")]
    pub(crate) keepalive_count: u32,
    #[serde(default = "one")]
    pub(crate) next_client_id: u64,
    pub(crate) services: Vec<ServiceState>,
    pub(crate) clients: Vec<ClientState<P>>,
}

/// What a server listens on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ServiceState {
    #[serde(default)]
    pub(crate) auth: i32,
    #[serde(default)]
    pub(crate) readonly: bool,
    #[serde(default)]
    pub(crate) nrequests_client_max: u32,
    pub(crate) socks: Vec<SocketState>,
}

/// A socket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SocketState {
    pub(crate) fd: RawFd,
    /// Of a process at the other end: none.
    #[serde(default = "none")]
    pub(crate) errfd: i32,
    #[serde(default)]
    pub(crate) pid: i32,
    #[serde(default, rename = "isClient")]
    pub(crate) is_client: bool,
    /// Whether its name is removed with it. Never for a client, whose socket has the listening one's name.
    #[serde(default, rename = "unlinkUNIX")]
    pub(crate) unlink: bool,
}

impl SocketState {
    /// A socket that is listened on.
    pub(crate) fn listening(fd: RawFd, unlink: bool) -> Self {
        Self {
            fd,
            errfd: none(),
            pid: 0,
            is_client: false,
            unlink,
        }
    }

    /// A connection.
    pub(crate) fn connected(fd: RawFd) -> Self {
        Self {
            is_client: true,
            ..Self::listening(fd, false)
        }
    }
}

/// A connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ClientState<P> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<u64>,
    #[serde(default)]
    pub(crate) auth: i32,
    #[serde(default)]
    pub(crate) auth_pending: bool,
    #[serde(default)]
    pub(crate) readonly: bool,
    #[serde(default)]
    pub(crate) nrequests_max: u32,
    /// When it connected, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) conn_time: Option<i64>,
    pub(crate) sock: SocketState,
    #[serde(rename = "privateData")]
    pub(crate) private: P,
    /// The beginning of a request whose end has not come. Only ours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) received: Vec<u8>,
    /// The end of an answer whose beginning was sent. Only ours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) unsent: Vec<u8>,
    /// When its process started, if it is an owner, so that no later one with its pid is taken for it. Only ours.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        rename = "processStart"
    )]
    pub(crate) process_start: Option<u64>,
}

/// What an administrator has said about itself: nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Nobody {}

/// What a client of the lock program has said about itself. An id of 0 is no owner; the C daemon cannot write one
/// (and ends, with all its locks), but reads it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct OwnerState {
    pub(crate) restricted: bool,
    #[serde(rename = "ownerPid")]
    pub(crate) pid: u32,
    #[serde(rename = "ownerId")]
    pub(crate) id: u32,
    #[serde(rename = "ownerName")]
    pub(crate) name: String,
    #[serde(rename = "ownerUUID")]
    pub(crate) uuid: uuid::Uuid,
}

/// A process that is being ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EndingOwner {
    pub(crate) pid: i32,
    /// When it started, where the kernel tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) start: Option<u64>,
}

fn never() -> u32 {
    u32::MAX
}

fn one() -> u64 {
    1
}

fn none() -> i32 {
    -1
}

/// What a descriptor is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Lock,
    Client,
    Listener,
}

impl State {
    /// Reads it.
    ///
    /// # Errors
    /// A sentence about what is wrong.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, String> {
        let state: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let mut seen = BTreeSet::new();
        let twice = state.descriptors().find(|(_, fd)| !seen.insert(*fd));
        match twice {
            Some((_, fd)) => Err(format!("descriptor {fd} is there twice")),
            None => Ok(state),
        }
    }

    /// Writes it, as short as it can be, as the C daemon reads only so much.
    ///
    /// # Errors
    /// A sentence, if it is too long.
    pub(crate) fn text(&self) -> Result<Vec<u8>, String> {
        let text = serde_json::to_vec(self).map_err(|error| error.to_string())?;
        if text.len() > STATE_MAX {
            let len = text.len();
            return Err(format!(
                "the state of all locks and clients takes {len} bytes, and the next program may read {STATE_MAX} only"
            ));
        }
        Ok(text)
    }

    /// All descriptors that it names, but for further ones of locked files.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = (Purpose, RawFd)> {
        let locks = std::iter::once(&self.default_space)
            .chain(&self.spaces)
            .flat_map(|space| &space.resources)
            .map(|resource| (Purpose::Lock, resource.fd));
        let servers = &self.daemon.servers;
        let admin = servers.admin.iter().flat_map(ServerState::descriptors);
        locks.chain(servers.virtlockd.descriptors()).chain(admin)
    }
}

impl<P> ServerState<P> {
    fn descriptors(&self) -> impl Iterator<Item = (Purpose, RawFd)> {
        let socks = self.services.iter().flat_map(|service| &service.socks);
        let listeners = socks.map(|sock| (Purpose::Listener, sock.fd));
        let clients = self.clients.iter();
        listeners.chain(clients.map(|client| (Purpose::Client, client.sock.fd)))
    }
}

/// For a fuzzer: takes any bytes, and returns whether what is read is written to be read as the same again.
pub(crate) fn law(bytes: &[u8]) -> bool {
    let Ok(state) = State::parse(bytes) else {
        return true;
    };
    match state.text() {
        Ok(text) => State::parse(&text) == Ok(state),
        // Numbers take more room than they came in.
        Err(_) => bytes.len() > STATE_MAX / 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF_C: &str =
        include_str!("../../../../testsuite/fuzz/seeds/virtlockd_state/of_the_c_daemon");
    const OF_OURS: &str = include_str!("../../../../testsuite/fuzz/seeds/virtlockd_state/of_ours");
    const LEAST: &str = include_str!("../../../../testsuite/fuzz/seeds/virtlockd_state/least");

    #[test]
    fn what_the_c_daemon_writes_is_written_with_every_key() {
        for text in [OF_C, OF_OURS] {
            let state = State::parse(text.as_bytes()).unwrap();
            let [read, written]: [serde_json::Value; 2] = [
                serde_json::from_str(text).unwrap(),
                serde_json::from_slice(&state.text().unwrap()).unwrap(),
            ];
            assert_eq!(read, written);
        }
    }

    #[test]
    fn what_makes_no_sense() {
        let state = State::parse(OF_C.as_bytes()).unwrap();
        assert_eq!(state.descriptors().count(), 8);
        assert!(State::parse(LEAST.as_bytes()).is_ok());
        for (from, to, why) in [
            ("\"fd\": 13", "\"fd\": 10", "descriptor 10 is there twice"),
            ("\"fd\": 13", "\"fd\": 2147483648", "i32"),
            ("\"virtlockd\"", "\"virtlogd\"", "unknown field"),
            ("\"magic\"", "\"magi\"", "missing field `magic`"),
            ("\"ownerName\": \"guest\"", "\"ownerName\": null", "null"),
        ] {
            let wrong = State::parse(OF_C.replace(from, to).as_bytes()).unwrap_err();
            assert!(wrong.contains(why), "{wrong}");
        }
        for cut in 0..OF_C.len() {
            assert!(State::parse(&OF_C.as_bytes()[..cut]).is_err());
        }
    }
}
