//! Folding space (and time) into channels, and back.
//!
//! Must not know what the channels hold.

use candle_core::Tensor;
use ltx_nn::Result;

/// Folds `p × p` pixels into channels ordered (c, column, row).
///
/// # Shapes
/// `[B, C, F, H·p, W·p]` → `[B, C·p·p, F, H, W]`.
pub(super) fn patchify(x: &Tensor, p: usize) -> Result<Tensor> {
    let (b, c, f, h, w) = x.dims5()?;
    let (h, w) = (h / p, w / p);
    let x = x.reshape(vec![b, c, f, h, p, w, p])?.permute(vec![0, 1, 6, 4, 2, 3, 5])?;
    Ok(x.reshape((b, c * p * p, f, h, w))?)
}

/// Undoes [`patchify`].
///
/// # Shapes
/// `[B, C·p·p, F, H, W]` → `[B, C, F, H·p, W·p]`.
pub(super) fn unpatchify(x: &Tensor, p: usize) -> Result<Tensor> {
    let (b, c, f, h, w) = x.dims5()?;
    let c = c / (p * p);
    let x = x.reshape(vec![b, c, p, p, f, h, w])?.permute(vec![0, 1, 4, 5, 3, 6, 2])?;
    Ok(x.reshape((b, c, f, h * p, w * p))?)
}

/// Folds a block of `stride` = (time, height, width) into channels ordered (c, time, row, column).
///
/// # Shapes
/// `[B, C, F·s0, H·s1, W·s2]` → `[B, C·s0·s1·s2, F, H, W]`.
pub(super) fn space_to_depth(x: &Tensor, [st, sh, sw]: [usize; 3]) -> Result<Tensor> {
    let (b, c, f, h, w) = x.dims5()?;
    let (f, h, w) = (f / st, h / sh, w / sw);
    let x = x.reshape(vec![b, c, f, st, h, sh, w, sw])?.permute(vec![0, 1, 3, 5, 7, 2, 4, 6])?;
    Ok(x.reshape((b, c * st * sh * sw, f, h, w))?)
}

/// Undoes [`space_to_depth`].
///
/// # Shapes
/// `[B, C·s0·s1·s2, F, H, W]` → `[B, C, F·s0, H·s1, W·s2]`.
pub(super) fn depth_to_space(x: &Tensor, [st, sh, sw]: [usize; 3]) -> Result<Tensor> {
    let (b, c, f, h, w) = x.dims5()?;
    let c = c / (st * sh * sw);
    let x = x.reshape(vec![b, c, st, sh, sw, f, h, w])?.permute(vec![0, 1, 5, 2, 6, 3, 7, 4])?;
    Ok(x.reshape((b, c, f * st, h * sh, w * sw))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn folding_and_unfolding_are_inverse() -> Result<()> {
        let x = Tensor::randn(0f32, 1f32, (1, 3, 2, 8, 4), &Device::Cpu)?;
        let same = |y: &Tensor| Ok((&x - y)?.abs()?.max_all()?.to_scalar::<f32>()? == 0.0);
        let check = |ok: Result<bool>| assert!(ok.unwrap());
        check(same(&unpatchify(&patchify(&x, 4)?, 4)?));
        check(same(&depth_to_space(&space_to_depth(&x, [2, 2, 2])?, [2, 2, 2])?));
        Ok(())
    }

    #[test]
    fn patch_channels_run_column_first() -> Result<()> {
        // One channel, one 2×2 patch [[0, 1], [2, 3]]: channel order is (column, row).
        let x = Tensor::arange(0f32, 4f32, &Device::Cpu)?.reshape((1, 1, 1, 2, 2))?;
        assert_eq!(patchify(&x, 2)?.flatten_all()?.to_vec1::<f32>()?, [0.0, 2.0, 1.0, 3.0]);
        assert_eq!(space_to_depth(&x, [1, 2, 2])?.flatten_all()?.to_vec1::<f32>()?, [0.0, 1.0, 2.0, 3.0]);
        Ok(())
    }
}
