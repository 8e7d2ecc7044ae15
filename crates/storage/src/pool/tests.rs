use std::collections::BTreeSet;
use std::sync::Condvar;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::{Buffer, STUCK_PER_DISK};

const SOON: Duration = Duration::from_millis(30);

/// Something that hangs until it is opened, as a system call on dead storage does.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn pass(&self) {
        let (open, opened) = &*self.0;
        drop(
            opened
                .wait_while(open.lock().unwrap(), |open| !*open)
                .unwrap(),
        );
    }

    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
}

fn options() -> PoolOptions {
    PoolOptions {
        stuck_after: Duration::ZERO,
        ..PoolOptions::default()
    }
}

fn hung(lane: &Lane, gate: &Gate) -> Pending<()> {
    let gate = gate.clone();
    lane.submit(move || {
        gate.pass();
        Ok(())
    })
}

/// Sends `count` requests to a hung disk and gives up on all of them.
async fn hang(lane: &Lane, gate: &Gate, count: usize) -> usize {
    let requests: Vec<_> = (0..count)
        .map(|_| tokio::spawn(hung(lane, gate).within(SOON)))
        .collect();
    let mut refused = 0;
    for request in requests {
        match request.await.unwrap() {
            Err(IoError::TimedOut { .. }) => {}
            Err(IoError::TooManyStuck { .. }) => refused += 1,
            other => panic!("{other:?} from a hung disk"),
        }
    }
    refused
}

async fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never: {what}");
}

fn number(lane: &Lane) -> Pending<u32> {
    lane.submit(|| Ok(7))
}

#[tokio::test]
async fn a_request_is_answered_and_leaves_nothing() {
    let pool = Pool::new(options());
    let lane = pool.lane(Path::new("/a"));
    assert_eq!(number(&lane).await, Ok(7));
    let failed = lane
        .submit::<()>(|| Err(IoError::Invalid("no".to_owned())))
        .await;
    assert_eq!(failed, Err(IoError::Invalid("no".to_owned())));
    drop(lane);
    let status = pool.status();
    assert_eq!(
        (
            status.running,
            status.abandoned,
            status.queued,
            status.disks
        ),
        (0, 0, 0, 0)
    );
}

#[tokio::test]
async fn a_thousand_requests_to_a_hung_disk_hold_few_threads() {
    let pool = Pool::new(options());
    let (bad, good) = (pool.lane(Path::new("/bad")), pool.lane(Path::new("/good")));
    let gate = Gate::default();
    for _ in 0..3 {
        hang(&bad, &gate, 1000).await;
        assert_eq!(number(&good).await, Ok(7));
    }
    let status = pool.status();
    assert!(
        status.threads <= options().threads_per_disk + 2,
        "{status:?}"
    );
    assert_eq!((status.running, status.queued), (0, 0), "{status:?}");
    assert_eq!(
        hang(&bad, &gate, 1000).await,
        1000,
        "all should have been refused"
    );
    assert_eq!(number(&bad).await.unwrap_err().code(), -202);

    gate.open();
    wait_until("requests come back", || pool.status().abandoned == 0).await;
    assert_eq!(number(&bad).await, Ok(7));
}

#[tokio::test]
async fn one_path_has_one_bound_however_often_it_is_opened() {
    let pool = Pool::new(options());
    let gate = Gate::default();
    for _ in 0..STUCK_PER_DISK {
        hang(&pool.lane(Path::new("/bad")), &gate, 1).await;
    }
    let refused = number(&pool.lane(Path::new("/bad"))).await;
    assert_eq!(
        refused,
        Err(IoError::TooManyStuck {
            stuck: STUCK_PER_DISK
        })
    );
    assert_eq!(number(&pool.lane(Path::new("/good"))).await, Ok(7));
    gate.open();
    wait_until("the lane is gone", || pool.status().disks == 0).await;
}

#[tokio::test]
async fn hung_disks_do_not_starve_one_that_answers() {
    let pool = Pool::new(PoolOptions {
        max_threads: 4,
        ..options()
    });
    let gate = Gate::default();
    let lanes: Vec<_> = (0..10)
        .map(|n| pool.lane(Path::new(&format!("/bad{n}"))))
        .collect();
    // Nobody gives up on these, so they count against the limit, and go beyond it.
    let waiting: Vec<_> = lanes
        .iter()
        .flat_map(|lane| [(); 8].map(|()| hung(lane, &gate)))
        .collect();
    wait_until("they run", || pool.status().running >= 4).await;
    let good = pool.lane(Path::new("/good"));
    assert_eq!(number(&good).await, Ok(7));
    let status = pool.status();
    assert!(
        status.running <= 4 + 10 * options().guaranteed_per_disk,
        "{status:?}"
    );
    gate.open();
    for request in waiting {
        request.await.unwrap();
    }
}

#[tokio::test]
async fn a_given_up_request_makes_room_for_a_queued_one() {
    let options = PoolOptions {
        max_threads: 1,
        guaranteed_per_disk: 1,
        ..options()
    };
    let pool = Pool::new(options);
    let gate = Gate::default();
    let lane = pool.lane(Path::new("/a"));
    let first = hung(&lane, &gate);
    wait_until("it runs", || pool.status().running == 1).await;
    let mut second = number(&lane);
    assert!(
        second.poll_within(SOON).await.is_err(),
        "it should have been queued"
    );
    drop(first);
    assert_eq!(second.await, Ok(7));
    gate.open();
}

#[tokio::test]
async fn a_queued_request_that_was_given_up_never_runs() {
    let pool = Pool::new(PoolOptions {
        threads_per_disk: 1,
        ..options()
    });
    let gate = Gate::default();
    let lane = pool.lane(Path::new("/a"));
    let first = hung(&lane, &gate);
    let ran = Arc::new(AtomicUsize::new(0));
    let queued = |_| {
        let ran = Arc::clone(&ran);
        lane.submit(move || Ok(ran.fetch_add(1, Ordering::SeqCst)))
    };
    let mut queued: Vec<_> = (0..10).map(queued).collect();
    let last = queued.split_off(9);
    drop(queued);
    gate.open();
    first.await.unwrap();
    for request in last {
        request.await.unwrap();
    }
    assert_eq!(ran.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_disk_serves_only_so_many_at_a_time_and_all_in_the_end() {
    let pool = Pool::new(PoolOptions {
        threads_per_disk: 3,
        ..options()
    });
    let lane = pool.lane(Path::new("/a"));
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let busy = |_| {
        let (now, most) = (Arc::clone(&now), Arc::clone(&most));
        lane.submit(move || {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(1));
            now.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        })
    };
    let requests: Vec<_> = (0..200).map(busy).collect();
    for request in requests {
        request.await.unwrap();
    }
    assert_eq!(most.load(Ordering::SeqCst), 3);
    assert!(pool.status().threads <= 3);
}

#[tokio::test]
async fn requests_that_hang_do_not_keep_others_from_a_fast_disk() {
    let pool = Pool::new(options());
    let (few, many) = (options().threads_per_fast_disk, options().threads_per_disk);
    let lane = pool.lane(Path::new("/a"));
    let gate = Gate::default();
    let hang: Vec<_> = (0..few).map(|_| hung(&lane, &gate)).collect();
    wait_until("they run", || pool.status().running == few).await;
    let next = number(&lane);
    assert_eq!(pool.status().queued, 1);
    assert_eq!(next.await, Ok(7));
    // Up to as many as there may be at all.
    let more: Vec<_> = (few..many - 1)
        .map(|_| tokio::spawn(hung(&lane, &gate)))
        .collect();
    assert_eq!(number(&lane).await, Ok(7));
    assert_eq!(pool.status().running, many - 1);
    gate.open();
    for request in hang {
        request.await.unwrap();
    }
    for request in more {
        request.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn what_waited_for_a_disk_that_was_full_runs_as_soon_as_one_comes_back() {
    let pool = Pool::new(options());
    let many = options().threads_per_disk;
    let lane = pool.lane(Path::new("/a"));
    let (first, gate) = (Gate::default(), Gate::default());
    let one = tokio::spawn(hung(&lane, &first));
    let hang: Vec<_> = (1..many)
        .map(|_| tokio::spawn(hung(&lane, &gate)))
        .collect();
    wait_until("they run", || pool.status().running == many).await;
    let mut next = number(&lane);
    assert!(next.poll_within(PATIENCE * 3).await.is_err());
    first.open();
    assert_eq!(next.await, Ok(7));
    one.await.unwrap().unwrap();
    assert_eq!(pool.status().running, many - 1);
    gate.open();
    for request in hang {
        request.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_full_queue_refuses() {
    let options = PoolOptions {
        threads_per_disk: 1,
        queue_per_disk: 5,
        ..options()
    };
    let pool = Pool::new(options);
    let gate = Gate::default();
    let lane = pool.lane(Path::new("/a"));
    let running = hung(&lane, &gate);
    wait_until("it runs", || pool.status().running == 1).await;
    let queued: Vec<_> = (0..5).map(|_| number(&lane)).collect();
    assert_eq!(number(&lane).await, Err(IoError::TooManyStuck { stuck: 6 }));
    gate.open();
    running.await.unwrap();
    for request in queued {
        assert_eq!(request.await, Ok(7));
    }
}

#[tokio::test]
async fn beyond_the_overall_bound_one_stuck_request_is_enough_to_refuse() {
    let pool = Pool::new(PoolOptions {
        max_stuck: 3,
        ..options()
    });
    let gate = Gate::default();
    let lanes: Vec<_> = (0..3)
        .map(|n| pool.lane(Path::new(&format!("/bad{n}"))))
        .collect();
    for lane in &lanes {
        assert_eq!(hang(lane, &gate, 1).await, 0);
    }
    for lane in &lanes {
        assert_eq!(number(lane).await, Err(IoError::TooManyStuck { stuck: 1 }));
    }
    assert_eq!(number(&pool.lane(Path::new("/good"))).await, Ok(7));
    gate.open();
}

#[tokio::test]
async fn requests_given_up_a_moment_ago_do_not_count_as_stuck() {
    let pool = Pool::new(PoolOptions {
        stuck_after: Duration::from_secs(3600),
        ..options()
    });
    let gate = Gate::default();
    let lane = pool.lane(Path::new("/a"));
    hang(&lane, &gate, STUCK_PER_DISK).await;
    assert_eq!(number(&lane).await, Ok(7));
    gate.open();
}

#[tokio::test]
async fn what_nobody_asked_for_is_done_even_on_a_hung_disk() {
    let pool = Pool::new(options());
    let gate = Gate::default();
    let lane = pool.lane(Path::new("/bad"));
    hang(&lane, &gate, STUCK_PER_DISK).await;
    let done = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&done);
    lane.submit_unasked(move || {
        counter.fetch_add(1, Ordering::SeqCst);
    });
    wait_until("it is done", || done.load(Ordering::SeqCst) == 1).await;
    gate.open();
}

#[tokio::test]
async fn memory_of_a_given_up_request_is_not_reused_before_it_comes_back() {
    const LEN: usize = 3 << 20;
    let pool = Pool::new(options());
    let gate = Gate::default();
    let lane = pool.lane(Path::new("/bad"));
    let (tell, told) = std::sync::mpsc::channel();
    let hangs = gate.clone();
    let request = lane.submit(move || {
        let mut buffer = Buffer::dirty(LEN);
        tell.send(buffer.as_ptr() as usize).unwrap();
        hangs.pass();
        buffer.fill(0xee);
        Ok(buffer)
    });
    assert!(request.within(SOON).await.is_err());
    let held = told.recv().unwrap();
    let others: Vec<_> = (0..8).map(|_| Buffer::zeroed(LEN)).collect();
    let in_use = |buffers: &[Buffer]| buffers.iter().any(|b| b.as_ptr() as usize == held);
    assert!(!in_use(&others));
    gate.open();
    wait_until("the request comes back", || pool.status().abandoned == 0).await;
    wait_until("its memory does", || in_use(&[Buffer::zeroed(LEN)])).await;
    assert!(
        others
            .iter()
            .all(|buffer| buffer.iter().all(|byte| *byte == 0))
    );
}

#[tokio::test]
async fn threads_are_named_prepared_and_end_when_idle() {
    let prepared = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&prepared);
    let hook = move || {
        counter.fetch_add(1, Ordering::SeqCst);
    };
    let pool = Pool::new(PoolOptions {
        name: "renew".to_owned(),
        idle: Duration::from_millis(20),
        on_thread_start: Some(Arc::new(hook)),
        ..options()
    });
    let lane = pool.lane(Path::new("/a"));
    let name = lane
        .submit(|| Ok(thread::current().name().map(str::to_owned)))
        .await
        .unwrap();
    assert!(name.unwrap().starts_with("renew-"));
    assert_eq!(prepared.load(Ordering::SeqCst), 1);
    wait_until("its threads end", || pool.status().threads == 0).await;
    assert_eq!(number(&lane).await, Ok(7));
    assert_eq!(prepared.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn requests_one_after_the_other_do_not_collect_threads() {
    let pool = Pool::new(options());
    let lane = pool.lane(Path::new("/a"));
    let mut threads = BTreeSet::new();
    for _ in 0..500 {
        threads.insert(
            lane.submit(|| Ok(format!("{:?}", thread::current().id())))
                .await
                .unwrap(),
        );
    }
    assert!(threads.len() <= 3, "{threads:?}");
    assert!(pool.status().threads <= 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_request_is_lost_or_done_twice_among_many_callers() {
    let pool = Pool::new(PoolOptions {
        max_threads: 3,
        threads_per_disk: 2,
        idle: Duration::from_micros(200),
        ..options()
    });
    let done = Arc::new(AtomicUsize::new(0));
    let mut callers = Vec::new();
    for caller in 0..8 {
        let lane = pool.lane(Path::new(&format!("/{}", caller % 4)));
        let done = Arc::clone(&done);
        callers.push(tokio::spawn(async move {
            for round in 0..500 {
                let counter = Arc::clone(&done);
                let request = lane.submit(move || Ok(counter.fetch_add(1, Ordering::SeqCst)));
                request.await.unwrap();
                if round % 7 == 0 {
                    drop(number(&lane));
                    tokio::time::sleep(Duration::from_micros(300)).await;
                }
            }
        }));
    }
    for caller in callers {
        caller.await.unwrap();
    }
    assert_eq!(done.load(Ordering::SeqCst), 8 * 500);
    wait_until("nothing is left", || {
        let status = pool.status();
        (
            status.running,
            status.abandoned,
            status.queued,
            status.disks,
        ) == (0, 0, 0, 0)
    })
    .await;
    wait_until("all threads end", || pool.status().threads == 0).await;
}
