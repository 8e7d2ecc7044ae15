//! Who holds which lock: a program of our own, beside the admin program on `virtlockd-admin-sock`.
//!
//! libvirt's admin program cannot tell it. A daemon that does not know this program, as the C one, answers as to any
//! program that it does not know.

use crate::lock::{LockText, STRING_MAX};
use crate::packet::{Procedure, Program, Version};
use crate::text::{List, Text};
use crate::xdr::xdr_structs;

/// The program's number.
pub const PROGRAM: Program = Program(0x4c65_6173);
/// Its version.
pub const VERSION: Version = Version(1);

/// [`ListArgs`], [`ListRet`].
pub const LIST: Procedure = Procedure(1);

/// Most locks in one answer.
pub const LOCKS_MAX: usize = 1024;
/// Most owners that are told of one lock.
pub const OWNERS_MAX: usize = 64;
/// Most bytes of a path: a directory, a slash and a name.
pub const PATH_MAX: usize = 2 * STRING_MAX + 1;

xdr_structs! {
    /// Where a lock is among all of them, which have an order.
    #[derive(Eq)]
    pub struct Place {
        /// The directory of the lock space, or nothing for the one where names are paths.
        pub directory: LockText,
        /// The resource's name.
        pub name: LockText,
    }

    /// Asks for the next locks.
    #[derive(Eq)]
    pub struct ListArgs {
        /// After this one; none for the first ones.
        pub after: Option<Place>,
        /// 0.
        pub flags: u32,
    }

    /// For whom a lock is held.
    #[derive(Eq)]
    pub struct Guest {
        /// The guest's name.
        pub name: LockText,
        /// Its UUID.
        pub uuid: [u8; 16],
    }

    /// A process that a lock is held for.
    #[derive(Eq)]
    pub struct Owner {
        /// Its number.
        pub pid: i32,
        /// Which guest it is, if it has said so since the daemon knows it.
        pub guest: Option<Guest>,
    }

    /// A lock.
    #[derive(Eq)]
    pub struct Lock {
        /// Where it is.
        pub place: Place,
        /// The file that is locked.
        pub file: Text<PATH_MAX>,
        /// Whether others may hold it too.
        pub shared: bool,
        /// When it was acquired, in seconds since 1970, if that is known.
        pub since: Option<i64>,
        /// Its owners; one that acquired it twice is there twice.
        pub owners: List<Owner, OWNERS_MAX>,
        /// How many more there are.
        pub more_owners: u32,
    }

    /// Some locks.
    #[derive(Eq)]
    pub struct ListRet {
        /// In their order.
        pub locks: List<Lock, LOCKS_MAX>,
        /// Whether there are more after them.
        pub more: bool,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::PAYLOAD_MAX;
    use crate::xdr::{from_bytes, to_bytes};

    #[test]
    fn the_largest_lock_fits_a_packet_twice() {
        let text = LockText::new(vec![b'x'; STRING_MAX]).unwrap();
        let guest = Guest {
            name: text.clone(),
            uuid: [7; 16],
        };
        let owner = Owner {
            pid: -1,
            guest: Some(guest),
        };
        let lock = Lock {
            place: Place {
                directory: text.clone(),
                name: text,
            },
            file: Text::new(vec![b'x'; PATH_MAX]).unwrap(),
            shared: true,
            since: Some(-1),
            owners: List::new(vec![owner; OWNERS_MAX]).unwrap(),
            more_owners: 1,
        };
        let bytes = to_bytes(&lock);
        assert_eq!(from_bytes(&bytes), Ok(lock));
        assert!(2 * bytes.len() < PAYLOAD_MAX);
    }
}
