//! The left matrix, in panels of [`ROWS`] rows.
//!
//! Must not know what is multiplied with it.

use super::{
    COLUMNS, DEPTH, ROWS, Tile, TileOut, multiply_tile,
    transpose::{PIECE, transpose},
};
use crate::cpu::level::Level;
use rayon::prelude::*;

/// A strided matrix inside a slice.
#[derive(Clone, Copy)]
pub(crate) struct Strided<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) row_stride: usize,
    pub(crate) column_stride: usize,
}

impl<'a> Strided<'a> {
    /// Rows that lie one after the other.
    pub(crate) fn rows(data: &'a [f32], row_stride: usize) -> Self {
        Self { data, row_stride, column_stride: 1 }
    }

    /// The matrix whose columns are the rows that lie one after the other.
    pub(crate) fn columns(data: &'a [f32], column_stride: usize) -> Self {
        Self { data, row_stride: 1, column_stride }
    }

    /// The matrix without its first columns.
    pub(super) fn without_columns(&self, first: usize) -> Self {
        Self { data: self.data.get(first * self.column_stride..).unwrap_or_default(), ..*self }
    }

    /// Whether the slice reaches as far as the matrix does.
    pub(super) fn holds(&self, rows: usize, columns: usize) -> bool {
        rows == 0 || columns == 0 || (rows - 1) * self.row_stride + (columns - 1) * self.column_stride < self.data.len()
    }
}

/// How rows are packed.
#[derive(Clone, Copy)]
pub(crate) struct Packing {
    pub(crate) level: Level,
    /// Uses rayon's threads; else this one alone.
    pub(crate) parallel: bool,
}

/// Some rows, packed: blocks of [`DEPTH`] values of `k`, in each the panels `[k, ROWS]` in turn. Rows past the last are 0.
pub(crate) struct LeftPanels {
    data: Vec<f32>,
    panels: usize,
    rows: usize,
    k: usize,
}

impl LeftPanels {
    /// Packs rows `first..first + rows`. The buffer of an earlier one can be used again.
    pub(crate) fn pack(
        buffer: Vec<f32>,
        matrix: &Strided<'_>,
        (first, rows): (usize, usize),
        k: usize,
        packing: Packing,
    ) -> Self {
        let panels = rows.div_ceil(ROWS);
        let mut data = buffer;
        data.resize(panels * ROWS * k, 0.0);
        let fill = |(block, out): (usize, &mut [f32])| {
            let start = block * DEPTH;
            let depth = DEPTH.min(k - start);
            for (panel, out) in out.chunks_mut(depth * ROWS).enumerate() {
                let panel_rows = ROWS.min(rows - panel * ROWS);
                fill_panel(packing.level, out, matrix, (first + panel * ROWS, panel_rows), start);
            }
        };
        let size = (panels * ROWS * DEPTH).max(1);
        if packing.parallel {
            data.par_chunks_mut(size).enumerate().for_each(fill);
        } else {
            data.chunks_mut(size).enumerate().for_each(fill);
        }
        Self { data, panels, rows, k }
    }

    pub(crate) fn panels(&self) -> usize {
        self.panels
    }

    /// Rows that panel `panel` really has.
    pub(super) fn rows_of(&self, panel: usize) -> usize {
        ROWS.min(self.rows - panel * ROWS)
    }

    /// Panel `panel` from `k = start` on (a multiple of [`DEPTH`]): `[depth, ROWS]`.
    pub(super) fn panel(&self, panel: usize, start: usize) -> &[f32] {
        let depth = DEPTH.min(self.k - start);
        &self.data[start * self.panels * ROWS + panel * depth * ROWS..][..depth * ROWS]
    }

    /// Multiplies every value.
    pub(crate) fn scale(&mut self, scale: f32) {
        self.data.iter_mut().for_each(|value| *value *= scale);
    }

    /// All of panel `panel`, times a panel `[k, COLUMNS]` of a right matrix.
    pub(crate) fn multiply(&self, level: Level, panel: usize, right: &[f32], out: &mut TileOut<'_>) {
        let add = out.add;
        for start in (0..self.k).step_by(DEPTH) {
            let left = self.panel(panel, start);
            let depth = left.len() / ROWS;
            let right = &right[start * COLUMNS..][..depth * COLUMNS];
            let rows = self.rows_of(panel);
            let tile = Tile { left, row_stride: 1, k_stride: ROWS, rows, right, k: depth, next: &[] };
            out.add = add || start > 0;
            multiply_tile(level, &tile, out);
        }
    }

    /// The buffer, to be packed again.
    pub(crate) fn into_buffer(self) -> Vec<f32> {
        self.data
    }
}

fn fill_panel(level: Level, out: &mut [f32], matrix: &Strided<'_>, (first, rows): (usize, usize), start: usize) {
    let (lines, _) = out.as_chunks_mut::<ROWS>();
    if rows < ROWS {
        lines.as_flattened_mut().fill(0.0);
    }
    for (piece, lines) in lines.chunks_mut(PIECE).enumerate() {
        let source = &matrix.data[first * matrix.row_stride + (start + piece * PIECE) * matrix.column_stride..];
        if matrix.column_stride == 1 {
            transpose(level, (source, matrix.row_stride), rows, (lines, 0));
        } else {
            for (k, line) in lines.iter_mut().enumerate() {
                for (row, value) in line.iter_mut().enumerate().take(rows) {
                    *value = source[row * matrix.row_stride + k * matrix.column_stride];
                }
            }
        }
    }
}
