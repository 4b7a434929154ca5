//! What lies in the middle of an upsampler: a convolution whose channels unfold into space or time; for ×1.5 by three, and a
//! blur that keeps every second row and column.
//!
//! Must not know what stands around it.

use crate::{config::require, video_vae::ClipShape};
use candle_core::Tensor;
use ltx_nn::{Conv3d, Conv3dConfig, NnError, Result, Taps, TimePadding, Vb};
use serde_json::{Value, json};

/// By how much an upsampler makes a latent larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Resampling {
    /// Rows and columns ×2.
    #[default]
    SpaceByTwo,
    /// Rows and columns ×3/2; odd counts round up.
    SpaceByThreeHalves,
    /// Frames ×2, less the first: F become 2F − 1.
    TimeByTwo,
    /// All of them ×2, less the first frame.
    SpaceAndTimeByTwo,
}

impl Resampling {
    /// What a file's configuration asks for.
    ///
    /// # Errors
    /// The first field that asks for something else, with what is supported beside the others.
    pub(super) fn from_json(config: &Value) -> Result<Self> {
        let flag = |field: &str| match config.get(field).filter(|value| !value.is_null()) {
            None => Ok(false),
            Some(stated) => {
                stated.as_bool().ok_or_else(|| NnError::unsupported(field, stated, "true or false".to_owned()))
            }
        };
        let [space, time, rational] =
            [flag("spatial_upsample")?, flag("temporal_upsample")?, flag("rational_resampler")?];
        if !time {
            require(config, "spatial_upsample", &json!(true))?;
            require(config, "spatial_scale", &json!(if rational { 1.5 } else { 2.0 }))?;
            return Ok(if rational { Self::SpaceByThreeHalves } else { Self::SpaceByTwo });
        }
        if rational {
            return Err(NnError::unsupported("rational_resampler", rational, "false with temporal_upsample"));
        }
        // The scale of what is not scaled in space is read by nothing; the files state 2 there.
        if space || config.get("spatial_scale").is_some_and(|scale| !scale.is_null()) {
            require(config, "spatial_scale", &json!(2.0))?;
        }
        Ok(if space { Self::SpaceAndTimeByTwo } else { Self::TimeByTwo })
    }

    /// The name for people: what changes, and by how much.
    pub fn title(self) -> &'static str {
        match self {
            Self::SpaceByTwo => "×2",
            Self::SpaceByThreeHalves => "×1.5",
            Self::TimeByTwo => "temporal ×2",
            Self::SpaceAndTimeByTwo => "spatial and temporal ×2",
        }
    }

    /// Times that the convolution's result is larger than the upsampler's.
    pub(super) fn surplus(self) -> u64 {
        if self == Self::SpaceByThreeHalves { 4 } else { 1 }
    }

    /// A clip after the resampling.
    pub(super) fn larger(self, ClipShape { frames, height, width }: ClipShape) -> ClipShape {
        let [time, rows, columns] = self.unfold().map(|times| times as u64);
        let frames = if time == 2 { 2 * frames - 1 } else { frames };
        let blurred = if self == Self::SpaceByThreeHalves { 2 } else { 1 };
        ClipShape { frames, height: (height * rows).div_ceil(blurred), width: (width * columns).div_ceil(blurred) }
    }

    fn unfold(self) -> [usize; 3] {
        match self {
            Self::SpaceByTwo => [1, 2, 2],
            Self::SpaceByThreeHalves => [1, 3, 3],
            Self::TimeByTwo => [2, 1, 1],
            Self::SpaceAndTimeByTwo => [2, 2, 2],
        }
    }

    /// The convolution as it lies in the file: within frames where time stays as it is.
    pub(super) fn convolution(self, channels: usize) -> Conv3dConfig {
        let unfold = self.unfold();
        let outputs = channels * unfold.iter().product::<usize>();
        let cube = Conv3dConfig::cube(channels, outputs, TimePadding::Zeros).unfolded(unfold);
        if unfold[0] == 1 { Conv3dConfig { kernel: [1, 3, 3], ..cube } } else { cube }
    }
}

/// The middle of an upsampler.
pub(super) struct Resampler {
    conv: Conv3d,
    /// `[5, 5]`, for ×1.5 alone.
    blur: Option<Tensor>,
}

impl Resampler {
    pub(super) fn load(vb: &Vb, channels: usize, resampling: Resampling) -> Result<Self> {
        let rational = resampling == Resampling::SpaceByThreeHalves;
        let conv = vb.pp(if rational { "conv" } else { "0" });
        let conv = Conv3d::load(&conv, resampling.convolution(channels))?;
        let blur = || vb.pp("blur_down").tensor("kernel", [1, 1, BLUR, BLUR]);
        Ok(Self { conv, blur: rational.then(blur).transpose()? })
    }

    /// # Shapes
    /// `[B, F, H, W, C]` → the same, larger.
    pub(super) fn forward(&self, x: &Tensor, taps: &Taps) -> Result<Tensor> {
        let x = self.conv.forward(x)?;
        let Some(kernel) = &self.blur else { return Ok(x) };
        taps.record("resampler_shuffle", || Ok(x.permute((0, 1, 4, 2, 3))?.flatten(0, 1)?.contiguous()?))?;
        blurred_by_half(&x, kernel)
    }
}

/// Rows and columns of the blur.
const BLUR: usize = 5;

/// Every second row and column, each a sum over the 5 × 5 around it with zeros outside: `[B, F, H, W, C]` →
/// `[B, F, ⌈H/2⌉, ⌈W/2⌉, C]`.
fn blurred_by_half(x: &Tensor, kernel: &Tensor) -> Result<Tensor> {
    let (_, _, height, width, _) = x.dims5()?;
    let weights = kernel.reshape((BLUR, BLUR))?.to_dtype(candle_core::DType::F32)?.to_vec2::<f32>()?;
    let every_second = |side: usize, offset: usize| {
        let rows: Vec<u32> = (0..side.div_ceil(2)).map(|row| (2 * row + offset) as u32).collect();
        let count = rows.len();
        Tensor::from_vec(rows, count, x.device())
    };
    let margin = BLUR / 2;
    let padded = x.pad_with_zeros(2, margin, margin)?.pad_with_zeros(3, margin, margin)?.contiguous()?;
    let mut sum: Option<Tensor> = None;
    for (down, weights) in weights.iter().enumerate() {
        let rows = padded.index_select(&every_second(height, down)?, 2)?;
        for (across, weight) in weights.iter().enumerate() {
            let part = (rows.index_select(&every_second(width, across)?, 3)? * f64::from(*weight))?;
            sum = Some(match sum {
                Some(sum) => (sum + part)?,
                None => part,
            });
        }
    }
    sum.ok_or_else(|| NnError::unsupported("blur_down.kernel", "empty", "5 × 5"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn a_blur_keeps_what_is_even_and_rounds_sides_up() -> Result<()> {
        let side = [1f32, 4.0, 6.0, 4.0, 1.0];
        let kernel: Vec<f32> = side.iter().flat_map(|a| side.map(|b| a * b / 256.0)).collect();
        let kernel = Tensor::from_vec(kernel, (1, 1, 5, 5), &Device::Cpu)?;
        let ones = Tensor::ones((1, 2, 9, 12, 3), candle_core::DType::F32, &Device::Cpu)?;
        let y = blurred_by_half(&ones, &kernel)?;
        assert_eq!(y.dims(), [1, 2, 5, 6, 3]);
        let rows = y.narrow(4, 0, 1)?.squeeze(4)?.get(0)?.get(0)?.to_vec2::<f32>()?;
        assert_eq!(rows[2][2], 1.0);
        // At a corner, two of five rows and columns lie outside.
        assert_eq!(rows[0][0], (11.0 / 16.0f32).powi(2));
        Ok(())
    }

    #[test]
    fn what_is_asked_for_is_obeyed_or_refused_by_name() {
        let asked = |space: bool, time: bool, rational: bool, scale: f64| {
            let config = json!({"spatial_upsample": space, "temporal_upsample": time, "rational_resampler": rational,
                "spatial_scale": scale});
            Resampling::from_json(&config).map_err(|error| error.to_string())
        };
        assert_eq!(asked(true, false, false, 2.0), Ok(Resampling::SpaceByTwo));
        assert_eq!(asked(true, false, true, 1.5), Ok(Resampling::SpaceByThreeHalves));
        assert_eq!(asked(false, true, false, 2.0), Ok(Resampling::TimeByTwo));
        assert_eq!(asked(true, true, false, 2.0), Ok(Resampling::SpaceAndTimeByTwo));
        let refused = |found: Result<Resampling, String>, field: &str| found.unwrap_err().contains(field);
        assert!(refused(asked(true, false, true, 0.75), "spatial_scale"));
        assert!(refused(asked(true, false, false, 1.5), "spatial_scale"));
        assert!(refused(asked(false, false, false, 2.0), "spatial_upsample"));
        assert!(refused(asked(true, true, true, 1.5), "rational_resampler"));
    }
}
