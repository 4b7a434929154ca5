//! How often a client may ask: so many times at once, then so many times a second on average.
//!
//! Must not know what is asked.

use crate::ClientId;
use governor::{
    Quota, RateLimiter,
    clock::{Clock, MonotonicClock},
    middleware::NoOpMiddleware,
    state::keyed::HashMapStateStore,
};
use std::{num::NonZeroU32, time::Duration};

/// Clients whose share is whole again are forgotten beyond this many clients.
const REMEMBERED: usize = 1024;

/// The longest that a share which is used up takes to be whole again: a century.
const WHOLE_AGAIN: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The share of every client, of the same size.
pub struct RateLimit<C: Clock = MonotonicClock> {
    shares: RateLimiter<ClientId, HashMapStateStore<ClientId>, C, NoOpMiddleware<C::Instant>>,
    clock: C,
}

impl RateLimit {
    /// `per_second` on average, `burst` at once.
    pub fn new(per_second: f64, burst: u32) -> Self {
        Self::by_clock(per_second, burst, MonotonicClock)
    }
}

impl<C: Clock + Clone> RateLimit<C> {
    fn by_clock(per_second: f64, burst: u32, clock: C) -> Self {
        let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
        // A whole share is counted in 64 bits of nanoseconds; one that takes longer to come back comes back then.
        let longest = WHOLE_AGAIN / burst.get();
        let pause = Duration::try_from_secs_f64(per_second.recip()).unwrap_or(Duration::MAX);
        let quota = Quota::with_period(pause.clamp(Duration::from_nanos(1), longest));
        let quota = quota.unwrap_or(Quota::per_second(NonZeroU32::MIN)).allow_burst(burst);
        Self { shares: RateLimiter::new(quota, HashMapStateStore::default(), clock.clone()), clock }
    }

    /// Counts one request of a client.
    ///
    /// # Errors
    /// Its share is used up: how long until it may ask again.
    pub fn take(&self, client: &ClientId) -> Result<(), Duration> {
        if self.shares.len() >= REMEMBERED {
            self.shares.retain_recent();
        }
        self.shares.check_key(client).map_err(|early| early.wait_time_from(self.clock.now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;

    #[test]
    fn a_burst_then_the_average() {
        let (a, b) = (ClientId::new("a").unwrap(), ClientId::new("b").unwrap());
        let clock = FakeRelativeClock::default();
        let limit = RateLimit::by_clock(2.0, 3, clock.clone());
        for _ in 0..3 {
            assert_eq!(limit.take(&a), Ok(()));
        }
        assert_eq!(limit.take(&a), Err(Duration::from_millis(500)));
        assert_eq!(limit.take(&b), Ok(()), "the other client's share is its own");
        clock.advance(Duration::from_millis(500));
        assert_eq!(limit.take(&a), Ok(()));
        assert!(limit.take(&a).is_err());
    }

    #[test]
    fn rates_and_bursts_at_their_bounds_are_counted() {
        let client = ClientId::new("a").unwrap();
        for per_second in [f64::MIN_POSITIVE, 5e-324, 1e-9, 1.0, 1e6, f64::MAX, f64::INFINITY] {
            for burst in [0, 1, 50, 1 << 30, u32::MAX] {
                let clock = FakeRelativeClock::default();
                let limit = RateLimit::by_clock(per_second, burst, clock.clone());
                for _ in 0..burst.clamp(1, 50) {
                    assert_eq!(limit.take(&client), Ok(()), "{per_second} a second, {burst} at once");
                }
                if burst <= 1 && per_second < 1.0 {
                    assert!(limit.take(&client).is_err_and(|wait| wait <= WHOLE_AGAIN));
                }
                clock.advance(Duration::from_secs(1));
                let _ = limit.take(&client);
            }
        }
    }

    #[test]
    fn clients_that_are_whole_again_are_forgotten() {
        let clock = FakeRelativeClock::default();
        let limit = RateLimit::by_clock(1.0, 1, clock.clone());
        for number in 0..REMEMBERED {
            assert_eq!(limit.take(&ClientId::new(format!("client-{number}")).unwrap()), Ok(()));
        }
        clock.advance(Duration::from_secs(2));
        assert_eq!(limit.take(&ClientId::new("another").unwrap()), Ok(()));
        assert_eq!(limit.shares.len(), 1);
    }
}
