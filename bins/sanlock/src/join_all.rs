//! Waiting for several things at once, on one task.

use std::future::Future;
use std::pin::Pin;
use std::task::Poll;

/// Runs all futures side by side and returns their results in order.
///
/// They are polled in order each time, so that a simulated run is the same every time; meant for the
/// few leases of one request, not for thousands.
pub async fn join_all<T>(futures: Vec<Pin<Box<dyn Future<Output = T> + Send + '_>>>) -> Vec<T> {
    let mut pending: Vec<_> = futures.into_iter().map(Some).collect();
    let mut results: Vec<Option<T>> = pending.iter().map(|_| None).collect();
    std::future::poll_fn(move |context| {
        let mut waiting = false;
        for (future, result) in pending.iter_mut().zip(results.iter_mut()) {
            if let Some(running) = future {
                match running.as_mut().poll(context) {
                    Poll::Ready(value) => {
                        *result = Some(value);
                        *future = None;
                    }
                    Poll::Pending => waiting = true,
                }
            }
        }
        if waiting {
            return Poll::Pending;
        }
        Poll::Ready(results.iter_mut().filter_map(Option::take).collect())
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn results_come_in_order_and_all_run_at_once() {
        let began = tokio::time::Instant::now();
        let futures = (0..8_u64)
            .map(|n| -> Pin<Box<dyn Future<Output = u64> + Send>> {
                Box::pin(async move {
                    tokio::time::sleep(Duration::from_secs(8 - n)).await;
                    n
                })
            })
            .collect();
        assert_eq!(join_all(futures).await, (0..8).collect::<Vec<_>>());
        assert_eq!(began.elapsed(), Duration::from_secs(8));
        assert!(join_all::<u8>(Vec::new()).await.is_empty());
    }
}
