//! The actions of `sanlock client` and `sanlock direct`, and their names.

macro_rules! actions {
    ($(#[$doc:meta])* $set:ident { $($(#[$action_doc:meta])* $action:ident = $name:literal $(| $alias:literal)*;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $set {
            $($(#[$action_doc])* $action,)*
        }

        impl $set {
            /// Every action, in the manual's order.
            pub const ALL: &[$set] = &[$($set::$action),*];

            /// The action of this name.
            #[must_use]
            pub fn named(name: &[u8]) -> Option<$set> {
                $(if name == $name.as_bytes() $(|| name == $alias.as_bytes())* {
                    return Some($set::$action);
                })*
                None
            }

            /// Its (first) name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $($set::$action => $name,)*
                }
            }
        }
    };
}

actions! {
    /// What the daemon can be asked.
    ClientAction {
        /// Show daemon, processes, lockspaces and resources.
        Status = "status";
        /// Show the hosts of lockspaces as the last renewal saw them.
        HostStatus = "host_status";
        /// List lockspaces, and their hosts if asked.
        Gets = "gets";
        /// Show the history of a lockspace's renewals.
        Renewal = "renewal";
        /// Show the daemon's log in memory.
        LogDump = "log_dump";
        /// End the daemon.
        Shutdown = "shutdown";
        /// Format a lockspace or a resource lease.
        Init = "init" | "write";
        /// Read a lockspace or a resource lease.
        Read = "read";
        /// Join a lockspace.
        AddLockspace = "add_lockspace";
        /// Ask whether a lockspace is joined.
        InqLockspace = "inq_lockspace";
        /// Leave a lockspace.
        RemLockspace = "rem_lockspace";
        /// Run a program under a lease.
        Command = "command";
        /// Acquire leases for a registered process.
        Acquire = "acquire";
        /// Change a held lease between exclusive and shared.
        Convert = "convert";
        /// Release leases of a registered process.
        Release = "release";
        /// List what a process holds.
        Inquire = "inquire";
        /// Ask a lease's owner to give it up.
        Request = "request";
        /// Look for such requests now.
        Examine = "examine";
        /// The area that a lease needs on a disk.
        Align = "align";
        /// Versions of client and daemon.
        Version = "version";
        /// Send an event to another host.
        SetEvent = "set_event";
        /// Change a lockspace's settings.
        SetConfig = "set_config";
        /// Format a resource index.
        Format = "format";
        /// Make a resource lease with the index.
        Create = "create";
        /// Remove a resource lease and its entry.
        Delete = "delete";
        /// Look up a resource in the index.
        Lookup = "lookup";
        /// Change an entry of the index.
        Update = "update";
        /// Make the index anew from the leases on disk.
        Rebuild = "rebuild";
    }
}

actions! {
    /// What is done on storage without the daemon.
    DirectAction {
        /// Format a lockspace or a resource lease.
        Init = "init";
        /// Print a leader record.
        ReadLeader = "read_leader";
        /// Overwrite fields of a leader record from a file.
        WriteLeader = "write_leader";
        /// List the leases of an area.
        Dump = "dump";
        /// The first area without a lease.
        NextFree = "next_free";
        /// Acquire a resource lease.
        Acquire = "acquire";
        /// Release a resource lease.
        Release = "release";
        /// Acquire a delta lease.
        AcquireId = "acquire_id";
        /// Release a delta lease.
        ReleaseId = "release_id";
        /// Renew a delta lease once.
        RenewId = "renew_id";
        /// Format a resource index.
        Format = "format";
        /// Look up a resource in the index.
        Lookup = "lookup";
        /// Change an entry of the index.
        Update = "update";
        /// Make the index anew from the leases on disk.
        Rebuild = "rebuild";
        /// Name everything that is wrong with a lease; ours, not the original's.
        Check = "check";
    }
}

impl ClientAction {
    /// Whether it works on a resource index, where `-e` names an entry.
    #[must_use]
    pub fn is_rindex(self) -> bool {
        matches!(
            self,
            Self::Format
                | Self::Create
                | Self::Delete
                | Self::Lookup
                | Self::Update
                | Self::Rebuild
        )
    }

    /// Whether `--json` is understood.
    #[must_use]
    pub fn has_json(self) -> bool {
        matches!(
            self,
            Self::Status
                | Self::HostStatus
                | Self::Gets
                | Self::Inquire
                | Self::Renewal
                | Self::Read
        )
    }
}

impl DirectAction {
    /// Whether it works on a resource index, where `-e` names an entry.
    #[must_use]
    pub fn is_rindex(self) -> bool {
        matches!(
            self,
            Self::Format | Self::Lookup | Self::Update | Self::Rebuild
        )
    }

    /// Whether a path without an option letter comes before the options.
    #[must_use]
    pub fn takes_path(self) -> bool {
        matches!(self, Self::Dump | Self::NextFree)
    }

    /// Whether `--json` is understood.
    #[must_use]
    pub fn has_json(self) -> bool {
        matches!(self, Self::Dump | Self::Check)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_finds_its_action() {
        for action in ClientAction::ALL {
            assert_eq!(ClientAction::named(action.name().as_bytes()), Some(*action));
        }
        for action in DirectAction::ALL {
            assert_eq!(DirectAction::named(action.name().as_bytes()), Some(*action));
        }
        assert_eq!(ClientAction::named(b"write"), Some(ClientAction::Init));
        assert_eq!(ClientAction::named(b""), None);
        assert_eq!(DirectAction::named(b"create"), None);
    }
}
