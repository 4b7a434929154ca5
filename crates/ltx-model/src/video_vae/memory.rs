//! What a pass of the encoder or the decoder holds at its worst moment, walked through block by block as the modules compute.
//!
//! Must not know tiles or budgets.

use super::{VideoVaeConfig, config::Block};
use ltx_nn::{Conv3d, Result};

/// Bytes of a value; convolutions are computed in f32 whatever the dtype.
const VALUE: u64 = 4;
/// Copies of a residual block's values: the stream, and a layer's first output. The second is added to the stream in place.
const RESIDUAL_COPIES: u64 = 2;

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
    pub(super) fn positions(self) -> u64 {
        self.frames * self.height * self.width
    }

    /// After an upsampling; a temporal one drops the first frame it makes.
    pub(super) fn up(self, [time, height, width]: [usize; 3]) -> Self {
        let frames = self.frames * time as u64 - u64::from(time == 2);
        Self { frames, height: self.height * height as u64, width: self.width * width as u64 }
    }

    /// After a downsampling; a temporal one doubles the first frame.
    pub(super) fn down(self, [time, height, width]: [usize; 3]) -> Self {
        let frames = (self.frames + u64::from(time == 2)) / time as u64;
        Self { frames, height: self.height / height as u64, width: self.width / width as u64 }
    }
}

impl VideoVaeConfig {
    /// Bytes at the worst moment of decoding a latent of this shape, its pixels included.
    ///
    /// # Errors
    /// The configuration names a block that is not implemented.
    pub fn decoder_bytes(&self, latent: ClipShape) -> Result<u64> {
        let mut at = latent;
        let mut most = 0;
        for block in self.decoder()? {
            let values = match block {
                Block::Residual { channels, .. } => RESIDUAL_COPIES * channels as u64 * at.positions(),
                Block::Resample { inputs, outputs, stride } => {
                    let before = inputs as u64 * at.positions();
                    at = at.up(stride);
                    before + outputs as u64 * at.positions()
                }
            };
            most = most.max(values);
        }
        let (base, pixels) = (self.decoder_base() as u64, self.pixel_channels());
        // The last features and the folded pixels, or the pixels folded and unfolded.
        let last = (base + pixels).max(2 * pixels) * at.positions();
        Ok(most.max(last) * VALUE + Conv3d::scratch_bytes(self.decoder_bottleneck()?))
    }

    /// Bytes at the worst moment of encoding pixels of this shape.
    ///
    /// # Errors
    /// The configuration names a block that is not implemented.
    pub fn encoder_bytes(&self, pixels: ClipShape) -> Result<u64> {
        let patch = self.patch_size;
        let mut at = pixels.down([1, patch, patch]);
        let (base, folded) = (self.encoder_base() as u64, self.pixel_channels());
        let mut most = (2 * folded + base) * at.positions();
        for block in self.encoder()? {
            let values = match block {
                Block::Residual { channels, .. } => RESIDUAL_COPIES * channels as u64 * at.positions(),
                Block::Resample { inputs, outputs, stride } => {
                    let doubled = ClipShape { frames: at.frames + u64::from(stride[0] == 2), ..at };
                    let before = inputs as u64 * (at.positions() + doubled.positions());
                    at = at.down(stride);
                    // Beside the input and the same folded: the shortcut, the convolution's output, and the same folded.
                    before + 3 * outputs as u64 * at.positions()
                }
            };
            most = most.max(values);
        }
        Ok(most * VALUE + Conv3d::scratch_bytes(self.encoder_bottleneck()))
    }

    /// Channels of a pixel patch.
    pub(super) fn pixel_channels(&self) -> u64 {
        (3 * self.patch_size * self.patch_size) as u64
    }
}
