//! A kernel's weights in the panels that the micro-kernel multiplies.
//!
//! Must not know activations.

use super::{super::gemm::COLUMNS, scratch::Scratch};
use crate::Conv3dConfig;
use rayon::prelude::*;
use std::sync::Arc;

/// Inputs packed side by side, so that a panel's part stays in the first cache.
const PIECE: usize = 16;

/// Weights `[panels, taps, inputs, COLUMNS]` and biases, outputs past the last 0. Outputs that unfold into space and time are
/// ordered (time, row, column, channel), so that a position's channels lie side by side.
#[derive(Debug)]
pub struct PackedConv {
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) kernel: [usize; 3],
    pub(super) unfold: [usize; 3],
    pub(super) scratch: Arc<Scratch>,
}

impl PackedConv {
    /// Packs `weight [outputs, inputs, kt, kh, kw]` and `bias [outputs]`; `None` if their lengths do not fit the sizes.
    pub fn new(weight: &[f32], bias: &[f32], config: &Conv3dConfig) -> Option<Self> {
        let mut packed = Self::of_zeros(bias, config)?;
        (packed.fill(0, weight) == Some(config.outputs)).then_some(packed)
    }

    /// Every weight 0, to be filled; `None` if the biases do not fit the sizes.
    pub fn of_zeros(bias: &[f32], config: &Conv3dConfig) -> Option<Self> {
        let Conv3dConfig { inputs, outputs, kernel, unfold, .. } = *config;
        let (taps, folded) = (kernel.iter().product::<usize>(), unfold.iter().product::<usize>());
        if bias.len() != outputs || taps == 0 || inputs == 0 || folded == 0 || outputs % folded != 0 {
            return None;
        }
        let panels = outputs.div_ceil(COLUMNS);
        let weight = vec![0f32; panels * taps * inputs * COLUMNS];
        let mut ordered = vec![0f32; panels * COLUMNS];
        ordered.iter_mut().zip(0..outputs).for_each(|(value, output)| *value = bias[row_of(output, outputs, unfold)]);
        Some(Self { weight, bias: ordered, inputs, outputs, kernel, unfold, scratch: Scratch::shared() })
    }

    /// Packs rows `[inputs, kt, kh, kw]` from the row `first` on; how many there are, or `None` if they are not whole or too many.
    pub fn fill(&mut self, first: usize, rows: &[f32]) -> Option<usize> {
        let (taps, inputs, outputs) = (self.taps(), self.inputs, self.outputs);
        let count = rows.len() / (taps * inputs);
        if count * taps * inputs != rows.len() || first.checked_add(count)? > outputs {
            return None;
        }
        let (unfold, weight) = (self.unfold, &mut self.weight);
        weight.par_chunks_mut(taps * inputs * COLUMNS).enumerate().for_each(|(panel, out)| {
            let here = (panel * COLUMNS..outputs.min((panel + 1) * COLUMNS)).enumerate();
            let lanes = here.map(|(lane, output)| (lane, row_of(output, outputs, unfold).wrapping_sub(first)));
            for from in (0..inputs).step_by(PIECE) {
                for (lane, row) in lanes.clone().filter(|(_, row)| *row < count) {
                    for input in from..inputs.min(from + PIECE) {
                        let values = &rows[(row * inputs + input) * taps..][..taps];
                        for (tap, value) in values.iter().enumerate() {
                            out[(tap * inputs + input) * COLUMNS + lane] = *value;
                        }
                    }
                }
            }
        });
        Some(count)
    }

    pub(super) fn taps(&self) -> usize {
        self.kernel.iter().product()
    }

    pub(super) fn panels(&self) -> usize {
        self.outputs.div_ceil(COLUMNS)
    }

    /// One panel's weights, `[taps, inputs, COLUMNS]`.
    pub(super) fn panel(&self, panel: usize) -> &[f32] {
        let size = self.taps() * self.inputs * COLUMNS;
        &self.weight[panel * size..][..size]
    }
}

/// The row of the checkpoint's weights that becomes this output.
fn row_of(output: usize, outputs: usize, unfold: [usize; 3]) -> usize {
    let folded = unfold.iter().product::<usize>();
    let channels = outputs / folded;
    output % channels * folded + output / channels
}
