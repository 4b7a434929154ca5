//! The tile loop: tiles of one stretch of time are blended, and finished frames leave at once.
//!
//! Must not know the decoder's layers.

use super::{
    diffusion,
    seams::decode_on_device,
    tiles::{Cut, Span, mask_sums},
};
use crate::{Noise, PipelineError, Result, sampler::all_finite};
use candle_core::{IndexOp, Tensor};
use ltx_engine::TileSizes;
use ltx_model::video_vae::{ConvolutionalDecoder, VideoDecoder};
use ltx_nn::Taps;
use ltx_types::{CancelToken, Progress, ProgressSink, Stage};

/// Frames that may still change, `[3, frames, H, W]`.
struct Buffer {
    values: Vec<f32>,
    frames: std::ops::Range<usize>,
    height: usize,
    width: usize,
}

/// Decodes `latent` tile by tile and hands finished frames, in order, to `each`. Tiles are blended where the latent is: on the
/// CPU in one buffer, on another device by its own operations. A decoder that draws pixels takes them from `noise`, a tile at a
/// time; others draw none.
///
/// # Shapes
/// `latent [1, C, F, H, W]`, normalised; chunks are `[1, 3, f, 32H, 32W]`, f32, about −1..1, not clamped, on the latent's
/// device.
///
/// # Errors
/// Cancelled between two tiles, or between two frames of one that is drawn; values that are not finite; `each` failed.
pub fn decode_tiled(
    decoder: &VideoDecoder,
    latent: &Tensor,
    tiles: &TileSizes,
    noise: &mut Noise,
    run: (&CancelToken, &dyn ProgressSink),
    each: impl FnMut(Tensor) -> Result<()>,
) -> Result<()> {
    let decoder = match decoder {
        VideoDecoder::Convolutional(decoder) => decoder,
        VideoDecoder::Diffusion(decoder) => return diffusion::decode(decoder, latent, tiles, noise, run, each),
    };
    let (_, _, frames, height, width) = latent.dims5()?;
    let spans = tiles.spans([frames, height, width], decoder.scale());
    let source = Source { decoder, latent, run, done: 0, total: spans.iter().map(Vec::len).product() };
    if latent.device().is_cpu() { decode_on_cpu(source, &spans, each) } else { decode_on_device(source, &spans, each) }
}

/// Where tiles come from.
pub(super) trait Tiles {
    /// The next tile's pixels, which are finite.
    fn tile(&mut self, spans: [&Span; 3]) -> Result<Tensor>;

    /// Says that all are done.
    fn finish(self);
}

/// A decoder of convolutions, which decodes a tile of the latent at a time.
pub(super) struct Source<'a> {
    pub(super) decoder: &'a ConvolutionalDecoder,
    pub(super) latent: &'a Tensor,
    pub(super) run: (&'a CancelToken, &'a dyn ProgressSink),
    pub(super) done: usize,
    pub(super) total: usize,
}

impl Tiles for Source<'_> {
    /// Looks at the token first.
    fn tile(&mut self, [time, row, column]: [&Span; 3]) -> Result<Tensor> {
        let (cancel, progress) = self.run;
        progress.report(Progress { stage: Stage::Decoding, done: self.done, total: self.total });
        cancel.check()?;
        let tile = self.latent.i((.., .., time.latent.clone(), row.latent.clone(), column.latent.clone()))?;
        let tile = self.decoder.forward(&tile.contiguous()?, &Taps::off())?;
        if !all_finite(&tile)? {
            return Err(PipelineError::NotFinite { stage: Stage::Decoding.label() });
        }
        self.done += 1;
        Ok(tile)
    }

    fn finish(self) {
        self.run.1.report(Progress { stage: Stage::Decoding, done: self.total, total: self.total });
    }
}

/// Whether the masks have to be divided out: like the reference, those that add up to one everywhere are not.
pub(super) fn divides(sums: &[Vec<f32>; 3]) -> bool {
    sums.iter().flatten().any(|sum| (sum - 1.0).abs() > 1e-5)
}

/// Where a stretch's finished frames end: what the next one does not touch is finished, and only the overlap waits for it.
pub(super) fn finished(spans: &[Span], i: usize) -> usize {
    spans.get(i + 1).map_or(spans[i].pixels.end, |next| next.pixels.start)
}

pub(super) fn decode_on_cpu(
    mut source: impl Tiles,
    [time, rows, columns]: &[Vec<Span>; 3],
    mut each: impl FnMut(Tensor) -> Result<()>,
) -> Result<()> {
    let sums = [mask_sums(time), mask_sums(rows), mask_sums(columns)];
    let divide = divides(&sums);
    let mut shared: Option<Buffer> = None;
    for (i, stretch) in time.iter().enumerate() {
        let mut buffer = Buffer::new(stretch.pixels.clone(), sums[1].len(), sums[2].len());
        for row in rows {
            for column in columns {
                buffer.add(&source.tile([stretch, row, column])?, [stretch, row, column])?;
            }
        }
        if let Some(shared) = shared.take() {
            buffer.absorb(&shared);
        }
        let (finished, rest) = buffer.split(finished(time, i));
        shared = Some(rest);
        each(finished.finish(&sums, divide)?)?;
    }
    source.finish();
    Ok(())
}

impl Buffer {
    fn new(frames: std::ops::Range<usize>, height: usize, width: usize) -> Self {
        Self { values: vec![0f32; 3 * frames.len() * height * width], frames, height, width }
    }

    /// Adds a tile, weighted by the masks of its three spans.
    fn add(&mut self, tile: &Tensor, [time, rows, columns]: [&Span; 3]) -> Result<()> {
        let tile = tile.flatten_all()?.to_vec1::<f32>()?;
        let (frames, width) = (time.mask.len(), columns.mask.len());
        for (line, source) in tile.chunks(width).enumerate() {
            let (row, plane) = (line % rows.mask.len(), line / rows.mask.len());
            let (frame, channel) = (plane % frames, plane / frames);
            let weight = time.mask[frame] * rows.mask[row];
            let target = ((channel * frames + frame) * self.height + rows.pixels.start + row) * self.width;
            let target = &mut self.values[target + columns.pixels.start..][..width];
            for ((target, source), mask) in target.iter_mut().zip(source).zip(&columns.mask) {
                *target += source * (weight * mask);
            }
        }
        Ok(())
    }

    /// Adds the frames that an earlier stretch shares with this one's beginning.
    fn absorb(&mut self, shared: &Self) {
        let (plane, mine, theirs) = (self.height * self.width, self.frames.len(), shared.frames.len());
        for channel in 0..3 {
            let target = &mut self.values[channel * mine * plane..];
            let source = &shared.values[channel * theirs * plane..(channel + 1) * theirs * plane];
            for (target, value) in target.iter_mut().zip(source) {
                *target += value;
            }
        }
    }

    /// The frames before `frame`, and the others.
    fn split(self, frame: usize) -> (Self, Self) {
        let (plane, count) = (self.height * self.width, self.frames.len());
        let before = frame - self.frames.start;
        if before == count {
            let rest = Self::new(frame..frame, self.height, self.width);
            return (self, rest);
        }
        let part = |range: std::ops::Range<usize>| {
            let channel = |c: usize| &self.values[(c * count + range.start) * plane..(c * count + range.end) * plane];
            let values = [channel(0), channel(1), channel(2)].concat();
            let frames = self.frames.start + range.start..self.frames.start + range.end;
            Self { values, frames, height: self.height, width: self.width }
        };
        (part(0..before), part(before..count))
    }

    /// Divides the weights out, where they do not add up to one.
    fn finish(mut self, [time, rows, columns]: &[Vec<f32>; 3], divide: bool) -> Result<Tensor> {
        if divide {
            for (line, values) in self.values.chunks_mut(self.width).enumerate() {
                let (row, plane) = (line % self.height, line / self.height);
                let weight = time[self.frames.start + plane % self.frames.len()] * rows[row];
                for (value, column) in values.iter_mut().zip(columns) {
                    *value /= (weight * column).max(1e-8);
                }
            }
        }
        let shape = (1, 3, self.frames.len(), self.height, self.width);
        Ok(Tensor::from_vec(self.values, shape, &candle_core::Device::Cpu)?)
    }
}
