//! What a crash of a host does to its requests.

use std::ops::Range;
use std::time::Duration;

use tokio::time::Instant;

use super::{Event, State, Work, World};
use crate::sim::HostLabel;
use crate::sim::file::split;

impl World {
    /// The host is gone: nobody waits for its requests, and each part of a write that was under way
    /// lands soon or never.
    pub(in crate::sim) fn crash(&mut self, host: HostLabel) {
        self.settle();
        self.host(host).incarnation += 1;
        let window = self.host(host).faults.lands_after_crash;
        let now = Instant::now();
        let numbers: Vec<u64> = self
            .requests
            .iter()
            .filter(|(_, r)| r.host == host)
            .map(|(n, _)| *n)
            .collect();
        for number in numbers {
            let parts = self.recall(number);
            let Some(request) = self.requests.get_mut(&number) else {
                continue;
            };
            let was_hung = request.state == State::Hung;
            request.state = State::HostCrashed;
            let sector = self
                .files
                .get(&request.path)
                .map_or(512, |file| file.sector_size);
            let Work::Write { data, .. } = &request.work else {
                self.requests.remove(&number);
                continue;
            };
            // For a hung request nothing was planned yet.
            let parts = if was_hung {
                vec![(now + window, 0..data.len())]
            } else {
                parts
            };
            self.scatter_after_crash(number, parts, sector, now, window);
        }
    }

    fn scatter_after_crash(
        &mut self,
        number: u64,
        parts: Vec<(Instant, Range<usize>)>,
        sector: u32,
        now: Instant,
        window: Duration,
    ) {
        let Some(host) = self.requests.get(&number).map(|request| request.host) else {
            return;
        };
        let random = &mut self.host(host).random;
        let mut kept = Vec::new();
        let mut lost = false;
        for (due, range) in parts {
            for piece in split(random, range, sector) {
                let latest = now + random.within(&(Duration::ZERO..window));
                if random.chance(0.5) {
                    kept.push((due.min(latest), piece));
                } else {
                    lost = true;
                }
            }
        }
        self.host(host).counts.lost_in_crash += u64::from(lost);
        if kept.is_empty() {
            self.requests.remove(&number);
            return;
        }
        if let Some(request) = self.requests.get_mut(&number) {
            request.parts_left = kept.len();
        }
        for (due, range) in kept {
            self.at(
                due,
                Event::Part {
                    request: number,
                    range,
                },
            );
        }
    }

    /// Takes back what was planned for the request and has not happened.
    fn recall(&mut self, number: u64) -> Vec<(Instant, Range<usize>)> {
        let mut parts = Vec::new();
        self.events.retain(|(due, _), event| match event {
            Event::Part { request, range } if *request == number => {
                parts.push((*due, range.clone()));
                false
            }
            Event::Answer { request } => *request != number,
            Event::Part { .. } => true,
        });
        parts
    }
}
