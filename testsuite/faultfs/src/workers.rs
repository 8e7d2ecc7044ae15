//! Threads for requests, as many as are under way: a held one has its thread for as long as it is held.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

type Job = Box<dyn FnOnce() + Send>;

/// Threads that are kept for the next request: making one takes longer than most requests.
#[derive(Clone, Default)]
pub(crate) struct Workers {
    /// The one that was busy last is at the end.
    idle: Arc<Mutex<Vec<Sender<Job>>>>,
}

impl Workers {
    /// Does it in a thread of its own. Without a thread it is dropped.
    pub(crate) fn run(&self, job: impl FnOnce() + Send + 'static) {
        let mut job: Job = Box::new(job);
        while let Some(worker) = self.pop() {
            match worker.send(job) {
                Ok(()) => return,
                // That thread is gone.
                Err(unsent) => job = unsent.0,
            }
        }
        let workers = self.clone();
        let _ = thread::Builder::new()
            .name("faultfs".to_owned())
            .stack_size(256 << 10)
            .spawn(move || workers.work(job));
    }

    fn work(self, first: Job) {
        let (sender, jobs) = channel::<Job>();
        first();
        self.push(sender.clone());
        // The channel has no end: the last sender is here.
        while let Ok(job) = jobs.recv() {
            job();
            self.push(sender.clone());
        }
    }

    fn push(&self, worker: Sender<Job>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(worker);
    }

    fn pop(&self) -> Option<Sender<Job>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.pop()
    }
}
