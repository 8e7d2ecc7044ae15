//! `auth.conf`: who to be, and the password for it.
//!
//! Groups in brackets, `key=value` lines in them, `#` begins a comment. The group `auth-libvirt-SERVER`, or
//! `auth-libvirt-default`, names another one, `credentials-NAME`, in its `credentials`.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use libvirt_rpc::{ErrorCode, ErrorDomain};

use crate::{Failure, failure};

/// More than any such file has.
const MOST: u64 = 1024 * 1024;

/// Who to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    /// The user.
    pub(crate) user: String,
    /// The password.
    pub(crate) password: String,
}

/// Where the file is, by the environment, the URI, or the first that there is.
pub(crate) fn file(of_uri: Option<&Path>) -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(path) = set("LIBVIRT_AUTH_FILE") {
        return Some(path.into());
    }
    if let Some(path) = of_uri {
        return Some(path.to_owned());
    }
    // The lease daemon's environment has no home.
    let root = || nix::unistd::geteuid().is_root().then(|| "/root".into());
    let home = || set("HOME").or_else(root);
    let config = set("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| home().map(|home| Path::new(&home).join(".config")));
    let of_user = config.map(|config| config.join("libvirt/auth.conf"));
    let of_host = PathBuf::from("/etc/libvirt/auth.conf");
    [of_user, Some(of_host)]
        .into_iter()
        .flatten()
        .find(|path| path.is_file())
}

/// Reads who to be towards libvirt on this host.
pub(crate) fn read(path: &Path) -> Result<Credentials, Failure> {
    let mut bytes = Vec::new();
    let opened = File::open(path).and_then(|file| file.take(MOST).read_to_end(&mut bytes));
    if let Err(error) = opened {
        let shown = path.display();
        return Err(no_login(&format!(
            "cannot read credentials from '{shown}': {error}"
        )));
    }
    parse(&String::from_utf8_lossy(&bytes), path)
}

fn parse(text: &str, path: &Path) -> Result<Credentials, Failure> {
    let groups = groups(text);
    let path = path.display();
    let wrong = |detail: &str| failure(ErrorCode::CONF_SYNTAX, ErrorDomain::NONE, detail);
    let named = ["auth-libvirt-localhost", "auth-libvirt-default"]
        .into_iter()
        .find_map(|name| groups.get(name).map(|group| (name, group)));
    let Some((name, group)) = named else {
        return Err(no_login(&format!(
            "'{path}' has no group [auth-libvirt-default] that says whom to log in as"
        )));
    };
    let Some(credentials) = group.get("credentials") else {
        return Err(wrong(&format!(
            "Missing item 'credentials' in group '{name}' in '{path}'"
        )));
    };
    let Some(group) = groups.get(format!("credentials-{credentials}").as_str()) else {
        return Err(wrong(&format!(
            "Missing group 'credentials-{credentials}' referenced from group '{name}' in '{path}'"
        )));
    };
    let item = |key: &str| {
        group.get(key).cloned().ok_or_else(|| {
            no_login(&format!(
                "group 'credentials-{credentials}' in '{path}' has no '{key}'"
            ))
        })
    };
    Ok(Credentials {
        user: item("authname")?,
        password: item("password")?,
    })
}

/// Why nobody can log in.
pub(crate) fn no_login(detail: &str) -> Failure {
    let detail = format!("Failed to collect auth credentials: {detail}");
    failure(ErrorCode::AUTH_FAILED, ErrorDomain::REMOTE, &detail)
}

fn groups(text: &str) -> HashMap<&str, HashMap<&str, String>> {
    let mut groups: HashMap<&str, HashMap<&str, String>> = HashMap::new();
    let mut current = None;
    for line in text.lines().map(str::trim_start) {
        if line.starts_with('#') {
            continue;
        }
        let header = line.trim_end().strip_prefix('[');
        if let Some(name) = header.and_then(|line| line.strip_suffix(']')) {
            groups.entry(name).or_default();
            current = Some(name);
        } else if let (Some(group), Some((key, value))) = (current, line.split_once('=')) {
            let value = unescape(value.trim_start());
            groups
                .entry(group)
                .or_default()
                .insert(key.trim_end(), value);
        }
    }
    groups
}

/// As glib writes strings into such files.
fn unescape(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            value.push(c);
            continue;
        }
        match rest.next() {
            Some('s') => value.push(' '),
            Some('n') => value.push('\n'),
            Some('t') => value.push('\t'),
            Some('r') => value.push('\r'),
            Some(other) => value.push(other),
            None => {}
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Credentials, String> {
        parse(text, Path::new("f")).map_err(|error| error.to_string())
    }

    const CREDENTIALS: &str = "[credentials-a]\nauthname = fred\npassword=1 2\\s\\\\3\n";

    #[test]
    fn this_host_before_any() {
        let file = format!(
            "# c\n\n{CREDENTIALS}[credentials-b]\nauthname=b\npassword=\n\
             [auth-libvirt-default]\ncredentials=b\n[auth-esx-localhost]\ncredentials=c\n"
        );
        let b = Credentials {
            user: "b".to_owned(),
            password: String::new(),
        };
        assert_eq!(parsed(&file), Ok(b));
        let a = Credentials {
            user: "fred".to_owned(),
            password: "1 2 \\3".to_owned(),
        };
        let file = format!("{file}[auth-libvirt-localhost]\r\ncredentials=a\r\n");
        assert_eq!(parsed(&file), Ok(a));
    }

    #[test]
    fn what_is_missing_is_named() {
        let default = "[auth-libvirt-default]\ncredentials=a\n";
        for (text, wanted) in [
            (String::new(), "[auth-libvirt-default]"),
            ("\u{0}\u{1b}=\n[[]\n".to_owned(), "[auth-libvirt-default]"),
            (
                "[auth-libvirt-default]".to_owned(),
                "Missing item 'credentials'",
            ),
            (default.to_owned(), "Missing group 'credentials-a'"),
            (format!("{default}[credentials-a]"), "no 'authname'"),
            (
                format!("{default}[credentials-a]\nauthname=x"),
                "no 'password'",
            ),
        ] {
            let error = parsed(&text).unwrap_err();
            assert!(error.contains(wanted), "{text:?}: {error}");
        }
    }
}
