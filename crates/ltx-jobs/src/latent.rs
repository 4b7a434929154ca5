//! The saved latent of a running generation: one file, replaced after every step.
//!
//! Must not know the database. A file that is damaged, or belongs to another request or model, counts as none.
//!
//! Layout: the frame of a [whole](crate::whole) file, then the owner's digest (32 bytes), stage (u8), steps done (u64), the three
//! dimensions (u64 each), and the tokens.

use crate::{
    GenerationId,
    ports::{Blobs, Shelf},
    whole::{self, DIGEST, FRAME, Magic},
};
use ltx_engine::{LatentStore, NotKept, SavedLatent};
use ltx_types::Stage;
use sha2::{Digest, Sha256};
use std::sync::Arc;

const MAGIC: &Magic = b"ltxd latent 1\r\n\0";
const HEADER: usize = DIGEST + 1 + 8 + 3 * 8;

/// Whose latent it is: the request and the model, digested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner([u8; DIGEST]);

impl Owner {
    /// Everything that decides the frames.
    pub(crate) fn new(parts: &[&str]) -> Self {
        let mut digest = Sha256::new();
        for part in parts {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        Self(digest.finalize().into())
    }
}

/// The saved latent of one generation.
pub(crate) struct LatentFile {
    blobs: Arc<dyn Blobs>,
    name: String,
    owner: Owner,
}

impl LatentFile {
    pub(crate) fn new(blobs: Arc<dyn Blobs>, id: GenerationId, owner: Owner) -> Self {
        Self { blobs, name: id.to_string(), owner }
    }

    fn encode(&self, latent: &SavedLatent) -> Vec<Vec<u8>> {
        let SavedLatent { stage, steps_done, shape: [batch, tokens, channels], values } = latent;
        let mut head = self.owner.0.to_vec();
        head.push(stage_number(*stage));
        for number in [steps_done, batch, tokens, channels] {
            head.extend((*number as u64).to_le_bytes());
        }
        whole::framed(MAGIC, &head, values).collect()
    }
}

impl LatentStore for LatentFile {
    fn keeps(&self) -> bool {
        true
    }

    fn save(&self, latent: SavedLatent) -> Result<(), NotKept> {
        let parts = self.encode(&latent);
        let parts: Vec<_> = parts.iter().map(Vec::as_slice).collect();
        let kept = self.blobs.put_whole(Shelf::Latents, &self.name, &parts);
        kept.map_err(|source| NotKept { file: self.blobs.path_of(Shelf::Latents, &self.name), source })
    }

    fn saved(&self) -> Option<SavedLatent> {
        let body = read_whole(&*self.blobs, &self.name).filter(|body| body[..DIGEST] == self.owner.0)?;
        let stage = stage_of(body[DIGEST])?;
        let [steps_done, batch, tokens, channels] = numbers(&body)?;
        let shape = [batch, tokens, channels];
        let values = whole::values(&shape, &body[HEADER..])?;
        let finite = values.iter().all(|value| value.is_finite());
        finite.then_some(SavedLatent { stage, steps_done, shape, values })
    }
}

/// How far a saved latent is, as a number that grows with every step; 0 without one.
pub fn reach(blobs: &dyn Blobs, id: GenerationId) -> u64 {
    let body = read_whole(blobs, &id.to_string());
    let reached = body.and_then(|body| Some((u64::from(body[DIGEST]) << 32) + numbers(&body)?[0] as u64));
    reached.unwrap_or(0)
}

/// The body, a whole header at least.
fn read_whole(blobs: &dyn Blobs, name: &str) -> Option<Vec<u8>> {
    let mut file = blobs.read(Shelf::Latents, name).ok()?;
    whole::body(MAGIC, &file).filter(|body| body.len() >= HEADER)?;
    file.drain(..FRAME);
    Some(file)
}

/// Steps done and the dimensions.
fn numbers(body: &[u8]) -> Option<[usize; 4]> {
    whole::numbers(&body[DIGEST + 1..HEADER])?.try_into().ok()
}

fn stage_number(stage: Stage) -> u8 {
    if stage == Stage::Refining { 2 } else { 1 }
}

fn stage_of(number: u8) -> Option<Stage> {
    match number {
        1 => Some(Stage::Denoising),
        2 => Some(Stage::Refining),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::DataFolder;
    use std::{fs, path::PathBuf};

    fn latent(stage: Stage, steps_done: usize) -> SavedLatent {
        let values = vec![1.0, -2.5, 3.0, f32::MIN_POSITIVE, 0.0, 7.0];
        SavedLatent { stage, steps_done, shape: [1, 2, 3], values }
    }

    struct Bed {
        root: tempfile::TempDir,
        blobs: Arc<DataFolder>,
        id: GenerationId,
    }

    impl Bed {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            let blobs = Arc::new(DataFolder::hold(root.path()).unwrap());
            Self { root, blobs, id: GenerationId::new() }
        }

        fn file(&self, owner: &[&str]) -> LatentFile {
            LatentFile::new(Arc::clone(&self.blobs) as Arc<dyn Blobs>, self.id, Owner::new(owner))
        }

        fn path(&self) -> PathBuf {
            self.root.path().join("latents").join(self.id.to_string())
        }

        fn reach(&self) -> u64 {
            reach(&*self.blobs, self.id)
        }
    }

    #[test]
    fn what_is_saved_comes_back_bit_by_bit() {
        let bed = Bed::new();
        let file = bed.file(&["a"]);
        assert!(file.saved().is_none());
        assert_eq!(bed.reach(), 0);
        let mut before = 0;
        for (stage, step) in [(Stage::Denoising, 1), (Stage::Denoising, 8), (Stage::Refining, 1)] {
            file.save(latent(stage, step)).unwrap();
            assert_eq!(file.saved(), Some(latent(stage, step)));
            assert!(bed.reach() > before);
            before = bed.reach();
        }
        assert_eq!(fs::read_dir(bed.root.path().join("latents")).unwrap().count(), 1, "nothing beside it");
    }

    /// A whole file, worked out by hand from the layout that stands at the top: a generation that was stopped under one version
    /// goes on under another.
    const WRITTEN: &str = "6c747864206c6174656e7420310d0a00f31756d9e0c8d27ab92c2e59ba05250aa78208b91435765040d1c6c5b3ab9753\
        ae6121c88ba555f64c3d812123eb799d128015541f850c5e9bf1d54c08ad848102050000000000000001000000000000\
        00020000000000000003000000000000000000803f000020c00000404000008000000000000000e040";

    #[test]
    fn the_layout_is_that_of_every_version() {
        let bed = Bed::new();
        let file = bed.file(&["a"]);
        file.save(latent(Stage::Refining, 5)).unwrap();
        let hex: String = fs::read(bed.path()).unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, WRITTEN);
        assert_eq!(file.saved(), Some(latent(Stage::Refining, 5)));
    }

    #[test]
    fn damaged_and_foreign_files_count_as_none() {
        let bed = Bed::new();
        let (file, path) = (bed.file(&["a", "b"]), bed.path());
        file.save(latent(Stage::Denoising, 3)).unwrap();
        assert!(bed.file(&["ab"]).saved().is_none());
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x40;
            fs::write(&path, &flipped).unwrap();
            assert!(file.saved().is_none(), "byte {at}");
            fs::write(&path, &whole[..at]).unwrap();
            assert!(file.saved().is_none(), "cut at {at}");
            assert_eq!(bed.reach(), 0);
        }
        fs::write(&path, &whole).unwrap();
        assert!(file.saved().is_some());
    }
}
