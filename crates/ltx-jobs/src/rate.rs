//! How often a client may ask: a bucket of tokens that refills.
//!
//! Must not know what is asked.

use crate::ClientId;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// Full buckets are forgotten beyond this many clients.
const REMEMBERED: usize = 1024;

/// One bucket a client.
#[derive(Debug)]
pub struct RateLimit {
    per_second: f64,
    burst: f64,
    buckets: HashMap<ClientId, Bucket>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl RateLimit {
    /// `per_second` on average, `burst` at once.
    pub fn new(per_second: f64, burst: u32) -> Self {
        Self { per_second, burst: f64::from(burst), buckets: HashMap::new() }
    }

    /// Takes a token.
    ///
    /// # Errors
    /// How long until there is one.
    pub fn take(&mut self, client: &ClientId, now: Instant) -> Result<(), Duration> {
        let refilled = |bucket: &Bucket| {
            let seconds = now.saturating_duration_since(bucket.at).as_secs_f64();
            (bucket.tokens + seconds * self.per_second).min(self.burst)
        };
        if self.buckets.len() >= REMEMBERED {
            self.buckets.retain(|_, bucket| refilled(bucket) < self.burst);
        }
        let tokens = self.buckets.get(client).map_or(self.burst, refilled);
        let (left, verdict) = match tokens {
            tokens if tokens >= 1.0 => (tokens - 1.0, Ok(())),
            tokens => (tokens, Err(Duration::from_secs_f64((1.0 - tokens) / self.per_second))),
        };
        self.buckets.insert(client.clone(), Bucket { tokens: left, at: now });
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_average() {
        let (a, b) = (ClientId::new("a").unwrap(), ClientId::new("b").unwrap());
        let mut limit = RateLimit::new(2.0, 3);
        let start = Instant::now();
        for _ in 0..3 {
            assert_eq!(limit.take(&a, start), Ok(()));
        }
        assert_eq!(limit.take(&a, start), Err(Duration::from_millis(500)));
        assert_eq!(limit.take(&b, start), Ok(()), "the other client's bucket is its own");
        let later = start + Duration::from_millis(500);
        assert_eq!(limit.take(&a, later), Ok(()));
        assert!(limit.take(&a, later).is_err());
    }
}
