//! `--dump`: what the running daemon says of itself, as text or as a JSON document.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use wdmd_proto::{MAX_DUMP, Message, Request, SOCKET};

use crate::watchdog::DETAILS;

/// How long the daemon has for its first word, and how long nothing more may come after a whole line until the
/// dump counts as complete: it has no end.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);

/// Prints it.
pub(super) fn dump(json: bool) -> ExitCode {
    let text = match fetch() {
        Ok(text) => text,
        Err(error) => {
            daemon::console::err(format_args!(
                "wdmd: cannot ask the running wdmd on {SOCKET}: {error}; does it run?"
            ));
            return ExitCode::FAILURE;
        }
    };
    let shown = if json {
        let document = Document::of(&String::from_utf8_lossy(&text));
        let mut shown = serde_json::to_vec_pretty(&document).unwrap_or_default();
        shown.push(b'\n');
        shown
    } else {
        text
    };
    match std::io::stdout().write_all(&shown) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn fetch() -> std::io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(SOCKET)?;
    let asked = Message {
        flags: DETAILS,
        ..Request::DumpDebug.message()
    };
    stream.write_all(&asked.encode())?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut text = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(text),
            Ok(count) => text.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            Err(_) if text.ends_with(b"\n") => return Ok(text),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if text.len() >= MAX_DUMP {
            return Ok(text);
        }
        let wait = if text.ends_with(b"\n") {
            PAUSE
        } else {
            PATIENCE
        };
        stream.set_read_timeout(Some(wait))?;
    }
}

/// A line's words: after each name its value.
type Fields = BTreeMap<String, Value>;

/// The dump as a document. A field is named as in the text; numbers are numbers.
#[derive(Debug, Default, Serialize)]
struct Document {
    format: u32,
    wdmd: Fields,
    /// How the device is; `null` if the daemon is the original, which does not say.
    device: Option<Fields>,
    scripts: Vec<Fields>,
    clients: Vec<Fields>,
    /// The source that stopped the last keepalive, if one was.
    stopped_by: Option<Fields>,
}

impl Document {
    fn of(text: &str) -> Self {
        let mut document = Self {
            format: 1,
            ..Self::default()
        };
        let mut margins = Vec::new();
        for line in text.lines() {
            let Some((kind, rest)) = line.split_once(' ') else {
                continue;
            };
            match kind {
                "wdmd" => document.wdmd = fields(&format!("pid {rest}"), "socket_gid"),
                "device" => document.device = Some(fields(&format!("path {rest}"), "state")),
                "script" => document
                    .scripts
                    .push(fields(&format!("script {rest}"), "pid")),
                "client" => document
                    .clients
                    .push(fields(&format!("client {rest}"), "pid")),
                "margin" => margins.push(fields(rest, "seconds")),
                "stopped_by" => document.stopped_by = Some(fields(rest, "at")),
                _ => {}
            }
        }
        for margin in margins {
            document.add_margin(&margin);
        }
        document
    }

    /// A margin belongs to its source.
    fn add_margin(&mut self, margin: &Fields) {
        for (kind, sources) in [("client", &mut self.clients), ("script", &mut self.scripts)] {
            let Some(number) = margin.get(kind) else {
                continue;
            };
            let source = sources
                .iter_mut()
                .find(|fields| fields.get(kind) == Some(number));
            if let Some(source) = source {
                for (from, to) in [("seconds", "margin"), ("expires_in", "expires_in")] {
                    if let Some(value) = margin.get(from) {
                        source.insert(to.to_owned(), value.clone());
                    }
                }
            }
        }
    }
}

/// The names and values of a line. A client's or script's name may have blanks: it goes on until the last `after`
/// that a field begins with.
fn fields(line: &str, after: &str) -> Fields {
    let mut fields = Fields::new();
    let line = match (line.split_once(" name "), line.rfind(&format!(" {after} "))) {
        (Some((before, _)), Some(end)) if end >= before.len() + 6 => {
            let name = line.get(before.len() + 6..end).unwrap_or_default();
            fields.insert("name".to_owned(), Value::from(name));
            format!("{before}{}", line.get(end..).unwrap_or_default())
        }
        // A name without anything in it.
        (Some((before, rest)), None) if rest.starts_with(&format!("{after} ")) => {
            fields.insert("name".to_owned(), Value::from(""));
            format!("{before} {rest}")
        }
        _ => line.to_owned(),
    };
    let (plain, identity) = match line.split_once(" identity ") {
        Some((plain, identity)) => (plain, Some(identity)),
        None => (line.as_str(), None),
    };
    if let Some(identity) = identity {
        let identity = identity.trim_matches('"');
        fields.insert("identity".to_owned(), Value::from(identity));
    }
    let mut words = plain.split_ascii_whitespace();
    while let (Some(name), Some(value)) = (words.next(), words.next()) {
        let value = match (value.parse::<u64>(), value.parse::<i64>()) {
            (Ok(number), _) => Value::from(number),
            (_, Ok(number)) => Value::from(number),
            _ => Value::from(value),
        };
        fields.insert(name.to_owned(), value);
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
wdmd 815 socket_gid 105 high_priority 0 now 4711 last_keepalive 4700 last_closeunclean 0 allow_scripts 0 \
kill_script_sec 0 fire_timeout 60 identity \"Software Watchdog\"
client 0 name signal pid 0 fd 5 dead 0 ref 0 now 4711 renewal 0 expire 0
client 2 name a pid 3 b pid 4242 fd 7 dead 0 ref 1 now 4711 renewal 4700 expire 4780
client 3 name  pid 0 fd 8 dead 0 ref 0 now 4711 renewal 0 expire 0
device /dev/watchdog0 state kept_alive fires_in 49
margin client 2 name a pid 3 b seconds 59 expires_in 69
stopped_by client 2 name a pid 3 b at 12
";

    #[test]
    fn a_dump_as_a_document() {
        let document = Document::of(TEXT);
        assert_eq!(document.wdmd["pid"], 815);
        assert_eq!(document.wdmd["identity"], "Software Watchdog");
        let client = &document.clients[1];
        assert_eq!(client["name"], "a pid 3 b");
        assert_eq!(
            (&client["pid"], &client["margin"]),
            (&Value::from(4242), &Value::from(59))
        );
        assert_eq!(client["expires_in"], 69);
        assert_eq!(document.clients[2]["name"], "");
        assert_eq!(document.clients[2]["fd"], 8);
        assert_eq!(document.device.unwrap()["state"], "kept_alive");
        assert_eq!(document.stopped_by.unwrap()["at"], 12);
    }

    #[test]
    fn the_originals_dump_has_no_device() {
        let original: String = TEXT
            .lines()
            .take(4)
            .map(|line| format!("{line}\n"))
            .collect();
        let document = Document::of(&original);
        assert!(document.device.is_none() && document.stopped_by.is_none());
        assert_eq!(document.clients.len(), 3);
    }
}
