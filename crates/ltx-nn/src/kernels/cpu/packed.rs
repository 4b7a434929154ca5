//! `x Wᵀ` of a packed matrix: a panel of rows is widened, multiplied, and forgotten.
//!
//! Must not know how values are packed.

use super::{
    ensure, f32_slice,
    gemm::{OnDemand, Out, Product, Strided, as_is},
    level::Level,
};
use crate::packed::Packed;
use candle_core::{CpuStorage, CustomOp1, Error, Layout, Result, Shape};

/// The product with one matrix.
pub(crate) struct PackedProduct {
    pub(crate) weight: Packed,
}

impl CustomOp1 for PackedProduct {
    fn name(&self) -> &'static str {
        "packed-product"
    }

    /// # Shapes
    /// `[rows, inputs]` → `[rows, outputs]`.
    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let [outputs, inputs] = self.weight.shape();
        let (rows, width) = layout.shape().dims2()?;
        ensure(width == inputs, self.name())?;
        let x = f32_slice(storage, layout)?;
        let mut y = vec![0f32; rows * outputs];
        let panel_rows = self.weight.panel_rows().min(outputs);
        let mut panel = vec![0f32; panel_rows * inputs];
        for start in (0..outputs).step_by(panel_rows.max(1)) {
            let count = panel_rows.min(outputs - start);
            let panel = &mut panel[..count * inputs];
            self.weight.widen(start, panel).map_err(Error::wrap)?;
            let out = Out { data: &mut y[start.min(rows * outputs)..], row_stride: outputs };
            let (left, right) =
                (Strided::rows(x, inputs), OnDemand { matrix: Strided::columns(panel, inputs), n: count });
            let product = Product { level: Level::current(), left, right: &right, finish: &as_is, parallel: true };
            product.write((rows, count, inputs), out)?;
        }
        Ok((CpuStorage::F32(y), Shape::from((rows, outputs))))
    }
}
