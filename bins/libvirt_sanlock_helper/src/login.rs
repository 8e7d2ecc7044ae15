//! Proving to libvirt who one is, in the way that it asks for.

use libvirt_rpc::remote::{self, AuthType, SaslData, SaslRet};
use libvirt_rpc::{ErrorCode, ErrorDomain};
use rsasl::prelude::{Mechname, SASLClient, SASLConfig, State};

use crate::credentials::{self, Credentials, no_login};
use crate::uri::Target;
use crate::{Failure, Libvirt, call, failure, text};

/// More steps than any mechanism has.
const MOST_STEPS: u32 = 20;

/// Logs in, if that has to be.
pub(crate) fn log_in(libvirt: &mut Libvirt, target: &Target) -> Result<(), Failure> {
    let offered: remote::AuthListRet = call(libvirt, remote::AUTH_LIST, &())?;
    let Some(first) = offered.types.first() else {
        return Ok(());
    };
    let wanted = match target.auth.as_deref() {
        None => *first,
        Some(name) => {
            let kind = AuthKind::of(name)?.wanted;
            if !offered.types.contains(&kind) {
                let detail = format!("requested authentication type {name} rejected");
                return Err(rejected(&detail));
            }
            kind
        }
    };
    match wanted {
        AuthType::NONE => Ok(()),
        // The server has polkit look at this process; there is nothing to say.
        AuthType::POLKIT => call::<remote::PolkitRet>(libvirt, remote::AUTH_POLKIT, &()).map(drop),
        AuthType::SASL => {
            let path = credentials::file(target.auth_file.as_deref())
                .ok_or_else(|| no_login("there is no auth.conf; LIBVIRT_AUTH_FILE may name one"))?;
            let mechanism = target.auth.as_deref().map(AuthKind::of).transpose()?;
            let mechanism = mechanism.and_then(|kind| kind.mechanism);
            sasl(libvirt, credentials::read(&path)?, mechanism)
        }
        AuthType(other) => Err(rejected(&format!(
            "unsupported authentication type {other}"
        ))),
    }
}

/// `auth=` of a URI.
struct AuthKind<'a> {
    wanted: AuthType,
    mechanism: Option<&'a str>,
}

impl<'a> AuthKind<'a> {
    fn of(name: &'a str) -> Result<Self, Failure> {
        let (kind, mechanism) = match name.split_once('.') {
            Some((kind, mechanism)) => (kind, Some(mechanism)),
            None => (name, None),
        };
        let wanted = match kind.to_ascii_lowercase().as_str() {
            "sasl" => AuthType::SASL,
            "polkit" if mechanism.is_none() => AuthType::POLKIT,
            _ => return Err(rejected(&format!("unknown authentication type {name}"))),
        };
        Ok(Self { wanted, mechanism })
    }
}

fn rejected(detail: &str) -> Failure {
    failure(ErrorCode::AUTH_FAILED, ErrorDomain::REMOTE, detail)
}

fn sasl(
    libvirt: &mut Libvirt,
    credentials: Credentials,
    mechanism: Option<&str>,
) -> Result<(), Failure> {
    let server: remote::SaslInitRet = call(libvirt, remote::AUTH_SASL_INIT, &())?;
    let listed = server.mechanisms.to_string();
    let names = listed.split([' ', ',']).filter(|name| !name.is_empty());
    let names: Vec<&str> = match mechanism {
        None => names.collect(),
        Some(wanted) => names.filter(|name| *name == wanted).collect(),
    };
    if let (Some(wanted), true) = (mechanism, names.is_empty()) {
        let detail = format!("SASL mechanism {wanted} not supported by server");
        return Err(rejected(&detail));
    }
    let failed = |error: &dyn std::fmt::Display| {
        rejected(&format!("Failed to step SASL negotiation: {error}"))
    };
    let Credentials { user, password } = credentials;
    let config = SASLConfig::with_credentials(None, user, password).map_err(|e| failed(&e))?;
    let known: Vec<&Mechname> = names
        .iter()
        .filter_map(|name| Mechname::parse(name.as_bytes()).ok())
        .collect();
    let mut session = SASLClient::new(config)
        .start_suggested_iter(known)
        .map_err(|_| {
            rejected(&format!(
                "Failed to start SASL negotiation: the server offers '{listed}', and none of that is \
                 SCRAM-SHA-512, SCRAM-SHA-256, SCRAM-SHA-1 or PLAIN; see /etc/sasl2/libvirt.conf"
            ))
        })?;

    let mut out = Vec::new();
    let mut state = State::Running;
    let mut sent = false;
    if session.are_we_first() {
        state = session.step(None, &mut out).map_err(|e| failed(&e))?;
        sent = state.has_sent_message();
    }
    let (nil, data) = outgoing(&out, sent)?;
    let start = remote::SaslStartArgs {
        mechanism: text(session.get_mechname().as_str())?,
        nil,
        data,
    };
    let mut answer: SaslRet = call(libvirt, remote::AUTH_SASL_START, &start)?;
    for _ in 0..MOST_STEPS {
        if answer.complete && state.is_finished() {
            return Ok(());
        }
        // Even a server that is content has to prove itself where the mechanism wants that.
        out.clear();
        sent = false;
        if state.is_running() {
            let input = (!answer.nil).then_some(answer.data.as_bytes());
            state = session.step(input, &mut out).map_err(|e| failed(&e))?;
            sent = state.has_sent_message();
        }
        if answer.complete && state.is_finished() {
            return Ok(());
        }
        let (nil, data) = outgoing(&out, sent)?;
        let step = remote::SaslStepArgs { nil, data };
        answer = call(libvirt, remote::AUTH_SASL_STEP, &step)?;
    }
    Err(failed(&"it does not come to an end"))
}

/// No data is not the same as empty data.
fn outgoing(out: &[u8], sent: bool) -> Result<(bool, SaslData), Failure> {
    if !sent {
        return Ok((true, SaslData::default()));
    }
    let data = SaslData::new(out).map_err(|_| {
        let len = out.len();
        rejected(&format!("SASL negotiation data too long: {len} bytes"))
    })?;
    Ok((false, data))
}
