//! Which of the generations of one request a generation is. Each of them has a record, a mark, progress, files and an ending of its
//! own; they share what is computed of their prompts and images.
//!
//! Must not know how they run.

use crate::GenerationId;
use serde::{Deserialize, Serialize};

/// The place of a generation among those that its request asked for, where these were several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The id of the first of them, which stands for all.
    pub id: GenerationId,
    /// Its place, from 0, in the order of the request's seeds.
    pub index: u32,
    /// How many the request asked for; some of them may have been deleted since.
    pub size: u32,
}

impl Batch {
    /// The places of `ids`; none where there is one alone.
    pub(crate) fn of(ids: &[GenerationId]) -> Vec<Option<Self>> {
        let place =
            |index: usize| (ids.len() > 1).then(|| Self { id: ids[0], index: index as u32, size: ids.len() as u32 });
        (0..ids.len()).map(place).collect()
    }
}
