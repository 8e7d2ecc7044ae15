//! A file of a lease that loses its name, or another that gets it, while a host has to do with the lease. What removes
//! such files holds their leases for that (virt-sanlock-cleanup), so that these hosts have been slow, or have had
//! another do it by hand; neither may make two owners.

use std::path::Path;
use std::time::Duration;

use super::common::harness::{Case, Outcome};
use super::common::leases::{acquire, held, release};
use super::common::status::resource_lists;
use super::common::unlike_the_original;
use super::common::wait::until;
use super::faulty::{Fault, Kind};
use super::release::Pair;

pub const CASES: &[Case] = &[
    (
        "a_lease_in_a_file_that_lost_its_name_is_not_taken",
        a_file_that_lost_its_name,
    ),
    (
        "a_lease_in_a_file_that_was_replaced_is_not_taken",
        a_file_that_was_replaced,
    ),
    (
        "what_took_the_place_of_a_file_does_not_suffer_from_a_release",
        a_release_after_a_replacement,
    ),
];

/// Long enough for a busy machine to do something in between.
const IO_TIMEOUT: u32 = 5;
const LIMIT: Duration = Duration::from_secs(60);

const OWNED: i64 = -243;
const NO_SUCH_FILE: i64 = -2;

/// The second host removes the file, and makes another in its place.
fn replace(pair: &Pair) {
    remove(pair);
    make(pair, &pair.of_two.path("leases"));
}

fn make(pair: &Pair, path: &Path) {
    let file = std::fs::File::create_new(path).unwrap();
    file.set_len(1 << 20).unwrap();
    pair.daemons[1]
        .client
        .write_resource(
            &pair.seen_by_two,
            0,
            0,
            sanlock_proto::flags::WriteFlags::NONE,
        )
        .unwrap();
}

fn remove(pair: &Pair) {
    std::fs::remove_file(pair.of_two.path("leases")).unwrap();
}

/// The first host is in the middle of taking the lease when `change` is made. What it is told.
fn acquire_while(pair: &mut Pair, change: impl FnOnce(&Pair)) -> i64 {
    pair.faulty.only(Fault::Hang, Kind::Write, "leases");
    let (client, resource) = (pair.daemons[0].client.clone(), pair.seen_by_one.clone());
    let acquiring = std::thread::spawn(move || {
        let mut connection = client.register().unwrap();
        let code = acquire(&mut connection, &resource);
        (code, held(&mut connection).len())
    });
    until("it writes", LIMIT, || pair.faulty.held() > 0);
    change(pair);
    pair.faulty.recover();
    let (code, held) = acquiring.join().unwrap();
    assert_eq!(held, usize::from(code == 0));
    code
}

fn a_file_that_lost_its_name() -> Outcome {
    in_time(|pair| {
        let code = acquire_while(pair, remove);
        if code == NO_SUCH_FILE {
            assert!(!pair.of_two.path("leases").exists());
            assert!(resource_lists(&pair.daemons[0].client, "r").is_empty());
            assert_eq!(pair.one_acquires(), NO_SUCH_FILE);
        }
        code
    })
}

fn a_file_that_was_replaced() -> Outcome {
    in_time(|pair| {
        // A link that is turned over, as the faulty file system tells files apart by their paths.
        let link = pair.faulty.path("leases").with_file_name("../link");
        std::os::unix::fs::symlink(pair.faulty.path("leases"), &link).unwrap();
        let bytes = link.as_os_str().as_encoded_bytes();
        pair.seen_by_one.disks[0].path = sanlock_proto::DiskPath::from_bytes(bytes).unwrap();
        let other = pair.of_two.path("other");
        let bytes = other.as_os_str().as_encoded_bytes();
        pair.seen_by_two.disks[0].path = sanlock_proto::DiskPath::from_bytes(bytes).unwrap();
        let code = acquire_while(pair, |pair| {
            make(pair, &other);
            let turned = link.with_extension("new");
            std::os::unix::fs::symlink(pair.faulty.path("other"), &turned).unwrap();
            std::fs::rename(&turned, &link).unwrap();
        });
        if code == NO_SUCH_FILE {
            assert_eq!(pair.two_acquires(), 0);
            assert_eq!(pair.one_acquires(), OWNED);
            assert_eq!(release(&mut pair.two, &pair.seen_by_two), 0);
            assert_eq!(pair.one_acquires(), 0);
        }
        code
    })
}

/// Tries again where the machine was so slow that the write timed out.
fn in_time(attempt: impl Fn(&mut Pair) -> i64) -> Outcome {
    if let Some(skipped) = unlike_the_original("it does not look where its lease is") {
        return skipped;
    }
    const NOT_WRITTEN: i64 = -211;
    for _ in 0..4 {
        let mut pair = match Pair::with_io_timeout(IO_TIMEOUT) {
            Ok(pair) => pair,
            Err(skipped) => return skipped,
        };
        match attempt(&mut pair) {
            NO_SUCH_FILE => return Outcome::Passed,
            code => assert_eq!(code, NOT_WRITTEN),
        }
    }
    panic!("the write timed out each time");
}

fn a_release_after_a_replacement() -> Outcome {
    let mut pair = match Pair::with_io_timeout(IO_TIMEOUT) {
        Ok(pair) => pair,
        Err(skipped) => return skipped,
    };
    // A version that the new file is far from.
    for _ in 0..4 {
        assert_eq!(pair.one_acquires(), 0);
        assert_eq!(pair.one_releases(), 0);
    }
    assert_eq!(pair.one_acquires(), 0);
    replace(&pair);
    assert_eq!(pair.two_acquires(), 0);
    let sector = |path: &Path| std::fs::read(path).unwrap()[1024..1536].to_vec();
    let path = pair.of_two.path("leases");
    // Whatever it says: there was nothing to give back.
    let _ = pair.one_releases();
    assert!(held(&mut pair.one).is_empty());
    assert_eq!(pair.one_acquires(), OWNED, "the new file's owner keeps it");
    assert!(
        sector(&path).iter().all(|byte| *byte == 0),
        "nothing of the first host is in it"
    );
    Outcome::Passed
}
