//! What holds a group of tasks: it lets them run, holds them still, or ends them all at once.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Sleep;

use crate::random::Random;

thread_local! {
    /// Which host's task runs now, for the log.
    static RUNNING: Cell<Option<u32>> = const { Cell::new(None) };
}

/// The host whose task runs now.
#[must_use]
pub fn running_host() -> Option<u32> {
    RUNNING.get()
}

/// A group of tasks of one host: its daemon, or its other processes.
#[derive(Debug)]
pub struct Gate {
    host: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    pauses: u32,
    closed: bool,
    last_task: u64,
    tasks: BTreeMap<u64, Option<Waker>>,
    random: Random,
    /// How often in a thousand a task that could go on is kept waiting for a moment.
    jitter: u64,
}

impl Gate {
    /// An open gate. Of a thousand times that a task could go on, it is kept waiting `jitter` times.
    #[must_use]
    pub fn new(host: u32, random: Random, jitter: u64) -> Arc<Self> {
        Arc::new(Self {
            host,
            state: Mutex::new(State {
                pauses: 0,
                closed: false,
                last_task: 0,
                tasks: BTreeMap::new(),
                random,
                jitter,
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a task behind the gate; none if it is closed.
    pub fn spawn(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        let id = {
            let mut state = self.state();
            if state.closed {
                return;
            }
            state.last_task += 1;
            let id = state.last_task;
            state.tasks.insert(id, None);
            id
        };
        tokio::spawn(Gated {
            gate: Arc::clone(self),
            id,
            task: Some(Box::pin(task)),
            delay: None,
        });
    }

    /// Holds all tasks still. Each call needs a [`Gate::resume`] of its own.
    pub fn pause(&self) {
        self.state().pauses += 1;
    }

    /// Lets the tasks go on, in any order.
    pub fn resume(&self) {
        let wakers = {
            let mut state = self.state();
            state.pauses = state.pauses.saturating_sub(1);
            if state.pauses != 0 {
                return;
            }
            let mut wakers: Vec<_> = state.tasks.values_mut().filter_map(Option::take).collect();
            state.random.shuffle(&mut wakers);
            wakers
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Ends all tasks: none of them runs again.
    pub fn close(&self) {
        let wakers: Vec<_> = {
            let mut state = self.state();
            state.closed = true;
            state.tasks.values_mut().filter_map(Option::take).collect()
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Whether it is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state().closed
    }
}

struct Gated {
    gate: Arc<Gate>,
    id: u64,
    task: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    delay: Option<Pin<Box<Sleep>>>,
}

/// What the gate says to a task that could go on.
enum Verdict {
    Run,
    Wait,
    WaitFor(Duration),
    End,
}

impl Gated {
    fn verdict(&self, waker: &Waker) -> Verdict {
        let mut state = self.gate.state();
        let state = &mut *state;
        if state.closed {
            return Verdict::End;
        }
        if let Some(known) = state.tasks.get_mut(&self.id) {
            if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
                *known = Some(waker.clone());
            }
        }
        if state.pauses != 0 {
            return Verdict::Wait;
        }
        if state.jitter != 0 && self.delay.is_none() && state.random.permille(state.jitter) {
            return Verdict::WaitFor(state.random.millis(1..200));
        }
        Verdict::Run
    }
}

impl Future for Gated {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if let Some(delay) = &mut this.delay {
            if delay.as_mut().poll(context).is_pending() && !this.gate.is_closed() {
                return Poll::Pending;
            }
        }
        match this.verdict(context.waker()) {
            Verdict::End => {
                this.task = None;
                return Poll::Ready(());
            }
            Verdict::Wait => return Poll::Pending,
            Verdict::WaitFor(time) => {
                let delay = this.delay.insert(Box::pin(tokio::time::sleep(time)));
                if delay.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
            }
            Verdict::Run => {}
        }
        this.delay = None;
        let Some(task) = &mut this.task else {
            return Poll::Ready(());
        };
        let before = RUNNING.replace(Some(this.gate.host));
        let polled = task.as_mut().poll(context);
        RUNNING.set(before);
        polled
    }
}

impl Drop for Gated {
    fn drop(&mut self) {
        self.gate.state().tasks.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test(start_paused = true)]
    async fn tasks_stand_still_and_end() {
        let gate = Gate::new(1, Random::new(1, 1), 0);
        let ticks = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&ticks);
        gate.spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        let after = |seconds: u64| tokio::time::sleep(Duration::from_millis(seconds * 1000 + 500));
        after(3).await;
        assert_eq!(ticks.load(Ordering::Relaxed), 3);
        gate.pause();
        gate.pause();
        after(5).await;
        gate.resume();
        after(5).await;
        assert_eq!(ticks.load(Ordering::Relaxed), 3);
        gate.resume();
        after(1).await;
        assert_eq!(ticks.load(Ordering::Relaxed), 5);
        gate.close();
        after(5).await;
        assert_eq!(ticks.load(Ordering::Relaxed), 5);
        assert_eq!(
            Arc::strong_count(&ticks),
            1,
            "the task is gone with what it held"
        );
    }
}
