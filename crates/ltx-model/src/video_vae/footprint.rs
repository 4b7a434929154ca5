//! What a pass of the encoder or the decoder holds at its worst moment beside weights, walked through block by block as the
//! modules compute. On a GPU in bf16 the layers are our own kernels on clips as they lie; there in other dtypes they are the
//! plain formula on candle's kernels.
//!
//! Must not know tiles or budgets.

use super::{VideoVaeConfig, config::Block};
use crate::footprint::{DeviceKind, Placement};
use candle_core::DType;
use ltx_nn::{Conv3d, Result};
use ltx_types::LatentShape;

/// Bytes of a value on the CPU: convolutions are computed in f32 there, whatever the dtype.
const CPU_VALUE: u64 = 4;
/// Copies of a residual block's values: the stream, and a layer's first output. On the CPU the second is added to the stream in
/// place.
const RESIDUAL_COPIES: u64 = 2;
/// Columns that candle's 2-D convolution unfolds every input into: a 3×3 kernel.
const COLUMNS: u64 = 9;

/// Frames, rows and columns at a place of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClipShape {
    /// Frames.
    pub frames: u64,
    /// Rows.
    pub height: u64,
    /// Columns.
    pub width: u64,
}

impl ClipShape {
    pub(crate) fn positions(self) -> u64 {
        self.frames * self.height * self.width
    }

    /// The same as the shape of a latent.
    pub(super) fn latent(self) -> LatentShape {
        let Self { frames, height, width } = self;
        LatentShape { frames: frames as usize, height: height as usize, width: width as usize }
    }

    /// After an upsampling; a temporal one drops the first frame it makes.
    pub(super) fn up(self, [time, height, width]: [usize; 3]) -> Self {
        let frames = self.frames * time as u64 - u64::from(time == 2);
        Self { frames, height: self.height * height as u64, width: self.width * width as u64 }
    }

    /// After a downsampling; a temporal one doubles the first frame.
    pub(super) fn down(self, [time, height, width]: [usize; 3]) -> Self {
        let frames = self.with_first_doubled(time).frames / time as u64;
        Self { frames, height: self.height / height as u64, width: self.width / width as u64 }
    }

    /// With a row and a column beyond each side.
    pub(super) fn beyond_sides(self) -> Self {
        Self { height: self.height + 2, width: self.width + 2, ..self }
    }

    fn with_first_doubled(self, time: usize) -> Self {
        Self { frames: self.frames + u64::from(time == 2), ..self }
    }
}

/// A convolution with a 3×3×3 kernel.
struct Conv {
    inputs: u64,
    /// Channels out, before unfolding.
    outputs: u64,
    /// Whether a norm stands before it.
    normed: bool,
}

impl Conv {
    /// Values beside the input while it is computed, its output included.
    fn values(&self, at: ClipShape, placement: Placement) -> u64 {
        let Self { inputs, outputs, normed } = *self;
        let positions = at.positions();
        match (placement.device, placement.dtype) {
            // Norm and SiLU are made patch by patch.
            (DeviceKind::Cpu, _) => outputs * positions,
            (DeviceKind::Gpu, DType::BF16) => {
                // The input normalised, or with room behind its channels; the output.
                let padded = inputs.next_multiple_of(8);
                let read = if normed || padded != inputs { padded } else { 0 };
                (read + outputs) * positions
            }
            (DeviceKind::Gpu, _) => {
                // The input normalised, channels first, with frames around it; one kernel frame's share of it, and that
                // unfolded.
                let around = inputs * (ClipShape { frames: at.frames + 2, ..at }).positions();
                let before = (u64::from(normed) + 1 + 1 + COLUMNS) * inputs * positions + around;
                // A kernel frame's product, the same channels first, the sum, and that unfolded.
                before + 4 * outputs * positions
            }
        }
    }
}

/// Values of a residual block at its worst moment.
fn residual(channels: u64, at: ClipShape, placement: Placement) -> u64 {
    let clip = channels * at.positions();
    match placement.device {
        DeviceKind::Cpu => RESIDUAL_COPIES * clip,
        // The stream, the first layer's output, and what the second makes of it.
        DeviceKind::Gpu => {
            RESIDUAL_COPIES * clip + Conv { inputs: channels, outputs: channels, normed: true }.values(at, placement)
        }
    }
}

impl VideoVaeConfig {
    /// Bytes at the worst moment of decoding a latent of this shape, its pixels included.
    ///
    /// # Errors
    /// The configuration names a block that is not implemented.
    pub fn decoder_bytes(&self, latent: ClipShape, placement: Placement) -> Result<u64> {
        if let Some(diffusion) = self.diffusion() {
            let latent = latent.latent();
            let bytes = diffusion.bytes(latent, diffusion.cells(diffusion.padded(latent).latent));
            return Ok(bytes + self.encoder_scratch_bytes());
        }
        let (mut at, mut most) = (latent, 0);
        let reflects = self.decoder_reflects();
        for block in self.decoder()? {
            most = most.max(match block {
                // The stream, what a layer takes, that with more beyond its sides, and what it makes of it, so or cut.
                Block::Residual { channels, .. } if reflects => 4 * channels as u64 * at.beyond_sides().positions(),
                Block::Resample { inputs, outputs, stride, residual } if reflects => {
                    let before = inputs as u64 * at.beyond_sides().positions();
                    at = at.up(stride);
                    // The input twice; the result whole and cut, or cut with the skip and their sum.
                    2 * before
                        + (2 + u64::from(residual)) * outputs as u64 * at.beyond_sides().beyond_sides().positions()
                }
                Block::Residual { channels, .. } => {
                    // Our own second layer adds to the stream.
                    let in_place = placement.is_gpu() && placement.dtype == DType::BF16;
                    let added = if in_place { channels as u64 * at.positions() } else { 0 };
                    residual(channels as u64, at, placement) - added
                }
                Block::Resample { inputs, outputs, stride, residual } => {
                    let before = inputs as u64 * at.positions();
                    let folded = (outputs * stride.iter().product::<usize>()) as u64;
                    let conv = Conv { inputs: inputs as u64, outputs: folded, normed: false }.values(at, placement);
                    at = at.up(stride);
                    match placement.device {
                        // Written unfolded, without the frame that is dropped.
                        // A skip is the input unfolded, then as large as the result, which is added to it.
                        DeviceKind::Cpu => before * (1 + u64::from(residual)) + outputs as u64 * at.positions(),
                        DeviceKind::Gpu if residual => 2 * before + conv + outputs as u64 * at.positions(),
                        DeviceKind::Gpu => before + conv,
                    }
                }
            });
        }
        let (base, pixels) = (self.decoder_base() as u64, self.pixel_channels());
        match placement.device {
            DeviceKind::Cpu => {
                // The last features and the folded pixels, or the pixels folded and unfolded.
                let last = match reflects {
                    true => (2 * base + pixels).max(base + 2 * pixels) * at.beyond_sides().positions(),
                    false => (base + pixels).max(2 * pixels) * at.positions(),
                };
                Ok(most.max(last) * CPU_VALUE + Conv3d::scratch_bytes(self.decoder_bottleneck()?))
            }
            DeviceKind::Gpu => {
                let conv = Conv { inputs: base, outputs: pixels, normed: true }.values(at, placement);
                let (last, value) = (base * at.positions() + conv, placement.value_bytes());
                // The pixels folded, unfolded, and in f32.
                let unfolded = pixels * at.positions() * (2 * value + 4);
                Ok((most.max(last) * value).max(unfolded))
            }
        }
    }

    /// Bytes that encoding images leaves in the threads that did it, on the CPU.
    pub fn encoder_scratch_bytes(&self) -> u64 {
        Conv3d::scratch_bytes(self.encoder_bottleneck())
    }

    /// Bytes at the worst moment of encoding pixels of this shape.
    ///
    /// # Errors
    /// The configuration names a block that is not implemented.
    pub fn encoder_bytes(&self, pixels: ClipShape, placement: Placement) -> Result<u64> {
        let patch = self.patch_size;
        let mut at = pixels.down([1, patch, patch]);
        let (base, folded) = (self.encoder_base() as u64, self.pixel_channels());
        // The pixels, the same folded, and the first convolution.
        let mut most =
            2 * folded * at.positions() + Conv { inputs: folded, outputs: base, normed: false }.values(at, placement);
        for block in self.encoder()? {
            most = most.max(match block {
                Block::Residual { channels, .. } => residual(channels as u64, at, placement),
                Block::Resample { inputs, outputs, stride, .. } => {
                    let (inputs, doubled) = (inputs as u64, at.with_first_doubled(stride[0]).positions());
                    let before = match placement.device {
                        // The input, and the same folded.
                        DeviceKind::Cpu => inputs * (at.positions() + doubled),
                        // The input, the same doubled and folded, and the convolution.
                        DeviceKind::Gpu => {
                            let inner = (outputs / stride.iter().product::<usize>().max(1)) as u64;
                            let conv = Conv { inputs, outputs: inner, normed: false }.values(at, placement);
                            inputs * (at.positions() + 2 * doubled) + conv
                        }
                    };
                    at = at.down(stride);
                    // The shortcut, the convolution's output, and the same folded and added to it.
                    before + 3 * outputs as u64 * at.positions()
                }
            });
        }
        match placement.device {
            DeviceKind::Cpu => Ok(most * CPU_VALUE + self.encoder_scratch_bytes()),
            DeviceKind::Gpu => Ok(most * placement.value_bytes()),
        }
    }

    /// Channels of a pixel patch.
    fn pixel_channels(&self) -> u64 {
        (3 * self.patch_size * self.patch_size) as u64
    }
}
