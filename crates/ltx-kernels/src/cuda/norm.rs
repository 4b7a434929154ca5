//! Launches of `norm.cu`: normalisation of rows, with modulation or a weight.
//!
//! Must not know AdaLN.

use super::launch::{Element, Launch, Module, SUMS};
use crate::Normalize;
use candle_core::Result;

/// Rows of a sequence.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows {
    /// Of all samples.
    pub(super) rows: usize,
    pub(super) width: usize,
    /// Whether rows hold whole packs at aligned addresses, those of tables included.
    pub(super) whole: bool,
}

/// How a modulation's table belongs to the rows of a sequence.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table {
    /// Tokens of one sample.
    pub(super) tokens: usize,
    /// Rows per value.
    pub(super) count: usize,
    /// Whether tokens name their values; else all have the first, and the index is not read.
    pub(super) indexed: bool,
}

impl Launch {
    /// The threads of a block for a row of packs.
    pub(super) fn for_rows(self, element: Element, width: usize) -> Self {
        self.row_of(width.div_ceil(element.pack()))
    }

    /// Where a table's rows lie: tokens, values from one value to the next, the rows' own places, whether there is an index.
    pub(super) fn table<const N: usize>(self, table: Table, width: usize, rows: [usize; N]) -> Result<Self> {
        let launch = self.ints(&[table.tokens, table.count * width])?.ints(&rows.map(|row| row * width))?;
        launch.ints(&[usize::from(table.indexed)])
    }
}

/// `x, table, index → out`, by the table's rows shift and scale.
pub(super) fn norm_modulate(
    element: Element,
    rows: Rows,
    (table, shift_scale): (Table, [usize; 2]),
    by: Normalize,
    eps: f32,
) -> Result<Launch> {
    let launch = Launch::new(Module::Norm, "norm_modulate", element, [rows.rows, 1, 1])?.tensors(4);
    let launch = launch.ints(&[rows.width])?.table(table, rows.width, shift_scale)?.ints(&[by as usize])?.float(eps);
    Ok(launch.ints(&[usize::from(rows.whole)])?.shared(SUMS).for_rows(element, rows.width))
}

/// `x, table → out`: the table is added to every row.
pub(super) fn add_table(element: Element, rows: Rows) -> Result<Launch> {
    let launch = Launch::new(Module::Norm, "add_table", element, [rows.rows, 1, 1])?.tensors(3);
    Ok(launch.ints(&[rows.width, usize::from(rows.whole)])?.for_rows(element, rows.width))
}

/// `x, weight → out`; where not `weighted`, the weight is not read.
pub(super) fn rms_norm(element: Element, rows: Rows, weighted: bool, eps: f32) -> Result<Launch> {
    let launch = Launch::new(Module::Norm, "rms_norm", element, [rows.rows, 1, 1])?.tensors(3);
    let launch = launch.ints(&[rows.width])?.float(eps);
    let launch = launch.ints(&[usize::from(weighted), usize::from(rows.whole)])?.shared(SUMS);
    Ok(launch.for_rows(element, rows.width))
}
