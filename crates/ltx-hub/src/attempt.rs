//! Trying again: what is worth it, how often, after what wait.
//!
//! Must not know what is tried.

use crate::{HubError, News, Patience, Result, Watch};
use std::time::{Duration, SystemTime};

/// A try that failed.
#[derive(Debug)]
pub(crate) enum Attempt {
    /// Another may succeed.
    Again {
        /// What happened.
        why: HubError,
        /// How long the server asks to wait.
        asked: Option<Duration>,
    },
    /// None will.
    Over(HubError),
    /// The server sends whole files only.
    NoRanges,
    /// The address is no longer good; the hub has to be asked anew.
    Expired(HubError),
}

impl From<HubError> for Attempt {
    fn from(error: HubError) -> Self {
        Self::Over(error)
    }
}

/// Failures in a row, and the waits between them.
pub(crate) struct Backoff<'a> {
    patience: &'a Patience,
    watch: &'a dyn Watch,
    failures: u32,
}

impl<'a> Backoff<'a> {
    pub(crate) fn new(patience: &'a Patience, watch: &'a dyn Watch) -> Self {
        Self { patience, watch, failures: 0 }
    }

    /// Something came: what failed before no longer counts.
    pub(crate) fn progressed(&mut self) {
        self.failures = 0;
    }

    /// Waits before the next try, longer each time.
    ///
    /// # Errors
    /// It was tried often enough, or the server asks for too long a wait.
    pub(crate) async fn wait(&mut self, why: HubError, asked: Option<Duration>) -> Result<()> {
        self.failures += 1;
        if asked.is_some_and(|asked| asked > self.patience.longest_asked) {
            return Err(why);
        }
        if self.failures >= self.patience.attempts {
            return Err(match why {
                HubError::Unreachable { host, source, .. } => {
                    HubError::Unreachable { host, attempts: self.failures, source }
                }
                other => other,
            });
        }
        let own = self.patience.first_wait * 2_u32.saturating_pow(self.failures - 1);
        let wait = asked.unwrap_or_default().max(own.min(self.patience.longest_wait));
        self.watch.tell(News::Again { why: &why, wait });
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

/// The wait that a `Retry-After` header asks for: seconds, or a date.
pub(crate) fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// The wait that a `RateLimit` header tells: `"api";r=0;t=57` is 57 seconds.
pub(crate) fn rate_limit(text: &str) -> Option<Duration> {
    let seconds = text.split(';').find_map(|part| part.trim().strip_prefix("t="))?;
    seconds.parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn seconds_and_dates() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        assert_eq!(retry_after("7", now), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:40 GMT", now), Some(Duration::from_secs(3)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
        assert_eq!(retry_after("-1", now), None);
        assert_eq!(rate_limit("\"resolvers\";r=0;t=57"), Some(Duration::from_secs(57)));
        assert_eq!(rate_limit("nothing"), None);
    }

    #[derive(Default)]
    struct Waits(Mutex<Vec<u64>>);

    impl Watch for Waits {
        fn tell(&self, news: News<'_>) {
            if let News::Again { wait, .. } = news {
                self.0.lock().unwrap().push(wait.as_millis() as u64);
            }
        }
    }

    #[tokio::test]
    async fn waits_grow_up_to_a_bound_and_end() {
        let patience = Patience {
            attempts: 6,
            first_wait: Duration::from_millis(1),
            longest_wait: Duration::from_millis(5),
            ..Patience::default()
        };
        let waits = Waits::default();
        let why = || HubError::Status { host: "h".into(), file: "f".into(), status: 503 };
        let mut backoff = Backoff::new(&patience, &waits);
        backoff.wait(why(), None).await.unwrap();
        backoff.progressed();
        for asked in [None, None, Some(Duration::from_millis(9)), None, None] {
            backoff.wait(why(), asked).await.unwrap();
        }
        assert_eq!(*waits.0.lock().unwrap(), [1, 1, 2, 9, 5, 5]);
        assert!(backoff.wait(why(), None).await.is_err());
        let mut backoff = Backoff::new(&patience, &waits);
        assert!(backoff.wait(why(), Some(Duration::from_secs(301))).await.is_err());
    }
}
