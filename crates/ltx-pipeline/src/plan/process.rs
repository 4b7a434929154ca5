//! What a process holds beside the weights and activations of its stages. On a GPU, CUDA's own context and the kernels' code
//! are not in it: they lie there before anybody asks what is free.
//!
//! Must not know stages.

use super::Sizes;
use ltx_model::footprint::{DeviceKind, Placement};
use ltx_types::PixelShape;

/// What the process needs before any weight: code, FFmpeg, headers of files.
const PROCESS: u64 = 48 << 20;
/// What the video encoder holds of every pixel of a frame: the frames it looks ahead at, and references.
const ENCODER_BYTES_PER_PIXEL: u64 = 100;
/// What cuBLASLt (`ltx-nn`) and cuBLAS (candle) work in on a GPU.
const WORKSPACES: u64 = 64 << 20;

/// Bytes that are there in every stage of a clip of such frames.
pub(super) fn process_bytes(pixels: PixelShape, sizes: &Sizes, placement: Placement) -> u64 {
    match placement.device {
        DeviceKind::Cpu => PROCESS + ENCODER_BYTES_PER_PIXEL * (pixels.width * pixels.height) as u64,
        DeviceKind::Gpu => WORKSPACES + sizes.small,
    }
}
