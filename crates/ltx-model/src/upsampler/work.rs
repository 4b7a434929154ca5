//! What the upsampler has to do, counted along [`super::Upsampler::forward`].
//!
//! Must not know stages.

use super::UpsamplerConfig;
use crate::video_vae::{ClipShape, Convolutions};
use ltx_types::Work;

impl UpsamplerConfig {
    /// From a latent of this shape.
    pub fn work(&self, latent: ClipShape) -> Work {
        let (channels, mid, blocks) = (self.in_channels, self.mid_channels, 2 * self.num_blocks_per_stage as u64);
        let larger = self.resampling.larger(latent);
        let resampling = self.resampling.convolution(mid);
        let mut work = Convolutions::default();
        work.cubes(latent, (channels, mid), 1);
        work.cubes(latent, (mid, mid), blocks);
        work.add(latent, (mid, resampling.outputs), resampling.kernel.iter().product(), 1);
        work.cubes(larger, (mid, mid), blocks);
        work.cubes(larger, (mid, channels), 1);
        // Group norms, activations and sums of the blocks.
        let normed = |at: ClipShape| 8 * blocks * at.positions() * mid as u64;
        work.move_values(normed(latent) + normed(larger));
        work.done()
    }
}
