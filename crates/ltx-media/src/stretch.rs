//! Pictures become the pixels a video VAE takes the way diffusers makes them: stretched to the frame, whatever their proportions,
//! by Pillow's Lanczos filter, in [-1, 1]. Source: Pillow's `Resample.c`; Lanczos with three lobes, antialiased.
//!
//! Must not know tensors: the result is a flat vector.

use image::RgbImage;
use ltx_types::PixelShape;
use std::f64::consts::PI;

/// Lobes of the filter on each side.
const LOBES: f64 = 3.0;
/// Bits behind the point of a weight.
const BITS: u32 = 22;
const CHANNELS: usize = 3;

/// Stretches `image` to `shape` and maps 0..=255 to [-1, 1].
///
/// # Shapes
/// Returns `[3, height, width]` planar, row by row, f32: `x / 255 · 2 − 1`.
///
/// # Panics
/// `image` has no pixels. [`open_image`](crate::open_image) never returns such an image.
pub fn to_stretched_pixels(image: &RgbImage, shape: PixelShape) -> Vec<f32> {
    let (width, height) = (image.width() as usize, image.height() as usize);
    assert!(width > 0 && height > 0, "an image without pixels");
    let wide = across(image.as_raw(), width, shape.width);
    let pixels = down(&wide, [height, shape.width], shape.height);
    let plane = |channel| pixels.iter().skip(channel).step_by(CHANNELS).map(|x| f32::from(*x) / 255.0 * 2.0 - 1.0);
    (0..CHANNELS).flat_map(plane).collect()
}

/// The samples that one sample of the result is mixed from, and their weights.
struct Taps {
    first: usize,
    weights: Vec<i64>,
}

fn taps(source: usize, target: usize) -> Vec<Taps> {
    let scale = source as f64 / target as f64;
    let wider = scale.max(1.0);
    let support = LOBES * wider;
    let tap = |output: usize| {
        let center = (output as f64 + 0.5) * scale;
        // Casts of floats saturate at 0.
        let first = (center - support + 0.5) as usize;
        let end = ((center + support + 0.5) as usize).min(source);
        let weights: Vec<f64> = (first..end).map(|sample| lanczos((sample as f64 - center + 0.5) / wider)).collect();
        let sum: f64 = weights.iter().sum();
        let fixed = |weight: &f64| (weight / sum * f64::from(1u32 << BITS)).round() as i64;
        Taps { first, weights: weights.iter().map(fixed).collect() }
    };
    (0..target).map(tap).collect()
}

fn lanczos(x: f64) -> f64 {
    let sinc = |x: f64| if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) };
    if (-LOBES..LOBES).contains(&x) { sinc(x) * sinc(x / LOBES) } else { 0.0 }
}

/// A weighted sum of samples, rounded to a byte.
fn mixed(taps: &Taps, sample: impl Fn(usize) -> u8) -> u8 {
    let products = taps.weights.iter().zip(taps.first..).map(|(weight, at)| weight * i64::from(sample(at)));
    ((products.sum::<i64>() + (1 << (BITS - 1))) >> BITS).clamp(0, 255) as u8
}

fn across(samples: &[u8], width: usize, target: usize) -> Vec<u8> {
    if width == target {
        return samples.to_vec();
    }
    let columns = taps(width, target);
    let rows = samples.chunks_exact(width * CHANNELS);
    let row = |row: &[u8]| -> Vec<u8> {
        let column =
            |taps: &Taps| (0..CHANNELS).map(|channel| mixed(taps, |x| row[x * CHANNELS + channel])).collect::<Vec<_>>();
        columns.iter().flat_map(column).collect()
    };
    rows.flat_map(row).collect()
}

fn down(samples: &[u8], [height, width]: [usize; 2], target: usize) -> Vec<u8> {
    if height == target {
        return samples.to_vec();
    }
    let line = width * CHANNELS;
    let row = |taps: Taps| (0..line).map(|at| mixed(&taps, |y| samples[y * line + at])).collect::<Vec<_>>();
    taps(height, target).into_iter().flat_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_picture_stays_even_and_one_of_the_frames_size_is_not_touched() {
        let even = RgbImage::from_pixel(37, 11, image::Rgb([7, 128, 255]));
        let shape = |width, height| PixelShape { width, height };
        let pixels = to_stretched_pixels(&even, shape(64, 32));
        assert_eq!(pixels.len(), 3 * 64 * 32);
        for (plane, value) in pixels.chunks(64 * 32).zip([7.0, 128.0, 255.0]) {
            assert!(plane.iter().all(|x| *x == value / 255.0 * 2.0 - 1.0), "{value}");
        }
        let own = RgbImage::from_fn(32, 32, |x, y| image::Rgb([x as u8, y as u8, (x * y) as u8]));
        let pixels = to_stretched_pixels(&own, shape(32, 32));
        assert_eq!(pixels[1], 1.0 / 255.0 * 2.0 - 1.0);
    }
}
