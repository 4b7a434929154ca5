//! 3-D convolution with stride 1 on clips whose channels lie side by side, `[B, F, H, W, C]`, and what stands around it in a
//! VAE: pixel norm with SiLU before it, unfolding of channels or the sum with a skip after it.
//!
//! Must not know whether it encodes or decodes.

use crate::{
    Conv3dConfig, KernelChoice, NnError, Result, TimePadding, Vb,
    kernels::with_values,
    norm::{pixel_norm_modulate_silu, pixel_norm_silu},
    ops::{OnCpu, Op, perform},
    profile,
};
use candle_core::{CpuStorage, DType, InplaceOp2, Layout, Shape, Tensor};
use ltx_kernels::{
    CudaKernels, KernelError, Level,
    cpu::{self, ChannelAffine, PackedConv},
    cuda,
};
use std::sync::Arc;

/// A 3-D convolution with bias.
#[derive(Debug, Clone)]
pub struct Conv3d {
    weights: Weights,
    config: Conv3dConfig,
    /// Shift and scale of every channel between norm and SiLU, `[2, inputs]`.
    modulation: Option<Tensor>,
    kernels: KernelChoice,
}

#[derive(Debug, Clone)]
enum Weights {
    /// For the CPU's kernel, in f32.
    Packed(Arc<PackedConv>),
    /// `[outputs, inputs, kt, kh, kw]` and `[outputs]`.
    Plain { weight: Tensor, bias: Tensor },
    /// As the GPU's kernel reads them.
    Arranged { weight: Tensor, bias: Tensor },
}

impl Conv3d {
    /// Reads `weight [outputs, inputs, kt, kh, kw]` (a 2-D kernel: `[outputs, inputs, kh, kw]`) and `bias [outputs]`.
    ///
    /// # Errors
    /// As [`crate::Weights::tensor`]; or a kernel side is even, or the outputs do not unfold.
    pub fn load(vb: &Vb, config: Conv3dConfig) -> Result<Self> {
        let Conv3dConfig { inputs, outputs, kernel: [kt, kh, kw], unfold, .. } = config;
        if kt % 2 == 0 || kh % 2 == 0 || kw % 2 == 0 {
            return Err(NnError::unsupported("kernel_size", format!("{:?}", config.kernel), "odd sizes"));
        }
        let folded = unfold.iter().product::<usize>().max(1);
        if outputs % folded != 0 || unfold.contains(&0) {
            return Err(NnError::unsupported("outputs", outputs, format!("a multiple of {folded}")));
        }
        let shape = match kt {
            1 => vec![outputs, inputs, kh, kw],
            _ => vec![outputs, inputs, kt, kh, kw],
        };
        let kernels = vb.compute().kernels;
        let bias = vb.tensor("bias", [outputs])?;
        // Shapes alone (`inspect`) are not contiguous, and nothing is packed for them.
        let pack = bias.device().is_cpu() && bias.dtype() == DType::F32 && bias.is_contiguous();
        if pack && let Some(packed) = read_packed(vb, &shape, (&bias, &config))? {
            return Ok(Self { weights: Weights::Packed(packed), config, modulation: None, kernels });
        }
        let weight = vb.tensor("weight", &shape)?;
        let weight = if kt == 1 { weight.unsqueeze(2)? } else { weight };
        let weights = match cuda::arranged(&weight, &bias, unfold)? {
            Some((weight, bias)) => Weights::Arranged { weight, bias },
            None => Weights::Plain { weight, bias },
        };
        Ok(Self { weights, config, modulation: None, kernels })
    }

    /// This layer with `x (1 + scale) + shift` between its norm and SiLU; `rows` holds shift and scale. Weights are shared.
    ///
    /// # Shapes
    /// `rows [2, inputs]`.
    ///
    /// # Errors
    /// The layer has no norm, or the rows have another shape.
    pub fn modulated(&self, rows: &Tensor) -> Result<Self> {
        let inputs = self.config.inputs;
        if self.config.norm.is_none() || rows.dims() != [2, inputs] {
            return Err(NnError::unsupported("modulation", format!("{:?}", rows.dims()), format!("[2, {inputs}]")));
        }
        let factor = (rows.narrow(0, 1, 1)? + 1.0)?;
        let rows = Tensor::cat(&[rows.narrow(0, 0, 1)?, factor], 0)?;
        Ok(Self { modulation: Some(rows.to_dtype(DType::F32)?), ..self.clone() })
    }

    /// # Shapes
    /// `[B, F, H, W, inputs]` → `[B, F', H', W', outputs']`, the same but for unfolding.
    ///
    /// # Errors
    /// The channels are not `inputs`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if self.config.reflects {
            let padded = self.beyond_sides(x)?;
            let y = self.unreflected().forward(&padded)?;
            drop(padded);
            return self.within_sides(&y);
        }
        perform(&Convolution { x, layer: self }, self.kernels)
    }

    /// `sum + forward(x)`, in the memory of `sum`, which nothing else may hold.
    ///
    /// # Shapes
    /// `x` as for [`Self::forward`], `sum` as its result.
    ///
    /// # Errors
    /// The sizes do not fit.
    pub fn forward_onto(&self, sum: Tensor, x: &Tensor) -> Result<Tensor> {
        if self.config.reflects {
            return Ok((sum + self.forward(x)?)?);
        }
        let op = Convolution { x, layer: self };
        let timed = |work: &dyn Fn() -> Result<()>| profile::timed(Convolution::NAME, || op.cost(), work);
        if x.device().is_cpu() && sum.dtype() == DType::F32 && sum.is_contiguous() {
            timed(&|| {
                let packed = self.packed()?;
                self.with_affine(|affine| {
                    let kernel = self.kernel((&packed, affine), self.kernels.level);
                    Ok(sum.inplace_op2(&wide(x)?, &AddTo(kernel))?)
                })
            })?;
            return Ok(sum);
        }
        if let Weights::Arranged { .. } = &self.weights
            && sum.is_contiguous()
        {
            timed(&|| op.on_gpu(Some(&sum), self.kernels.cuda)?.map(drop).ok_or_else(|| op.misfit()))?;
            return Ok(sum);
        }
        Ok((sum + self.forward(x)?)?)
    }

    /// This layer with zeros beyond the sides.
    fn unreflected(&self) -> Self {
        Self { config: self.config.reflecting(false), ..self.clone() }
    }

    /// The input with as many reflected rows and columns on each side as the kernel sees.
    fn beyond_sides(&self, x: &Tensor) -> Result<Tensor> {
        let [_, kh, kw] = self.config.kernel;
        reflected(&reflected(x, 2, kh / 2)?, 3, kw / 2)
    }

    /// The result without what the rows and columns beyond the sides became.
    fn within_sides(&self, y: &Tensor) -> Result<Tensor> {
        let ([_, kh, kw], [_, sh, sw]) = (self.config.kernel, self.config.unfold);
        let within = |y: Tensor, axis: usize, beyond: usize| {
            let size = y.dim(axis)? - 2 * beyond;
            y.narrow(axis, beyond, size)
        };
        Ok(within(within(y.clone(), 2, kh / 2 * sh)?, 3, kw / 2 * sw)?.contiguous()?)
    }

    /// Bytes that all convolutions of at most `channels` channels together keep on the CPU for their work while they exist.
    pub fn scratch_bytes(channels: usize) -> u64 {
        cpu::scratch_bytes(channels)
    }

    fn packed(&self) -> Result<Arc<PackedConv>> {
        match &self.weights {
            Weights::Packed(packed) => Ok(Arc::clone(packed)),
            Weights::Plain { weight, bias } => packed(weight, bias, &self.config),
            Weights::Arranged { .. } => Err(NnError::unsupported("device", "the CPU", "the weights' device")),
        }
    }

    fn kernel<'a>(
        &self,
        (packed, affine): (&'a PackedConv, Option<ChannelAffine<'a>>),
        level: Level,
    ) -> cpu::Conv3d<'a> {
        let Conv3dConfig { time, norm, .. } = self.config;
        cpu::Conv3d { level, packed, time, norm: norm.map(|eps| eps as f32), affine }
    }

    /// Lends the kernel what stands between norm and SiLU.
    fn with_affine<T>(&self, work: impl FnOnce(Option<ChannelAffine<'_>>) -> Result<T>) -> Result<T> {
        let Some(rows) = &self.modulation else { return work(None) };
        with_values([rows], |[values]| {
            let (shift, scale) = values.split_at(self.config.inputs);
            work(Some(ChannelAffine { scale, shift }))
        })
    }

    /// Pixel norm, modulation and SiLU, where the layer has them, by the plain formula.
    fn prepared(&self, x: &Tensor) -> Result<Tensor> {
        match (self.config.norm, &self.modulation) {
            (None, _) => Ok(x.clone()),
            (Some(eps), None) => pixel_norm_silu(x, eps, self.kernels),
            (Some(eps), Some(rows)) => pixel_norm_modulate_silu(x, eps, rows),
        }
    }

    /// With weights for the plain formula.
    #[cfg(test)]
    fn plain(weight: Tensor, bias: Tensor, config: Conv3dConfig) -> Self {
        Self { weights: Weights::Plain { weight, bias }, config, modulation: None, kernels: KernelChoice::fastest() }
    }

    /// The plain formula on any device: one 2-D convolution per kernel frame, summed.
    fn forward_formula(&self, x: &Tensor) -> Result<Tensor> {
        let Weights::Plain { weight, bias } = &self.weights else {
            return Err(NnError::unsupported("device", "another one than the weights'", "the weights' device"));
        };
        let x = self.prepared(x)?.permute((0, 4, 1, 2, 3))?.contiguous()?;
        let [kt, kh, _] = self.config.kernel;
        let (b, _, frames, h, w) = x.dims5()?;
        let padded = self.pad_time(&x)?;
        let mut sum: Option<Tensor> = None;
        for offset in 0..kt {
            let slice = padded.narrow(2, offset, frames)?.transpose(1, 2)?.flatten(0, 1)?.contiguous()?;
            let kernel = weight.narrow(2, offset, 1)?.squeeze(2)?.contiguous()?;
            let part = slice.conv2d(&kernel, kh / 2, 1, 1, 1)?;
            sum = Some(match sum {
                Some(sum) => (sum + part)?,
                None => part,
            });
        }
        let sum = sum.ok_or_else(|| NnError::unsupported("kernel_size", 0, "at least 1"))?;
        let y = sum.broadcast_add(&bias.reshape((1, self.config.outputs, 1, 1))?)?;
        self.unfolded(&y.reshape((b, frames, self.config.outputs, h, w))?.transpose(1, 2)?)
    }

    /// `[B, outputs, F, H, W]` → `[B, F', H', W', outputs']`.
    fn unfolded(&self, y: &Tensor) -> Result<Tensor> {
        let (b, outputs, frames, h, w) = y.dims5()?;
        let [st, sh, sw] = self.config.unfold;
        let channels = outputs / (st * sh * sw);
        let y = y.reshape(vec![b, channels, st, sh, sw, frames, h, w])?.permute(vec![0, 5, 2, 6, 3, 7, 4, 1])?;
        let y = y.reshape((b, frames * st, h * sh, w * sw, channels))?;
        Ok(y.narrow(1, st - 1, frames * st - (st - 1))?.contiguous()?)
    }

    /// `[B, C, F, H, W]` with the frames that the first and the last one see.
    fn pad_time(&self, x: &Tensor) -> Result<Tensor> {
        let kt = self.config.kernel[0];
        let (front, back) = match self.config.time {
            TimePadding::Causal => (kt - 1, 0),
            TimePadding::Replicate | TimePadding::Zeros => (kt / 2, kt / 2),
        };
        Ok(match self.config.time {
            TimePadding::Causal | TimePadding::Replicate => x.pad_with_same(2, front, back)?,
            TimePadding::Zeros => x.pad_with_zeros(2, front, back)?,
        })
    }
}

/// `x` with `count` of its rows or columns reflected beyond both ends of an axis; those at the ends are not repeated.
fn reflected(x: &Tensor, axis: usize, count: usize) -> Result<Tensor> {
    let size = x.dim(axis)?;
    if count == 0 {
        return Ok(x.clone());
    }
    if size <= count {
        return Err(NnError::unsupported("rows or columns", size, format!("more than {count}, to be reflected")));
    }
    let front = (1..=count).rev();
    let back = (size - 1 - count..size - 1).rev();
    let places: Vec<u32> = front.chain(0..size).chain(back).map(|place| place as u32).collect();
    let count = places.len();
    Ok(x.contiguous()?.index_select(&Tensor::from_vec(places, count, x.device())?, axis)?)
}

struct Convolution<'a> {
    x: &'a Tensor,
    layer: &'a Conv3d,
}

impl Op<1> for Convolution<'_> {
    const NAME: &'static str = "conv3d";
    const ON_CPU: OnCpu<Self, 1> = OnCpu::Widened(Self::on_cpu);

    fn inputs(&self) -> [&Tensor; 1] {
        [self.x]
    }

    fn shape(&self) -> Result<Shape> {
        let (batch, frames, height, width, inputs) = self.x.dims5()?;
        KernelError::ensure(inputs == self.layer.config.inputs, Self::NAME)?;
        let [frames, height, width, channels] = self.layer.config.result([frames, height, width]);
        Ok(Shape::from((batch, frames, height, width, channels)))
    }

    fn cost(&self) -> usize {
        let Conv3dConfig { outputs, kernel, .. } = self.layer.config;
        2 * self.x.elem_count() * outputs * kernel.iter().product::<usize>()
    }

    fn cuda(&self, kernels: CudaKernels) -> candle_core::Result<Option<Tensor>> {
        self.on_gpu(None, kernels)
    }

    fn formula(&self) -> Result<Tensor> {
        match self.layer.weights {
            Weights::Arranged { .. } => Err(self.misfit()),
            _ => self.layer.forward_formula(self.x),
        }
    }
}

impl Convolution<'_> {
    fn on_cpu(&self, level: Level, [x]: [&[f32]; 1], out: &mut [f32]) -> Result<()> {
        let (batch, frames, height, width, _) = self.x.dims5()?;
        let packed = self.layer.packed()?;
        self.layer.with_affine(|affine| {
            let kernel = self.layer.kernel((&packed, affine), level);
            Ok(kernel.compute(x, [batch, frames, height, width], out, false)?)
        })
    }

    /// By a kernel of the GPU's, onto `sum` where there is one.
    fn on_gpu(&self, sum: Option<&Tensor>, kernels: CudaKernels) -> candle_core::Result<Option<Tensor>> {
        let Weights::Arranged { weight, bias } = &self.layer.weights else { return Ok(None) };
        if self.layer.modulation.is_none() {
            return cuda::conv3d(self.x, (weight, bias), &self.layer.config, sum, kernels);
        }
        let x = self.layer.prepared(self.x).map_err(candle_core::Error::wrap)?;
        let config = Conv3dConfig { norm: None, ..self.layer.config };
        cuda::conv3d(&x, (weight, bias), &config, sum, kernels)
    }

    /// Weights that are arranged for the GPU's kernel have no other use.
    fn misfit(&self) -> NnError {
        NnError::unsupported(Self::NAME, format!("{:?}", self.x.dims()), "fitting sizes")
    }
}

/// The CPU's kernel as an in-place operation: adds the convolution of an f32 clip to what is there.
struct AddTo<'a>(cpu::Conv3d<'a>);

impl InplaceOp2 for AddTo<'_> {
    fn name(&self) -> &'static str {
        "conv3d-add"
    }

    fn cpu_fwd(
        &self,
        sum: &mut CpuStorage,
        sum_layout: &Layout,
        x: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<()> {
        let misfit = || KernelError::Sizes { kernel: "conv3d" };
        let (batch, frames, height, width, _) = layout.shape().dims5()?;
        let (Some(of_sum), Some(of_x)) = (sum_layout.contiguous_offsets(), layout.contiguous_offsets()) else {
            return Err(misfit().into());
        };
        let (CpuStorage::F32(sum), CpuStorage::F32(x)) = (sum, x) else { return Err(misfit().into()) };
        let size = [batch, frames, height, width];
        Ok(self.0.compute(&x[of_x.0..of_x.1], size, &mut sum[of_sum.0..of_sum.1], true)?)
    }
}

fn wide(x: &Tensor) -> Result<Tensor> {
    Ok(x.to_dtype(DType::F32)?.contiguous()?)
}

/// The weights at `vb` packed as they are read, a few rows at a time; `None`: there are shapes alone.
fn read_packed(vb: &Vb, shape: &[usize], (bias, config): (&Tensor, &Conv3dConfig)) -> Result<Option<Arc<PackedConv>>> {
    let misfit = || NnError::unsupported("conv3d", format!("{shape:?}"), "fitting sizes");
    let empty = with_values([bias], |[bias]| Ok::<_, NnError>(PackedConv::of_zeros(bias, config)))?;
    let (mut packed, mut next) = (empty.ok_or_else(misfit)?, 0);
    let some = vb.pieces("weight", shape, &mut |first, rows| {
        if first == next {
            next += profile::timed("conv3d, packing", || 0, || packed.fill(first, rows)).unwrap_or(0);
        }
    })?;
    match (some, next == config.outputs) {
        (false, _) => Ok(None),
        (true, true) => Ok(Some(Arc::new(packed))),
        (true, false) => Err(misfit()),
    }
}

fn packed(weight: &Tensor, bias: &Tensor, config: &Conv3dConfig) -> Result<Arc<PackedConv>> {
    let (weight, bias) = (wide(weight)?, wide(bias)?);
    with_values([&weight, &bias], |[values, bias]| {
        let packed = PackedConv::new(values, bias, config);
        let misfit = || NnError::unsupported("conv3d", format!("{:?}", weight.dims()), "fitting sizes");
        packed.map(Arc::new).ok_or_else(misfit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn random(config: Conv3dConfig) -> Result<(Conv3d, Conv3d)> {
        let Conv3dConfig { inputs, outputs, kernel: [kt, kh, kw], .. } = config;
        let weight = Tensor::randn(0f32, 1f32, (outputs, inputs, kt, kh, kw), &Device::Cpu)?;
        let bias = Tensor::randn(0f32, 1f32, outputs, &Device::Cpu)?;
        let weights = Weights::Packed(packed(&weight, &bias, &config)?);
        let kernels = KernelChoice::fastest();
        Ok((Conv3d { weights, config, modulation: None, kernels }, Conv3d::plain(weight, bias, config)))
    }

    /// Relative L2 errors of both ways of computing, on every level.
    fn check(config: Conv3dConfig, sizes: [usize; 3]) -> Result<()> {
        let (kernel, plain) = random(config)?;
        compare((&kernel, &plain), sizes)?;
        if config.norm.is_some() {
            let rows = Tensor::randn(0f32, 0.5f32, (2, config.inputs), &Device::Cpu)?;
            compare((&kernel.modulated(&rows)?, &plain.modulated(&rows)?), sizes)?;
        }
        Ok(())
    }

    fn compare((kernel, plain): (&Conv3d, &Conv3d), sizes: [usize; 3]) -> Result<()> {
        let config = plain.config;
        let [frames, height, width] = sizes;
        let x = Tensor::randn(0f32, 1f32, (2, frames, height, width, config.inputs), &Device::Cpu)?;
        let expected = plain.forward_formula(&x)?;
        let skip = Tensor::randn(0f32, 1f32, expected.dims(), &Device::Cpu)?;
        let expected_sum = (&skip + &expected)?;
        for level in Level::available() {
            let layer = Conv3d { kernels: KernelChoice::at(level), ..kernel.clone() };
            let found = layer.forward(&x)?;
            let sum = layer.forward_onto(skip.copy()?, &x)?;
            for (found, expected) in [(&found, &expected), (&sum, &expected_sum)] {
                assert_eq!(found.dims(), expected.dims(), "{config:?} {sizes:?} {level:?}");
                let error = crate::relative_l2(found, expected).unwrap();
                assert!(error < 5e-6, "{config:?} {sizes:?} {level:?}: {error:.1e}");
            }
        }
        Ok(())
    }

    #[test]
    fn kernel_equals_the_formula_on_every_level() -> Result<()> {
        let times = [TimePadding::Causal, TimePadding::Replicate, TimePadding::Zeros];
        for time in times {
            for kernel in [[3, 3, 3], [1, 3, 3], [1, 1, 1], [3, 1, 1], [5, 3, 3]] {
                let config = Conv3dConfig { kernel, ..Conv3dConfig::cube(5, 7, time) };
                for sizes in [[1, 1, 1], [4, 6, 9], [2, 3, 1], [3, 21, 30]] {
                    check(config, sizes)?;
                }
            }
        }
        Ok(())
    }

    #[test]
    fn wide_layers_equal_the_formula_on_every_level() -> Result<()> {
        for (inputs, outputs) in [(48, 40), (33, 64), (64, 129)] {
            for sizes in [[1, 9, 14], [5, 8, 12], [11, 18, 37]] {
                check(Conv3dConfig::cube(inputs, outputs, TimePadding::Replicate), sizes)?;
                check(Conv3dConfig::cube(inputs, outputs, TimePadding::Causal).normed(1e-8), sizes)?;
            }
        }
        Ok(())
    }

    #[test]
    fn unfolding_equals_the_formula_on_every_level() -> Result<()> {
        for unfold in [[2, 1, 1], [1, 2, 2], [2, 2, 2]] {
            for outputs in [24, 128] {
                for sizes in [[1, 2, 3], [3, 5, 6], [4, 12, 17]] {
                    check(Conv3dConfig::cube(6, outputs, TimePadding::Replicate).unfolded(unfold), sizes)?;
                }
            }
        }
        Ok(())
    }

    #[test]
    fn threads_change_no_bit() -> Result<()> {
        let (layer, _) = random(Conv3dConfig::cube(40, 70, TimePadding::Causal).normed(1e-8))?;
        for sizes in [(1, 2, 8, 8, 40), (1, 9, 33, 50, 40)] {
            let x = Tensor::randn(0f32, 1f32, sizes, &Device::Cpu)?;
            let run = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let y = pool.install(|| layer.forward(&x)).unwrap();
                y.flatten_all().unwrap().to_vec1::<f32>().unwrap()
            };
            let alone = run(1);
            assert!([2, 5].into_iter().all(|threads| run(threads) == alone), "{sizes:?}");
        }
        Ok(())
    }
}
