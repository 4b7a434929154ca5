//! One way to be an operator: a kernel for the CPU, kernels for a GPU, and the plain formula that both equal.
//!
//! [`perform`] alone decides which of them computes, and measures it. On the CPU that is the kernel, if the operator has one for the
//! input's dtype ([`OnCpu`] says so); on a GPU the kernels that take the call over; else the formula.
//!
//! Must not know layers, or what operators are joined to.

mod attention;
mod modulate;

pub use attention::attention;
pub use modulate::{gate_heads, gated_residual, gelu, layer_norm_modulate, modulate, rms_norm_modulate, silu_times};

use crate::{
    Result,
    kernels::{with_values, written},
    profile,
};
use candle_core::{DType, Shape, Tensor};
use ltx_kernels::{CudaKernels, KernelChoice, Level};

/// An operator with its inputs, of which there are `N`, the first telling device and dtype.
pub(crate) trait Op<const N: usize>: Sized {
    /// The name in profiles and errors.
    const NAME: &'static str;
    /// What the CPU computes.
    const ON_CPU: OnCpu<Self, N>;

    /// The tensors that are computed on.
    fn inputs(&self) -> [&Tensor; N];

    /// The result's shape; by default the first input's.
    fn shape(&self) -> Result<Shape> {
        Ok(self.inputs()[0].shape().clone())
    }

    /// Products and sums of the formula; 0 where it is bound by memory.
    fn cost(&self) -> usize {
        0
    }

    /// The result by kernels of a GPU; `None` where none takes the call over.
    fn cuda(&self, kernels: CudaKernels) -> candle_core::Result<Option<Tensor>>;

    /// The result by candle's operations, on any device.
    fn formula(&self) -> Result<Tensor>;
}

/// From the values of the inputs to those of the result.
pub(crate) type CpuKernel<O, const N: usize> = fn(&O, Level, [&[f32]; N], &mut [f32]) -> Result<()>;

/// What the CPU computes. Its kernels know f32 alone.
pub(crate) enum OnCpu<O, const N: usize> {
    /// The formula, in every dtype.
    Formula,
    /// The kernel in f32, the formula in narrower floats.
    F32(CpuKernel<O, N>),
    /// The kernel: narrower floats are widened for it, and its result is rounded to them.
    Widened(CpuKernel<O, N>),
}

/// The operator's result in the dtype of its first input, measured under its name.
///
/// # Errors
/// Sizes do not fit each other, or the device failed.
pub(crate) fn perform<const N: usize, O: Op<N>>(op: &O, kernels: KernelChoice) -> Result<Tensor> {
    profile::timed(O::NAME, || op.cost(), || unmeasured(op, kernels))
}

/// [`perform`] for an operator that is measured as part of another.
///
/// # Errors
/// As [`perform`].
pub(crate) fn unmeasured<const N: usize, O: Op<N>>(op: &O, kernels: KernelChoice) -> Result<Tensor> {
    const { assert!(N > 0, "an operator has an input") };
    let inputs = op.inputs();
    let dtype = inputs[0].dtype();
    if !inputs[0].device().is_cpu() {
        return match op.cuda(kernels.cuda)? {
            Some(result) => Ok(result),
            None => op.formula(),
        };
    }
    let kernel = match O::ON_CPU {
        OnCpu::F32(kernel) if dtype == DType::F32 => kernel,
        OnCpu::Widened(kernel) => kernel,
        OnCpu::F32(_) | OnCpu::Formula => return op.formula(),
    };
    let mut wide = Vec::with_capacity(N);
    for input in inputs {
        wide.push(input.to_dtype(DType::F32)?.contiguous()?);
    }
    let wide: [&Tensor; N] = std::array::from_fn(|i| &wide[i]);
    let result = with_values(wide, |values| written(op.shape()?, |out| kernel(op, kernels.level, values, out)))?;
    Ok(result.to_dtype(dtype)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// One more than a value: what the kernel adds is told apart from what the formula adds.
    struct Add<const WIDENED: bool>(Tensor);

    impl<const WIDENED: bool> Op<1> for Add<WIDENED> {
        const NAME: &'static str = "add";
        const ON_CPU: OnCpu<Self, 1> = if WIDENED { OnCpu::Widened(Self::kernel) } else { OnCpu::F32(Self::kernel) };

        fn inputs(&self) -> [&Tensor; 1] {
            [&self.0]
        }

        fn cuda(&self, _: CudaKernels) -> candle_core::Result<Option<Tensor>> {
            panic!("nothing is on a GPU")
        }

        fn formula(&self) -> Result<Tensor> {
            Ok((&self.0 + 100.0)?)
        }
    }

    impl<const WIDENED: bool> Add<WIDENED> {
        fn kernel(&self, _: Level, [x]: [&[f32]; 1], out: &mut [f32]) -> Result<()> {
            out.iter_mut().zip(x).for_each(|(out, x)| *out = x + 1.0);
            Ok(())
        }
    }

    #[test]
    fn a_narrow_input_is_widened_only_where_the_operator_says_so() -> Result<()> {
        let kernels = KernelChoice::fastest();
        let three = |dtype| Tensor::new(&[3f32], &Device::Cpu)?.to_dtype(dtype);
        let found = |y: Tensor| y.to_dtype(DType::F32)?.to_vec1::<f32>();
        for dtype in [DType::F32, DType::BF16, DType::F16] {
            let (kept, widened) = (Add::<false>(three(dtype)?), Add::<true>(three(dtype)?));
            let (kept, widened) = (perform(&kept, kernels)?, perform(&widened, kernels)?);
            assert_eq!((kept.dtype(), widened.dtype()), (dtype, dtype));
            assert_eq!(found(kept)?, [if dtype == DType::F32 { 4.0 } else { 103.0 }]);
            assert_eq!(found(widened)?, [4.0]);
        }
        Ok(())
    }
}
