//! `sanlock help`, and `--help` after a command or an action.

use super::actions::{ClientAction, DirectAction};
use super::command_line::Topic;

/// The usage text of `sanlock help`: the original's to the byte, for programs that read it.
pub const USAGE: &str = include_str!("usage.txt");

/// What the usage text does not say, for people: to standard error.
pub const BEYOND_USAGE: &str = "\
More than the above: --help after any action; --json with client status, host_status, gets, renewal,
inquire and read, and with direct dump and check; \"sanlock explain NUMBER\" for what a result means;
\"sanlock direct check -s LOCKSPACE | -r RESOURCE\" for what is wrong with a lease;
\"sanlock daemon --check-config\" for what is wrong with the configuration. See sanlock(8).
";

const LOCKSPACE: &str = "  -s LOCKSPACE   NAME:HOST_ID:PATH:OFFSET, the offset in bytes or as 1M\n";
const RESOURCE: &str =
    "  -r RESOURCE    LOCKSPACE:NAME:PATH:OFFSET[:LVER|:SH], the offset in bytes or as 1M\n";
const RINDEX: &str = "  -x RINDEX      LOCKSPACE:PATH:OFFSET, the offset in bytes or as 1M\n";
const WHO: &str = "  -p PID         a process that has registered with the daemon\n  \
                   -C NUMBER      or the daemon's number for its connection (ci= in status -D)\n";
const SIZES: &str = "  -Z 512|4096    sector size; give -A too\n  \
                     -A 1M|2M|4M|8M area of one lease; 512 goes with 1M only\n";
const JSON: &str = "  --json         print JSON, documented in sanlock(8)\n";

/// The text of `--help`.
#[must_use]
pub fn about(topic: Topic) -> String {
    match topic {
        Topic::Daemon => DAEMON.to_owned(),
        Topic::Explain => EXPLAIN.to_owned(),
        Topic::AllClient => list(
            "sanlock [client] ACTION [options]: ask the daemon.",
            ClientAction::ALL
                .iter()
                .map(|a| (a.name(), summary_of_client(*a))),
        ),
        Topic::AllDirect => list(
            "sanlock direct ACTION [options]: work on storage without the daemon.\n\
             Nothing keeps such work and a running daemon from each other.",
            DirectAction::ALL
                .iter()
                .map(|a| (a.name(), summary_of_direct(*a))),
        ),
        Topic::Client(action) => {
            let (synopsis, options) = client(action);
            page(
                "client",
                action.name(),
                synopsis,
                summary_of_client(action),
                options,
            )
        }
        Topic::Direct(action) => {
            let (synopsis, options) = direct(action);
            page(
                "direct",
                action.name(),
                synopsis,
                summary_of_direct(action),
                options,
            )
        }
    }
}

fn list<'a>(head: &str, actions: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let lines = actions.map(|(name, summary)| format!("  {name:<15}{summary}\n"));
    format!(
        "{head}\n\n{}\nAdd --help to an action for its options.\n",
        lines.collect::<String>()
    )
}

fn page(command: &str, name: &str, synopsis: &str, summary: &str, options: &[&str]) -> String {
    let synopsis = if synopsis.is_empty() {
        String::new()
    } else {
        format!(" {synopsis}")
    };
    let gap = if options.is_empty() { "" } else { "\n" };
    format!(
        "sanlock {command} {name}{synopsis}\n\n{summary}.\n{gap}{}",
        options.concat()
    )
}

const DAEMON: &str = "\
sanlock daemon [options]

Start the daemon. Options win over /etc/sanlock/sanlock.conf.

  --check-config  before all options: say what is wrong with that file and with /etc/default/sanlock,
                  and start nothing

  -D             stay in the foreground, log everything to standard error
  -e NAME        this host's name in delta leases; must be unique, should stay the same
  -o SECONDS     time for one request on storage (10); all other times follow from it
  -w 0|1         tie lockspaces to the watchdog (1); 0 leaves the leases unprotected
  -g SECONDS     time for processes to stop by themselves, 0 to 60 (40)
  -U USER        run as this user
  -G GROUP       run as this group, which may use the socket
  -h 0|1         real-time priority for renewals (0)
  -l 0|1|2       lock memory: none, current, current and future (1)
  -H COUNT       renewals remembered per lockspace (180)
  -b SECONDS     time that a notice to another host stays in our delta lease (6 * io timeout)
  -Q 0|1         keep quiet about leases that others hold (1)
  -R 0|1         log renewals (0)
  -L PRIORITY    syslog level up to which the log file gets messages (4), -1 for none
  -S PRIORITY    syslog level up to which syslog gets messages (3), -1 for none
  -t COUNT       shown in status; this daemon waits without worker threads
";

const EXPLAIN: &str = "\
sanlock explain NUMBER|SYMBOL...

Tell what a result of sanlock means, what to check, and whether trying again helps. Both -243 and 243
are understood, and SANLK_ACQUIRE_IDLIVE. Other layers have numbers of their own: lvmlockd's -210 is
not sanlock's. A number with a minus may need \"sanlock explain -- -243\" in scripts.
";

fn summary_of_client(action: ClientAction) -> &'static str {
    match action {
        ClientAction::Status => "show the daemon, its clients, lockspaces and resources",
        ClientAction::HostStatus => "show all hosts of a lockspace as the last renewal saw them",
        ClientAction::Gets => "list lockspaces, with -h 1 their hosts too",
        ClientAction::Renewal => "show how long past renewals of a lockspace took",
        ClientAction::LogDump => "print the log that the daemon keeps in memory",
        ClientAction::Shutdown => "end the daemon",
        ClientAction::Init => "have the daemon format a lockspace or a resource lease",
        ClientAction::Read => "have the daemon read a lockspace or a resource lease",
        ClientAction::AddLockspace => "join a lockspace with a host id",
        ClientAction::InqLockspace => "ask whether this host has joined a lockspace",
        ClientAction::RemLockspace => {
            "leave a lockspace; processes that hold its leases are killed"
        }
        ClientAction::Command => "run a program under leases that are released when it ends",
        ClientAction::Acquire => "acquire leases for a registered process",
        ClientAction::Convert => "make a held lease shared, or exclusive again",
        ClientAction::Release => "release leases of a registered process",
        ClientAction::Inquire => "list the leases that a process holds",
        ClientAction::Request => "ask a lease's owner to give it up",
        ClientAction::Examine => "look now for requests for leases held here",
        ClientAction::Align => "print the area that one lease takes on a disk, in bytes",
        ClientAction::Version => "print versions and protocols of client and daemon",
        ClientAction::SetEvent => "send an event to another host of a lockspace",
        ClientAction::SetConfig => "say whether a lockspace is in use from outside",
        ClientAction::Format => "format a resource index",
        ClientAction::Create => "make a resource lease where the index has room",
        ClientAction::Delete => "remove a resource lease and its entry in the index",
        ClientAction::Lookup => "find a resource lease, or free room, in the index",
        ClientAction::Update => "change one entry of the index alone",
        ClientAction::Rebuild => "make the index anew from the leases on disk",
    }
}

fn client(action: ClientAction) -> (&'static str, &'static [&'static str]) {
    match action {
        ClientAction::Status => (
            "[-D] [-o p|s] [--json]",
            &[
                "  -D             internal state of everything shown\n",
                "  -o p           resources under the process that holds them\n",
                "  -o s           resources under their lockspace\n",
                JSON,
            ],
        ),
        ClientAction::HostStatus => (
            "[-s LOCKSPACE] [-D] [--json]",
            &[
                "  -s LOCKSPACE   only this one; its name is enough\n",
                "  -D             all that is known of each host\n",
                JSON,
            ],
        ),
        ClientAction::Gets => (
            "[-h 0|1] [--json]",
            &["  -h 1           the hosts of each lockspace too\n", JSON],
        ),
        ClientAction::Renewal => (
            "-s LOCKSPACE [--json]",
            &["  -s LOCKSPACE   its name is enough\n", JSON],
        ),
        ClientAction::LogDump | ClientAction::Version => ("", &[]),
        ClientAction::Shutdown => (
            "[-f 0|1] [-w 0|1]",
            &[
                "  -f 1           even while lockspaces are joined: processes are killed first\n",
                "  -w 1           wait until it is done, or refused\n",
            ],
        ),
        ClientAction::Init => (
            "-s LOCKSPACE | -r RESOURCE [-o SECONDS] [-z 1] [-Z 512|4096 -A 1M|2M|4M|8M]",
            &[
                LOCKSPACE,
                RESOURCE,
                "  -o SECONDS     io timeout to write into a lockspace (10)\n",
                "  -z 1           write a resource lease that nobody can acquire\n",
                SIZES,
                "What was there is lost, a lease that is held included.\n",
            ],
        ),
        ClientAction::Read => (
            "-s LOCKSPACE | -r RESOURCE [-D] [-h 0|1] [--json]",
            &[
                LOCKSPACE,
                RESOURCE,
                "  -D             sizes too\n",
                "  -h 1           the owners of a resource too\n",
                JSON,
            ],
        ),
        ClientAction::AddLockspace => (
            "-s LOCKSPACE [-o SECONDS]",
            &[
                LOCKSPACE,
                "  -o SECONDS     io timeout (10): joining takes about twice as long\n",
            ],
        ),
        ClientAction::InqLockspace | ClientAction::RemLockspace => ("-s LOCKSPACE", &[LOCKSPACE]),
        ClientAction::Command => (
            "-r RESOURCE [-n COUNT] [-P 0|1] [-O 0|1] [-c PATH ARGS...]",
            &[
                RESOURCE,
                "                 up to eight times\n",
                "  -P 1           keep the lease as an orphan when the program ends\n",
                "  -O 1           take over the lease if it is an orphan\n",
                "  -n COUNT       new number of hosts for the lease\n",
                "  -c PATH ARGS   the program and all that follows; without it, wait forever\n",
            ],
        ),
        ClientAction::Acquire => (
            "-r RESOURCE -p PID | -C NUMBER [-n COUNT] [-P 0|1] [-O 0|1]",
            &[
                RESOURCE,
                "                 up to eight times\n",
                WHO,
                "  -P 1           keep the lease as an orphan when the process ends\n",
                "  -O 1           take over the lease if it is an orphan\n",
                "  -n COUNT       new number of hosts for the lease\n",
            ],
        ),
        ClientAction::Convert => (
            "-r RESOURCE -p PID | -C NUMBER",
            &[
                RESOURCE,
                "                 with :SH to share it, without to own it alone\n",
                WHO,
            ],
        ),
        ClientAction::Release => (
            "-r RESOURCE -p PID | -C NUMBER [-a 0|1] [-O 0|1] [-s LOCKSPACE]",
            &[
                RESOURCE,
                WHO,
                "  -a 1           everything the process holds\n",
                "  -O 1           an orphan; with -s NAME instead of -r all orphans of a lockspace\n",
            ],
        ),
        ClientAction::Inquire => (
            "-p PID | -C NUMBER [-D] [--json]",
            &[
                WHO,
                "  -D             each lease on a line of its own too\n",
                JSON,
            ],
        ),
        ClientAction::Request => (
            "-r RESOURCE -f MODE",
            &[
                RESOURCE,
                "                 with an LVER above the owner's; :0 and -f 0 withdraw a request\n",
                "  -f 1           kill the process that holds it\n",
                "  -f 2           run its kill program, or terminate it\n",
            ],
        ),
        ClientAction::Examine => ("-r RESOURCE | -s LOCKSPACE", &[LOCKSPACE, RESOURCE]),
        ClientAction::Align => (
            "-s LOCKSPACE",
            &["  -s LOCKSPACE   only its path matters: ::PATH\n"],
        ),
        ClientAction::SetEvent => (
            "-s LOCKSPACE -i HOST_ID [-g GENERATION] -e EVENT -d DATA",
            &[
                "  -s LOCKSPACE   its name is enough\n",
                "  -i HOST_ID     who shall get it\n",
                "  -g GENERATION  only that run of the host; 0 for whichever runs\n",
                "  -e, -d NUMBER  what the programs have agreed on; 0x.. is understood\n",
            ],
        ),
        ClientAction::SetConfig => (
            "-s LOCKSPACE [-u 0|1] [-O 0|1]",
            &[
                "  -s LOCKSPACE   its name is enough\n",
                "  -u 1           it is in use: if it fails, the watchdog resets this host\n",
                "  -O 1           orphans count as use\n",
            ],
        ),
        ClientAction::Format => ("-x RINDEX [-Z 512|4096 -A 1M|2M|4M|8M]", &[RINDEX, SIZES]),
        ClientAction::Create => (
            "-x RINDEX -e NAME",
            &[RINDEX, "  -e NAME        the new resource\n"],
        ),
        ClientAction::Delete => (
            "-x RINDEX -e NAME[:OFFSET]",
            &[RINDEX, "  -e NAME        the resource\n"],
        ),
        ClientAction::Lookup => (
            "-x RINDEX [-e NAME[:OFFSET]]",
            &[
                RINDEX,
                "  -e NAME        the resource; without it, the first free area\n",
            ],
        ),
        ClientAction::Update => (
            "-x RINDEX -e NAME[:OFFSET] [-z 1]",
            &[
                RINDEX,
                "  -e NAME        the entry to add\n",
                "  -z 1           remove it instead\n",
            ],
        ),
        ClientAction::Rebuild => ("-x RINDEX", &[RINDEX]),
    }
}

fn summary_of_direct(action: DirectAction) -> &'static str {
    match action {
        DirectAction::Init => "format a lockspace or a resource lease",
        DirectAction::ReadLeader => "print the leader record of a delta or resource lease",
        DirectAction::WriteLeader => "overwrite fields of a leader record; for repairs by hand",
        DirectAction::Dump => "list all leases of a path, area by area",
        DirectAction::NextFree => "print the offset of the first area without a lease",
        DirectAction::Acquire => "acquire a resource lease as a host id; for tests",
        DirectAction::Release => "release a resource lease; for tests",
        DirectAction::AcquireId => "acquire a delta lease; for tests",
        DirectAction::ReleaseId => "release a delta lease; for tests",
        DirectAction::RenewId => "renew a delta lease once; for tests",
        DirectAction::Format => "format a resource index",
        DirectAction::Lookup => "find a resource lease, or free room, in the index",
        DirectAction::Update => "change one entry of the index alone",
        DirectAction::Rebuild => "make the index anew from the leases on disk",
        DirectAction::Check => "read a lease and name everything that is wrong with it",
    }
}

const TIMEOUT: &str = "  -o SECONDS     time for one request on storage (10)\n";

fn direct(action: DirectAction) -> (&'static str, &'static [&'static str]) {
    match action {
        DirectAction::Init => (
            "-s LOCKSPACE | -r RESOURCE [-o SECONDS] [-n COUNT] [-z 1] [-Z SIZE -A SIZE]",
            &[
                LOCKSPACE,
                RESOURCE,
                "  -o SECONDS     io timeout to write into a lockspace (10)\n",
                "  -n COUNT       hosts that may use a resource lease (as many as fit)\n",
                "  -z 1           write a resource lease that nobody can acquire\n",
                SIZES,
                "What was there is lost, a lease that is held included.\n",
            ],
        ),
        DirectAction::ReadLeader => (
            "-s LOCKSPACE | -r RESOURCE",
            &[LOCKSPACE, RESOURCE, TIMEOUT],
        ),
        DirectAction::WriteLeader => (
            "-s LOCKSPACE | -r RESOURCE -F FILE [-f 0|1]",
            &[
                LOCKSPACE,
                RESOURCE,
                "  -F FILE        lines \"field value\" as read_leader prints them\n",
                "  -f 1           write the file's checksum instead of the right one\n",
            ],
        ),
        DirectAction::Dump => (
            "PATH[:OFFSET[:SIZE]] [-f 0|1|2] [-Z 512|4096 -A 1M|2M|4M|8M] [--json]",
            &[
                "  -f 1           requests, host bitmaps and index entries too\n",
                "  -f 2           ballots too\n",
                SIZES,
                JSON,
                "Ends at the first area without a lease, or after SIZE if that is given.\n",
            ],
        ),
        DirectAction::NextFree => ("PATH[:OFFSET]", &[SIZES]),
        DirectAction::Acquire => (
            "-r RESOURCE -i HOST_ID -g GENERATION",
            &[
                RESOURCE,
                "  -i HOST_ID     the host to act as\n",
                "  -g GENERATION  its generation\n",
                TIMEOUT,
            ],
        ),
        DirectAction::Release => ("-r RESOURCE", &[RESOURCE, TIMEOUT]),
        DirectAction::AcquireId => (
            "-s LOCKSPACE [-e NAME] [-o SECONDS]",
            &[LOCKSPACE, "  -e NAME        this host's name\n", TIMEOUT],
        ),
        DirectAction::ReleaseId | DirectAction::RenewId => {
            ("-s LOCKSPACE [-o SECONDS]", &[LOCKSPACE, TIMEOUT])
        }
        DirectAction::Format => ("-x RINDEX [-Z 512|4096 -A 1M|2M|4M|8M]", &[RINDEX, SIZES]),
        DirectAction::Lookup => (
            "-x RINDEX [-e NAME[:OFFSET]]",
            &[
                RINDEX,
                "  -e NAME        the resource; without it, the first free area\n",
            ],
        ),
        DirectAction::Update => (
            "-x RINDEX -e NAME[:OFFSET] [-z 1]",
            &[
                RINDEX,
                "  -e NAME        the entry to add\n",
                "  -z 1           remove it instead\n",
            ],
        ),
        DirectAction::Rebuild => ("-x RINDEX", &[RINDEX]),
        DirectAction::Check => (
            "-s LOCKSPACE | -r RESOURCE [-Z 512|4096 -A 1M|2M|4M|8M] [--json]",
            &[
                LOCKSPACE,
                RESOURCE,
                SIZES,
                JSON,
                "Reads only. Exit status 0 when nothing is wrong, 1 otherwise.\n",
            ],
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_has_a_page() {
        let client = ClientAction::ALL
            .iter()
            .map(|a| (a.name(), Topic::Client(*a)));
        let direct = DirectAction::ALL
            .iter()
            .map(|a| (a.name(), Topic::Direct(*a)));
        for (name, topic) in client.chain(direct) {
            let page = about(topic);
            assert!(page.contains(name) && page.ends_with('\n'), "{page}");
            assert!(
                page.lines().all(|line| line.chars().count() <= 100),
                "{page}"
            );
        }
        assert!(about(Topic::AllClient).contains("\n  set_event      send an event"));
    }

    #[test]
    fn json_is_offered_where_it_is_understood() {
        for action in ClientAction::ALL {
            assert_eq!(
                about(Topic::Client(*action)).contains("--json"),
                action.has_json()
            );
        }
        for action in DirectAction::ALL {
            assert_eq!(
                about(Topic::Direct(*action)).contains("--json"),
                action.has_json()
            );
        }
    }
}
