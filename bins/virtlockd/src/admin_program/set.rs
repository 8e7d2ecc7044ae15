//! The procedures that change settings. They last until the daemon ends.

use std::time::Duration;

use libvirt_rpc::admin::{self, AdminText, Param, ParamValue};
use libvirt_rpc::server::Call;
use libvirt_rpc::{ErrorCode, ErrorDomain, Packet, RemoteError};

use super::{Daemon, Refusal, done, no_flags, refuse};
use crate::clients::{Clients, Limits};
use crate::logging::SettingError;

/// Longest name of a parameter, with the zero byte that ends it in C.
const NAME_MAX: usize = 80;

impl Daemon<'_> {
    pub(super) fn set(&self, call: &Call) -> Result<Packet, Refusal> {
        match call.procedure() {
            admin::SERVER_SET_THREADPOOL_PARAMETERS => {
                let args: admin::SetThreadpoolArgs = call.arguments()?;
                let clients = self.matching_server(&args.server.name)?;
                let params = sorted(args.params.into_vec())?;
                no_flags(args.flags, "adminServerSetThreadPoolParameters")?;
                let names = ["maxWorkers", "minWorkers", "prioWorkers"];
                let [most, least, priority] = numbers(&params, names)?;
                set_workers(clients, most, least, priority)?;
            }
            admin::SERVER_SET_CLIENT_LIMITS => {
                let args: admin::SetClientLimitsArgs = call.arguments()?;
                let clients = self.matching_server(&args.server.name)?;
                let params = sorted(args.params.into_vec())?;
                no_flags(args.flags, "adminServerSetClientLimits")?;
                let names = ["nclients_max", "nclients_unauth_max"];
                let [most, most_unknown] = numbers(&params, names)?;
                set_limits(clients, most, most_unknown)?;
            }
            admin::CONNECT_SET_LOGGING_OUTPUTS => {
                let args: admin::SetLoggingArgs = call.arguments()?;
                no_flags(args.flags, "adminConnectSetLoggingOutputs")?;
                self.log
                    .set_outputs(&text(args.text))
                    .map_err(log_refusal)?;
            }
            admin::CONNECT_SET_LOGGING_FILTERS => {
                let args: admin::SetLoggingArgs = call.arguments()?;
                no_flags(args.flags, "adminConnectSetLoggingFilters")?;
                self.log
                    .set_filters(&text(args.text))
                    .map_err(log_refusal)?;
            }
            admin::SERVER_UPDATE_TLS_FILES => {
                let args: admin::ServerArgs = call.arguments()?;
                self.server(&args.server.name)?;
                no_flags(args.flags, "adminServerUpdateTlsFiles")?;
                let text = "no tls service found, unable to update tls files";
                return Err(refuse(ErrorCode::INTERNAL_ERROR, ErrorDomain::RPC, text));
            }
            admin::CONNECT_SET_DAEMON_TIMEOUT => {
                let args: admin::SetDaemonTimeoutArgs = call.arguments()?;
                no_flags(args.flags, "adminConnectSetDaemonTimeout")?;
                // Counted from when the last client leaves, which is at the earliest this one.
                self.timeout.set(Duration::from_secs(args.timeout.into()));
            }
            // `SERVED` lets no other through.
            other => {
                let text = format!("unknown procedure: {}", other.0);
                return Err(refuse(ErrorCode::RPC, ErrorDomain::RPC, text));
            }
        }
        done(call)
    }
}

fn text(given: Option<AdminText>) -> String {
    given.map(|text| text.to_string()).unwrap_or_default()
}

fn log_refusal(error: SettingError) -> Refusal {
    match error {
        SettingError::Text(why) => invalid(why),
        SettingError::Open { to, source } => {
            let tried = format!("failed to open {to}");
            Box::new(RemoteError::system(ErrorDomain::NONE, tried, &source))
        }
    }
}

/// There are no workers, and there is no switching from none to some.
fn set_workers(
    clients: &Clients,
    most: Option<u32>,
    least: Option<u32>,
    priority: Option<u32>,
) -> Result<(), Refusal> {
    if least.unwrap_or(0) > most.unwrap_or(0) {
        return Err(invalid("minWorkers cannot be larger than maxWorkers"));
    }
    if most.unwrap_or(0) > 0 {
        let text = "maxWorkers must not be switched from zero to non-zero and vice versa";
        return Err(invalid(text));
    }
    if let Some(priority) = priority {
        clients.priority_workers.set(priority);
    }
    Ok(())
}

fn set_limits(
    clients: &Clients,
    most: Option<u32>,
    most_unknown: Option<u32>,
) -> Result<(), Refusal> {
    let now = clients.limits();
    let limits = Limits {
        most: most.unwrap_or(now.most),
        most_unknown: most_unknown.unwrap_or(now.most_unknown),
    };
    if limits.most < limits.most_unknown {
        // As libvirt has it, the wrong way round.
        let text = "The overall maximum number of clients waiting for authentication must not be less than the \
                    overall maximum number of clients";
        return Err(refuse(ErrorCode::INVALID_ARG, ErrorDomain::RPC, text));
    }
    clients.set_limits(limits);
    Ok(())
}

/// By name, as libvirt looks at them.
fn sorted(mut params: Vec<Param>) -> Result<Vec<Param>, Refusal> {
    if let Some(long) = params.iter().find(|p| p.field.as_bytes().len() >= NAME_MAX) {
        let text = format!("parameter {} too big for destination", long.field);
        return Err(refuse(ErrorCode::INTERNAL_ERROR, ErrorDomain::NONE, text));
    }
    params.sort_by(|one, other| one.field.cmp(&other.field));
    Ok(params)
}

/// The parameters of these names, which are sorted: numbers without a sign, each at most once, and no others.
fn numbers<const N: usize>(
    params: &[Param],
    names: [&str; N],
) -> Result<[Option<u32>; N], Refusal> {
    let mut found = [None; N];
    let mut places = names.iter().zip(&mut found).peekable();
    for param in params {
        let field = param.field.as_bytes();
        // Behind a name that is not known libvirt finds none any more, and it complains about that one.
        while places
            .next_if(|(name, _)| name.as_bytes() != field)
            .is_some()
        {}
        let Some((name, place)) = places.peek_mut() else {
            let text = format!("parameter '{}' not supported", param.field);
            let code = ErrorCode::ARGUMENT_UNSUPPORTED;
            return Err(refuse(code, ErrorDomain::NONE, text));
        };
        if place.is_some() {
            return Err(invalid(format!("parameter '{name}' occurs multiple times")));
        }
        let ParamValue::UInt(value) = param.value else {
            let kind = kind(&param.value);
            let text = format!("invalid type '{kind}' for parameter '{name}', expected 'uint'");
            return Err(invalid(text));
        };
        **place = Some(value);
    }
    Ok(found)
}

fn kind(value: &ParamValue) -> &'static str {
    match value {
        ParamValue::Int(_) => "int",
        ParamValue::UInt(_) => "uint",
        ParamValue::LLong(_) => "llong",
        ParamValue::ULLong(_) => "ullong",
        ParamValue::Double(_) => "double",
        ParamValue::Boolean(_) => "boolean",
        ParamValue::String(_) => "string",
    }
}

fn invalid(text: impl Into<Vec<u8>>) -> Refusal {
    refuse(ErrorCode::INVALID_ARG, ErrorDomain::NONE, text)
}
