//! The tile loop of a decoder that draws pixels from noise: features of the whole clip once, then tile by tile, each with noise of its
//! own from one generator.
//!
//! Must not know the decoder's layers.

use super::{
    cells::spans,
    tiled::{Tiles, decode_on_cpu},
    tiles::Span,
};
use crate::{Noise, PipelineError, Result, sampler::all_finite};
use candle_core::Tensor;
use ltx_engine::TileSizes;
use ltx_model::video_vae::diffusion::{DiffusionDecoder, Features, TilePlace};
use ltx_nn::Taps;
use ltx_types::{CancelToken, LatentScale, LatentShape, Progress, ProgressSink, Stage};

/// How often progress is reported, at most.
const REPORTS: usize = 64;

/// Decodes `latent` tile by tile, as [`super::decode_tiled`] does. What was added to a small latent is cut off.
pub(super) fn decode(
    decoder: &DiffusionDecoder,
    latent: &Tensor,
    tiles: &TileSizes,
    noise: &mut Noise,
    (cancel, progress): (&CancelToken, &dyn ProgressSink),
    mut each: impl FnMut(Tensor) -> Result<()>,
) -> Result<()> {
    let (_, _, frames, height, width) = latent.dims5()?;
    let (config, scale) = (decoder.config(), LatentScale::LTX);
    let padded = config.padded(LatentShape { frames, height, width });
    let cells = config.cells(padded.latent);
    let spans = spans(config, tiles, cells);
    let [times, rows, columns] = &spans;
    let of_time = |span: &Span| config.steps_of_tile(span.latent.clone(), cells[0]) * rows.len() * columns.len();
    let total = config.steps_of_features(padded.latent) + times.iter().map(of_time).sum::<usize>();
    let mut steps = Steps { cancel, progress, done: 0, total };
    steps.report();
    let features = decoder.features(latent, &Taps::off(), &mut || steps.next())?;
    let source = Source { decoder, features, noise, steps };
    let (above, before) = (padded.before[0] * scale.height, padded.before[1] * scale.width);
    let mut left = (frames - 1) * scale.time + 1;
    decode_on_cpu(source, &spans, |chunk| {
        let count = chunk.dim(2)?.min(left);
        if count == 0 {
            return Ok(());
        }
        left -= count;
        let chunk = chunk.narrow(2, 0, count)?.narrow(3, above, height * scale.height)?;
        each(chunk.narrow(4, before, width * scale.width)?.contiguous()?)
    })
}

/// Frames that blocks have gone through: between two of them the token is looked at.
struct Steps<'a> {
    cancel: &'a CancelToken,
    progress: &'a dyn ProgressSink,
    done: usize,
    total: usize,
}

impl Steps<'_> {
    fn next(&mut self) -> Result<()> {
        self.cancel.check()?;
        let part = |done: usize| done * REPORTS / self.total.max(1);
        let reaches = part(self.done + 1) > part(self.done);
        self.done += 1;
        if reaches && self.done < self.total {
            self.report();
        }
        Ok(())
    }

    fn report(&self) {
        self.progress.report(Progress { stage: Stage::Decoding, done: self.done, total: self.total });
    }
}

/// Where tiles come from.
struct Source<'a> {
    decoder: &'a DiffusionDecoder,
    features: Features,
    noise: &'a mut Noise,
    steps: Steps<'a>,
}

impl Tiles for Source<'_> {
    fn tile(&mut self, [time, row, column]: [&Span; 3]) -> Result<Tensor> {
        let Self { decoder, features, noise, steps } = self;
        steps.cancel.check()?;
        let place = TilePlace { frames: time.latent.clone(), rows: row.latent.clone(), columns: column.latent.clone() };
        let mut draw = |shape: [usize; 3]| noise.draw(3 * shape.iter().product::<usize>());
        let tile = decoder.tile(features, &place, &mut draw, &Taps::off(), &mut || steps.next())?;
        if !all_finite(&tile)? {
            return Err(PipelineError::NotFinite { stage: Stage::Decoding.label() });
        }
        Ok(tile)
    }

    fn finish(mut self) {
        self.steps.done = self.steps.total;
        self.steps.report();
    }
}
