//! Several clips at once as flags, and the names of their files.
//!
//! Must not know how they are made.

use ltx_types::{FieldError, Outputs, Seed};
use std::path::{Path, PathBuf};

/// More than one clip.
#[derive(clap::Args)]
pub(crate) struct SeveralFlags {
    /// A clip for each of these seeds. Prompts and images are encoded once. With more than one, the seed is added to the names of what is
    /// written: clip.mp4 becomes clip-7.mp4.
    #[arg(long, value_name = "SEEDS", value_delimiter = ',', conflicts_with = "seed")]
    pub(crate) seeds: Vec<u64>,
    /// So many clips, of --seed and the seeds that follow it.
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    pub(crate) count: Option<u32>,
}

impl SeveralFlags {
    /// What they ask for.
    pub(crate) fn outputs(&self) -> Result<Outputs, FieldError> {
        let count = self.count.unwrap_or(1) as usize;
        if count == 0 {
            return Err(FieldError::new("count", 0, "clips are none").nearest(1));
        }
        // clap has held them against each other.
        let outputs = Outputs::new(&self.seeds, if self.seeds.is_empty() { count } else { 0 }, None)?;
        outputs.check(Outputs::MOST).map(|()| outputs)
    }
}

/// The name of a file or folder of one of several clips: the seed stands before its ending.
pub(crate) fn named_by_seed(name: &Path, seed: Seed) -> PathBuf {
    let mut named = name.file_stem().unwrap_or_default().to_owned();
    named.push(format!("-{seed}"));
    if let Some(ending) = name.extension() {
        named.push(".");
        named.push(ending);
    }
    name.with_file_name(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_stands_before_the_ending() {
        let cases = [("clip.mp4", "clip-7.mp4"), ("a.b/take.1.mp4", "a.b/take.1-7.mp4"), ("frames", "frames-7")];
        for (name, expected) in cases {
            assert_eq!(named_by_seed(Path::new(name), Seed(7)), Path::new(expected));
        }
    }
}
