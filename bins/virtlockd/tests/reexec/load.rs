//! Many locks of a few clients.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::client::{Client, NOBODY};
use super::host::Lab;
use super::watchers::{Deed, Watcher};

/// How many locks: more in the environment, for a measurement.
const LOCKS: &str = "VIRTLOCKD_TEST_LOCKS";

const CLIENTS: usize = 20;

/// As many as may be open, less what else is open.
fn count() -> usize {
    let wanted = std::env::var(LOCKS).map_or(1000, |text| text.parse().unwrap());
    let (_, hard) =
        nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
    wanted.min(usize::try_from(hard).unwrap_or(usize::MAX) - 200)
}

pub fn many_locks(lab: &Lab) {
    let host = lab.host("");
    let (space, count) = (lab.path("space"), count());
    let mut clients: Vec<Client> = (0..CLIENTS)
        .map(|number| Client::registered(&host.socket(), NOBODY - number as u32))
        .collect();
    assert_eq!(clients[0].create_space(&space), "ok");
    let name = |number: usize| format!("lock-{number}");
    for number in 0..count {
        let client = &mut clients[number % CLIENTS];
        assert_eq!(client.acquire((&space, &name(number)), 2), "ok");
    }
    // One that is named by its path, too.
    let image = lab.file("image");
    assert_eq!(clients[0].acquire(("", &image), 0), "ok");
    let mut files: Vec<String> = (0..count)
        .map(|number| format!("{space}/{}", name(number)))
        .collect();
    files.push(image.clone());
    let pid = host.daemon().pid();
    let looks = Watcher::start(Deed::Look, &files, pid);
    let tries = Watcher::start(Deed::Try, &files, pid);
    let mut before = lab.programs[0].name;
    for (round, program) in (1..).zip(&lab.programs[1..]) {
        // What the C daemon has not answered when it is replaced is never answered, so nobody asks it meanwhile.
        let asks = before != "C";
        let ((took, answered), longest) = with_a_caller(&host.socket(), asks, || {
            let since = Instant::now();
            let took = host.reload(program);
            let said = clients[0].release(("", "/nothing"));
            assert!(said.contains("is not locked"), "{said}");
            (took, since.elapsed())
        });
        // Each connection is there, and knows what is held by whom.
        for (number, client) in clients.iter_mut().enumerate() {
            let other = (number + 1) % CLIENTS;
            let refused = client.acquire((&space, &name(other)), 2);
            let wanted = format!("'{}' is locked", name(other));
            assert!(refused.contains(&wanted), "{refused}");
            let own = format!("own-{number}");
            assert_eq!(client.acquire((&space, &own), 2), "ok");
            assert_eq!(client.release((&space, &own)), "ok");
            let missing = client.release((&space, &own));
            assert!(missing.contains("is not locked"), "{missing}");
        }
        // A new one, which stays.
        let mut new = Client::registered(&host.socket(), NOBODY - 1000 - round);
        let refused = new.acquire(("", &image), 0);
        assert!(refused.contains("is locked"), "{refused}");
        clients.push(new);
        let longest = longest.map_or_else(String::new, |longest| {
            format!(", a client's longest wait {} ms", longest.as_millis())
        });
        println!(
            "measured: {before} to {}: {count} locks; executed after {} ms, answered after {} ms{longest}",
            program.name,
            took.as_millis(),
            answered.as_millis(),
        );
        before = program.name;
    }
    for (watcher, what) in [(looks, "looked at"), (tries, "tried to get")] {
        let (times, found) = watcher.stop();
        assert_eq!(found.trim(), "", "{what}");
        println!("measured: 500 locks {what} {times} times, none was free");
    }
    for number in 0..count {
        let client = &mut clients[number % CLIENTS];
        assert_eq!(client.release((&space, &name(number))), "ok");
    }
    assert_eq!(clients[0].release(("", &image)), "ok");
    assert_eq!(std::fs::read_dir(&space).unwrap().count(), 0);
}

/// While this is done, a client asks for something all the time, if it may: the longest that it waits for an answer.
fn with_a_caller<T>(
    socket: &std::path::Path,
    asks: bool,
    deed: impl FnOnce() -> T,
) -> (T, Option<Duration>) {
    if !asks {
        return (deed(), None);
    }
    let stop = AtomicBool::new(false);
    let mut caller = Client::registered(socket, NOBODY - 500);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut longest = Duration::ZERO;
            while !stop.load(Ordering::Relaxed) {
                let since = Instant::now();
                let said = caller.release(("", "/nothing"));
                assert!(said.contains("is not locked"), "{said}");
                longest = longest.max(since.elapsed());
                std::thread::sleep(Duration::from_millis(1));
            }
            longest
        });
        let done = deed();
        stop.store(true, Ordering::Relaxed);
        (done, Some(asking.join().unwrap()))
    })
}
