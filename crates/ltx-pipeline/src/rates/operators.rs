//! The rates of what is no product of a matrix: attention, convolutions, operators bound by memory, the encoder of videos.
//!
//! Must not know layers.

use super::{CLIP, RateMeter, rate, solved};
use crate::{Result, rgb::each_rgb_frame};
use candle_core::Tensor;
use ltx_media::{FrameWriter, Mp4Writer};
use ltx_nn::{
    AttentionShape, Compute, Conv3d, Conv3dConfig, Mask, Modulation, NnError, ShiftScale, TimePadding, Vb, Weights,
    attention, rms_norm_modulate,
};
use ltx_types::{FrameRate, PixelShape, Unit};
use std::{sync::Arc, time::Instant};

/// Tensors of one value under every name.
struct Filled;

impl Weights for Filled {
    fn tensor(&self, _: &str, shape: &[usize], compute: &Compute) -> ltx_nn::Result<Tensor> {
        Ok(Tensor::full(0.01f32, shape, &compute.device)?.to_dtype(compute.dtype)?)
    }

    fn rows(&self, key: &str, _: [usize; 2], _: &[u32], _: &Compute) -> ltx_nn::Result<Tensor> {
        Err(NnError::unsupported("rows", key, "none"))
    }

    fn check(&self, _: &str, _: &[usize]) -> ltx_nn::Result<()> {
        Ok(())
    }
}

/// Heads, and the two widths of a head with which operations and scores are told apart.
const HEADS: usize = 4;
const WIDTHS: [usize; 2] = [128, 16];
const WIDTHS_ON_GPU: [usize; 2] = [128, 64];
/// Tokens that attend to each other.
const TOKENS: usize = 256;
const TOKENS_ON_GPU: usize = 4096;
/// Epsilon of norms.
const EPS: f64 = 1e-6;

/// Frames, rows and columns of a clip whose convolution with so many channels takes some hundredths of a second.
fn clip_of(channels: u32, flat: bool, on_gpu: bool) -> [usize; 3] {
    let [frames, height, width] = match channels {
        0..=16 => [9, 64, 64],
        17..=32 => [9, 32, 32],
        33..=64 => [9, 24, 24],
        65..=128 => [9, 12, 16],
        129..=256 => [5, 8, 12],
        _ => [3, 8, 8],
    };
    let larger = if on_gpu { 4 } else { 1 };
    [if flat { 1 } else { frames }, height * larger, width * larger]
}

impl RateMeter {
    pub(super) fn attention(&self) -> Result<Vec<(Unit, f64)>> {
        let on_gpu = !self.compute.device.is_cpu();
        let (widths, tokens) = if on_gpu { (WIDTHS_ON_GPU, TOKENS_ON_GPU) } else { (WIDTHS, TOKENS) };
        let taken = |width: usize| {
            let x = self.filled(&[1, tokens, HEADS * width])?;
            let scale = (width as f64).powf(-0.5);
            let shape = AttentionShape { heads: HEADS, kv_heads: HEADS, scale, mask: Mask::Full };
            let seconds = self.seconds(|| Ok(attention(&x, &x, &x, &shape, self.compute.kernels).map(drop)?))?;
            let scores = (HEADS * tokens * tokens) as f64;
            Ok::<_, crate::PipelineError>(([4.0 * scores * width as f64, scores], seconds))
        };
        let [operation, score] = solved(taken(widths[0])?, taken(widths[1])?);
        Ok(vec![(Unit::Attention, rate(operation)), (Unit::Score, rate(score))])
    }

    pub(super) fn convolution(&self, channels: u32, flat: bool) -> Result<Vec<(Unit, f64)>> {
        let count = channels as usize;
        let [frames, height, width] = clip_of(channels, flat, !self.compute.device.is_cpu());
        let vb = Vb::new(Arc::new(Filled), self.compute.clone());
        let config = Conv3dConfig::cube(count, count, TimePadding::Replicate).normed(EPS);
        let layer = Conv3d::load(&vb, config)?;
        let x = self.filled(&[1, frames, height, width, count])?;
        let seconds = self.seconds(|| Ok(layer.forward(&x).map(drop)?))?;
        let operations = (54 * count * count * frames * height * width) as f64;
        let unit = if flat { Unit::FlatConvolution(channels) } else { Unit::Convolution(channels) };
        Ok(vec![(unit, operations / seconds.max(1e-9))])
    }

    /// Weights of a convolution brought into the order in which its kernel reads them.
    pub(super) fn packing(&self) -> Result<Vec<(Unit, f64)>> {
        const CHANNELS: usize = 128;
        let vb = Vb::new(Arc::new(Filled), self.compute.clone());
        let config = Conv3dConfig::cube(CHANNELS, CHANNELS, TimePadding::Replicate);
        let seconds = self.seconds(|| Ok(Conv3d::load(&vb, config).map(drop)?))?;
        let values = (27 * CHANNELS * CHANNELS) as f64;
        Ok(vec![(Unit::Layout(Unit::CONVOLUTIONS.to_owned()), values / seconds.max(1e-9))])
    }

    /// Values read and written by a norm that is modulated, of more values than a core's own cache holds.
    pub(super) fn moves(&self) -> Result<Vec<(Unit, f64)>> {
        const SHAPE: [usize; 3] = [1, 1024, 1024];
        let (x, rows) = (self.filled(&SHAPE)?, self.filled(&[1, 2, SHAPE[2]])?);
        let by = Modulation::new(&rows, None)?;
        let at = ShiftScale { shift: 0, scale: 1 };
        let seconds = self.seconds(|| Ok(rms_norm_modulate(&x, &by, at, EPS, self.compute.kernels).map(drop)?))?;
        Ok(vec![(Unit::Value, 2.0 * SHAPE.iter().product::<usize>() as f64 / seconds.max(1e-9))])
    }

    /// Pixels of a clip longer than what the encoder looks ahead at; those that it looks ahead at are not encoded. It is never
    /// finished, and so never there.
    pub(super) fn encoding(&self) -> Result<Vec<(Unit, f64)>> {
        const FRAMES: usize = 96;
        const AHEAD: usize = 40;
        const PIXELS: PixelShape = PixelShape { width: 128, height: 96 };
        let path = self.folder.join(format!("{CLIP}{}.mp4", std::process::id()));
        let rate = FrameRate::new(24.0).map_err(crate::PipelineError::from)?;
        let plane = PIXELS.width * PIXELS.height;
        let mut state = 1u32;
        let mut value = |i: usize, frame: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let slope = ((i % PIXELS.width + 2 * frame) % 256) as f32 / 128.0 - 1.0;
            slope * 0.8 + (state >> 24) as f32 / 5120.0
        };
        let values: Vec<f32> = (0..3 * FRAMES * plane).map(|i| value(i, i / plane % FRAMES)).collect();
        let shape = (1, 3, FRAMES, PIXELS.height, PIXELS.width);
        let chunk = Tensor::from_vec(values, shape, &candle_core::Device::Cpu)?;
        let encode = || {
            let mut writer = Mp4Writer::create(&path, PIXELS, rate)?;
            let began = Instant::now();
            each_rgb_frame(&chunk, |frame| Ok(writer.write(frame)?))?;
            Ok::<_, crate::PipelineError>(began.elapsed().as_secs_f64())
        };
        let seconds = encode()?.min(encode()?);
        Ok(vec![(Unit::Pixel, ((FRAMES - AHEAD) * plane) as f64 / seconds.max(1e-9))])
    }

    fn filled(&self, shape: &[usize]) -> Result<Tensor> {
        Ok(Tensor::full(0.5f32, shape, &self.compute.device)?.to_dtype(self.compute.dtype)?)
    }
}
