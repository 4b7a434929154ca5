//! Folding space (and time) into channels, and back.
//!
//! Must not know what the channels hold.

use candle_core::Tensor;
use ltx_nn::Result;

/// Folds `p × p` pixels into channels ordered (c, column, row).
///
/// # Shapes
/// `[B, C, F, H·p, W·p]` → `[B, F, H, W, C·p·p]`.
pub(super) fn patchify(x: &Tensor, p: usize) -> Result<Tensor> {
    let (b, c, f, h, w) = x.dims5()?;
    let (h, w) = (h / p, w / p);
    let x = x.reshape(vec![b, c, f, h, p, w, p])?.permute(vec![0, 2, 3, 5, 1, 6, 4])?;
    Ok(x.reshape((b, f, h, w, c * p * p))?)
}

/// Undoes [`patchify`].
///
/// # Shapes
/// `[B, F, H, W, C·p·p]` → `[B, C, F, H·p, W·p]`.
pub(super) fn unpatchify(x: &Tensor, p: usize) -> Result<Tensor> {
    let (b, f, h, w, c) = x.dims5()?;
    let c = c / (p * p);
    let x = x.reshape(vec![b, f, h, w, c, p, p])?.permute(vec![0, 4, 1, 2, 6, 3, 5])?;
    Ok(x.reshape((b, c, f, h * p, w * p))?)
}

/// Folds a block of `stride` = (time, height, width) into channels ordered (c, time, row, column). Where time is halved, the
/// first frame counts twice.
///
/// # Shapes
/// `[B, F·s0 − (s0 − 1), H·s1, W·s2, C]` → `[B, F, H, W, C·s0·s1·s2]`.
pub(super) fn fold(x: &Tensor, [st, sh, sw]: [usize; 3]) -> Result<Tensor> {
    let x = match st {
        2 => Tensor::cat(&[&x.narrow(1, 0, 1)?, x], 1)?,
        _ => x.clone(),
    };
    let (b, f, h, w, c) = x.dims5()?;
    let (f, h, w) = (f / st, h / sh, w / sw);
    let x = x.reshape(vec![b, f, st, h, sh, w, sw, c])?.permute(vec![0, 1, 3, 5, 7, 2, 4, 6])?;
    Ok(x.reshape((b, f, h, w, c * st * sh * sw))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn folding_pixels_and_unfolding_are_inverse() -> Result<()> {
        let x = Tensor::randn(0f32, 1f32, (1, 3, 2, 8, 4), &Device::Cpu)?;
        let difference = (&x - unpatchify(&patchify(&x, 4)?, 4)?)?.abs()?.max_all()?.to_scalar::<f32>()?;
        assert_eq!(difference, 0.0);
        Ok(())
    }

    #[test]
    fn patch_channels_run_column_first() -> Result<()> {
        // One channel, one 2×2 patch [[0, 1], [2, 3]]: channel order is (column, row).
        let x = Tensor::arange(0f32, 4f32, &Device::Cpu)?;
        let pixels = x.reshape((1, 1, 1, 2, 2))?;
        assert_eq!(patchify(&pixels, 2)?.flatten_all()?.to_vec1::<f32>()?, [0.0, 2.0, 1.0, 3.0]);
        let positions = x.reshape((1, 1, 2, 2, 1))?;
        assert_eq!(fold(&positions, [1, 2, 2])?.flatten_all()?.to_vec1::<f32>()?, [0.0, 1.0, 2.0, 3.0]);
        Ok(())
    }

    #[test]
    fn the_first_of_folded_frames_counts_twice() -> Result<()> {
        let frames = Tensor::arange(0f32, 3f32, &Device::Cpu)?.reshape((1, 3, 1, 1, 1))?;
        assert_eq!(fold(&frames, [2, 1, 1])?.flatten_all()?.to_vec1::<f32>()?, [0.0, 0.0, 1.0, 2.0]);
        Ok(())
    }
}
