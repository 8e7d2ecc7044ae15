//! Waiting for one of two futures, in a fixed order.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// Which of two futures was ready first.
pub(crate) enum Raced<A, B> {
    First(A),
    Second(B),
}

/// Waits for either; `first` wins if both are ready.
pub(crate) async fn race<A, B>(
    first: impl Future<Output = A>,
    second: impl Future<Output = B>,
) -> Raced<A, B> {
    let mut first = pin!(first);
    let mut second = pin!(second);
    poll_fn(|context| {
        if let Poll::Ready(output) = first.as_mut().poll(context) {
            return Poll::Ready(Raced::First(output));
        }
        second.as_mut().poll(context).map(Raced::Second)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::sleep;

    #[tokio::test(start_paused = true)]
    async fn the_first_wins_a_tie() {
        let both = race(async { 1 }, async { 2 }).await;
        assert!(matches!(both, Raced::First(1)));
        let late = race(sleep(Duration::from_secs(1)), async { 2 }).await;
        assert!(matches!(late, Raced::Second(2)));
    }
}
