//! `virtlockd --list`: asks the daemon that runs who holds which lock.

use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use libvirt_rpc::ErrorCode;
use libvirt_rpc::client::{CallError, Client};
use libvirt_rpc::holders::{self, ListArgs, ListRet, Lock, Place};
use serde_json::{Value, json};
use tokio::net::UnixStream;

use crate::utc::Utc;

/// How long the daemon may take for each answer. A file system that hangs can hold it up.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is shown where something is not known.
const UNKNOWN: &str = "-";

/// All locks as text.
///
/// # Errors
/// A sentence for the user.
pub(crate) fn run(admin_socket: &Path, as_json: bool) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| format!("cannot ask the daemon: {error}"))?;
    let locks = runtime.block_on(ask(admin_socket))?;
    Ok(match as_json {
        true => format!("{:#}\n", Value::from_iter(locks.iter().map(as_value))),
        false => table(&locks),
    })
}

async fn ask(path: &Path) -> Result<Vec<Lock>, String> {
    let shown = path.display();
    let stream = UnixStream::connect(path).await;
    let stream = stream.map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
            format!("no virtlockd is running: nobody listens on {shown}")
        }
        ErrorKind::PermissionDenied => {
            format!("{shown}: only the user that virtlockd runs as may ask it")
        }
        _ => format!("cannot connect to {shown}: {error}"),
    })?;
    let daemon = stream.peer_cred().ok().and_then(|peer| peer.pid());
    let daemon = daemon.map_or_else(String::new, |pid| format!(" (process {pid})"));
    let mut client = Client::new(stream, holders::PROGRAM, holders::VERSION);
    let mut locks: Vec<Lock> = Vec::new();
    loop {
        let after: Option<Place> = locks.last().map(|last| last.place.clone());
        let args = ListArgs { after, flags: 0 };
        let answer = client.call::<ListRet>(holders::LIST, &args);
        let answer = tokio::time::timeout(PATIENCE, answer).await.map_err(|_| {
            let seconds = PATIENCE.as_secs();
            format!(
                "virtlockd{daemon} has not answered within {seconds} s; does it wait for a file system?"
            )
        })?;
        let page = answer.map_err(|error| match error {
            CallError::Refused(refusal) if refusal.code == ErrorCode::RPC => format!(
                "the virtlockd that runs{daemon} is another one, which cannot tell who holds its locks; \
                 `lslocks` shows the files that it has locked"
            ),
            CallError::Closed => format!("virtlockd{daemon} does not serve this user"),
            error => format!("virtlockd{daemon}: {error}"),
        })?;
        let is_last = !page.more || page.locks.is_empty();
        locks.extend(page.locks.into_vec());
        if is_last {
            return Ok(locks);
        }
    }
}

fn as_value(lock: &Lock) -> Value {
    let directory = &lock.place.directory;
    let owners = lock.owners.iter().map(|owner| {
        json!({
            "pid": owner.pid,
            "guest": owner.guest.as_ref().map(|guest| guest.name.to_string()),
            "uuid": owner.guest.as_ref().map(|guest| uuid(guest.uuid)),
        })
    });
    json!({
        "file": lock.file.to_string(),
        "lockspace": (!directory.is_empty()).then(|| directory.to_string()),
        "resource": lock.place.name.to_string(),
        "mode": mode(lock),
        "since": since(lock),
        "owners": Value::from_iter(owners),
        "more_owners": lock.more_owners,
    })
}

fn mode(lock: &Lock) -> &'static str {
    if lock.shared { "shared" } else { "exclusive" }
}

fn since(lock: &Lock) -> Option<String> {
    let since = lock.since.and_then(|since| u64::try_from(since).ok())?;
    let moment = UNIX_EPOCH.checked_add(Duration::from_secs(since))?;
    Some(Utc::of(moment).rfc3339())
}

fn uuid(bytes: [u8; 16]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32];
    parts
        .map(|part| digits.get(part).unwrap_or_default().to_owned())
        .join("-")
}

/// A line for each owner of each lock. The file comes last, as it is the longest, and may have blanks.
fn table(locks: &[Lock]) -> String {
    let head = [
        "PID",
        "GUEST",
        "UUID",
        "SINCE",
        "MODE",
        "LOCK SPACE",
        "FILE",
    ];
    let mut rows = vec![head.map(str::to_owned)];
    for lock in locks {
        let or_unknown = |text: Option<String>| text.unwrap_or_else(|| UNKNOWN.to_owned());
        let directory = &lock.place.directory;
        let space = (!directory.is_empty()).then(|| directory.to_string());
        let mut row = |pid: String, name: Option<String>, uuid: Option<String>| {
            rows.push([
                pid,
                or_unknown(name),
                or_unknown(uuid),
                or_unknown(since(lock)),
                mode(lock).to_owned(),
                or_unknown(space.clone()),
                lock.file.to_string(),
            ]);
        };
        for owner in lock.owners.iter() {
            let guest = owner.guest.as_ref();
            row(
                owner.pid.to_string(),
                guest.map(|guest| guest.name.to_string()),
                guest.map(|guest| uuid(guest.uuid)),
            );
        }
        if lock.more_owners > 0 {
            row(format!("+{}", lock.more_owners), None, None);
        }
    }
    aligned(&rows)
}

fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    // One line each, whatever names have in them.
    let clean = |text: &String| text.replace(char::is_control, "?");
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{:<width$}", clean(cell)))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use libvirt_rpc::holders::{Guest, Owner};
    use libvirt_rpc::{List, Text};

    use super::*;

    fn lock(owners: Vec<Owner>, more_owners: u32) -> Lock {
        Lock {
            place: Place {
                directory: Text::cut("/s"),
                name: Text::cut("n"),
            },
            file: Text::cut("/s/n\n"),
            shared: more_owners > 0,
            since: Some(0),
            owners: List::cut(owners),
            more_owners,
        }
    }

    #[test]
    fn a_line_for_each_owner() {
        let guest = Guest {
            name: Text::cut("web"),
            uuid: [0xab; 16],
        };
        let known = Owner {
            pid: 12,
            guest: Some(guest),
        };
        let unknown = Owner {
            pid: 3456,
            guest: None,
        };
        let text = table(&[lock(vec![known, unknown], 7)]);
        let lines: Vec<&str> = text.lines().collect();
        let uuid = "abababab-abab-abab-abab-abababababab";
        assert_eq!(
            lines[1],
            format!("12    web    {uuid}  1970-01-01T00:00:00Z  shared  /s          /s/n?")
        );
        assert!(lines[2].starts_with("3456  -      -  "), "{text}");
        assert!(lines[3].starts_with("+7    -      -  "), "{text}");
        assert_eq!(lines.len(), 4);
    }

    #[test]
    fn json() {
        let mut lock = lock(Vec::new(), 0);
        lock.place.directory = Text::default();
        lock.since = None;
        let wanted = json!({
            "file": "/s/n\n", "lockspace": null, "resource": "n", "mode": "exclusive", "since": null,
            "owners": [], "more_owners": 0,
        });
        assert_eq!(as_value(&lock), wanted);
    }
}
