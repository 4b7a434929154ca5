//! Pictures become the pixels a video VAE takes: resized to cover the frame, cropped around the centre, in [-1, 1].
//!
//! Must not know tensors: the result is a flat vector. The mathematics is the reference's `resize_and_center_crop` and
//! `normalize_images` (Lightricks/LTX-2, `ltx_pipelines/utils/media_io`) on `torch.nn.functional.interpolate`.

use image::RgbImage;
use ltx_types::PixelShape;

/// Resizes `image` to cover `shape` (bilinear, half-pixel centres, no antialiasing), crops around the centre, and maps
/// 0..=255 to [-1, 1].
///
/// # Shapes
/// Returns `[3, height, width]` planar, row by row, f32: `x / 127.5 − 1`.
///
/// # Panics
/// `image` has no pixels. [`open_image`](crate::open_image) never returns such an image.
pub fn to_pixels(image: &RgbImage, shape: PixelShape) -> Vec<f32> {
    let (source_width, source_height) = (image.width() as usize, image.height() as usize);
    assert!(source_width > 0 && source_height > 0, "an image without pixels");
    let scale = (shape.height as f64 / source_height as f64).max(shape.width as f64 / source_width as f64);
    let columns = taps(source_width, scale, shape.width);
    let rows = taps(source_height, scale, shape.height);

    let samples = image.as_raw();
    let mut pixels = Vec::with_capacity(3 * shape.width * shape.height);
    for channel in 0..3 {
        for row in &rows {
            let line = |y: usize| &samples[y * source_width * 3..(y + 1) * source_width * 3];
            let (upper, lower) = (line(row.first), line(row.second));
            pixels.extend(columns.iter().map(|column| {
                let across = |line: &[u8]| {
                    let sample = |x: usize| f32::from(line[x * 3 + channel]);
                    column.first_weight * sample(column.first) + column.second_weight * sample(column.second)
                };
                let value = row.first_weight * across(upper) + row.second_weight * across(lower);
                value / 127.5 - 1.0
            }));
        }
    }
    pixels
}

/// The two source samples that one output sample is mixed from.
struct Tap {
    first: usize,
    second: usize,
    first_weight: f32,
    second_weight: f32,
}

/// Taps of the `target` samples in the middle of one resized axis. The resized length is rounded up in f64, positions
/// are f32, both as the reference has them.
fn taps(source: usize, scale: f64, target: usize) -> Vec<Tap> {
    let resized = (source as f64 * scale).ceil() as usize;
    let offset = resized.saturating_sub(target) / 2;
    let ratio = source as f32 / resized as f32;
    let tap = |output: usize| {
        let position = (ratio * (output as f32 + 0.5) - 0.5).max(0.0);
        let first = (position as usize).min(source - 1);
        let second_weight = (position - first as f32).clamp(0.0, 1.0);
        Tap { first, second: (first + 1).min(source - 1), first_weight: 1.0 - second_weight, second_weight }
    };
    (offset..offset + target).map(tap).collect()
}
