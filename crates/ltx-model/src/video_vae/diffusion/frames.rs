//! A clip on its way through the stages: a tensor a frame, so that frames can be replaced one by one.
//!
//! Must not know stages.

use candle_core::{IndexOp, Tensor};
use ltx_nn::Result;
use std::ops::Range;

/// Features of a clip, or of a part of it.
#[derive(Debug, Clone)]
pub(super) struct Frames {
    /// `[1, rows · columns, channels]` each, f32.
    pub(super) frames: Vec<Tensor>,
    pub(super) rows: usize,
    pub(super) columns: usize,
}

impl Frames {
    /// Frames, rows and columns.
    pub(super) fn clip(&self) -> [usize; 3] {
        [self.frames.len(), self.rows, self.columns]
    }

    /// `[1, F, H, W, C]`, for taps.
    pub(super) fn whole(&self) -> Result<Tensor> {
        let frame = |frame: &Tensor| frame.reshape((1, 1, self.rows, self.columns, frame.dim(2)?));
        let frames = self.frames.iter().map(frame).collect::<candle_core::Result<Vec<_>>>()?;
        Ok(Tensor::cat(&frames, 1)?)
    }

    /// A part of it, copied.
    pub(super) fn part(&self, frames: Range<usize>, rows: Range<usize>, columns: Range<usize>) -> Result<Self> {
        let (height, width) = (rows.len(), columns.len());
        let part = |frame: &Tensor| {
            let channels = frame.dim(2)?;
            let part = frame.reshape((self.rows, self.columns, channels))?.i((rows.clone(), columns.clone()))?;
            part.contiguous()?.reshape((1, height * width, channels))
        };
        let frames = self.frames[frames].iter().map(part).collect::<candle_core::Result<Vec<_>>>()?;
        Ok(Self { frames, rows: height, columns: width })
    }
}
