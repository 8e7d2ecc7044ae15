//! What is answered to what.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use libvirt_rpc::lock;

use super::client::{Client, NOBODY};
use super::{Lab, Subject};

const PROCEDURES: [(libvirt_rpc::Procedure, &str); 4] = [
    (lock::CREATE_RESOURCE, "CreateResource"),
    (lock::DELETE_RESOURCE, "DeleteResource"),
    (lock::ACQUIRE_RESOURCE, "AcquireResource"),
    (lock::RELEASE_RESOURCE, "ReleaseResource"),
];

fn flags(unknown: u32, function: &str) -> String {
    let function = format!("virLockSpaceProtocolDispatch{function}");
    format!(
        "8/7/2 0 0 | unsupported flags (0x{unknown:x}) in function {function} | {function} | flags"
    )
}

fn worded(code: &str, words: &str, detail: &str) -> String {
    format!("{code} -1 -1 | {words}{detail} | {words}%s | {detail}")
}

fn invalid(detail: &str) -> String {
    worded("55/7/2", "Requested operation is not valid: ", detail)
}

fn internal(domain: u32, detail: &str) -> String {
    worded(&format!("1/{domain}/2"), "internal error: ", detail)
}

fn busy(detail: &str) -> String {
    worded("87/51/2", "resource busy: ", detail)
}

fn system(domain: u32, number: u32, whole: &str) -> String {
    format!("38/{domain}/2 {number} -1 | {whole} | %s | {whole}")
}

pub fn orders_and_errors(lab: &Lab) {
    let daemon = lab.daemon("");
    let no_owner = invalid("lock owner details have not been registered");
    let mut client = Client::new(&daemon.socket());
    // Before an owner is named.
    assert_eq!(client.restrict(1), flags(1, "Restrict"));
    assert_eq!(client.restrict(0), no_owner);
    assert_eq!(client.new_space("/x", 0), no_owner);
    for (procedure, name) in PROCEDURES {
        assert_eq!(
            client.resource(procedure, ("/x", "y"), 0),
            no_owner,
            "{name}"
        );
        assert_eq!(
            client.resource(procedure, ("/x", "y"), 12),
            flags(12, name),
            "{name}"
        );
    }
    assert_eq!(client.acquire(("/x", "y"), 3), no_owner);
    assert_eq!(client.acquire(("/x", "y"), 7), flags(4, "AcquireResource"));
    assert_eq!(
        client.resource(lock::RELEASE_RESOURCE, ("", "y"), 1),
        flags(1, "ReleaseResource")
    );
    assert_eq!(client.register(1, NOBODY, 2), flags(2, "Register"));
    assert_eq!(client.register(0, NOBODY, 0), no_owner);
    let space = lab.path("early");
    assert_eq!(client.create_space(&space), "ok");
    assert_eq!(client.create_space(&space), "ok");

    // With one, and with another after it.
    assert_eq!(client.register(1, NOBODY, 0), "ok");
    assert_eq!(client.register(2, NOBODY, 0), "ok");
    let unknown = internal(7, "Lockspace for path /x does not exist");
    for (procedure, name) in PROCEDURES {
        assert_eq!(
            client.resource(procedure, ("/x", "y"), 0),
            unknown,
            "{name}"
        );
    }
    assert_eq!(
        client.new_space("", 0),
        invalid("the default lockspace already exists")
    );
    assert_eq!(client.new_space(&space, 4), flags(4, "New"));
    let exists = internal(7, &format!("Lockspace for path {space} already exists"));
    assert_eq!(client.new_space(&space, 0), exists);
    let file = lab.file("file");
    let no_directory = internal(
        51,
        &format!("Lockspace location {file} exists, but is not a directory"),
    );
    assert_eq!(client.create_space(&file), no_directory);
    let below = format!("{file}/below");
    let cannot = system(
        51,
        20,
        &format!("Unable to create lockspace {below}: Not a directory"),
    );
    assert_eq!(client.create_space(&below), cannot);
    if lab.subject == Subject::Ours {
        // The C daemon takes a lock space that it could not make, says "ok", and falls over it later.
        assert_eq!(client.new_space(&file, 0), no_directory);
    }

    // Without rights.
    assert_eq!(client.restrict(0), "ok");
    let restricted = worded(
        "29/7/2",
        "operation forbidden: ",
        "lock manager connection has been restricted",
    );
    assert_eq!(client.restrict(0), restricted);
    assert_eq!(client.restrict(1), flags(1, "Restrict"));
    assert_eq!(client.register(0, NOBODY, 0), restricted);
    assert_eq!(client.new_space("", 0), restricted);
    assert_eq!(client.create_space("/x"), restricted);
    for (procedure, name) in PROCEDURES {
        assert_eq!(
            client.resource(procedure, ("/x", "y"), 0),
            restricted,
            "{name}"
        );
        assert_eq!(
            client.resource(procedure, ("/x", "y"), 12),
            flags(12, name),
            "{name}"
        );
    }
}

pub fn sharing(lab: &Lab) {
    let daemon = lab.daemon("");
    let mut one = Client::registered(&daemon.socket(), NOBODY);
    let mut two = Client::registered(&daemon.socket(), NOBODY - 1);
    let file = lab.file("image");
    let space = lab.path("space");
    assert_eq!(one.new_space(&space, 0), "ok");
    for at in [("", file.as_str()), (space.as_str(), "name")] {
        let auto = if at.0.is_empty() { 0 } else { 2 };
        let locked = busy(&format!("Lockspace resource '{}' is locked", at.1));
        let free = busy(&format!("Lockspace resource '{}' is not locked", at.1));
        let not_owner = |pid| internal(51, &format!("owner {pid} does not hold the resource lock"));
        assert_eq!(two.release(at), free);
        assert_eq!(one.acquire(at, auto), "ok");
        for flags in [0, 1, 2, 3] {
            assert_eq!(one.acquire(at, flags), locked);
            assert_eq!(two.acquire(at, flags), locked);
        }
        assert_eq!(two.release(at), not_owner(NOBODY - 1));
        assert_eq!(one.resource(lock::DELETE_RESOURCE, at, 0), locked);
        assert_eq!(one.resource(lock::CREATE_RESOURCE, at, 0), locked);
        assert_eq!(one.release(at), "ok");
        assert_eq!(one.release(at), free);

        assert_eq!(one.acquire(at, 1 | auto), "ok");
        assert_eq!(two.acquire(at, auto), locked);
        assert_eq!(two.acquire(at, 1), "ok");
        assert_eq!(two.acquire(at, 1), "ok");
        assert_eq!(one.release(at), "ok");
        assert_eq!(one.release(at), not_owner(NOBODY));
        assert_eq!(two.release(at), "ok");
        assert_eq!(one.acquire(at, auto), locked);
        assert_eq!(two.release(at), "ok");
        assert_eq!(one.acquire(at, auto), "ok");
        assert_eq!(one.release(at), "ok");
    }
    // An owner is a number: another connection that names it has its locks.
    assert_eq!(one.acquire(("", &file), 0), "ok");
    drop(one);
    let mut again = Client::registered(&daemon.socket(), NOBODY);
    assert_eq!(again.release(("", &file)), "ok");
    // As a signed one.
    let mut odd = Client::registered(&daemon.socket(), u32::MAX);
    assert_eq!(again.acquire(("", &file), 0), "ok");
    let whole = internal(51, "owner -1 does not hold the resource lock");
    assert_eq!(odd.release(("", &file)), whole);
    if lab.subject == Subject::Ours {
        // The C daemon gives a file by another name to somebody else.
        let other = lab.path("other");
        std::fs::hard_link(&file, &other).unwrap();
        let locked = busy(&format!("Lockspace resource '{other}' is locked"));
        assert_eq!(odd.acquire(("", &other), 0), locked);
    }
}

pub fn files(lab: &Lab) {
    let daemon = lab.daemon("");
    let mut client = Client::registered(&daemon.socket(), NOBODY);
    let mode = |path: &str| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let space = lab.path("some/deep/space");
    assert_eq!(client.create_space(&space), "ok");
    assert_eq!(mode(&space), 0o700);
    let file = format!("{space}/x");
    let at = (space.as_str(), "x");
    let missing = format!("Unable to open resource {file}: No such file or directory");
    assert_eq!(client.acquire(at, 0), system(51, 2, &missing));
    assert_eq!(client.acquire(at, 1), system(51, 2, &missing));
    // Made and removed with the lock.
    for flags in [2, 3] {
        assert_eq!(client.acquire(at, flags), "ok");
        assert_eq!(mode(&file), 0o600);
        assert_eq!(client.release(at), "ok");
        assert!(!Path::new(&file).exists());
    }
    // Made and removed by hand.
    for _ in 0..2 {
        assert_eq!(client.resource(lock::CREATE_RESOURCE, at, 0), "ok");
        assert_eq!(mode(&file), 0o600);
    }
    assert_eq!(client.acquire(at, 0), "ok");
    assert_eq!(client.release(at), "ok");
    for _ in 0..2 {
        assert_eq!(client.resource(lock::DELETE_RESOURCE, at, 0), "ok");
        assert!(!Path::new(&file).exists());
    }
    // What is no file, and names that lead elsewhere.
    let whole = format!("Unable to open/create resource {space}/.: Is a directory");
    assert_eq!(client.acquire((&space, "."), 2), system(51, 21, &whole));
    let whole = format!("Unable to delete lockspace resource {space}/.");
    assert!(
        client
            .resource(lock::DELETE_RESOURCE, (&space, "."), 0)
            .contains(&whole)
    );
    let whole = format!("cannot create file '{space}/.': Is a directory");
    assert_eq!(
        client.resource(lock::CREATE_RESOURCE, (&space, "."), 0),
        system(0, 21, &whole)
    );
    let outside = lab.file("outside");
    assert_eq!(client.acquire((&space, "../../../outside"), 0), "ok");
    assert_eq!(client.release((&space, "../../../outside")), "ok");
    let long = "n".repeat(60_000);
    let whole = format!("Unable to open resource {space}/{long}: File name too long");
    assert_eq!(client.acquire((&space, &long), 0), system(51, 36, &whole));
    // A file that somebody else put there is not removed with the lock of the one before.
    assert_eq!(client.acquire(at, 2), "ok");
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, "").unwrap();
    assert_eq!(client.release(at), "ok");
    assert_eq!(Path::new(&file).exists(), lab.subject == Subject::Ours);
    assert!(Path::new(&outside).exists());
}
