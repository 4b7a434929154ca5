//! Raising a frame: its channels are widened, then unfold into frames, rows and columns.
//!
//! Must not know the blocks around it.

use super::frames::Frames;
use candle_core::Tensor;
use ltx_nn::{Linear, Result, Vb};

/// A widening whose outputs are ordered (channel, frame, row, column).
pub(super) struct Upsample {
    proj: Linear,
    stride: [usize; 3],
    outputs: usize,
}

impl Upsample {
    pub(super) fn load(vb: &Vb, (inputs, outputs): (usize, usize), stride: [usize; 3]) -> Result<Self> {
        let folded = outputs * stride.iter().product::<usize>();
        Ok(Self { proj: Linear::load(&vb.pp("proj"), inputs, folded)?, stride, outputs })
    }

    /// What a frame of `rows × columns` becomes.
    ///
    /// # Shapes
    /// `[1, rows · columns, inputs]` → as many as the stride has frames, `[1, positions, outputs]` each.
    pub(super) fn frame(&self, x: &Tensor, rows: usize, columns: usize) -> Result<Vec<Tensor>> {
        let [st, sr, sc] = self.stride;
        let y = self.proj.forward(x)?.reshape(vec![rows, columns, self.outputs, st, sr, sc])?;
        let y = y.permute(vec![3, 0, 4, 1, 5, 2])?.contiguous()?;
        let y = y.reshape((st, rows * sr * columns * sc, self.outputs))?;
        (0..st).map(|frame| Ok(y.narrow(0, frame, 1)?.contiguous()?)).collect()
    }

    /// A clip raised, its frames let go one by one. Where time is doubled, a clip's first frame is there twice: the copy is dropped.
    pub(super) fn forward(&self, x: Frames, is_first: bool) -> Result<Frames> {
        let [_, sr, sc] = self.stride;
        let Frames { frames, rows, columns } = x;
        let mut raised = Vec::with_capacity(frames.len() * self.stride[0]);
        for frame in frames {
            raised.extend(
                self.frame(&frame, rows, columns)?.into_iter().skip(self.dropped(raised.is_empty() && is_first)),
            );
        }
        Ok(Frames { frames: raised, rows: rows * sr, columns: columns * sc })
    }

    /// Frames to drop of what the first frame of a clip becomes.
    pub(super) fn dropped(&self, is_first: bool) -> usize {
        usize::from(is_first && self.stride[0] == 2)
    }
}
