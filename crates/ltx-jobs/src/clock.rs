//! Two clocks: the wall's, for people, and the node's own, for ages.
//!
//! Must not know what is aged. Order is never by clock: the database numbers things as they come.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970 by the system's clock, which may jump.
fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Time in which nothing ran counts at most this much, whatever the clock says.
const LONGEST_ABSENCE: Duration = Duration::from_secs(24 * 60 * 60);

/// Milliseconds in which nothing ran, by what a clock said last and what it says now.
pub fn absence(stored_ms: i64, wall_ms: i64) -> i64 {
    wall_ms.saturating_sub(stored_ms).clamp(0, LONGEST_ABSENCE.as_millis() as i64)
}

/// One moment by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since 1970, for people.
    pub wall_ms: i64,
    /// Milliseconds of the node's own time, for ages.
    pub age_ms: i64,
}

impl Now {
    /// This moment by the wall's clock, which the node's own says to be at that age.
    pub fn at(age_ms: i64) -> Self {
        Self { wall_ms: wall_ms(), age_ms }
    }
}

/// A clock that only goes forward, at one second a second, from start to start.
#[derive(Debug)]
pub(crate) struct NodeClock {
    began_ms: i64,
    opened: Instant,
}

impl NodeClock {
    /// Goes on from the moment that was stored last; a new node begins at 0.
    pub(crate) fn resume(stored: Option<Now>) -> Self {
        let stored = stored.unwrap_or(Now { wall_ms: i64::MAX, age_ms: 0 });
        let began_ms = stored.age_ms.saturating_add(absence(stored.wall_ms, wall_ms()));
        Self { began_ms, opened: Instant::now() }
    }

    /// This moment.
    pub(crate) fn now(&self) -> Now {
        Now::at(self.began_ms.saturating_add(self.opened.elapsed().as_millis() as i64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = LONGEST_ABSENCE.as_millis() as i64;

    #[test]
    fn a_wrong_clock_ages_nothing_by_more_than_a_day() {
        let now = 60 * 365 * DAY;
        assert_eq!(absence(now, now), 0);
        assert_eq!(absence(now + 50 * DAY, now), 0, "the clock went back");
        assert_eq!(absence(now - 60_000, now), 60_000);
        assert_eq!(absence(now - 5000 * DAY, now), DAY, "the clock went forward");
    }

    #[test]
    fn a_node_goes_on_from_its_stored_age_and_a_new_one_begins_at_0() {
        let began = |stored| NodeClock::resume(stored).began_ms;
        assert_eq!(began(None), 0);
        assert_eq!(began(Some(Now { wall_ms: i64::MAX, age_ms: 1000 })), 1000);
        assert_eq!(began(Some(Now { wall_ms: 0, age_ms: 1000 })), 1000 + DAY);
        let clock = NodeClock::resume(None);
        let (first, second) = (clock.now(), clock.now());
        assert!(first.age_ms >= 0 && second.age_ms >= first.age_ms);
    }
}
