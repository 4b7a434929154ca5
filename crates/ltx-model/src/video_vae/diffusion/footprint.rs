//! What decoding holds at its worst moment beside the weights, counted along [`super::DiffusionDecoder`]. It computes in f32 on the CPU.
//!
//! Must not know budgets, or how tiles are blended.

use super::{
    block::piece,
    config::{DiffusionConfig, Stage},
    geometry::WHOLE,
};
use ltx_nn::{Sides, neighbourhood_bytes};
use ltx_types::LatentShape;

/// Bytes of a value.
const VALUE: u64 = 4;

impl DiffusionConfig {
    /// Bytes at the worst moment of decoding a clip, of whose cells the largest tile has so many frames, rows and columns; the pixels of
    /// that tile included.
    pub fn bytes(&self, latent: LatentShape, tile: [usize; 3]) -> u64 {
        let padded = self.padded(latent).latent;
        let whole = self.cells(padded);
        let (raising, features) = self.raising_bytes(padded);
        let tile: [usize; 3] = std::array::from_fn(|axis| tile[axis].min(whole[axis]));
        // The tile that ends the clip has the copies' cells, too.
        let cells = [tile[0] + self.copies(), tile[1], tile[2]];
        let stage = &self.raising[WHOLE];
        let guide = values(cells, stage.channels) * VALUE;
        let guiding = guide + block_bytes(stage, cells, Sides::Shifted);
        let kept = values(tile, stage.channels) * VALUE;
        raising.max(features + guiding.max(kept + self.drawing_bytes(tile)))
    }

    /// The stages over the whole clip at their worst moment, and the features that they leave.
    fn raising_bytes(&self, padded: LatentShape) -> (u64, u64) {
        let latent = [padded.frames + self.ghosts(), padded.height, padded.width];
        let (mut most, mut left) = (0, 0);
        for (i, stage) in self.raising[..WHOLE].iter().enumerate() {
            let (clip, next) = (self.at(i, latent), self.at(i + 1, latent));
            let x = values(clip, stage.channels) * VALUE;
            left = values(next, self.raising[i + 1].channels) * VALUE;
            // A frame's widened channels, and the same unfolded.
            let widened = 2 * left / next[0] as u64 * self.strides[i][0] as u64;
            most = most.max(x + block_bytes(stage, clip, Sides::Shifted)).max(x.max(left) + widened);
        }
        (most, left)
    }

    /// The last stage over a tile: noise that becomes the first block's input, the blocks, and pixels.
    fn drawing_bytes(&self, tile: [usize; 3]) -> u64 {
        let ([time, rows, columns], stage) = (self.strides[WHOLE], &self.drawing);
        let clip = [tile[0] * time, tile[1] * rows, tile[2] * columns];
        let positions = (clip[1] * clip[2]) as u64;
        let x = values(clip, stage.channels) * VALUE;
        let pixels = values(clip, self.folded()) * VALUE;
        // The cells of a frame widened, the same unfolded, its frames alone, and what a block adds of one.
        let widened = VALUE * positions * (3 * time * self.context + 2 * stage.channels) as u64;
        let blocks = x + block_bytes(stage, clip, Sides::Repeated).max(widened);
        // All frames, and the same joined.
        blocks.max(x + pixels).max(2 * pixels)
    }
}

/// What a block holds beside its clip.
fn block_bytes(stage: &Stage, clip: [usize; 3], sides: Sides) -> u64 {
    let (positions, width, hidden) = ((clip[1] * clip[2]) as u64, stage.channels as u64, stage.hidden() as u64);
    let piece = positions.min(piece(stage.hidden()) as u64);
    // A frame normalised with its projections; or its answers, the same projected and added, and what the perceptron makes of it.
    let projecting = 4 * positions * width;
    let perceptron = piece * (2 * width + 3 * hidden) + 2 * positions * width;
    let answering = (2 * positions * width + perceptron).max(3 * positions * width);
    neighbourhood_bytes(&stage.attention(clip, sides)) + VALUE * projecting.max(answering)
}

fn values(clip: [usize; 3], channels: usize) -> u64 {
    clip.iter().chain([&channels]).map(|length| *length as u64).product()
}
