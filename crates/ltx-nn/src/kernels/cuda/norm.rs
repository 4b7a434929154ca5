//! Launches of `norm.cu`: normalisation of rows, with modulation or a weight.
//!
//! Must not know AdaLN.

use super::launch::{Element, Launch, Module, SUMS};
use candle_core::Result;

/// How rows are normalised before they are modulated; numbers as in `norm.cu`.
#[derive(Debug, Clone, Copy)]
pub(super) enum By {
    Rms = 0,
    Layer = 1,
    Not = 2,
}

/// Rows of a sequence and how tables belong to them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows {
    pub(super) rows: usize,
    pub(super) width: usize,
    /// Rows that share a row of the tables.
    pub(super) per_table: usize,
    /// Whether rows hold whole packs at aligned addresses.
    pub(super) whole: bool,
}

/// `x, shift, scale → out`.
pub(super) fn norm_modulate(element: Element, rows: Rows, by: By, eps: f32) -> Result<Launch> {
    let launch = Launch::new(Module::Norm, "norm_modulate", element, [rows.rows, 1, 1])?.tensors(4);
    let launch = launch.ints(&[rows.width, rows.per_table, by as usize])?.float(eps);
    Ok(launch.ints(&[usize::from(rows.whole)])?.shared(SUMS))
}

/// `x, weight → out`; where not `weighted`, the weight is not read.
pub(super) fn rms_norm(element: Element, rows: Rows, weighted: bool, eps: f32) -> Result<Launch> {
    let launch = Launch::new(Module::Norm, "rms_norm", element, [rows.rows, 1, 1])?.tensors(3);
    let launch = launch.ints(&[rows.width])?.float(eps);
    Ok(launch.ints(&[usize::from(weighted), usize::from(rows.whole)])?.shared(SUMS))
}
