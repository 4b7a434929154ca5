//! What shifts, scales and lets through a block's values: of a block that is told a timestep, rows of it and a table; the weights of its
//! norms are part of its scales.
//!
//! Must not know what is modulated.

use candle_core::Tensor;
use ltx_nn::{Modulation, Result, ShiftScale};

/// Rows of a block's modulation.
pub(super) const ATTENTION: ShiftScale = ShiftScale { shift: 0, scale: 1 };
pub(super) const PERCEPTRON: ShiftScale = ShiftScale { shift: 2, scale: 3 };
/// The row of ones, by which what a layer adds is let through as it is.
pub(super) const WHOLE: usize = 4;

/// Rows of the embedded timestep: of attention scale, shift and gate, of the perceptron the same, the context's gate. Gates are part of
/// the weights, so their rows stand for nothing.
pub(super) const STATED: usize = 7;
const STATED_ATTENTION: ShiftScale = ShiftScale { scale: 0, shift: 1 };
const STATED_PERCEPTRON: ShiftScale = ShiftScale { scale: 3, shift: 4 };

/// The modulation of a block whose norms have these weights, `[channels]`; `stated [7, channels]` where it is told a timestep.
pub(super) fn modulation([first, second]: [&Tensor; 2], stated: Option<&Tensor>) -> Result<Modulation> {
    let pair = |weight: &Tensor, rows: ShiftScale| -> Result<[Tensor; 2]> {
        Ok(match stated {
            Some(stated) => [stated.get(rows.shift)?, ((weight * (stated.get(rows.scale)? + 1.0)?)? - 1.0)?],
            None => [weight.zeros_like()?, (weight - 1.0)?],
        })
    };
    let ([shift, scale], [later_shift, later_scale]) =
        (pair(first, STATED_ATTENTION)?, pair(second, STATED_PERCEPTRON)?);
    let rows = Tensor::stack(&[shift, scale, later_shift, later_scale, first.ones_like()?], 0)?;
    Modulation::new(&rows.unsqueeze(0)?, None)
}
