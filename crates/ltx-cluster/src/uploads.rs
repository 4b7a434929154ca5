//! Uploaded images, and what runs used of this node's own cache and how long they took here.
//!
//! Must not know files. Uploads are the service's; the rest is the node's, and lies in its copy.

use crate::{
    Cluster,
    connection::{Kept, PATIENCE},
    keys,
};
use ltx_engine::CacheKey;
use ltx_jobs::{
    ClientId, GenerationId, JobsError, Result, StageTime, UploadId,
    ports::{Basis, CachedUses, Calibration, Measured, Mirrored, MirroredUpload, NewUpload, Now, Uploads},
};
use ltx_types::Schedule;
use std::{collections::HashSet, time::Instant};

impl Uploads for Cluster {
    fn insert_upload(&self, new: &NewUpload<'_>, now: Now) -> Result<UploadId> {
        let NewUpload { id, client, sha256, bytes } = *new;
        let renewed = self.change_upload(client, sha256, |known| {
            let id = known.map_or(id, |known| known.id);
            let (created_ms, created_age_ms) = (now.wall_ms, now.age_ms);
            let sha256 = sha256.to_owned();
            Some(MirroredUpload { id, client: client.clone(), sha256, bytes, created_ms, created_age_ms })
        })?;
        Ok(renewed.map_or(id, |upload| upload.id))
    }

    fn has_upload(&self, client: &ClientId, sha256: &str) -> Result<bool> {
        Ok(self.kept_upload(client, sha256)?.is_some_and(|(upload, _)| upload.is_some()))
    }

    fn renew_upload(&self, client: &ClientId, sha256: &str, now: Now) -> Result<Option<UploadId>> {
        let renewed = self.change_upload(client, sha256, |known| {
            known.map(|known| MirroredUpload { created_ms: now.wall_ms, created_age_ms: now.age_ms, ..known.clone() })
        })?;
        Ok(renewed.map(|upload| upload.id))
    }

    fn upload(&self, client: &ClientId, id: UploadId) -> Result<String> {
        self.catch_up()?;
        self.mirror.tables().upload(client, id)
    }

    fn needed_images(&self) -> Result<HashSet<String>> {
        self.catch_up()?;
        self.mirror.tables().needed_images()
    }
}

impl Cluster {
    /// What is kept for these bytes of a client, and the revision; an upload that is gone is `None` at one.
    fn kept_upload(&self, client: &ClientId, sha256: &str) -> Result<Option<(Option<MirroredUpload>, u64)>> {
        let corrupt = |_| JobsError::Corrupt { what: "upload" };
        let kept = self.connection.get(&keys::upload(client, sha256))?;
        kept.map(|Kept { revision, value, .. }| {
            Ok((value.map(|value| serde_json::from_slice(&value)).transpose().map_err(corrupt)?, revision))
        })
        .transpose()
    }

    fn change_upload(
        &self,
        client: &ClientId,
        sha256: &str,
        next: impl Fn(Option<&MirroredUpload>) -> Option<MirroredUpload>,
    ) -> Result<Option<MirroredUpload>> {
        let (key, until) = (keys::upload(client, sha256), Instant::now() + PATIENCE);
        loop {
            let (known, revision) = self.kept_upload(client, sha256)?.unwrap_or((None, 0));
            let Some(upload) = next(known.as_ref()) else { return Ok(None) };
            let value = serde_json::to_vec(&upload).map_err(|_| JobsError::Corrupt { what: "upload" })?;
            match self.connection.put(&key, value, revision) {
                Ok(revision) => {
                    self.take_in(true, &[(key, revision, Mirrored::Upload(upload.clone()))])?;
                    return Ok(Some(upload));
                }
                Err(failed) => self.connection.again_after(failed, until)?,
            }
        }
    }
}

impl CachedUses for Cluster {
    fn note_cached(&self, id: GenerationId, key: &CacheKey) -> Result<()> {
        self.mirror.tables().note_cached(id, key)
    }

    fn unused_cached(&self, keys: Vec<CacheKey>) -> Result<Vec<CacheKey>> {
        self.mirror.tables().unused_cached(keys)
    }
}

impl Calibration for Cluster {
    fn seconds_per_unit(&self, model: &str, schedule: Schedule, basis: &Basis) -> Result<Vec<StageTime>> {
        self.mirror.tables().seconds_per_unit(model, schedule, basis)
    }

    fn calibrate(&self, model: &str, schedule: Schedule, run: (&Basis, &[Measured])) -> Result<()> {
        self.mirror.tables().calibrate(model, schedule, run)
    }
}
