//! As whom the daemon runs.

use std::ffi::CString;

use nix::unistd::{Gid, Group, Uid, User};

use crate::Error;

/// The user and group that the daemon becomes, and that may use its socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Both, by name, if the daemon changes to them.
    names: Option<(String, String)>,
    /// Owner of run directory and socket.
    pub uid: Uid,
    /// Group of run directory and socket.
    pub gid: Gid,
}

/// The name of user and group where neither is configured.
const DEFAULT: &str = "sanlock";

impl Identity {
    /// Root, without changing to it.
    #[must_use]
    pub fn root() -> Self {
        Self {
            names: None,
            uid: Uid::from_raw(0),
            gid: Gid::from_raw(0),
        }
    }

    /// From the configured names: where one is missing, `sanlock` if this host has a user and a group
    /// of that name, else none.
    ///
    /// A name that this host does not know counts as root, and is among the sentences that are
    /// returned for the log. Without both names the daemon stays who it is.
    #[must_use]
    pub fn resolve(user: Option<&str>, group: Option<&str>) -> (Self, Vec<String>) {
        let mut warnings = Vec::new();
        let have_default = find_user(DEFAULT).is_some() && find_group(DEFAULT).is_some();
        let default = have_default.then_some(DEFAULT);
        let user = user.or(default);
        let group = group.or(default);
        let uid = user.map_or(Uid::from_raw(0), |name| {
            find_user(name).unwrap_or_else(|| {
                warnings.push(format!("there is no user '{name}': root is used instead"));
                Uid::from_raw(0)
            })
        });
        let gid = group.map_or(Gid::from_raw(0), |name| {
            find_group(name).unwrap_or_else(|| {
                warnings.push(format!(
                    "there is no group '{name}': root's is used instead"
                ));
                Gid::from_raw(0)
            })
        });
        let names = user
            .zip(group)
            .map(|(user, group)| (user.to_owned(), group.to_owned()));
        (Self { names, uid, gid }, warnings)
    }

    /// Takes the user's supplementary groups (`disk`, for block devices).
    ///
    /// Like [`Identity::resolve`] it asks the name service, which may take long and may start
    /// threads: forks come before it.
    ///
    /// # Errors
    /// What the kernel or the name service says: only root may.
    pub fn take_groups(&self) -> Result<(), Error> {
        let Some((user, _)) = &self.names else {
            return Ok(());
        };
        let name = CString::new(user.as_str())
            .map_err(|_| Error::Invalid(format!("the user's name '{user}' has a NUL in it")))?;
        nix::unistd::initgroups(&name, self.gid)
            .map_err(|error| Error::os(format!("take the groups of user '{user}'"), error))
    }

    /// Becomes the user and group, in all threads, for good. The process can still dump core.
    ///
    /// # Errors
    /// What the kernel says: only root may.
    pub fn switch(&self) -> Result<(), Error> {
        if self.names.is_none() {
            return Ok(());
        }
        nix::unistd::setgid(self.gid)
            .map_err(|error| Error::os(format!("change to group id {}", self.gid), error))?;
        nix::unistd::setuid(self.uid)
            .map_err(|error| Error::os(format!("change to user id {}", self.uid), error))?;
        // SAFETY: takes numbers. A process that changed its user dumps no core without this.
        if unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) } < 0 {
            return Err(Error::last_os("allow core dumps"));
        }
        Ok(())
    }

    /// User and group by name, if the daemon changes to them.
    #[must_use]
    pub fn names(&self) -> Option<(&str, &str)> {
        self.names
            .as_ref()
            .map(|(user, group)| (user.as_str(), group.as_str()))
    }
}

fn find_user(name: &str) -> Option<Uid> {
    User::from_name(name).ok().flatten().map(|user| user.uid)
}

fn find_group(name: &str) -> Option<Gid> {
    Group::from_name(name).ok().flatten().map(|group| group.gid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_have_numbers() {
        let (identity, warnings) = Identity::resolve(Some("root"), Some("daemon"));
        assert_eq!(warnings, Vec::<String>::new());
        assert_eq!((identity.uid.as_raw(), identity.gid.as_raw()), (0, 1));
        assert_eq!(identity.names(), Some(("root", "daemon")));
    }

    #[test]
    fn unknown_names_are_root_and_said() {
        let (identity, warnings) = Identity::resolve(Some("no-such-user"), Some("no-such-group"));
        assert_eq!((identity.uid.as_raw(), identity.gid.as_raw()), (0, 0));
        assert_eq!(warnings.len(), 2);
        assert!(warnings[0].contains("'no-such-user'"));
    }

    #[test]
    fn root_stays_root() {
        Identity::root().take_groups().unwrap();
        Identity::root().switch().unwrap();
        assert_eq!(Identity::root().names(), None);
    }
}
