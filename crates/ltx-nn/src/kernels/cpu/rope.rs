//! Rotation of the halves of every head.
//!
//! Must not know how the angles were made.

use super::{ensure, f32_slice};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape};
use rayon::prelude::*;

/// `x [B, T, heads · head_dim]` rotated by `cos` and `sin` `[T, heads or 1, head_dim / 2]`.
pub(crate) struct Rope {
    pub(crate) heads: usize,
}

impl CustomOp3 for Rope {
    fn name(&self) -> &'static str {
        "rope"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        cos: &CpuStorage,
        cos_layout: &Layout,
        sin: &CpuStorage,
        sin_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (_, tokens, inner) = x_layout.shape().dims3()?;
        let (table_tokens, table_heads, half) = cos_layout.shape().dims3()?;
        let fits = table_tokens == tokens
            && cos_layout.dims() == sin_layout.dims()
            && (table_heads == 1 || table_heads == self.heads)
            && 2 * half * self.heads == inner;
        ensure(fits, "rope")?;
        let (x, cos, sin) = (f32_slice(x, x_layout)?, f32_slice(cos, cos_layout)?, f32_slice(sin, sin_layout)?);
        let mut out = vec![0f32; x.len()];
        let row = table_heads * half;
        out.par_chunks_mut(inner).zip(x.par_chunks(inner)).enumerate().for_each(|(i, (out, x))| {
            let token = i % tokens;
            let (cos, sin) = (&cos[token * row..(token + 1) * row], &sin[token * row..(token + 1) * row]);
            for (head, (out, x)) in out.chunks_mut(2 * half).zip(x.chunks(2 * half)).enumerate() {
                let start = if table_heads == 1 { 0 } else { head * half };
                let (first_out, second_out) = out.split_at_mut(half);
                let (first, second) = x.split_at(half);
                for j in 0..half {
                    let (c, s) = (cos[start + j], sin[start + j]);
                    first_out[j] = first[j] * c - second[j] * s;
                    second_out[j] = second[j] * c + first[j] * s;
                }
            }
        });
        Ok((CpuStorage::F32(out), x_layout.shape().clone()))
    }
}
