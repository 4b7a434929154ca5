//! A look at a running generation: one frame of the sampler's estimate, decoded small, while somebody wants to see it.
//!
//! Must not know who looks. It reads the sampler's estimate and draws no noise: with previews and without them, the frames
//! are the same to the last bit.

use crate::{Engine, Noise, PipelineError, Result, decode::decode_tiled, plan::Fit, rgb::each_rgb_frame};
use candle_core::{IndexOp, Tensor};
use ltx_engine::{Axis, Preview, PreviewSink, Run, TileSizes};
use ltx_model::video_vae::{ClipShape, VideoDecoder};
use ltx_types::{CancelToken, LatentShape, NoProgress, PixelShape, Progress, Seed, Stage};
use std::{
    cell::{Cell, OnceCell},
    sync::Arc,
    time::{Duration, Instant},
};

/// The most latent rows or columns of a preview: 512 pixels with the scale of every LTX video VAE.
const SIDE: usize = 16;
/// One tile, as large as a preview may be.
const WHOLE: TileSizes = {
    let axis = Axis { size: 1 << 16, overlap: 0 };
    TileSizes { frames: axis, height: axis, width: axis }
};
/// Share of the sampling time that previews may take, once the first has shown what one costs.
const SHARE: f64 = 0.15;

/// Makes a run's previews, no more often than they may cost.
pub(crate) struct Previewer<'a> {
    engine: &'a Engine,
    sink: &'a dyn PreviewSink,
    /// A preview that is cancelled is left out; what samples looks at the token itself.
    cancel: &'a CancelToken,
    fit: &'a Fit,
    /// Held from the first preview to the end of sampling.
    decoder: OnceCell<Arc<VideoDecoder>>,
    not_before: Cell<Option<Instant>>,
}

impl<'a> Previewer<'a> {
    pub(crate) fn new(engine: &'a Engine, run: &'a Run<'_>, fit: &'a Fit) -> Self {
        Self {
            engine,
            sink: run.previews,
            cancel: run.cancel,
            fit,
            decoder: OnceCell::new(),
            not_before: Cell::new(None),
        }
    }

    /// Shows the clip as it looks after some steps, if it is wanted and affordable in time and memory. `estimate` gives the
    /// clean latent `[1, C, F, H, W]`. A preview that cannot be made is left out: the generation does not depend on it.
    pub(crate) fn offer(&self, after: Progress, estimate: impl FnOnce() -> Result<Tensor>) {
        if !self.fit.previews || !self.sink.wanted() || self.not_before.get().is_some_and(|then| Instant::now() < then)
        {
            return;
        }
        let began = Instant::now();
        if let Ok((pixels, rgb)) = estimate().and_then(|latent| self.picture(&latent)) {
            self.sink.show(Preview { after, pixels, rgb });
        }
        self.not_before.set(Some(Instant::now() + pause(began.elapsed())));
    }

    /// The clip's middle: its first frame is an image that the client has.
    fn picture(&self, latent: &Tensor) -> Result<(PixelShape, Vec<u8>)> {
        let decoder = match self.decoder.get() {
            Some(decoder) => decoder,
            None => {
                let decoder = self.engine.video_decoder(self.fit)?;
                self.decoder.get_or_init(|| decoder)
            }
        };
        let small = shrunk(&middle_frame(latent)?)?;
        let mut picture = None;
        // A decoder that draws pixels has noise of its own here: the clip's is not touched.
        let (noise, run) = (&mut Noise::new(Seed(0)), (self.cancel, &NoProgress as &_));
        decode_tiled(decoder, &small, &WHOLE, noise, run, |chunk| {
            let (_, _, _, height, width) = chunk.dims5()?;
            each_rgb_frame(&chunk.narrow(2, 0, 1)?.contiguous()?, |frame| {
                picture.get_or_insert_with(|| (PixelShape { width, height }, frame.to_vec()));
                Ok(())
            })
        })?;
        picture.ok_or(PipelineError::NotFinite { stage: Stage::Decoding.label() })
    }
}

/// How long to let the sampler work after a preview that took so long.
fn pause(took: Duration) -> Duration {
    took.mul_f64((1.0 - SHARE) / SHARE)
}

/// `[1, C, F, H, W]` → `[C, H, W]`.
fn middle_frame(latent: &Tensor) -> Result<Tensor> {
    Ok(latent.i((0, .., latent.dim(2)? / 2))?.contiguous()?)
}

/// Rows and columns averaged until both are at most [`SIDE`], in the same proportions: `[C, H, W]` → `[1, C, 1, h, w]`.
fn shrunk(frame: &Tensor) -> Result<Tensor> {
    let (channels, height, width) = frame.dims3()?;
    let longest = height.max(width);
    let fitted = |side: usize| if longest <= SIDE { side } else { ((side * SIDE + longest / 2) / longest).max(1) };
    let (rows, columns) = (fitted(height), fitted(width));
    let device = frame.device();
    let across = Tensor::from_vec(averages(width, columns), (width, columns), device)?;
    let down = Tensor::from_vec(averages(height, rows), (height, rows), device)?;
    let narrow = frame.reshape((channels * height, width))?.matmul(&across)?.reshape((channels, height, columns))?;
    let small = narrow.transpose(1, 2)?.contiguous()?.reshape((channels * columns, height))?.matmul(&down)?;
    let small = small.reshape((channels, columns, rows))?.transpose(1, 2)?.contiguous()?;
    Ok(small.reshape((1, channels, 1, rows, columns))?)
}

/// Weights `[from, to]` that average `from` elements into `to`, each by the length it covers.
fn averages(from: usize, to: usize) -> Vec<f32> {
    let step = from as f32 / to as f32;
    let weight = |i: usize, o: usize| {
        let (start, end) = (o as f32 * step, (o + 1) as f32 * step);
        ((i + 1) as f32).min(end) - (i as f32).max(start)
    };
    (0..from * to).map(|at| weight(at / to, at % to).max(0.0) / step).collect()
}

impl Engine {
    /// Bytes of the decoder's activations for a preview of this latent.
    pub(crate) fn preview_activations(&self, latent: LatentShape) -> u64 {
        let side = |side: usize| side.min(SIDE) as u64;
        let clip = ClipShape { frames: 1, height: side(latent.height), width: side(latent.width) };
        self.architecture().vae.decoder_bytes(clip, self.placement).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn small_latents_stay_as_they_are() {
        let frame = Tensor::arange(0f32, 24.0, &Device::Cpu).unwrap().reshape((2, 3, 4)).unwrap();
        let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let small = shrunk(&frame).unwrap();
        assert_eq!(small.dims(), [1, 2, 1, 3, 4]);
        assert_eq!(values(&small), values(&frame));
    }

    #[test]
    fn large_latents_are_averaged_in_their_proportions() {
        // Every column is its own number: the average of three neighbours is the middle one.
        let row: Vec<f32> = (0..48).map(|x| x as f32).collect();
        let frame = Tensor::from_vec(row.repeat(24), (1, 24, 48), &Device::Cpu).unwrap();
        let small = shrunk(&frame).unwrap();
        assert_eq!(small.dims(), [1, 1, 1, 8, 16]);
        let values = small.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for (at, value) in values.iter().enumerate() {
            assert!((value - (at % 16 * 3 + 1) as f32).abs() < 1e-3, "{at}: {value}");
        }
        for (from, to) in [(17, 16), (256, 16), (16, 16), (31, 10)] {
            let weights = averages(from, to);
            for o in 0..to {
                let sum: f32 = (0..from).map(|i| weights[i * to + o]).sum();
                assert!((sum - 1.0).abs() < 1e-4, "{from} to {to}");
            }
        }
    }

    #[test]
    fn previews_leave_most_of_the_time_to_the_sampler() {
        let took = Duration::from_millis(150);
        assert!((took.as_secs_f64() / (took + pause(took)).as_secs_f64() - SHARE).abs() < 1e-9);
    }
}
