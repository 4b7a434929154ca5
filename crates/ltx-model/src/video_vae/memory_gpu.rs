//! What a pass of the encoder or the decoder holds of a GPU's memory at its worst moment, walked through block by block. In
//! bf16 the layers are our own kernels on clips as they lie; in other dtypes they are the plain formula on candle's kernels.
//!
//! Must not know tiles or budgets.

use super::{VideoVaeConfig, config::Block, memory::ClipShape};
use candle_core::DType;
use ltx_nn::Result;

/// Columns that candle's 2-D convolution unfolds every input into: a 3×3 kernel.
const COLUMNS: u64 = 9;

/// A convolution with a 3×3×3 kernel: channels in, channels out before unfolding.
struct Conv {
    inputs: u64,
    outputs: u64,
    /// Whether a norm stands before it.
    normed: bool,
}

impl Conv {
    /// Values beside the input while it is computed, its output included.
    fn values(&self, at: ClipShape, dtype: DType) -> u64 {
        let Self { inputs, outputs, normed } = *self;
        let positions = at.positions();
        if dtype == DType::BF16 {
            // The input normalised, or with room behind its channels; the output.
            let padded = inputs.next_multiple_of(8);
            let read = if normed || padded != inputs { padded } else { 0 };
            return (read + outputs) * positions;
        }
        // The input normalised, channels first, with frames around it; one kernel frame's share of it, and that unfolded.
        let around = inputs * (ClipShape { frames: at.frames + 2, ..at }).positions();
        let before = (u64::from(normed) + 1 + 1 + COLUMNS) * inputs * positions + around;
        // A kernel frame's product, the same channels first, the sum, and that unfolded.
        before + 4 * outputs * positions
    }
}

impl VideoVaeConfig {
    /// Bytes at the worst moment of decoding a latent of this shape on a GPU, its pixels in f32 included.
    ///
    /// # Errors
    /// The configuration names a block that is not implemented.
    pub fn decoder_bytes_on_gpu(&self, latent: ClipShape, dtype: DType) -> Result<u64> {
        let (mut at, mut most) = (latent, 0);
        for block in self.decoder()? {
            let values = match block {
                // The stream, the first layer's output, and what the second makes of it. In bf16 that one adds to the stream.
                Block::Residual { channels, .. } => {
                    let channels = channels as u64;
                    let conv = Conv { inputs: channels, outputs: channels, normed: true };
                    let in_place = if dtype == DType::BF16 { channels * at.positions() } else { 0 };
                    2 * channels * at.positions() + conv.values(at, dtype) - in_place
                }
                Block::Resample { inputs, outputs, stride } => {
                    let folded = (outputs * stride.iter().product::<usize>()) as u64;
                    let conv = Conv { inputs: inputs as u64, outputs: folded, normed: false };
                    let values = inputs as u64 * at.positions() + conv.values(at, dtype);
                    at = at.up(stride);
                    values
                }
            };
            most = most.max(values);
        }
        let (base, pixels) = (self.decoder_base() as u64, self.pixel_channels());
        let last = base * at.positions() + Conv { inputs: base, outputs: pixels, normed: true }.values(at, dtype);
        let value = dtype.size_in_bytes() as u64;
        // The pixels folded, unfolded, and in f32.
        let unfolded = pixels * at.positions() * (2 * value + 4);
        Ok((most.max(last) * value).max(unfolded))
    }

    /// Bytes at the worst moment of encoding pixels of this shape on a GPU.
    ///
    /// # Errors
    /// The configuration names a block that is not implemented.
    pub fn encoder_bytes_on_gpu(&self, pixels: ClipShape, dtype: DType) -> Result<u64> {
        let patch = self.patch_size;
        let mut at = pixels.down([1, patch, patch]);
        let (base, folded) = (self.encoder_base() as u64, self.pixel_channels());
        // The pixels, the same folded, and the first convolution.
        let mut most =
            2 * folded * at.positions() + Conv { inputs: folded, outputs: base, normed: false }.values(at, dtype);
        for block in self.encoder()? {
            let values = match block {
                Block::Residual { channels, .. } => {
                    let channels = channels as u64;
                    let conv = Conv { inputs: channels, outputs: channels, normed: true };
                    2 * channels * at.positions() + conv.values(at, dtype)
                }
                Block::Resample { inputs, outputs, stride } => {
                    let doubled = ClipShape { frames: at.frames + u64::from(stride[0] == 2), ..at };
                    let inner = (outputs / stride.iter().product::<usize>().max(1)) as u64;
                    let conv = Conv { inputs: inputs as u64, outputs: inner, normed: false }.values(at, dtype);
                    // The input, the same doubled and folded, and the convolution.
                    let before = inputs as u64 * (at.positions() + 2 * doubled.positions()) + conv;
                    at = at.down(stride);
                    // The shortcut, and the convolution's output folded and added to it.
                    before + 3 * outputs as u64 * at.positions()
                }
            };
            most = most.max(values);
        }
        Ok(most * dtype.size_in_bytes() as u64)
    }
}
