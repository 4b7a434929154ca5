//! What a pass of the encoder or the decoder has to do, walked through block by block as the modules compute.
//!
//! Must not know tiles.

use super::{ClipShape, VideoVaeConfig, config::Block};
use ltx_nn::Result;
use ltx_types::{Unit, Work, channels};

/// Places of a 3×3×3 kernel.
const CUBE: usize = 27;

/// Convolutions one after the other.
#[derive(Debug, Default)]
pub(crate) struct Convolutions(Work);

impl Convolutions {
    /// So many convolutions of a clip with 3×3×3 kernels, from so many channels to so many, those that unfold included.
    pub(crate) fn cubes(&mut self, at: ClipShape, channels: (usize, usize), times: u64) {
        self.add(at, channels, CUBE, times);
    }

    /// The same with kernels of so many places.
    pub(crate) fn add(&mut self, at: ClipShape, (inputs, outputs): (usize, usize), places: usize, times: u64) {
        let class = channels(inputs, outputs);
        let unit = if at.frames == 1 { Unit::FlatConvolution(class) } else { Unit::Convolution(class) };
        let operations = 2 * places as u64 * inputs as u64 * outputs as u64 * at.positions();
        self.0.add(unit, operations * times);
        self.0.add(Unit::Call, times);
    }

    /// Values that are read or written between convolutions.
    pub(crate) fn move_values(&mut self, values: u64) {
        self.0.add(Unit::Value, values);
    }

    pub(crate) fn done(self) -> Work {
        self.0
    }
}

impl VideoVaeConfig {
    /// Decoding a latent of this shape by convolutions.
    ///
    /// # Errors
    /// The configuration names a block that is not implemented.
    pub fn decoder_work(&self, latent: ClipShape) -> Result<Work> {
        let (mut at, mut work) = (latent, Convolutions::default());
        let reflects = self.decoder_reflects();
        let mut convolve = |at: ClipShape, (inputs, outputs): (usize, usize), times: u64| {
            let seen = if reflects { at.beyond_sides() } else { at };
            work.cubes(seen, (inputs, outputs), times);
            if reflects {
                // Rows and columns put around what goes in, and taken off what comes out.
                work.move_values(times * 2 * (inputs + outputs) as u64 * seen.positions());
            }
        };
        convolve(at, (self.latent_channels, self.decoder_bottleneck()?), 1);
        for block in self.decoder()? {
            match block {
                Block::Residual { channels, layers } => convolve(at, (channels, channels), 2 * layers as u64),
                Block::Resample { inputs, outputs, stride, .. } => {
                    convolve(at, (inputs, outputs * stride.iter().product::<usize>()), 1);
                    at = at.up(stride);
                }
            }
        }
        convolve(at, (self.decoder_base(), 3 * self.patch_size * self.patch_size), 1);
        // The pixels unfolded, and in f32.
        work.move_values(4 * (3 * self.patch_size * self.patch_size) as u64 * at.positions());
        Ok(work.done())
    }

    /// Encoding pixels of this shape.
    ///
    /// # Errors
    /// The configuration names a block that is not implemented.
    pub fn encoder_work(&self, pixels: ClipShape) -> Result<Work> {
        let folded = 3 * self.patch_size * self.patch_size;
        let mut at = pixels.down([1, self.patch_size, self.patch_size]);
        let mut work = Convolutions::default();
        let mut last = self.encoder_base();
        work.move_values(4 * folded as u64 * at.positions());
        work.cubes(at, (folded, last), 1);
        for block in self.encoder()? {
            match block {
                Block::Residual { channels, layers } => work.cubes(at, (channels, channels), 2 * layers as u64),
                Block::Resample { inputs, outputs, stride, .. } => {
                    work.cubes(at, (inputs, outputs / stride.iter().product::<usize>()), 1);
                    // The input folded for the skip and averaged; the output folded and added.
                    work.move_values(3 * inputs as u64 * at.positions());
                    at = at.down(stride);
                    work.move_values(4 * outputs as u64 * at.positions());
                    last = outputs;
                }
            }
        }
        work.cubes(at, (last, self.encoder_outputs()?), 1);
        Ok(work.done())
    }
}
