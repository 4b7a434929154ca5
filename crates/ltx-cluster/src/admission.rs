//! What a client may have and ask for over all nodes: one document for each client, changed at the revision that was read, so that
//! two faces cannot give the same place away.
//!
//! Must not know what is asked for. Times in it are the service's own, not a clock's.

use crate::{
    Cluster,
    connection::{Kept, PATIENCE},
    keys,
};
use ltx_jobs::{ClientId, GenerationId, JobsError, Result, ports::Shares};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// After so long a place that was given and not taken is free again: its node died.
const GIVEN_UP_MS: i64 = 60_000;

/// What is known of a client's share.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Share {
    /// The service's time at which the share would be whole again.
    #[serde(default)]
    whole_ms: f64,
    /// Generations that are being stored, and since when.
    #[serde(default)]
    storing: Vec<(GenerationId, i64)>,
    /// Tells one write from another.
    #[serde(default)]
    stamp: String,
}

impl Share {
    /// Counts one request.
    ///
    /// # Errors
    /// How long to wait.
    fn count(&mut self, now_ms: i64, per_second: f64, burst: u32) -> Result<(), Duration> {
        let pause_ms = 1000.0 / per_second;
        // Nodes differ in the service's time by moments; a share that is used up is never more than that.
        let used_up = now_ms as f64 + pause_ms * f64::from(burst);
        let whole_ms = self.whole_ms.clamp(now_ms as f64, used_up);
        let early_ms = whole_ms - now_ms as f64 - pause_ms * f64::from(burst.saturating_sub(1));
        if early_ms > 0.0 {
            return Err(Duration::try_from_secs_f64(early_ms / 1000.0).unwrap_or(Duration::MAX));
        }
        self.whole_ms = whole_ms + pause_ms;
        Ok(())
    }

    /// Takes places back.
    fn take_back(&mut self, ids: &[GenerationId]) {
        self.storing.retain(|(id, _)| !ids.contains(id));
    }

    /// Gives places, if there are so many beside those that are given and not taken. Asking for the same again gives the same.
    fn give(&mut self, ids: &[GenerationId], now_ms: i64, free: impl FnOnce(usize) -> Result<()>) -> Result<()> {
        self.take_back(ids);
        free(self.storing.len() + ids.len())?;
        self.storing.extend(ids.iter().map(|id| (*id, now_ms)));
        Ok(())
    }
}

impl Shares for Cluster {
    fn take(&self, client: &ClientId) -> Result<()> {
        let bounds = self.bounds;
        self.with_share(client, |share| {
            let taken = share.count(self.age_ms(), bounds.requests_per_second, bounds.request_burst);
            taken.map_err(|retry_after| JobsError::RateLimited { retry_after })
        })
    }
}

impl Cluster {
    /// Gives places in the line to generations that are about to be stored.
    ///
    /// # Errors
    /// `QueueFull`; `Unavailable`.
    pub(crate) fn admit(&self, client: &ClientId, ids: &[GenerationId]) -> Result<()> {
        let bounds = self.bounds;
        self.with_share(client, |share| {
            // Whatever a face stored before it gave its place up is in the copy then.
            self.catch_up()?;
            let now_ms = self.age_ms();
            let (waiting, own) = (self.waits.len(), self.waits.len_of(client));
            share.storing.retain(|(id, since)| {
                now_ms - since < GIVEN_UP_MS && self.mirror.tables().any_generation(*id).is_err()
            });
            share.give(ids, now_ms, |coming| {
                if own + coming > bounds.queued_per_client {
                    return Err(JobsError::QueueFull { limit: bounds.queued_per_client, of_client: true });
                }
                if waiting + coming > bounds.queued {
                    return Err(JobsError::QueueFull { limit: bounds.queued, of_client: false });
                }
                Ok(())
            })
        })
    }

    /// Takes places back that will not be taken.
    pub(crate) fn give_back(&self, client: &ClientId, ids: &[GenerationId]) {
        let given = self.with_share(client, |share| {
            share.take_back(ids);
            Ok(())
        });
        if let Err(error) = given {
            tracing::debug!(%error, "places that nobody takes are free again in a while");
        }
    }

    /// Changes a client's share.
    fn with_share(&self, client: &ClientId, act: impl Fn(&mut Share) -> Result<()>) -> Result<()> {
        let (key, until) = (keys::admission(client), Instant::now() + PATIENCE);
        let mut stamps: Vec<String> = Vec::new();
        loop {
            let kept = self.connection.get(&key)?;
            let revision = kept.as_ref().map_or(0, |kept| kept.revision);
            let value = kept.and_then(|Kept { value, .. }| value);
            let read = value.map_or(Ok(Share::default()), |value| serde_json::from_slice(&value));
            let mut share: Share = read.map_err(|_| JobsError::Corrupt { what: "client's share" })?;
            if stamps.contains(&share.stamp) {
                return Ok(());
            }
            act(&mut share)?;
            share.stamp = uuid::Uuid::now_v7().to_string();
            stamps.push(share.stamp.clone());
            let value = serde_json::to_vec(&share).map_err(|_| JobsError::Corrupt { what: "client's share" })?;
            match self.connection.put(&key, value, revision) {
                Ok(_) => return Ok(()),
                Err(failed) => self.connection.again_after(failed, until)?,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::numbered;

    #[test]
    fn a_burst_then_the_average_by_the_services_time() {
        let mut share = Share::default();
        for _ in 0..3 {
            assert_eq!(share.count(1000, 2.0, 3), Ok(()));
        }
        assert_eq!(share.count(1000, 2.0, 3), Err(Duration::from_millis(500)));
        assert_eq!(share.count(1500, 2.0, 3), Ok(()));
        assert!(share.count(1500, 2.0, 3).is_err());
        assert_eq!(
            share.count(1000, 2.0, 3),
            Err(Duration::from_millis(500)),
            "by a node that is behind: used up, no more"
        );
        assert_eq!(share.count(9000, 2.0, 3), Ok(()));
    }

    #[test]
    fn the_same_generations_have_one_place_each_however_often_they_ask() {
        let (mut share, ids) = (Share::default(), [numbered(1), numbered(2)]);
        for _ in 0..2 {
            share.give(&ids, 5, |coming| (coming == 2).then_some(()).ok_or(JobsError::Stopping)).unwrap();
        }
        assert_eq!(share.storing, ids.map(|id| (id, 5)));
        assert!(share.give(&[numbered(3)], 6, |_| Err(JobsError::Stopping)).is_err());
        share.take_back(&ids[..1]);
        assert_eq!(share.storing, [(ids[1], 5)]);
    }
}
