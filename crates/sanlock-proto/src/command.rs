//! Command numbers (`SM_CMD_*`) and how the daemon treats each.

macro_rules! commands {
    ($($variant:ident = $number:literal, $name:literal, $doc:literal;)*) => {
        /// What a request asks for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Command {
            $(#[doc = concat!("`", $name, "` (", stringify!($number), "): ", $doc, ".")] $variant,)*
            /// A command of sanlock 4.x or 5.x (41 to 44), which this protocol does not speak:
            /// 41 acquire2, 42 read_lockspace_host, 43 init_lockspace_host, 44 set_host. The C daemon
            /// of 3.x leaves its client waiting for ever. libsanlock 5.1.1 announces its bodies
            /// truthfully and takes a bare header with a negative result for an answer.
            NewerCommand(u32),
        }

        impl Command {
            /// All commands of the 3.x protocol in order of their numbers.
            pub const ALL: &'static [Command] = &[$(Command::$variant,)*];

            /// The command with this number, or nothing if no known sanlock has it.
            pub const fn from_number(number: u32) -> Option<Command> {
                match number {
                    $($number => Some(Command::$variant),)*
                    41..=44 => Some(Command::NewerCommand(number)),
                    _ => None,
                }
            }

            /// The number in the header.
            pub const fn number(self) -> u32 {
                match self {
                    $(Command::$variant => $number,)*
                    Command::NewerCommand(number) => number,
                }
            }

            /// The name in lower case, as used in logs: `add_lockspace`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Command::$variant => $name,)*
                    Command::NewerCommand(41) => "acquire2",
                    Command::NewerCommand(42) => "read_lockspace_host",
                    Command::NewerCommand(43) => "init_lockspace_host",
                    Command::NewerCommand(44) => "set_host",
                    Command::NewerCommand(_) => "newer command",
                }
            }
        }
    };
}

commands! {
    Register = 1, "register", "make this connection stand for the calling process; not answered";
    AddLockspace = 2, "add_lockspace", "join a lockspace";
    RemLockspace = 3, "rem_lockspace", "leave a lockspace";
    Shutdown = 4, "shutdown", "end the daemon; not answered, the connection is closed";
    Status = 5, "status", "stream of records about everything the daemon knows";
    LogDump = 6, "log_dump", "the daemon's log buffer";
    Acquire = 7, "acquire", "acquire resource leases for a registered process";
    Release = 8, "release", "release resource leases of a registered process";
    Inquire = 9, "inquire", "list the leases of a registered process";
    Restrict = 10, "restrict", "limit what this connection may do, or how its process may be killed";
    Request = 11, "request", "ask the owner of a lease to give it up";
    Align = 12, "align", "alignment in bytes that a disk needs";
    ExamineLockspace = 13, "examine_lockspace", "look at once for requests of all held resources";
    ExamineResource = 14, "examine_resource", "look at once for requests of one held resource";
    HostStatus = 15, "host_status", "stream of records about the hosts of a lockspace";
    InqLockspace = 16, "inq_lockspace", "whether a lockspace is joined";
    Killpath = 17, "killpath", "set the program that is run instead of killing the process";
    WriteLockspace = 18, "write_lockspace", "format a lockspace";
    WriteResource = 19, "write_resource", "format a resource lease";
    ReadLockspace = 20, "read_lockspace", "read one host's delta lease";
    ReadResource = 21, "read_resource", "read a resource lease";
    GetLockspaces = 22, "get_lockspaces", "list lockspaces";
    GetHosts = 23, "get_hosts", "list the hosts of a lockspace";
    ReadResourceOwners = 24, "read_resource_owners", "read a resource lease and who holds it";
    SetLvb = 25, "set_lvb", "set the lock value block of a held resource";
    GetLvb = 26, "get_lvb", "get the lock value block of a held resource";
    Convert = 27, "convert", "change a held lease between shared and exclusive";
    Version = 28, "version", "the daemon's version and protocol";
    ShutdownWait = 29, "shutdown_wait", "end the daemon and answer when it has ended";
    RegEvent = 30, "reg_event", "make this connection deliver a lockspace's host events";
    EndEvent = 31, "end_event", "look for event connections that were closed";
    SetEvent = 32, "set_event", "send an event to other hosts";
    SetConfig = 33, "set_config", "mark a lockspace used or unused";
    Renewal = 34, "renewal", "stream of records about past lease renewals";
    FormatRindex = 35, "format_rindex", "format a resource index";
    UpdateRindex = 36, "update_rindex", "add or remove an index entry";
    LookupRindex = 37, "lookup_rindex", "find an index entry";
    CreateResource = 38, "create_resource", "format a resource lease in a free place and index it";
    DeleteResource = 39, "delete_resource", "clear an indexed resource lease";
    RebuildRindex = 40, "rebuild_rindex", "make a resource index from the leases found";
}

/// What the daemon does with the connection once it has dealt with a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Afterwards {
    /// More requests may follow on the connection.
    StaysOpen,
    /// The daemon closes the connection; what the client sent after the request is lost.
    Closes,
    /// The connection becomes a stream of events to the client. What the client sends then is the
    /// four bytes that announce its end, not a request.
    DeliversEvents,
}

impl Command {
    /// Whether the daemon sends anything at all.
    pub const fn is_answered(self) -> bool {
        !matches!(self, Command::Register | Command::Shutdown)
    }

    /// Whether the command is about a registered process: the sender's own if data2 is -1, else the one
    /// whose pid is data2. The target is looked up before anything is said about the body: an unknown
    /// pid is -3 (ESRCH), an unregistered connection -16 (EBUSY), even if the body is malformed too.
    pub const fn has_target(self) -> bool {
        matches!(
            self,
            Command::Acquire
                | Command::Release
                | Command::Inquire
                | Command::Convert
                | Command::Killpath
        )
    }

    /// What becomes of the connection. A `reg_event` that failed closes too.
    pub const fn afterwards(self) -> Afterwards {
        match self {
            Command::Shutdown
            | Command::Status
            | Command::HostStatus
            | Command::Renewal
            | Command::LogDump
            | Command::GetLockspaces
            | Command::GetHosts
            | Command::EndEvent
            | Command::SetConfig => Afterwards::Closes,
            Command::RegEvent => Afterwards::DeliversEvents,
            _ => Afterwards::StaysOpen,
        }
    }
}

impl std::fmt::Display for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Command::NewerCommand(number) => write!(f, "{} ({number})", self.name()),
            known => f.write_str(known.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dense_and_map_back() {
        assert_eq!(Command::ALL.len(), 40);
        for (at, command) in Command::ALL.iter().enumerate() {
            assert_eq!(command.number() as usize, at + 1);
            assert_eq!(Command::from_number(command.number()), Some(*command));
        }
        assert_eq!(Command::from_number(0), None);
        assert_eq!(Command::from_number(41), Some(Command::NewerCommand(41)));
        assert_eq!(Command::from_number(44), Some(Command::NewerCommand(44)));
        assert_eq!(Command::from_number(45), None);
    }

    #[test]
    fn names_are_those_of_the_protocol() {
        assert_eq!(Command::InqLockspace.to_string(), "inq_lockspace");
        assert_eq!(Command::NewerCommand(41).to_string(), "acquire2 (41)");
    }
}
