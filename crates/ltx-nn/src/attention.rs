//! Scaled dot-product attention, exact, in memory that does not grow with the square of the tokens.
//! Source: Vaswani et al., “Attention Is All You Need” (2017).
//!
//! Must not know where queries, keys and values come from.

use crate::{
    AttentionShape, Level, Mask, NnError, Result,
    kernels::{cuda, with_values, written},
    profile,
};
use candle_core::{D, DType, Device, Tensor};
use ltx_kernels::{
    KernelError,
    cpu::{self, AttentionSizes},
};

/// `softmax(scale · q kᵀ) v`, the softmax in f32.
///
/// # Shapes
/// `q [B, T, heads · head_dim]`, `k` and `v` `[B, S, kv_heads · head_dim]` → `[B, T, heads · head_dim]`.
///
/// # Errors
/// The sizes do not fit each other.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, shape: &AttentionShape) -> Result<Tensor> {
    let keys = k.dim(1)?;
    profile::timed("attention", || 4 * q.elem_count() * keys, || dispatch(q, k, v, shape))
}

fn dispatch(q: &Tensor, k: &Tensor, v: &Tensor, shape: &AttentionShape) -> Result<Tensor> {
    if q.device().is_cpu() {
        let wide = |t: &Tensor| t.to_dtype(DType::F32)?.contiguous();
        return Ok(on_cpu(&wide(q)?, &wide(k)?, &wide(v)?, shape)?.to_dtype(q.dtype())?);
    }
    match cuda::attention(q, k, v, shape)? {
        Some(out) => Ok(out),
        None => attention_formula(q, k, v, shape),
    }
}

/// The CPU's kernel, in f32.
fn on_cpu(q: &Tensor, k: &Tensor, v: &Tensor, shape: &AttentionShape) -> Result<Tensor> {
    let ((batch, queries, width), (kv_batch, keys, _)) = (q.dims3()?, k.dims3()?);
    KernelError::ensure(batch == kv_batch && k.dims() == v.dims(), "attention")?;
    let sizes = AttentionSizes { batch, queries, keys, width };
    let kernel = cpu::Attention { level: Level::current(), shape: *shape };
    with_values([q, k, v], |values| Ok::<_, NnError>(written(q.shape(), |out| kernel.compute(sizes, values, out))?))
}

/// The plain formula on any device, a slice of the queries at a time.
fn attention_formula(q: &Tensor, k: &Tensor, v: &Tensor, shape: &AttentionShape) -> Result<Tensor> {
    const QUERIES: usize = 1024;
    let (b, t, inner) = q.dims3()?;
    let s = k.dim(1)?;
    let head_dim = inner / shape.heads;
    let group = shape.heads / shape.kv_heads;
    let split = |x: &Tensor, len: usize, heads: usize| x.reshape((b, len, heads, head_dim))?.transpose(1, 2);
    let repeat = |x: &Tensor| -> Result<Tensor> {
        let x = split(x, s, shape.kv_heads)?.unsqueeze(2)?.expand((b, shape.kv_heads, group, s, head_dim))?;
        Ok(x.reshape((b, shape.heads, s, head_dim))?.contiguous()?)
    };
    let (q, k, v) = (split(q, t, shape.heads)?.contiguous()?, repeat(k)?, repeat(v)?);
    let mut slices = Vec::new();
    for start in (0..t).step_by(QUERIES) {
        let len = QUERIES.min(t - start);
        let scores = q.narrow(2, start, len)?.matmul(&k.transpose(D::Minus2, D::Minus1)?)?;
        let mut scores = (scores.to_dtype(DType::F32)? * shape.scale)?;
        if shape.mask != Mask::Full {
            scores = scores.broadcast_add(&mask_bias(shape.mask, start, (len, s), q.device())?)?;
        }
        let weights = candle_nn::ops::softmax_last_dim(&scores)?.to_dtype(v.dtype())?;
        slices.push(weights.matmul(&v)?);
    }
    Ok(Tensor::cat(&slices, 2)?.transpose(1, 2)?.reshape((b, t, inner))?)
}

fn mask_bias(mask: Mask, start: usize, (rows, columns): (usize, usize), device: &Device) -> Result<Tensor> {
    let bias = |i: usize| {
        let (q, k) = (start + i / columns, i % columns);
        if mask.allows(q, k) { 0f32 } else { f32::NEG_INFINITY }
    };
    Ok(Tensor::from_vec((0..rows * columns).map(bias).collect(), (1, 1, rows, columns), device)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_equals_the_formula_on_every_level() -> Result<()> {
        let randn =
            |t: usize, heads: usize, width: usize| Tensor::randn(0f32, 1f32, (2, t, heads * width), &Device::Cpu);
        for (t, s, width, kv_heads, mask) in [
            (130, 77, 16, 4, Mask::Full),
            (1, 1, 16, 4, Mask::Full),
            (97, 1100, 40, 4, Mask::Full),
            (70, 70, 16, 2, Mask::Causal { window: 1024 }),
            (70, 70, 16, 1, Mask::Causal { window: 9 }),
            (1100, 1100, 8, 2, Mask::Causal { window: 300 }),
        ] {
            let (q, k, v) = (randn(t, 4, width)?, randn(s, kv_heads, width)?, randn(s, kv_heads, width)?);
            let shape = AttentionShape { heads: 4, kv_heads, scale: 0.25, mask };
            let expected = attention_formula(&q, &k, &v, &shape)?;
            crate::Level::on_each(|level| {
                let found = attention(&q, &k, &v, &shape).unwrap();
                let difference = (&found - &expected).and_then(|difference| difference.abs()?.max_all());
                let error = difference.unwrap().to_scalar::<f32>().unwrap();
                assert!(error < 3e-6, "{level:?} {mask:?} {t}x{s}x{width}: {error}");
                let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
                let others = pool.install(|| attention(&q, &k, &v, &shape)).unwrap();
                assert_eq!(found.to_vec3::<f32>().unwrap(), others.to_vec3::<f32>().unwrap(), "{level:?}");
            });
        }
        Ok(())
    }
}
