//! Rotary position embedding: the first and second half of each head rotate against each other, or neighbouring values do.
//! Source: Su et al., “RoFormer” (2021); LTX's per-head fractional frequencies as in the public `ltx_core` reference.
//!
//! Must not know which axis is time.

use crate::{
    Compute, KernelChoice, NnError, Result,
    ops::{OnCpu, Op, perform},
};
use candle_core::{Device, Tensor};
use ltx_kernels::{
    CudaKernels, KernelError, Level,
    cpu::{self, RopeAngles, RopePairs},
    cuda::{self, NormedRope},
};
use std::{collections::HashMap, f64::consts::FRAC_PI_2};

/// In which precision the frequency grid is computed before it becomes f32 (`frequencies_precision`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrequencyPrecision {
    /// `float64`, as LTX-2.3's configuration names it.
    F64,
    /// f32, when the configuration is silent.
    F32,
}

/// Cosines and sines per token and head, `[T, heads or 1, head_dim / 2]`, in f32.
#[derive(Debug, Clone)]
pub struct RopeTable {
    cos: Tensor,
    sin: Tensor,
    pairs: RopePairs,
    kernels: KernelChoice,
}

impl RopeTable {
    /// From angles in radians.
    ///
    /// # Shapes
    /// `angles` holds `[T, heads, head_dim / 2]`; `heads` is 1 when all heads share them.
    ///
    /// # Errors
    /// `angles` does not fill that shape.
    pub fn from_angles(angles: &[f32], shape: (usize, usize, usize), compute: &Compute) -> Result<Self> {
        let cos: Vec<f32> = angles.iter().map(|a| a.cos()).collect();
        let sin: Vec<f32> = angles.iter().map(|a| a.sin()).collect();
        let cos = Tensor::from_vec(cos, shape, &compute.device)?;
        let sin = Tensor::from_vec(sin, shape, &compute.device)?;
        Ok(Self { cos, sin, pairs: RopePairs::Halves, kernels: compute.kernels })
    }

    /// From cosines and sines, both as [`Self::tensors`] has them.
    pub fn from_tensors([cos, sin]: [Tensor; 2], kernels: KernelChoice) -> Self {
        Self { cos, sin, pairs: RopePairs::Halves, kernels }
    }

    /// The same angles for other pairs of values.
    #[must_use]
    pub fn of_pairs(self, pairs: RopePairs) -> Self {
        Self { pairs, ..self }
    }

    /// The rotations that other tensors say, shaped like [`Self::tensors`].
    #[must_use]
    pub fn with_tensors(&self, [cos, sin]: [Tensor; 2]) -> Self {
        Self { cos, sin, ..self.clone() }
    }

    /// Cosines and sines, `[T, heads or 1, head_dim / 2]`.
    pub fn tensors(&self) -> [Tensor; 2] {
        [self.cos.clone(), self.sin.clone()]
    }

    /// Cosines and sines as the goldens hold them.
    ///
    /// # Shapes
    /// Two tensors `[1, heads, T, head_dim / 2]`; of pairs that lie side by side `[1, T, heads · head_dim]`, every value twice.
    ///
    /// # Errors
    /// A tensor operation failed.
    pub fn per_head(&self) -> Result<(Tensor, Tensor)> {
        let recorded = |t: &Tensor| match self.pairs {
            RopePairs::Halves => t.transpose(0, 1)?.contiguous()?.unsqueeze(0),
            RopePairs::Neighbours => Tensor::stack(&[t, t], 3)?.flatten_from(1)?.unsqueeze(0),
        };
        Ok((recorded(&self.cos)?, recorded(&self.sin)?))
    }

    /// Rotates every head of every token.
    ///
    /// # Shapes
    /// `x [B, T, heads · head_dim]` → the same; T is the table's.
    ///
    /// # Errors
    /// The sizes do not fit the table.
    pub fn apply(&self, x: &Tensor, heads: usize) -> Result<Tensor> {
        perform(&Rotation { x, by: self, heads }, self.kernels)
    }

    /// The rotation behind an RMS norm of that weight and epsilon, where a GPU does both in one pass.
    pub(crate) fn after_norm(&self, x: &Tensor, heads: usize, norm: (&Tensor, f64)) -> Result<Option<Tensor>> {
        if self.pairs == RopePairs::Neighbours {
            return Ok(None);
        }
        Ok(cuda::norm_rope(x, &NormedRope { cos: &self.cos, sin: &self.sin, heads, norm: Some(norm) })?)
    }

    fn apply_formula(&self, x: &Tensor, heads: usize) -> Result<Tensor> {
        let (b, t, inner) = x.dims3()?;
        let half = inner / heads / 2;
        // The two of a pair lie along the axis `side`.
        let (shape, side) = match self.pairs {
            RopePairs::Halves => ([b, t, heads, 2, half], 3),
            RopePairs::Neighbours => ([b, t, heads, half, 2], 4),
        };
        let x = x.reshape(shape.to_vec())?;
        let (first, second) = (x.narrow(side, 0, 1)?.squeeze(side)?, x.narrow(side, 1, 1)?.squeeze(side)?);
        let cos = self.cos.to_dtype(x.dtype())?.unsqueeze(0)?;
        let sin = self.sin.to_dtype(x.dtype())?.unsqueeze(0)?;
        let rotated_first = (first.broadcast_mul(&cos)? - second.broadcast_mul(&sin)?)?;
        let rotated_second = (second.broadcast_mul(&cos)? + first.broadcast_mul(&sin)?)?;
        Ok(Tensor::stack(&[rotated_first, rotated_second], side)?.reshape((b, t, inner))?)
    }
}

struct Rotation<'a> {
    x: &'a Tensor,
    by: &'a RopeTable,
    heads: usize,
}

impl Op<3> for Rotation<'_> {
    const NAME: &'static str = "rope";
    const ON_CPU: OnCpu<Self, 3> = OnCpu::F32(Self::kernel);

    fn inputs(&self) -> [&Tensor; 3] {
        [self.x, &self.by.cos, &self.by.sin]
    }

    fn cuda(&self, _: CudaKernels) -> candle_core::Result<Option<Tensor>> {
        let by = NormedRope { cos: &self.by.cos, sin: &self.by.sin, heads: self.heads, norm: None };
        match self.by.pairs {
            RopePairs::Halves => cuda::norm_rope(self.x, &by),
            RopePairs::Neighbours => Ok(None),
        }
    }

    fn formula(&self) -> Result<Tensor> {
        self.by.apply_formula(self.x, self.heads)
    }
}

impl Rotation<'_> {
    fn kernel(&self, level: Level, [x, cos, sin]: [&[f32]; 3], out: &mut [f32]) -> Result<()> {
        let ((_, own_tokens, width), (tokens, table_heads, half)) = (self.x.dims3()?, self.by.cos.dims3()?);
        KernelError::ensure(own_tokens == tokens && width == 2 * half * self.heads, Self::NAME)?;
        let angles = RopeAngles { cos, sin, tokens, heads: table_heads };
        Ok(cpu::Rope { level, heads: self.heads, pairs: self.by.pairs, angles }.compute(x, out)?)
    }
}

/// LTX's table: each axis' position, as a fraction of its maximum stretched to −1..1, times a grid
/// `θ^linspace(0, 1, dim/(2·axes)) · π/2`; frequency-major over the axes, identity padding in front, then cut into heads.
///
/// # Shapes
/// `positions[axis][token]` (same unit as `max_positions`); the table is `[T, heads, dim / heads / 2]`.
///
/// # Errors
/// A tensor operation failed.
pub fn fractional_rope_table(
    positions: &[Vec<f32>],
    max_positions: &[f64],
    grid: (f64, FrequencyPrecision),
    (dim, heads): (usize, usize),
    compute: &Compute,
) -> Result<RopeTable> {
    let (theta, precision) = grid;
    let axes = positions.len();
    let frequencies = frequency_grid(theta, dim / (2 * axes), precision);
    let padding = dim / 2 - frequencies.len() * axes;
    let places = positions.iter().zip(max_positions).map(|(axis, max)| Places::new(axis, *max, &compute.device));
    let places = places.collect::<Result<Vec<_>>>()?;
    let table = |of: fn(f32) -> f32| {
        let mut sum: Option<Tensor> = None;
        for (axis, places) in places.iter().enumerate() {
            let row = |place: f32| {
                // Every axis fills its own columns, the first also the padding, which rotates nothing; the others are 0.
                let mut row = vec![0f32; dim / 2];
                if axis == 0 {
                    row[..padding].fill(of(0.0));
                }
                let columns = row[padding..].iter_mut().skip(axis).step_by(axes);
                columns.zip(&frequencies).for_each(|(value, frequency)| *value = of(frequency * place));
                row
            };
            let rows: Vec<f32> = places.distinct.iter().flat_map(|place| row(*place)).collect();
            let rows = Tensor::from_vec(rows, (places.distinct.len(), dim / 2), &compute.device)?;
            let rows = rows.index_select(&places.of_token, 0)?;
            sum = Some(match sum {
                Some(sum) => (sum + rows)?,
                None => rows,
            });
        }
        let sum = sum.ok_or_else(|| NnError::unsupported("positions", "no axis", "one or more"))?;
        Ok::<_, NnError>(sum.reshape(((), heads, dim / heads / 2))?)
    };
    let (cos, sin) = (table(f32::cos)?, table(f32::sin)?);
    Ok(RopeTable { cos, sin, pairs: RopePairs::Halves, kernels: compute.kernels })
}

/// The tokens' places on one axis. A clip has few of them, so that what is computed of a place is computed once for all its tokens.
struct Places {
    /// As fractions of the axis' maximum, stretched to −1..1.
    distinct: Vec<f32>,
    /// Which of them each token has, `[T]`.
    of_token: Tensor,
}

impl Places {
    fn new(positions: &[f32], max: f64, device: &Device) -> Result<Self> {
        let (mut distinct, mut numbers) = (Vec::new(), HashMap::new());
        let mut number = |position: &f32| {
            *numbers.entry(position.to_bits()).or_insert_with(|| {
                distinct.push(position / max as f32 * 2.0 - 1.0);
                distinct.len() as u32 - 1
            })
        };
        let of_token: Vec<u32> = positions.iter().map(&mut number).collect();
        Ok(Self { distinct, of_token: Tensor::new(of_token, device)? })
    }
}

fn frequency_grid(theta: f64, count: usize, precision: FrequencyPrecision) -> Vec<f32> {
    let last = count.saturating_sub(1).max(1);
    match precision {
        FrequencyPrecision::F64 => {
            (0..count).map(|i| (theta.powf(i as f64 / last as f64) * FRAC_PI_2) as f32).collect()
        }
        FrequencyPrecision::F32 => {
            let step = 1.0 / last as f32;
            // Like torch.linspace, the second half counts down from the end, rounded once.
            let down = |i: usize| (-step).mul_add((last - i) as f32, 1.0);
            let fraction = |i: usize| if i < count / 2 { i as f32 * step } else { down(i) };
            (0..count).map(|i| (theta as f32).powf(fraction(i)) * std::f32::consts::PI / 2.0).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn kernel_equals_the_formula_on_every_level() {
        for kernels in Level::available().into_iter().map(KernelChoice::at) {
            kernel_equals_the_formula(Compute { kernels, ..Compute::cpu_f32() }).unwrap();
        }
    }

    fn kernel_equals_the_formula(compute: Compute) -> Result<()> {
        let positions = vec![(0..5).map(|t| t as f32).collect::<Vec<_>>(); 3];
        let grid = (10000.0, FrequencyPrecision::F64);
        let table = fractional_rope_table(&positions, &[20.0, 2048.0, 2048.0], grid, (64, 4), &compute)?;
        let x = Tensor::randn(0f32, 1f32, (2, 5, 64), &Device::Cpu)?;
        for pairs in [RopePairs::Halves, RopePairs::Neighbours] {
            let table = table.clone().of_pairs(pairs);
            let error = (table.apply(&x, 4)? - table.apply_formula(&x, 4)?)?.abs()?.max_all()?.to_scalar::<f32>()?;
            assert!(error < 1e-6, "{pairs:?}: {error}");
        }
        Ok(())
    }

    #[test]
    fn identity_padding_is_in_front() -> Result<()> {
        // 64/6 = 10 frequencies on 3 axes leave 2 of 32 angles: the first two of the first head.
        let positions = vec![vec![7.0f32]; 3];
        let grid = (10000.0, FrequencyPrecision::F64);
        let table = fractional_rope_table(&positions, &[20.0; 3], grid, (64, 4), &Compute::cpu_f32())?;
        let cos = table.cos.flatten_all()?.to_vec1::<f32>()?;
        assert_eq!(&cos[..2], [1.0, 1.0]);
        assert!((cos[2] - 1.0).abs() > 1e-3);
        Ok(())
    }
}
