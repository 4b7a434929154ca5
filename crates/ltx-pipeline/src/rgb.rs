//! Decoded values to 8-bit frames: on the CPU value by value, on another device there, so that a quarter of the bytes come
//! back.
//!
//! Must not know who takes the frames.

use crate::Result;
use candle_core::{DType, Tensor};

/// Bytes of f32 values that a device converts at once; a frame at least.
const GROUP: usize = 32 << 20;

/// Hands every frame of a chunk `[1, 3, f, H, W]` in −1..1 to `each` as interleaved RGB8, rounded to the nearest.
pub(crate) fn each_rgb_frame(chunk: &Tensor, each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    if chunk.device().is_cpu() { on_cpu(chunk, each) } else { on_device(chunk, GROUP, each) }
}

/// Bytes that [`each_rgb_frame`] holds on a device beside a chunk of so many bytes, whose frames have so many pixels.
pub(crate) fn bytes_on_device(chunk: u64, pixels: u64) -> u64 {
    // Two steps of the conversion in f32, and the bytes in both orders.
    3 * chunk.min(GROUP as u64).max(12 * pixels)
}

fn on_cpu(chunk: &Tensor, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let (_, _, frames, height, width) = chunk.dims5()?;
    let values = chunk.flatten_all()?.to_vec1::<f32>()?;
    let plane = height * width;
    let byte = |value: f32| ((value + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8;
    for f in 0..frames {
        let channel = |c: usize| &values[(c * frames + f) * plane..][..plane];
        let pixels = channel(0).iter().zip(channel(1)).zip(channel(2));
        let frame: Vec<u8> = pixels.flat_map(|((r, g), b)| [byte(*r), byte(*g), byte(*b)]).collect();
        each(&frame)?;
    }
    Ok(())
}

/// The same arithmetic by the device's own operations, `group` bytes at a time.
fn on_device(chunk: &Tensor, group: usize, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let (_, channels, frames, height, width) = chunk.dims5()?;
    let frame = channels * height * width;
    let at_once = (group / (4 * frame.max(1))).clamp(1, frames.max(1));
    for first in (0..frames).step_by(at_once) {
        let values = chunk.narrow(2, first, at_once.min(frames - first))?.squeeze(0)?;
        // Two roundings, as on the CPU: one of the sum, one of the product.
        let bytes = ((values + 1.0)? * 127.5)?.round()?.clamp(0f32, 255f32)?.to_dtype(DType::U8)?;
        let bytes = bytes.permute((1, 2, 3, 0))?.contiguous()?.flatten_all()?.to_vec1::<u8>()?;
        bytes.chunks(frame.max(1)).try_for_each(&mut each)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// On the CPU, or as a device does it in groups of so many bytes.
    fn frames(chunk: &Tensor, group: Option<usize>) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        let each = |frame: &[u8]| {
            frames.push(frame.to_vec());
            Ok(())
        };
        match group {
            None => on_cpu(chunk, each),
            Some(group) => on_device(chunk, group, each),
        }
        .unwrap();
        frames
    }

    #[test]
    fn a_device_converts_to_the_same_bytes() {
        let halves = (-6..=6).flat_map(|i| [-1e-7f32, 0.0, 1e-7].map(|d| (i as f32 * 50.0 + 0.5) / 127.5 - 1.0 + d));
        let mut values: Vec<f32> = halves.chain([-7.0, 7.0, 1.0, -1.0, -0.0, f32::MAX]).collect();
        values.resize(3 * 5 * 4 * 6, 0.25);
        let random = Tensor::randn(0f32, 0.7, (1, 3, 5, 4, 6), &Device::Cpu).unwrap();
        for chunk in [Tensor::from_vec(values, (1, 3, 5, 4, 6), &Device::Cpu).unwrap(), random] {
            let expected = frames(&chunk, None);
            assert_eq!((expected.len(), expected[0].len()), (5, 72));
            // A frame at a time, two, all; and from a part of a larger chunk.
            for group in [0, 2 * 72 * 4, GROUP] {
                assert_eq!(frames(&chunk, Some(group)), expected, "{group}");
                let part = chunk.narrow(2, 1, 3).unwrap();
                assert_eq!(frames(&part, Some(group)), expected[1..4], "{group}");
            }
        }
    }
}
