//! Going on where the storage answered.
//!
//! An answer usually wakes the thread of the caller's runtime, which sends the next request, which wakes a
//! thread of the pool in turn. On a fast disk these wake-ups take longer than the requests. So work that is
//! little else than a row of requests goes on in the thread that has its answer: that thread then sends the
//! next request to itself, and the caller is woken once, for the result.
//!
//! A thread of the pool never waits for such work: when the caller's thread is just at it, that thread goes on.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use tokio::runtime::Handle;

use crate::BoxFuture;

/// Does `work`, parts of it in the threads of the pool that have the answers it waits for.
///
/// As on any runtime with several threads, it may run at the same time as other tasks. What it does between
/// two requests must not take long: the thread may have been given somebody's next request meanwhile.
///
/// # Panics
/// If it is called outside of a runtime.
pub fn following_answers<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> impl Future<Output = T> + Send {
    Following(Arc::new(Work {
        future: Mutex::new(Some(Box::pin(work))),
        result: Mutex::new(None),
        woken: AtomicBool::new(true),
        caller: Mutex::new(Waker::noop().clone()),
        runtime: Handle::current(),
    }))
}

/// Delivers an answer, and goes on with what waits for it.
pub(crate) fn deliver_and_go_on(deliver: impl FnOnce()) {
    WOKEN.set(Some(Vec::new()));
    deliver();
    for work in WOKEN.take().unwrap_or_default() {
        work.go_on();
    }
}

thread_local! {
    /// In a thread that delivers an answer: what this woke.
    static WOKEN: RefCell<Option<Vec<Arc<dyn GoOn>>>> = const { RefCell::new(None) };
}

trait GoOn {
    fn go_on(self: Arc<Self>);
}

struct Work<T> {
    /// Empty once it has ended.
    future: Mutex<Option<BoxFuture<T>>>,
    /// What came of it, until the caller has it.
    result: Mutex<Option<T>>,
    /// Whether there is anything to go on with.
    woken: AtomicBool,
    caller: Mutex<Waker>,
    runtime: Handle,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: Send + 'static> Work<T> {
    /// True when it has just ended.
    fn advance(self: &Arc<Self>, slot: &mut Option<BoxFuture<T>>) -> bool {
        // First: what wakes it from here on may come too late for this time.
        self.woken.store(false, Ordering::SeqCst);
        let Some(future) = slot.as_mut() else {
            return false;
        };
        let waker = Waker::from(Arc::clone(self));
        let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(&waker)) else {
            return false;
        };
        *slot = None;
        *lock(&self.result) = Some(result);
        true
    }

    fn wake_caller(&self) {
        let caller = lock(&self.caller).clone();
        caller.wake();
    }
}

impl<T: Send + 'static> GoOn for Work<T> {
    fn go_on(self: Arc<Self>) {
        let caller_is_needed = match self.future.try_lock() {
            Ok(mut slot) => {
                let _entered = self.runtime.enter();
                self.advance(&mut slot)
            }
            // The caller is at it, and may have been when the answer was not there yet.
            Err(_) => true,
        };
        if caller_is_needed {
            self.wake_caller();
        }
    }
}

impl<T: Send + 'static> Wake for Work<T> {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
        let kept = WOKEN.try_with(|woken| match woken.borrow_mut().as_mut() {
            Some(woken) => {
                let work: Arc<dyn GoOn> = Arc::clone(&self) as _;
                woken.push(work);
                true
            }
            None => false,
        });
        if kept != Ok(true) {
            self.wake_caller();
        }
    }
}

/// What the caller has of the work.
struct Following<T: Send + 'static>(Arc<Work<T>>);

impl<T: Send + 'static> Future for Following<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let work = &self.0;
        lock(&work.caller).clone_from(context.waker());
        if work.woken.load(Ordering::SeqCst) {
            work.advance(&mut lock(&work.future));
        }
        lock(&work.result).take().map_or(Poll::Pending, Poll::Ready)
    }
}

impl<T: Send + 'static> Drop for Following<T> {
    /// Ends it: what it waits for keeps its waker, which would keep the work.
    fn drop(&mut self) {
        let future = lock(&self.0.future).take();
        drop(future);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use tokio::runtime::{Builder, Runtime};

    use super::*;
    use crate::DirectIo;

    fn runtime() -> Runtime {
        Builder::new_current_thread().enable_all().build().unwrap()
    }

    async fn request(storage: &DirectIo, takes: Duration) {
        let path = std::path::Path::new("/nowhere");
        let done = storage.run(path, move || {
            std::thread::sleep(takes);
            Ok(())
        });
        done.within(Duration::from_secs(60)).await.unwrap();
    }

    fn thread() -> std::thread::ThreadId {
        std::thread::current().id()
    }

    #[test]
    fn work_goes_on_where_its_answers_are_and_ends_at_its_caller() {
        let storage = DirectIo::new();
        runtime().block_on(async move {
            let home = thread();
            let away = following_answers(async move {
                let mut away = 0;
                for _ in 0..50 {
                    request(&storage, Duration::from_millis(1)).await;
                    away += usize::from(thread() != home);
                }
                // So that it is left in a thread of the pool.
                request(&storage, Duration::from_millis(1)).await;
                away
            })
            .await;
            assert!(away > 0);
            assert_eq!(thread(), home);
        });
    }

    #[test]
    fn a_deadline_passes_though_the_answer_does_not_come() {
        let storage = DirectIo::new();
        let (tell, told) = std::sync::mpsc::channel::<()>();
        runtime().block_on(async {
            let late = following_answers(async move {
                request(&storage, Duration::from_millis(1)).await;
                let path = std::path::Path::new("/nowhere");
                let hangs = storage.run(path, move || {
                    let _ = told.recv();
                    Ok(())
                });
                let late = hangs.within(Duration::from_millis(50)).await;
                request(&storage, Duration::from_millis(1)).await;
                late
            });
            assert!(late.await.is_err());
        });
        drop(tell);
    }

    #[test]
    fn an_answer_that_comes_while_the_caller_is_at_it_is_not_lost() {
        let storage = DirectIo::new();
        runtime().block_on(async {
            let work = following_answers(async move {
                let mut waits = Box::pin(request(&storage, Duration::from_millis(5)));
                let mut first = true;
                std::future::poll_fn(move |context| {
                    let polled = waits.as_mut().poll(context);
                    if std::mem::take(&mut first) {
                        std::thread::sleep(Duration::from_millis(100));
                    }
                    polled
                })
                .await;
            });
            // When time is out the work is looked at once more.
            let begun = std::time::Instant::now();
            let _ = tokio::time::timeout(Duration::from_secs(10), work).await;
            let took = begun.elapsed();
            assert!(took < Duration::from_secs(9), "nobody went on with it");
        });
    }

    /// Answers and timers race, with callers that are polled for other reasons too.
    #[test]
    fn nothing_is_lost_or_done_twice() {
        let storage = DirectIo::new();
        let steps = Arc::new(AtomicUsize::new(0));
        runtime().block_on(async {
            let mut all = Vec::new();
            for number in 0..40_u64 {
                let (storage, steps) = (storage.clone(), Arc::clone(&steps));
                let work = following_answers(async move {
                    let mut own = 0;
                    for round in 0..25_u64 {
                        let pause = Duration::from_micros(number * round % 300);
                        tokio::join!(
                            request(&storage, pause),
                            request(&storage, Duration::from_micros(100)),
                            tokio::time::sleep(pause),
                        );
                        own += 1;
                        steps.fetch_add(1, Ordering::Relaxed);
                    }
                    own
                });
                all.push(tokio::spawn(async move {
                    let ticks = async {
                        loop {
                            tokio::time::sleep(Duration::from_millis(1)).await;
                        }
                    };
                    tokio::select! {
                        biased;
                        () = ticks => 0,
                        own = work => own,
                    }
                }));
            }
            for one in all {
                assert_eq!(one.await.unwrap(), 25);
            }
        });
        assert_eq!(steps.load(Ordering::Relaxed), 40 * 25);
    }

    #[test]
    fn what_was_dropped_does_not_go_on() {
        let storage = DirectIo::new();
        let went_on = Arc::new(AtomicBool::new(false));
        let (tell, told) = std::sync::mpsc::channel::<()>();
        let runtime = runtime();
        runtime.block_on(async {
            let (storage, went_on) = (storage.clone(), Arc::clone(&went_on));
            tokio::spawn(following_answers(async move {
                let path = std::path::Path::new("/nowhere");
                let hangs = storage.run(path, move || {
                    let _ = told.recv();
                    Ok(())
                });
                let _ = hangs.await;
                went_on.store(true, Ordering::SeqCst);
            }));
            tokio::time::sleep(Duration::from_millis(20)).await;
        });
        // With it goes all that it has.
        runtime.shutdown_background();
        assert_eq!(Arc::strong_count(&went_on), 1);
        drop(tell);
        while storage.status().running + storage.status().abandoned > 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(!went_on.load(Ordering::SeqCst));
    }
}
