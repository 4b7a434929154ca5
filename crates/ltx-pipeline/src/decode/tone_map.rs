//! The range of a latent compressed before it is decoded, as the authors do behind the second pass of LTX-Video 0.9.8 13B distilled.
//! Source: Lightricks/LTX-Video, `pipeline_ltx_video.py` and `configs/ltxv-13b-0.9.8-distilled.yaml`.
//!
//! Must not know what the latent shows.

use crate::Result;
use candle_core::Tensor;
use ltx_model::transformer::TransformerConfig;

/// The authors' ratio, and the width of the transformer that they use it with.
const RATIO: f64 = 0.6;
const WIDTH: usize = 4096;

/// The latent as it is decoded behind a second pass of LTX-Video 0.9.8: the 13B's large values are drawn in, the 2B's stay.
///
/// # Shapes
/// Any, normalised → the same.
pub(crate) fn behind_second_pass(latent: &Tensor, transformer: &TransformerConfig) -> Result<Tensor> {
    let width = transformer.num_attention_heads * transformer.attention_head_dim;
    if width == WIDTH { compressed(latent, RATIO) } else { Ok(latent.clone()) }
}

/// `x · (1 − 0.8·r · σ(4r · (|x| − 1)))` with `r` three quarters of the ratio.
fn compressed(latent: &Tensor, ratio: f64) -> Result<Tensor> {
    let share = 0.75 * ratio;
    let large = (((1.0 - latent.abs()?)? * (4.0 * share))?.exp()? + 1.0)?.recip()?;
    Ok((latent * (1.0 - (large * (0.8 * share))?)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// Values of the public function, computed with PyTorch.
    #[test]
    fn large_values_are_drawn_in() {
        let values = Tensor::new(&[-4f32, -1.0, 0.0, 0.5, 2.0], &Device::Cpu).unwrap();
        let found = compressed(&values, 0.6).unwrap().to_vec1::<f32>().unwrap();
        let expected = [-2.566_474_4, -0.82, 0.0, 0.447_970_9, 1.382_132_8];
        assert!(found.iter().zip(expected).all(|(x, y)| (x - y).abs() < 1e-6), "{found:?}");
        assert_eq!(compressed(&values, 0.0).unwrap().to_vec1::<f32>().unwrap(), [-4.0, -1.0, 0.0, 0.5, 2.0]);
    }
}
