//! How well a frame keeps the image it was conditioned on: PSNR and SSIM of 8-bit sRGB pictures.
//!
//! Must not know where the pictures come from.
//!
//! PSNR is over all three channels, peak 255. SSIM follows Wang, Bovik, Sheikh and Simoncelli, “Image Quality Assessment:
//! From Error Visibility to Structural Similarity” (2004): an 11×11 Gaussian window of σ 1.5, K1 0.01, K2 0.03, the mean over
//! every place where the window lies inside the picture, on BT.709 luma of the encoded (non-linear) values.

use ltx_types::PixelShape;
use serde::{Deserialize, Serialize};

/// Identical pictures have no error; their PSNR is given as this many decibels.
const IDENTICAL_DB: f64 = 100.0;
const WINDOW: usize = 11;
const SIGMA: f64 = 1.5;
const C1: f64 = (0.01 * 255.0) * (0.01 * 255.0);
const C2: f64 = (0.03 * 255.0) * (0.03 * 255.0);

/// Likeness of two pictures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Fidelity {
    /// Peak signal-to-noise ratio in decibels, at most 100.
    pub psnr_db: f64,
    /// Structural similarity, at most 1.
    pub ssim: f64,
}

impl Fidelity {
    /// Compares two pictures.
    ///
    /// # Shapes
    /// Both `[height, width, 3]`, 8-bit sRGB. `None` when one is not, or a side is under 11 pixels.
    pub fn of(shape: PixelShape, ours: &[u8], theirs: &[u8]) -> Option<Self> {
        let samples = shape.width * shape.height * 3;
        if ours.len() != samples || theirs.len() != samples || shape.width.min(shape.height) < WINDOW {
            return None;
        }
        Some(Self { psnr_db: psnr(ours, theirs), ssim: ssim(shape, &luma(ours), &luma(theirs)) })
    }
}

fn psnr(ours: &[u8], theirs: &[u8]) -> f64 {
    let squares = ours.iter().zip(theirs).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2));
    match squares.sum::<u64>() {
        0 => IDENTICAL_DB,
        sum => (10.0 * (255.0f64.powi(2) * ours.len() as f64 / sum as f64).log10()).min(IDENTICAL_DB),
    }
}

fn luma(rgb: &[u8]) -> Vec<f64> {
    let luma = |p: &[u8]| 0.2126 * f64::from(p[0]) + 0.7152 * f64::from(p[1]) + 0.0722 * f64::from(p[2]);
    rgb.chunks_exact(3).map(luma).collect()
}

fn ssim(shape: PixelShape, x: &[f64], y: &[f64]) -> f64 {
    let window = gaussian();
    let mean = |values: Vec<f64>| blurred(&values, shape, &window);
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).collect::<Vec<_>>();
    let (mean_x, mean_y) = (mean(x.to_vec()), mean(y.to_vec()));
    let (xx, yy, xy) = (mean(product(x, x)), mean(product(y, y)), mean(product(x, y)));
    let similarity = |i: usize| {
        let (mx, my) = (mean_x[i], mean_y[i]);
        let (var_x, var_y, covariance) = (xx[i] - mx * mx, yy[i] - my * my, xy[i] - mx * my);
        let numerator = (2.0 * mx * my + C1) * (2.0 * covariance + C2);
        numerator / ((mx * mx + my * my + C1) * (var_x + var_y + C2))
    };
    (0..mean_x.len()).map(similarity).sum::<f64>() / mean_x.len() as f64
}

fn gaussian() -> [f64; WINDOW] {
    let centre = (WINDOW / 2) as f64;
    let weight = |i: usize| (-(i as f64 - centre).powi(2) / (2.0 * SIGMA * SIGMA)).exp();
    let weights: [f64; WINDOW] = std::array::from_fn(weight);
    let sum: f64 = weights.iter().sum();
    weights.map(|weight| weight / sum)
}

/// Weighted means where the window fits: along rows, then along columns.
fn blurred(values: &[f64], shape: PixelShape, window: &[f64; WINDOW]) -> Vec<f64> {
    let across = shape.width - WINDOW + 1;
    let weigh = |run: &[f64]| run.iter().zip(window).map(|(value, weight)| value * weight).sum::<f64>();
    let rows: Vec<f64> =
        values.chunks_exact(shape.width).flat_map(|row| (0..across).map(move |x| weigh(&row[x..x + WINDOW]))).collect();
    let down = shape.height - WINDOW + 1;
    let mut means = vec![0.0; across * down];
    for (y, line) in means.chunks_exact_mut(across).enumerate() {
        for (offset, weight) in window.iter().enumerate() {
            let row = &rows[(y + offset) * across..][..across];
            line.iter_mut().zip(row).for_each(|(mean, value)| *mean += value * weight);
        }
    }
    means
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: PixelShape = PixelShape { width: 48, height: 32 };

    fn picture(at: impl Fn(usize, usize) -> u8) -> Vec<u8> {
        (0..SHAPE.height).flat_map(|y| (0..SHAPE.width).flat_map(|x| [at(x, y); 3]).collect::<Vec<_>>()).collect()
    }

    #[test]
    fn the_same_picture_is_the_same() {
        let stripes = picture(|x, y| (x * 5 + y) as u8);
        assert_eq!(Fidelity::of(SHAPE, &stripes, &stripes), Some(Fidelity { psnr_db: 100.0, ssim: 1.0 }));
    }

    #[test]
    fn flat_greys_have_the_formula_s_values() {
        let fidelity = Fidelity::of(SHAPE, &picture(|_, _| 100), &picture(|_, _| 110)).unwrap();
        assert!((fidelity.psnr_db - 20.0 * 25.5f64.log10()).abs() < 1e-9);
        let expected = (2.0 * 100.0 * 110.0 + C1) / (100.0f64.powi(2) + 110.0f64.powi(2) + C1);
        assert!((fidelity.ssim - expected).abs() < 1e-6, "{}", fidelity.ssim);
    }

    #[test]
    fn the_opposite_is_unlike() {
        let check = |phase: usize| picture(|x, y| if (x / 4 + y / 4 + phase).is_multiple_of(2) { 220 } else { 30 });
        let fidelity = Fidelity::of(SHAPE, &check(0), &check(1)).unwrap();
        assert!(fidelity.ssim < -0.5 && fidelity.psnr_db < 3.0, "{fidelity:?}");
        assert_eq!(Fidelity::of(SHAPE, &check(0), &[]), None);
    }
}
