//! Scaled dot-product attention, exact, in memory that does not grow with the square of the tokens.
//! Source: Vaswani et al., “Attention Is All You Need” (2017).
//!
//! Must not know where queries, keys and values come from.

use super::{OnCpu, Op, perform};
use crate::{AttentionShape, KernelChoice, Mask, Result};
use candle_core::{D, DType, Device, Tensor};
use ltx_kernels::{
    CudaKernels, KernelError, Level,
    cpu::{self, AttentionSizes},
    cuda,
};

/// `softmax(scale · q kᵀ) v`, the softmax in f32.
///
/// # Shapes
/// `q [B, T, heads · head_dim]`, `k` and `v` `[B, S, kv_heads · head_dim]` → `[B, T, heads · head_dim]`.
///
/// # Errors
/// The sizes do not fit each other.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, shape: &AttentionShape, kernels: KernelChoice) -> Result<Tensor> {
    perform(&Attention { q, k, v, shape: *shape, keys: k.dim(1)? }, kernels)
}

struct Attention<'a> {
    q: &'a Tensor,
    k: &'a Tensor,
    v: &'a Tensor,
    shape: AttentionShape,
    keys: usize,
}

impl Op<3> for Attention<'_> {
    const NAME: &'static str = "attention";
    const ON_CPU: OnCpu<Self, 3> = OnCpu::Widened(Self::kernel);

    fn inputs(&self) -> [&Tensor; 3] {
        [self.q, self.k, self.v]
    }

    fn cost(&self) -> usize {
        4 * self.q.elem_count() * self.keys
    }

    fn cuda(&self, kernels: CudaKernels) -> candle_core::Result<Option<Tensor>> {
        cuda::attention(self.inputs(), &self.shape, kernels)
    }

    fn formula(&self) -> Result<Tensor> {
        formula(self.inputs(), &self.shape)
    }
}

impl Attention<'_> {
    fn kernel(&self, level: Level, values: [&[f32]; 3], out: &mut [f32]) -> Result<()> {
        let ((batch, queries, width), (kv_batch, keys, _)) = (self.q.dims3()?, self.k.dims3()?);
        KernelError::ensure(batch == kv_batch && self.k.dims() == self.v.dims(), Self::NAME)?;
        let sizes = AttentionSizes { batch, queries, keys, width };
        Ok(cpu::Attention { level, shape: self.shape }.compute(sizes, values, out)?)
    }
}

/// The plain formula on any device, a slice of the queries at a time.
fn formula([q, k, v]: [&Tensor; 3], shape: &AttentionShape) -> Result<Tensor> {
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
            let expected = formula([&q, &k, &v], &shape)?;
            for level in Level::available() {
                let attend = || attention(&q, &k, &v, &shape, KernelChoice::at(level)).unwrap();
                let found = attend();
                let difference = (&found - &expected).and_then(|difference| difference.abs()?.max_all());
                let error = difference.unwrap().to_scalar::<f32>().unwrap();
                assert!(error < 3e-6, "{level:?} {mask:?} {t}x{s}x{width}: {error}");
                let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
                let others = pool.install(attend);
                assert_eq!(found.to_vec3::<f32>().unwrap(), others.to_vec3::<f32>().unwrap(), "{level:?}");
            }
        }
        Ok(())
    }
}
