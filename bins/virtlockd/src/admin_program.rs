//! The admin program's procedures: what is asked, the end of a client, and the daemon's settings.

mod set;

use std::cell::Cell;
use std::time::Duration;

use libvirt_rpc::admin::{self, AdminText, Param, ParamValue};
use libvirt_rpc::server::{Call, Served};
use libvirt_rpc::xdr::Xdr;
use libvirt_rpc::{ErrorCode, ErrorDomain, List, Packet, RemoteError, Text};
use nix::unistd::{Gid, Group, Uid, User};
use tracing::error;

use crate::clients::{Clients, Peer};
use crate::logging::Log;
use crate::start::VERSION_NUMBER;

/// What is served on the admin socket.
pub(crate) const SERVED: Served = Served {
    program: admin::PROGRAM,
    version: admin::VERSION,
    last: admin::CONNECT_SET_DAEMON_TIMEOUT,
};

/// Why a procedure did nothing.
type Refusal = Box<RemoteError>;

/// What the procedures speak of.
pub(crate) struct Daemon<'a> {
    /// The daemon's servers by their names.
    pub(crate) servers: [(&'static str, &'a Clients); 2],
    /// The log.
    pub(crate) log: &'a Log,
    /// After how long without clients the daemon ends; zero for never.
    pub(crate) timeout: &'a Cell<Duration>,
}

impl Daemon<'_> {
    /// Does what is asked for, and returns the answer.
    pub(crate) fn call(&self, call: &Call) -> Packet {
        self.procedure(call).unwrap_or_else(|refusal| {
            error!(target: "admin.admin_server_dispatch", "{refusal}");
            call.fail(&refusal)
        })
    }

    fn procedure(&self, call: &Call) -> Result<Packet, Refusal> {
        match call.procedure() {
            admin::CONNECT_OPEN => {
                let args: admin::FlagsArgs = call.arguments()?;
                no_flags(args.flags, "adminDispatchConnectOpen")?;
                done(call)
            }
            // The connection is closed by whoever sends the answer.
            admin::CONNECT_CLOSE => done(call),
            admin::CONNECT_GET_LIB_VERSION => {
                let version = VERSION_NUMBER;
                answer(call, &admin::LibVersionRet { version })
            }
            admin::CONNECT_LIST_SERVERS => {
                let args: admin::ListServersArgs = call.arguments()?;
                no_flags(args.flags, "adminConnectListServers")?;
                let all = self.servers.iter().map(|(name, _)| server(name));
                let count = 2;
                let servers = match args.need_results {
                    0 => List::default(),
                    _ => List::cut(all.collect()),
                };
                answer(call, &admin::ListServersRet { servers, count })
            }
            admin::CONNECT_LOOKUP_SERVER => {
                let args: admin::LookupServerArgs = call.arguments()?;
                let (name, _) = self.server(&args.name)?;
                answer(call, &server(name))
            }
            admin::SERVER_GET_THREADPOOL_PARAMETERS => {
                let args: admin::ServerArgs = call.arguments()?;
                let (_, clients) = self.server(&args.server.name)?;
                no_flags(args.flags, "adminServerGetThreadPoolParameters")?;
                // Everything is done in one thread, as in the C daemon.
                let numbers = [
                    ("minWorkers", 0),
                    ("maxWorkers", 0),
                    ("nWorkers", 0),
                    ("freeWorkers", 0),
                    ("prioWorkers", clients.priority_workers.get()),
                    ("jobQueueDepth", 0),
                ];
                let params = numbers.map(|(name, value)| param(name, ParamValue::UInt(value)));
                let params = List::cut(params.into());
                answer(call, &admin::ThreadpoolParams { params })
            }
            admin::SERVER_LIST_CLIENTS => {
                let args: admin::ListClientsArgs = call.arguments()?;
                let (name, clients) = self.server(&args.server.name)?;
                no_flags(args.flags, "adminServerListClients")?;
                let all = clients.all();
                let count = u32::try_from(all.len()).unwrap_or(u32::MAX);
                let all = all.into_iter().map(|(id, peer)| client(name, id, &peer));
                let clients = match args.need_results {
                    0 => List::default(),
                    _ => List::cut(all.collect()),
                };
                answer(call, &admin::ListClientsRet { clients, count })
            }
            admin::SERVER_LOOKUP_CLIENT => {
                let args: admin::LookupClientArgs = call.arguments()?;
                let (name, clients) = self.server(&args.server.name)?;
                no_flags(args.flags, "adminServerLookupClient")?;
                let peer = clients.get(args.id).ok_or_else(|| no_client(args.id))?;
                answer(call, &client(name, args.id, &peer))
            }
            admin::CLIENT_GET_INFO => self.client_info(call),
            admin::CLIENT_CLOSE => {
                let args: admin::ClientArgs = call.arguments()?;
                let (_, clients) = self.server(&args.client.server.name)?;
                let id = args.client.id;
                let found = clients.get(id).ok_or_else(|| no_client(id))?;
                no_flags(args.flags, "adminClientClose")?;
                found.close.notify_one();
                done(call)
            }
            admin::SERVER_GET_CLIENT_LIMITS => {
                let args: admin::ServerArgs = call.arguments()?;
                let (_, clients) = self.server(&args.server.name)?;
                no_flags(args.flags, "adminServerGetClientLimits")?;
                let limits = clients.limits();
                let params = [
                    ("nclients_max", limits.most),
                    ("nclients", clients.count()),
                    ("nclients_unauth_max", limits.most_unknown),
                    // Who is connected is known.
                    ("nclients_unauth", 0),
                ];
                let params = params.map(|(name, value)| param(name, ParamValue::UInt(value)));
                let params = List::cut(params.into());
                answer(call, &admin::ClientLimits { params })
            }
            admin::CONNECT_GET_LOGGING_OUTPUTS => {
                let args: admin::FlagsArgs = call.arguments()?;
                no_flags(args.flags, "adminConnectGetLoggingOutputs")?;
                let (text, count) = self.log.outputs();
                let outputs = Text::cut(text);
                answer(call, &admin::LoggingOutputsRet { outputs, count })
            }
            admin::CONNECT_GET_LOGGING_FILTERS => {
                let args: admin::FlagsArgs = call.arguments()?;
                no_flags(args.flags, "adminConnectGetLoggingFilters")?;
                let (text, count) = self.log.filters();
                let filters = (count > 0).then(|| Text::cut(text));
                answer(call, &admin::LoggingFiltersRet { filters, count })
            }
            _ => self.set(call),
        }
    }

    fn client_info(&self, call: &Call) -> Result<Packet, Refusal> {
        let args: admin::ClientArgs = call.arguments()?;
        let domain = ErrorDomain::ADMIN;
        let name = &args.client.server.name;
        let clients = self.matching_server(name)?;
        let id = args.client.id;
        let peer = clients.get(id).ok_or_else(|| {
            let text = format!("no client with matching id '{id}' found");
            refuse(ErrorCode::NO_CLIENT, domain, text)
        })?;
        no_flags(args.flags, "adminClientGetInfo")?;
        let user = User::from_uid(Uid::from_raw(peer.uid)).ok().flatten();
        let group = Group::from_gid(Gid::from_raw(peer.gid)).ok().flatten();
        let user = user.map_or_else(|| peer.uid.to_string(), |user| user.name);
        let group = group.map_or_else(|| peer.gid.to_string(), |group| group.name);
        // The numbers are signed ones here.
        let mut params = vec![
            param("readonly", ParamValue::Boolean(0)),
            param("unix_user_id", ParamValue::Int(peer.uid as i32)),
            param("unix_user_name", ParamValue::String(Text::cut(user))),
            param("unix_group_id", ParamValue::Int(peer.gid as i32)),
            param("unix_group_name", ParamValue::String(Text::cut(group))),
            param("unix_process_id", ParamValue::Int(peer.pid)),
        ];
        if let Some(context) = peer.context {
            let context = ParamValue::String(Text::cut(&*context));
            params.push(param("selinux_context", context));
        }
        let params = List::cut(params);
        answer(call, &admin::ClientInfo { params })
    }

    /// As [`Daemon::server`], in the words of some procedures.
    fn matching_server(&self, name: &AdminText) -> Result<&Clients, Refusal> {
        let found = self.server(name).map(|(_, clients)| clients);
        found.map_err(|_| {
            let text = format!("no server with matching name '{name}' found");
            refuse(ErrorCode::NO_SERVER, ErrorDomain::ADMIN, text)
        })
    }

    fn server(&self, name: &AdminText) -> Result<(&'static str, &Clients), Refusal> {
        let found = self
            .servers
            .iter()
            .find(|(known, _)| known.as_bytes() == name.as_bytes());
        found.copied().ok_or_else(|| {
            let text = format!("No server named '{name}'");
            refuse(ErrorCode::NO_SERVER, ErrorDomain::RPC, text)
        })
    }
}

fn done(call: &Call) -> Result<Packet, Refusal> {
    answer(call, &())
}

fn answer(call: &Call, value: &impl Xdr) -> Result<Packet, Refusal> {
    Ok(call.succeed(value))
}

fn server(name: &str) -> admin::Server {
    let name = Text::cut(name);
    admin::Server { name }
}

fn client(name: &str, id: u64, peer: &Peer) -> admin::Client {
    let (server, timestamp) = (server(name), peer.since);
    admin::Client {
        server,
        id,
        timestamp,
        transport: 0,
    }
}

fn param(name: &str, value: ParamValue) -> Param {
    let field = Text::cut(name);
    Param { field, value }
}

fn no_flags(flags: u32, function: &str) -> Result<(), Refusal> {
    match flags {
        0 => Ok(()),
        unknown => {
            let domain = ErrorDomain::ADMIN;
            Err(Box::new(RemoteError::unsupported_flags(
                domain, unknown, function,
            )))
        }
    }
}

fn no_client(id: u64) -> Refusal {
    let text = format!("No client with matching ID '{id}'");
    refuse(ErrorCode::NO_CLIENT, ErrorDomain::RPC, text)
}

fn refuse(code: ErrorCode, domain: ErrorDomain, text: impl Into<Vec<u8>>) -> Refusal {
    Box::new(RemoteError::new(code, domain, text))
}
