//! Many leases at a time: the lease daemon spends most of its time on each waiting for the storage.

use std::ffi::CString;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use crate::directory::Directory;
use crate::options::Options;
use crate::removal::Remover;
use crate::report::Report;

/// Does what is to be done with each file.
pub(crate) fn work_through(
    directory: &Directory,
    names: &[CString],
    options: &Options,
    report: &mut Report,
) {
    let next = AtomicUsize::new(0);
    let (sender, fates) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..usize::from(options.jobs).min(names.len()) {
            let (next, sender) = (&next, sender.clone());
            scope.spawn(move || {
                let mut remover = Remover::new(directory);
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(name) = names.get(at) else {
                        return;
                    };
                    let fate = if options.dry_run {
                        remover.judge(name)
                    } else {
                        remover.remove(name)
                    };
                    if sender.send((at, fate)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for (at, fate) in fates {
            if let Some(name) = names.get(at) {
                report.add(at, name, fate);
            }
        }
    });
}
