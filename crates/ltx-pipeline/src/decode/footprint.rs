//! What decoding holds at its worst moment beside the decoder's weights: the largest tile, the frames it is blended into, and
//! those that wait for the next stretch; counted along [`super::decode_tiled`].
//!
//! Must not know budgets, or who chose the tiles.

use super::{Cut, tile_lengths};
use crate::rgb;
use ltx_engine::TileSizes;
use ltx_model::{
    footprint::{DeviceKind, Placement},
    video_vae::{ClipShape, DiffusionConfig, VideoVaeConfig},
};
use ltx_types::{FrameCount, LatentShape, PixelShape};

/// Bytes of a pixel of decoded frames: three values in f32.
const PIXEL: u64 = 3 * 4;

/// The clip that is decoded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DecodedClip {
    /// Size of every frame.
    pub(crate) pixels: PixelShape,
    /// Length of the clip.
    pub(crate) frames: FrameCount,
}

impl DecodedClip {
    /// Bytes alive at once while the clip is decoded in such tiles.
    pub(crate) fn bytes(self, vae: &VideoVaeConfig, tiles: &TileSizes, placement: Placement) -> u64 {
        if let Some(diffusion) = vae.diffusion() {
            return self.bytes_of_drawing(vae, diffusion, tiles);
        }
        match placement.device {
            DeviceKind::Cpu => self.bytes_on_cpu(vae, tiles, placement),
            DeviceKind::Gpu => self.bytes_on_gpu(vae, tiles, placement),
        }
    }

    fn latent(self, vae: &VideoVaeConfig) -> LatentShape {
        LatentShape::of(self.pixels, self.frames, vae.scale())
    }

    /// Pixels of a frame.
    fn frame(self) -> u64 {
        (self.pixels.height * self.pixels.width) as u64
    }

    /// The largest tile, the frames it is blended into, and those that wait; what was added to a small latent included.
    fn bytes_of_drawing(self, vae: &VideoVaeConfig, diffusion: &DiffusionConfig, tiles: &TileSizes) -> u64 {
        let latent = self.latent(vae);
        let longest = tile_lengths(vae, tiles, latent).map(|axis| axis.into_iter().max().unwrap_or(0));
        let (padded, [time, ..]) = (diffusion.padded(latent).latent, diffusion.cell());
        let frame = (padded.height * vae.scale().height * padded.width * vae.scale().width) as u64;
        let frames = longest[0] * time;
        let waiting = if frames < self.frames.get() { tiles.frames.overlap } else { 0 };
        // A tile that is its clip's is copied into the frames, and these are handed on as they are.
        let blended = PIXEL * (frames + waiting) as u64 * frame;
        diffusion.bytes(latent, longest) + blended + vae.encoder_scratch_bytes()
    }

    fn bytes_on_cpu(self, vae: &VideoVaeConfig, tiles: &TileSizes, placement: Placement) -> u64 {
        let (latent, scale) = (self.latent(vae), vae.scale());
        let rows = [(tiles.height, scale.height, latent.height), (tiles.width, scale.width, latent.width)];
        let [height, width] = rows.map(|(axis, scale, length)| (axis.size / scale).min(length) as u64);
        let frames = self.frames.get().min(tiles.frames.size);
        let clip = ClipShape { frames: (frames.div_ceil(scale.time)).min(latent.frames) as u64, height, width };
        let waiting = if frames < self.frames.get() { tiles.frames.overlap } else { 0 };
        let blended = PIXEL * (frames + waiting) as u64 * self.frame();
        vae.decoder_bytes(clip, placement).unwrap_or(0) + blended
    }

    /// Decoding the largest tile, beside what the tiles before it left; or blending it, or converting pixels.
    fn bytes_on_gpu(self, vae: &VideoVaeConfig, tiles: &TileSizes, placement: Placement) -> u64 {
        let (latent, scale, frame) = (self.latent(vae), vae.scale(), self.frame());
        let lengths = tiles.lengths([latent.frames, latent.height, latent.width], scale);
        let [frames, height, width] = lengths.map(|axis| axis.longest as u64);
        let of = |frames: u64, pixels: u64| PIXEL * frames * pixels;
        let pixels = |frames: u64| (frames * scale.time as u64).min(self.frames.get() as u64);
        let tile = of(pixels(frames), height * scale.height as u64 * width * scale.width as u64);
        let decoder = vae.decoder_bytes(ClipShape { frames, height, width }, placement).unwrap_or(0);
        if lengths.iter().all(|axis| axis.count == 1) {
            // The pixels; their magnitudes, which are summed, or what converts them.
            return decoder.max(tile + tile.max(rgb::bytes_on_device(tile, frame)));
        }
        let stretch = of(pixels(frames), frame);
        let waiting = if lengths[0].count > 1 { of(tiles.frames.overlap as u64 + 1, frame) } else { 0 };
        // A tile as it is, weighted, and summed with what waits; of a stretch in pieces the same, and joining them.
        let pieces = lengths[1].count * lengths[2].count > 1;
        let (alive, blending) = if pieces { (stretch, (3 * tile).max(2 * stretch)) } else { (0, 3 * tile) };
        waiting + alive + decoder.max(blending).max(stretch + rgb::bytes_on_device(stretch, frame))
    }
}
