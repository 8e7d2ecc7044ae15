//! The lock program: what is said on `virtlockd-sock`.
//!
//! A client registers the owner for whom it asks (1), may give up all further rights (2), and acquires and
//! releases resources in lock spaces. A lock belongs to the owner's process, not to the connection. Every
//! procedure returns nothing but success or an error.

use crate::packet::{Procedure, Program, Version};
use crate::text::Text;
use crate::xdr::xdr_structs;

/// The program's number.
pub const PROGRAM: Program = Program(0x0ea7_beef);
/// Its version.
pub const VERSION: Version = Version(1);

/// Most bytes of a string (`VIR_LOCK_SPACE_PROTOCOL_STRING_MAX`).
pub const STRING_MAX: usize = 65_536;

/// A string of this program.
pub type LockText = Text<STRING_MAX>;

/// [`RegisterArgs`].
pub const REGISTER: Procedure = Procedure(1);
/// [`RestrictArgs`].
pub const RESTRICT: Procedure = Procedure(2);
/// [`NewArgs`].
pub const NEW: Procedure = Procedure(3);
/// [`ResourceArgs`].
pub const CREATE_RESOURCE: Procedure = Procedure(4);
/// [`ResourceArgs`].
pub const DELETE_RESOURCE: Procedure = Procedure(5);
/// [`ResourceArgs`], with [`ACQUIRE_SHARED`] and [`ACQUIRE_AUTOCREATE`].
pub const ACQUIRE_RESOURCE: Procedure = Procedure(6);
/// [`ResourceArgs`].
pub const RELEASE_RESOURCE: Procedure = Procedure(7);
/// [`CreateLockSpaceArgs`].
pub const CREATE_LOCKSPACE: Procedure = Procedure(8);

/// Others may hold the resource too, if they say the same.
pub const ACQUIRE_SHARED: u32 = 1;
/// The resource's file is made if there is none, and removed with the last owner.
pub const ACQUIRE_AUTOCREATE: u32 = 2;

xdr_structs! {
    /// For whom locks are taken.
    pub struct Owner {
        /// The guest's UUID.
        pub uuid: [u8; 16],
        /// The guest's name.
        pub name: LockText,
        /// libvirt's number of the guest, not 0.
        pub id: u32,
        /// The guest's process, to which its locks belong.
        pub pid: u32,
    }

    /// Names the owner for all that follows on the connection.
    pub struct RegisterArgs {
        /// The owner.
        pub owner: Owner,
        /// 0.
        pub flags: u32,
    }

    /// Gives up all rights of the connection: from then on it is only there to be closed.
    pub struct RestrictArgs {
        /// 0.
        pub flags: u32,
    }

    /// Makes a lock space, which must not exist.
    pub struct NewArgs {
        /// Its directory.
        pub path: LockText,
        /// 0.
        pub flags: u32,
    }

    /// Names a resource.
    pub struct ResourceArgs {
        /// The directory of its lock space, or nothing for the one where names are paths.
        pub path: LockText,
        /// Its name in the lock space.
        pub name: LockText,
        /// As the procedure has them.
        pub flags: u32,
    }

    /// Makes a lock space unless it exists. Needs no owner.
    pub struct CreateLockSpaceArgs {
        /// Its directory.
        pub path: LockText,
    }
}
