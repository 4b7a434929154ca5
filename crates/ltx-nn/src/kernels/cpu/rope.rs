//! Rotation of the halves of every head.
//!
//! Must not know how the angles were made.

use super::{ensure, f32_slice, level::widest};
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
            widest(
                #[inline(always)]
                || {
                    for (head, (out, x)) in out.chunks_mut(2 * half).zip(x.chunks(2 * half)).enumerate() {
                        let start = if table_heads == 1 { 0 } else { head * half };
                        let (first_out, second_out) = out.split_at_mut(half);
                        let (first, second) = x.split_at(half);
                        rotate(
                            (first_out, second_out),
                            (first, second),
                            (&cos[start..][..half], &sin[start..][..half]),
                        );
                    }
                },
            );
        });
        Ok((CpuStorage::F32(out), x_layout.shape().clone()))
    }
}

#[inline(always)]
fn rotate(
    (first_out, second_out): (&mut [f32], &mut [f32]),
    (first, second): (&[f32], &[f32]),
    (cos, sin): (&[f32], &[f32]),
) {
    let outputs = first_out.iter_mut().zip(second_out);
    let inputs = first.iter().zip(second).zip(cos.iter().zip(sin));
    for ((first_out, second_out), ((first, second), (cos, sin))) in outputs.zip(inputs) {
        *first_out = first * cos - second * sin;
        *second_out = second * cos + first * sin;
    }
}
