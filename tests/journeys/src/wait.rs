//! Waiting: asking again until it is so, with a deadline and the last answer in the complaint.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How often is asked.
const PAUSE: Duration = Duration::from_millis(300);

/// Asks until `Ok`; the last error is the complaint when the time is over.
pub async fn within<T, F>(seconds: u64, what: &str, mut ask: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let start = Instant::now();
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) if start.elapsed() > Duration::from_secs(seconds) => {
                bail!("not within {seconds} s: {what}; the last time: {error:#}")
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
