//! The right matrix, in panels of [`COLUMNS`] columns: packed beforehand, or made when they are multiplied.
//!
//! Must not know what is multiplied with it.

use super::{
    COLUMNS, DEPTH,
    left::Strided,
    transpose::{PIECE, transpose},
};
use crate::{KernelError, cpu::level::Level};
use rayon::prelude::*;
use std::ops::Range;

/// A right matrix `[k, n]`.
pub(crate) trait Right: Sync {
    /// Rows `k` of panel `panel`, `[k.len(), COLUMNS]`: in place, or written to `scratch`, which is at least as large.
    /// Columns past the last are 0.
    fn panel<'a>(&'a self, panel: usize, k: Range<usize>, scratch: &'a mut [f32]) -> &'a [f32];

    /// Whether panels lie ready; others should serve as many rows as possible.
    const READY: bool;

    /// What [`Right::panel`] will read for it, if that is worth asking for early.
    fn ahead(&self, _panel: usize, _k: Range<usize>) -> &[f32] {
        &[]
    }
}

/// A right matrix packed beforehand: panel after panel, `[k, COLUMNS]` each.
#[derive(Clone)]
pub(crate) struct RightPanels<D> {
    data: D,
    k: usize,
}

impl RightPanels<Vec<f32>> {
    /// Packs a matrix `[k, n]`.
    pub(crate) fn pack(level: Level, matrix: &Strided<'_>, (k, n): (usize, usize)) -> Self {
        let mut data = vec![0f32; n.div_ceil(COLUMNS) * COLUMNS * k];
        data.par_chunks_mut((COLUMNS * k).max(1)).enumerate().for_each(|(panel, out)| {
            fill_panel(level, out, matrix, panel * COLUMNS..n.min((panel + 1) * COLUMNS), 0);
        });
        Self { data, k }
    }

    /// Packs a matrix `[k, n]` whose panels are made on demand.
    pub(crate) fn made(right: &impl Right, (k, n): (usize, usize)) -> Self {
        let mut data = vec![0f32; n.div_ceil(COLUMNS) * COLUMNS * k];
        data.par_chunks_mut((COLUMNS * k).max(1)).enumerate().for_each(|(panel, out)| {
            for (piece, out) in out.chunks_mut(COLUMNS * DEPTH).enumerate() {
                let start = piece * DEPTH;
                right.panel(panel, start..start + out.len() / COLUMNS, out);
            }
        });
        Self { data, k }
    }

    /// The panels, one after the other.
    pub(crate) fn into_data(self) -> Vec<f32> {
        self.data
    }
}

/// `weight [outputs, inputs]` as panels of outputs, `[⌈outputs / COLUMNS⌉, inputs, COLUMNS]`; outputs past the last are 0.
///
/// # Errors
/// `weight` is not as long as its shape says.
pub fn panels(level: Level, weight: &[f32], [outputs, inputs]: [usize; 2]) -> Result<Vec<f32>, KernelError> {
    KernelError::ensure(weight.len() == outputs * inputs, "linear")?;
    Ok(RightPanels::pack(level, &Strided::columns(weight, inputs), (inputs, outputs)).into_data())
}

impl<'a> RightPanels<&'a [f32]> {
    /// Panels that were packed earlier: `[panels, k, COLUMNS]`.
    pub(crate) fn packed(data: &'a [f32], k: usize) -> Self {
        Self { data, k }
    }
}

impl<D: AsRef<[f32]> + Sync> Right for RightPanels<D> {
    const READY: bool = true;

    fn panel<'a>(&'a self, panel: usize, k: Range<usize>, _: &'a mut [f32]) -> &'a [f32] {
        self.ahead(panel, k)
    }

    fn ahead(&self, panel: usize, k: Range<usize>) -> &[f32] {
        let start = panel * self.k * COLUMNS;
        self.data.as_ref().get(start + k.start * COLUMNS..start + k.end * COLUMNS).unwrap_or_default()
    }
}

/// A strided right matrix `[k, n]` that is packed panel by panel when it is multiplied.
pub(crate) struct OnDemand<'a> {
    pub(crate) level: Level,
    pub(crate) matrix: Strided<'a>,
    pub(crate) n: usize,
}

impl Right for OnDemand<'_> {
    const READY: bool = false;

    fn panel<'a>(&'a self, panel: usize, k: Range<usize>, scratch: &'a mut [f32]) -> &'a [f32] {
        let out = &mut scratch[..k.len() * COLUMNS];
        let columns = panel * COLUMNS..self.n.min((panel + 1) * COLUMNS);
        fill_panel(self.level, out, &self.matrix, columns, k.start);
        out
    }
}

/// Fills `out [k, COLUMNS]` with `columns` of the rows from `start` on.
fn fill_panel(level: Level, out: &mut [f32], matrix: &Strided<'_>, columns: Range<usize>, start: usize) {
    let width = columns.len();
    let (lines, _) = out.as_chunks_mut::<COLUMNS>();
    if width < COLUMNS {
        lines.as_flattened_mut().fill(0.0);
    }
    if matrix.column_stride == 1 {
        for (k, line) in lines.iter_mut().enumerate() {
            let source = &matrix.data[(start + k) * matrix.row_stride + columns.start..][..width];
            match <&[f32; COLUMNS]>::try_from(source) {
                Ok(source) => *line = *source,
                Err(_) => line[..width].copy_from_slice(source),
            }
        }
        return;
    }
    for (piece, lines) in lines.chunks_mut(PIECE).enumerate() {
        let first = (start + piece * PIECE) * matrix.row_stride;
        for column in (0..width).step_by(PIECE) {
            let source = &matrix.data[first + (columns.start + column) * matrix.column_stride..];
            let count = PIECE.min(width - column);
            if matrix.row_stride == 1 {
                transpose(level, (source, matrix.column_stride), count, (lines, column));
            } else {
                for (k, line) in lines.iter_mut().enumerate() {
                    for (i, value) in line[column..column + count].iter_mut().enumerate() {
                        *value = source[k * matrix.row_stride + i * matrix.column_stride];
                    }
                }
            }
        }
    }
}
