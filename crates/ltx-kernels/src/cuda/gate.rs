//! Launches of `gate.cu`: the gated residual, the gate of heads, GELU.
//!
//! Must not know what is gated.

use super::{
    launch::{Element, Launch, Module, blocks},
    norm::{Rows, Table},
};
use candle_core::Result;

/// `x, y, table, index → out`, by the table's row `gate`.
pub(super) fn gated_residual(element: Element, rows: Rows, (table, gate): (Table, usize)) -> Result<Launch> {
    let launch = Launch::new(Module::Gate, "gated_residual", element, [rows.rows, 1, 1])?.tensors(5);
    let launch = launch.ints(&[rows.width])?.table(table, rows.width, [gate])?;
    launch.ints(&[usize::from(rows.whole)])
}

/// `x, logits → out`, of rows of `heads` heads of `head_dim` values.
pub(super) fn gate_heads(
    element: Element,
    (rows, heads, head_dim): (usize, usize, usize),
    whole: bool,
) -> Result<Launch> {
    let launch = Launch::new(Module::Gate, "gate_heads", element, [rows, 1, 1])?.tensors(3);
    Ok(launch.ints(&[heads, head_dim, usize::from(whole)])?.row_of(heads * head_dim.div_ceil(element.pack())))
}

/// `x → out`, of `count` values; `whole`: both begin at aligned addresses.
pub(super) fn gelu(element: Element, count: usize, whole: bool) -> Result<Launch> {
    let grid = [blocks(count, element.pack()), 1, 1];
    Launch::new(Module::Gate, "gelu", element, grid)?.tensors(2).long(count).ints(&[usize::from(whole)])
}
