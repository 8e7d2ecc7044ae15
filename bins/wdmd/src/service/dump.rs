//! The text of `wdmd -d`.
//!
//! The lines of the original come first and as it writes them. With details there follow others, which begin with
//! a word that no line of the original begins with, so that who reads those is not disturbed.

use std::fmt::{self, Write as _};

use crate::watchdog::{Device, Millis, Now, Source, Watchdog, shown};

/// Bytes that are sent at once: most dumps are no longer, and the original's client reads once.
pub(super) const PAGE: usize = 32 * 1024;

/// Longest line.
const LINE: usize = 256;

/// What a dump says besides the watchdog's state.
#[derive(Debug)]
pub(super) struct About<'a> {
    pub(super) socket_gid: u32,
    pub(super) high_priority: i32,
    pub(super) kill_script_sec: i32,
    pub(super) path: &'a str,
    pub(super) identity: &'a str,
    pub(super) signals: i32,
    pub(super) listener: i32,
}

/// A page of a dump, from some line on.
pub(super) struct Page<'a> {
    text: &'a mut String,
    skip: usize,
    lines: usize,
    full: bool,
}

impl Page<'_> {
    /// Writes as much as fits after the first `sent` lines. Returns how many lines it holds, and whether they are
    /// the last.
    pub(super) fn write(
        text: &mut String,
        sent: usize,
        details: bool,
        watchdog: &Watchdog,
        about: &About<'_>,
        now: Now,
    ) -> (usize, bool) {
        text.clear();
        let mut page = Page {
            text,
            skip: sent,
            lines: 0,
            full: false,
        };
        page.as_the_original(watchdog, about, now.at);
        if details {
            page.details(watchdog, about, now);
        }
        (page.lines, !page.full)
    }

    fn line(&mut self, line: fmt::Arguments<'_>) {
        if self.skip > 0 {
            self.skip = self.skip.saturating_sub(1);
            return;
        }
        if self.full || self.text.len().saturating_add(LINE) > PAGE {
            self.full = true;
            return;
        }
        let start = self.text.len();
        let _ = self.text.write_fmt(line);
        // The original's lines have at most 254 characters and a newline.
        let mut end = self.text.len().min(start.saturating_add(LINE - 1));
        while !self.text.is_char_boundary(end) {
            end = end.saturating_sub(1);
        }
        self.text.truncate(end);
        self.text.push('\n');
        self.lines = self.lines.saturating_add(1);
    }

    fn as_the_original(&mut self, watchdog: &Watchdog, about: &About<'_>, now: Millis) {
        self.line(format_args!(
            "wdmd {} socket_gid {} high_priority {} now {now} last_keepalive {} last_closeunclean {} \
             allow_scripts {} kill_script_sec {} fire_timeout {} identity \"{}\"",
            std::process::id(),
            about.socket_gid,
            about.high_priority,
            watchdog.last_keepalive(),
            watchdog.last_closed_unclean(),
            i32::from(watchdog.config().scripts),
            about.kill_script_sec,
            watchdog.fire_timeout(),
            about.identity,
        ));
        for (index, script) in watchdog.scripts().iter() {
            self.line(format_args!(
                "script {index} name {:.64} pid {} now {now} start {} last_result {} run {} fail {} good {} \
                 kill {} long {}",
                script.name,
                script.pid,
                script.start,
                script.last_result,
                script.runs,
                script.failures,
                script.successes,
                script.kills,
                script.overdue,
            ));
        }
        // What the original has in the first two places of its table.
        for (place, name, fd) in [(0, "signal", about.signals), (1, "listen", about.listener)] {
            self.line(format_args!(
                "client {place} name {name} pid 0 fd {fd} dead 0 ref 0 now {now} renewal 0 expire 0"
            ));
        }
        for (slot, client) in watchdog.clients().iter() {
            self.line(format_args!(
                "client {} name {:.64} pid {} fd {} dead {} ref {} now {now} renewal {} expire {}",
                slot.number(),
                Text(&shown(&client.name)),
                if client.registered { client.pid } else { 0 },
                client.descriptor,
                i32::from(client.dead),
                i32::from(client.refcount),
                client.renewal,
                client.expire,
            ));
        }
    }

    fn details(&mut self, watchdog: &Watchdog, about: &About<'_>, now: Now) {
        let state = match watchdog.device() {
            Device::Closed => "closed",
            Device::Kept => "kept_alive",
            Device::Left => "left_armed",
            Device::Withheld => "withheld",
        };
        let path = about.path;
        match watchdog.fires() {
            None => self.line(format_args!("device {path} state {state}")),
            Some(fires) => {
                let left = seconds_between(now.at, fires);
                self.line(format_args!("device {path} state {state} fires_in {left}"));
            }
        }
        let margin = watchdog.standard_interval();
        for (slot, client) in watchdog.clients().iter() {
            if let Some(expires) = client.expires(now) {
                self.line(format_args!(
                    "margin client {} name {:.64} seconds {} expires_in {}",
                    slot.number(),
                    Text(&shown(&client.name)),
                    seconds_between(now.at, expires.minus_seconds(margin)),
                    seconds_between(now.at, expires),
                ));
            }
        }
        for (index, script) in watchdog.scripts().iter() {
            let limit = script.start.plus_seconds(margin.saturating_sub(1));
            if script.running {
                self.line(format_args!(
                    "margin script {index} name {:.64} seconds {}",
                    script.name,
                    seconds_between(now.at, limit)
                ));
            }
        }
        match watchdog.stopped_by() {
            None => {}
            Some((Source::Client(slot), at)) => {
                let name = watchdog.clients().get(slot).map(|client| client.name);
                let name = name.unwrap_or_default();
                let number = slot.number();
                let name = shown(&name);
                let name = Text(&name);
                self.line(format_args!(
                    "stopped_by client {number} name {name:.64} at {at}"
                ));
            }
            Some((Source::Script(index), at)) => {
                let name = watchdog.scripts().get(index).map(|script| &script.name);
                let name = name.map_or("", String::as_str);
                self.line(format_args!(
                    "stopped_by script {index} name {name:.64} at {at}"
                ));
            }
            Some((Source::Scripts, at)) => {
                self.line(format_args!("stopped_by scripts 0 name - at {at}"));
            }
        }
    }
}

/// Seconds from one time to another, negative if it is past.
fn seconds_between(from: Millis, to: Millis) -> i64 {
    let number = |at: Millis| i64::try_from(at.0).unwrap_or(i64::MAX);
    number(to).saturating_sub(number(from)).div_euclid(1000)
}

/// Cuts what it shows to the precision that is asked for.
struct Text<'a, T: fmt::Display>(&'a T);

impl<T: fmt::Display> fmt::Display for Text<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Cut<'a, 'b>(&'a mut fmt::Formatter<'b>, usize);
        impl fmt::Write for Cut<'_, '_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                for c in text.chars() {
                    if self.1 == 0 {
                        break;
                    }
                    self.1 -= 1;
                    self.0.write_char(c)?;
                }
                Ok(())
            }
        }
        let most = f.precision().unwrap_or(usize::MAX);
        write!(Cut(f, most), "{}", self.0)
    }
}
