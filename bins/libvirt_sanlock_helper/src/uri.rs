//! Which socket serves a URI, and what the URI is called at its other end.
//!
//! Of what libvirt's client library can reach, this is the part on this host: the socket of the daemon that serves
//! one hypervisor where there is one, and of the one that serves all where not.

use std::path::{Path, PathBuf};

use libvirt_rpc::{ErrorCode, ErrorDomain};

use crate::{Failure, failure};

/// Where sockets are. The original goes through `/var/run`, which is the same directory by a symlink in `/var`:
/// that may be on the storage that hangs.
const RUN: &str = "/run/libvirt";

/// What the original calls it.
const RUN_SHOWN: &str = "/var/run/libvirt";

/// What a connection is made to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// The socket.
    pub(crate) socket: PathBuf,
    /// The socket as messages show it.
    pub(crate) shown_socket: String,
    /// What the server is asked to open; empty for whatever it finds.
    pub(crate) name: String,
    /// `auth=` of the URI.
    pub(crate) auth: Option<String>,
    /// `authfile=` of the URI.
    pub(crate) auth_file: Option<PathBuf>,
}

/// What a URI's meaning depends on.
pub(crate) struct Surroundings {
    /// Whether this is root, whose sessions are the system's.
    pub(crate) root: bool,
    /// Where the user's sockets are.
    pub(crate) user_run: Option<PathBuf>,
    /// `LIBVIRT_DEFAULT_URI`.
    pub(crate) default_uri: Option<String>,
    /// Whether there is something with this path.
    pub(crate) exists: fn(&Path) -> bool,
}

impl Surroundings {
    pub(crate) fn of_this_process() -> Self {
        let dir = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let cache = || {
            let home = || dir("HOME").map(|home| Path::new(&home).join(".cache").into());
            dir("XDG_CACHE_HOME").or_else(home)
        };
        Self {
            root: nix::unistd::geteuid().is_root(),
            user_run: dir("XDG_RUNTIME_DIR")
                .or_else(cache)
                .map(|run| Path::new(&run).join("libvirt")),
            default_uri: std::env::var("LIBVIRT_DEFAULT_URI")
                .ok()
                .filter(|uri| !uri.is_empty()),
            exists: Path::exists,
        }
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Parts {
    scheme: String,
    server: Option<String>,
    path: String,
    parameters: Vec<(String, String)>,
    fragment: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Auto,
    Legacy,
    Direct,
}

impl Target {
    /// What this URI stands for.
    pub(crate) fn of(uri: &str, here: &Surroundings) -> Result<Self, Failure> {
        let uri = match uri {
            "" => here.default_uri.as_deref().unwrap_or_default(),
            // As old guests have it.
            _ if uri.eq_ignore_ascii_case("xen") || uri == "xen://" => "xen:///system",
            _ => uri,
        };
        if uri.is_empty() {
            return located(None, Mode::Auto, !here.root, here, Settings::default());
        }
        let parts = Parts::of(uri)?;
        let driver = parts.driver(uri)?;
        let mut settings = Settings::default();
        let mut mode = Mode::Auto;
        let mut passed = Vec::new();
        for (name, value) in &parts.parameters {
            match name.to_ascii_lowercase().as_str() {
                "name" => settings.name = Some(value.clone()),
                "socket" => settings.socket = Some(value.clone()),
                "auth" => settings.auth = Some(value.clone()),
                "authfile" => settings.auth_file = Some(value.into()),
                "mode" => {
                    mode = match value.as_str() {
                        "auto" => Mode::Auto,
                        "legacy" => Mode::Legacy,
                        "direct" => Mode::Direct,
                        _ => return Err(invalid(&format!("Unknown remote mode '{value}'"))),
                    }
                }
                // They are about ways to get to another host.
                "command" | "sshauth" | "netcat" | "keyfile" | "pkipath" | "known_hosts"
                | "known_hosts_verify" | "tls_priority" | "proxy" | "no_sanity" | "no_verify"
                | "no_tty" => {}
                _ => passed.push((name.as_str(), value.as_str())),
            }
        }
        if settings.name.is_none() && driver != "remote" {
            settings.name = Some(parts.name_at_server(driver, &passed));
        }
        let session = parts.path == "/session" || parts.scheme.starts_with("test+");
        located(Some(driver), mode, session && !here.root, here, settings)
    }
}

/// What a URI's parameters set.
#[derive(Default)]
struct Settings {
    name: Option<String>,
    socket: Option<String>,
    auth: Option<String>,
    auth_file: Option<PathBuf>,
}

fn located(
    driver: Option<&str>,
    mode: Mode,
    user: bool,
    here: &Surroundings,
    settings: Settings,
) -> Result<Target, Failure> {
    let (run, shown) = match (user, &here.user_run) {
        (false, _) => (PathBuf::from(RUN), RUN_SHOWN.to_owned()),
        (true, Some(run)) => (run.clone(), run.display().to_string()),
        (true, None) => {
            return Err(invalid(
                "the socket of a session is in $XDG_RUNTIME_DIR, which is not set",
            ));
        }
    };
    let direct = driver.map(|driver| format!("virt{driver}d-sock"));
    let there = |file: &String| (here.exists)(&run.join(file));
    let file = match (mode, direct) {
        (Mode::Auto, Some(direct)) if there(&direct) => direct,
        (Mode::Direct, Some(direct)) => direct,
        _ => "libvirt-sock".to_owned(),
    };
    let (socket, shown_socket) = match settings.socket {
        Some(socket) => (PathBuf::from(&socket), socket),
        None => (run.join(&file), format!("{shown}/{file}")),
    };
    Ok(Target {
        socket,
        shown_socket,
        name: settings.name.unwrap_or_default(),
        auth: settings.auth,
        auth_file: settings.auth_file,
    })
}

fn invalid(detail: &str) -> Failure {
    failure(ErrorCode::INVALID_ARG, ErrorDomain::REMOTE, detail)
}

impl Parts {
    /// Of `SCHEME:[//[USER@]SERVER[:PORT]]PATH[?QUERY][#FRAGMENT]`.
    fn of(uri: &str) -> Result<Self, Failure> {
        let broken = || {
            let detail = format!("Unable to parse URI {uri}");
            failure(ErrorCode::INTERNAL_ERROR, ErrorDomain(45), &detail)
        };
        if uri.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(broken());
        }
        let (rest, fragment) = match uri.split_once('#') {
            Some((rest, fragment)) => (rest, Some(fragment.to_owned())),
            None => (uri, None),
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let named = rest.split_once(':').filter(|(scheme, _)| is_scheme(scheme));
        let Some((scheme, rest)) = named else {
            return Err(failure(
                ErrorCode::NO_CONNECT,
                ErrorDomain::NONE,
                &format!("URI '{uri}' does not include a driver name"),
            ));
        };
        let (server, path) = match rest.strip_prefix("//") {
            Some(rest) => {
                let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                let host = authority.rsplit('@').next().unwrap_or_default();
                let host = if host.starts_with('[') {
                    host.split(']').next().unwrap_or_default()
                } else {
                    host.split(':').next().unwrap_or_default()
                };
                let host = host.trim_start_matches('[');
                ((!host.is_empty()).then(|| host.to_owned()), path)
            }
            None => (None, rest),
        };
        Ok(Self {
            scheme: scheme.to_owned(),
            server,
            path: unescape(path).ok_or_else(broken)?,
            parameters: parameters(query).ok_or_else(broken)?,
            fragment,
        })
    }

    /// The hypervisor's driver; an error where the way there is not a local socket.
    fn driver(&self, uri: &str) -> Result<&str, Failure> {
        let (driver, transport) = match self.scheme.split_once('+') {
            Some((driver, transport)) => (driver, Some(transport.to_ascii_lowercase())),
            None => (self.scheme.as_str(), None),
        };
        if let (Some(server @ ("session" | "system")), "qemu" | "vbox" | "vz") =
            (self.server.as_deref(), self.scheme.as_str())
        {
            let scheme = &self.scheme;
            let detail = format!("invalid URI {uri} (maybe you want {scheme}:///{server})");
            let code = ErrorCode::INTERNAL_ERROR;
            return Err(failure(code, ErrorDomain::NONE, &detail));
        }
        let elsewhere = |how: &str| {
            let detail = format!(
                "URI '{uri}' is reached {how}; this program only talks to libvirt on a local socket"
            );
            let code = ErrorCode::ARGUMENT_UNSUPPORTED;
            failure(code, ErrorDomain::REMOTE, &detail)
        };
        match (transport.as_deref(), &self.server) {
            (Some("unix"), Some(server)) => Err(invalid(&format!(
                "using unix socket and remote server '{server}' is not supported."
            ))),
            (Some(other @ ("tls" | "ssh" | "ext" | "tcp" | "libssh2" | "libssh")), _) => {
                Err(elsewhere(&format!("by {other}")))
            }
            (Some("unix"), None) => Ok(driver),
            (Some(_), _) => Err(invalid(
                "remote_open: transport in URL not recognised \
                 (should be tls|unix|ssh|ext|tcp|libssh2|libssh)",
            )),
            (None, Some(_)) => Err(elsewhere("by tls")),
            (None, None) if driver == "test" || self.path == "/embed" => {
                Err(elsewhere("within the process that has its guests"))
            }
            (None, None) => Ok(driver),
        }
    }

    /// The URI without what was only of interest to get there.
    fn name_at_server(&self, driver: &str, parameters: &[(&str, &str)]) -> String {
        let mut name = format!("{driver}://{}", escape(&self.path, b"/@:,;&=+$!~*'()"));
        for (index, (parameter, value)) in parameters.iter().enumerate() {
            name.push(if index == 0 { '?' } else { '&' });
            name.push_str(&escape(parameter, b""));
            name.push('=');
            name.push_str(&escape(value, b""));
        }
        if let Some(fragment) = &self.fragment {
            name.push('#');
            name.push_str(fragment);
        }
        name
    }
}

fn is_scheme(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

/// `name=value` with `&` or `;` between; without `=` the value is empty.
fn parameters(query: &str) -> Option<Vec<(String, String)>> {
    query
        .split(['&', ';'])
        .filter(|parameter| !parameter.is_empty() && !parameter.starts_with('='))
        .map(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            Some((unescape(name)?, unescape(value)?))
        })
        .collect()
}

fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let value = digit()? * 16 + digit()?;
        bytes.push(u8::try_from(value).ok().filter(|byte| *byte != 0)?);
    }
    String::from_utf8(bytes).ok()
}

fn escape(text: &str, keep: &[u8]) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || keep.contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
