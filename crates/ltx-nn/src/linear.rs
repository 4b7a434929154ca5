//! `y = x Wᵀ + b`, whatever W is stored as.
//!
//! Must not know what is projected, or which file W came from.

use crate::{
    Compute, KernelChoice, Matrix, Result, Vb, gelu,
    kernels::{self, Then, Weight},
    profile,
};
use candle_core::{D, DType, Tensor};

/// A linear layer; its weight is dense, or packed (quantised or fp8) and stays so in memory.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Matrix,
    shape: [usize; 2],
    bias: Option<Tensor>,
    kernels: KernelChoice,
}

impl Linear {
    /// Reads `weight [outputs, inputs]` and `bias [outputs]`.
    ///
    /// # Errors
    /// As [`crate::Weights::tensor`].
    pub fn load(vb: &Vb, inputs: usize, outputs: usize) -> Result<Self> {
        Self::load_with(vb, inputs, outputs, true)
    }

    /// Reads `weight [outputs, inputs]`, and `bias [outputs]` if there is one.
    ///
    /// # Errors
    /// As [`crate::Weights::tensor`].
    pub fn load_with(vb: &Vb, inputs: usize, outputs: usize, bias: bool) -> Result<Self> {
        let layer = Self::load_passing(vb, inputs, outputs, bias)?;
        let level = layer.kernels.level;
        let weight = match vb.compute() {
            Compute { eight_bit: true, dtype: DType::F32, .. } => layer.weight.eight_bit(layer.shape, level)?,
            _ if vb.passes() => layer.weight,
            _ => layer.weight.ready(level)?,
        };
        Ok(Self { weight, ..layer })
    }

    /// The same for a layer that is dropped after one use: the weight stays in the order of its file.
    ///
    /// # Errors
    /// As [`crate::Weights::tensor`].
    pub fn load_passing(vb: &Vb, inputs: usize, outputs: usize, bias: bool) -> Result<Self> {
        let shape = [outputs, inputs];
        let weight = vb.matrix("weight", shape)?;
        let bias = if bias { Some(vb.tensor("bias", [outputs])?) } else { None };
        Ok(Self { weight, shape, bias, kernels: vb.compute().kernels })
    }

    /// # Shapes
    /// `[.., inputs]` → `[.., outputs]`, in the dtype of the input.
    ///
    /// # Errors
    /// The last dimension is not `inputs`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.then(x, Then::Nothing)
    }

    /// GELU (tanh) of [`Linear::forward`].
    ///
    /// # Errors
    /// As [`Linear::forward`].
    pub fn gelu(&self, x: &Tensor) -> Result<Tensor> {
        self.then(x, Then::Gelu)
    }

    /// [`Linear::gelu`] times `factor`, of the same shape.
    ///
    /// # Errors
    /// As [`Linear::forward`]; or `factor` has another shape.
    pub fn gelu_times(&self, x: &Tensor, factor: &Tensor) -> Result<Tensor> {
        let width = factor.dim(D::Minus1)?;
        self.then(x, Then::GeluTimes(factor.contiguous()?.reshape(((), width))?))
    }

    fn then(&self, x: &Tensor, then: Then) -> Result<Tensor> {
        let [outputs, inputs] = self.shape;
        let mut dims = x.dims().to_vec();
        let rows = x.elem_count() / inputs.max(1);
        let x = x.reshape((rows, inputs))?;
        let name = match &self.weight {
            Matrix::Packed(weight) if !weight.packing().is_half() => "packed linear",
            Matrix::EightBit(_) => "linear in 8 bits",
            _ => "linear",
        };
        let y = profile::timed(name, || 2 * rows * inputs * outputs, || self.dispatch(&x, then))?;
        if let Some(last) = dims.last_mut() {
            *last = outputs;
        }
        Ok(y.reshape(dims)?)
    }

    fn dispatch(&self, x: &Tensor, then: Then) -> Result<Tensor> {
        if x.device().is_cpu() && x.dtype() == DType::F32 {
            let weight = match &self.weight {
                Matrix::Dense(weight) => Some(Weight::Rows(weight.clone())),
                Matrix::Panels(weight) => Some(Weight::Panels(weight.clone())),
                Matrix::Packed(weight) => Some(Weight::Packed(weight.clone())),
                Matrix::Tiles(weight) => Some(Weight::Tiles(weight.0.clone())),
                Matrix::EightBit(weight) => Some(Weight::EightBit(weight.0.clone())),
                _ => None,
            };
            if let Some(weight) = weight {
                let op = kernels::Linear {
                    level: self.kernels.level,
                    weight,
                    outputs: self.shape[0],
                    bias: self.bias.clone(),
                    then,
                };
                return Ok(x.contiguous()?.apply_op1_no_bwd(&op)?);
            }
        }
        let gelu_too = matches!(then, Then::Gelu | Then::GeluTimes(_));
        if let Some(y) = self.on_gpu(x, gelu_too)? {
            return Ok(if let Then::GeluTimes(factor) = then { (y * factor)? } else { y });
        }
        let y = self.plain(&self.weight, x)?;
        Ok(match then {
            Then::Nothing => y,
            Then::Gelu => gelu(&y, self.kernels)?,
            Then::GeluTimes(factor) => (gelu(&y, self.kernels)? * factor)?,
        })
    }

    /// Product, bias and GELU in one pass, where a GPU does that.
    fn on_gpu(&self, x: &Tensor, gelu: bool) -> Result<Option<Tensor>> {
        match &self.weight {
            Matrix::Dense(weight) => Ok(kernels::cuda::linear(x, weight, self.bias.as_ref(), gelu)?),
            Matrix::Packed(weight) => weight.product_on_gpu(x, self.bias.as_ref(), gelu),
            _ => Ok(None),
        }
    }

    /// A product in f32 of an input in any dtype.
    fn wide(&self, weight: Weight, x: &Tensor) -> Result<Tensor> {
        let op = kernels::Linear {
            level: self.kernels.level,
            weight,
            outputs: self.shape[0],
            bias: None,
            then: Then::Nothing,
        };
        Ok(x.to_dtype(DType::F32)?.contiguous()?.apply_op1_no_bwd(&op)?.to_dtype(x.dtype())?)
    }

    /// The product and the bias, of rows.
    fn plain(&self, weight: &Matrix, x: &Tensor) -> Result<Tensor> {
        let y = match weight {
            Matrix::Dense(weight) => x.matmul(&weight.t()?)?,
            Matrix::Packed(weight) => weight.product(x, self.kernels.level)?,
            Matrix::Panels(weight) => self.wide(Weight::Panels(weight.clone()), x)?,
            Matrix::Tiles(weight) => self.wide(Weight::Tiles(weight.0.clone()), x)?,
            Matrix::EightBit(weight) => self.wide(Weight::EightBit(weight.0.clone()), x)?,
            Matrix::Beside(weight, products) => {
                let y = self.plain(weight, x)?;
                return products.iter().try_fold(y, |y, low_rank| Ok((y + low_rank.product(x, self.kernels.level)?)?));
            }
        };
        Ok(match &self.bias {
            Some(bias) => y.broadcast_add(bias)?,
            None => y,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Level, Packed, Packing, relative_l2};
    use candle_core::{
        Device,
        quantized::{GgmlDType, QTensor},
    };

    fn randn(rows: usize, columns: usize) -> Tensor {
        Tensor::randn(0f32, 1f32, (rows, columns), &Device::Cpu).unwrap()
    }

    #[test]
    fn kernels_equal_the_formula() -> Result<()> {
        for (rows, inputs, outputs) in [(1, 1, 1), (7, 33, 5), (65, 130, 40), (3, 300, 100)] {
            for bias in [None, Some(randn(1, outputs).squeeze(0)?)] {
                let (x, weight, factor) = (randn(rows, inputs), randn(outputs, inputs), randn(rows, outputs));
                let product = x.matmul(&weight.t()?)?;
                let plain = match &bias {
                    Some(bias) => product.broadcast_add(bias)?,
                    None => product,
                };
                let dense = Linear {
                    weight: Matrix::Dense(weight),
                    shape: [outputs, inputs],
                    bias,
                    kernels: KernelChoice::fastest(),
                };
                let ready = Linear { weight: dense.weight.clone().ready(Level::widest())?, ..dense.clone() };
                assert!(matches!(ready.weight, Matrix::Panels(_)));
                let (gelu, times) = (plain.gelu()?, (plain.gelu()? * &factor)?);
                for level in Level::available() {
                    for layer in [&dense, &ready] {
                        let layer = Linear { kernels: KernelChoice::at(level), ..layer.clone() };
                        let close = |found: Result<Tensor>, expected: &Tensor| {
                            let error = relative_l2(&found.unwrap(), expected).unwrap();
                            assert!(error < 2e-6, "{level:?} {rows}x{inputs}x{outputs}: {error:.1e}");
                        };
                        close(layer.forward(&x), &plain);
                        close(layer.gelu(&x), &gelu);
                        close(layer.gelu_times(&x, &factor), &times);
                    }
                }
            }
        }
        Ok(())
    }

    #[test]
    fn weights_in_bf16_equal_the_formula_in_both_forms() -> Result<()> {
        for (rows, inputs, outputs) in [(1, 2, 1), (7, 34, 5), (65, 130, 40), (3, 301, 100)] {
            let (x, bias) = (randn(rows, inputs), randn(1, outputs).squeeze(0)?);
            let weight = randn(outputs, inputs).to_dtype(DType::BF16)?;
            let bits = |value: f32| ((value.to_bits() >> 16) as u16).to_le_bytes();
            let weight = weight.to_dtype(DType::F32)?;
            let bytes = weight.flatten_all()?.to_vec1::<f32>()?.into_iter().flat_map(bits).collect();
            let expected = x.matmul(&weight.t()?)?.broadcast_add(&bias)?.gelu()?;
            let packed = Matrix::Packed(Packed::new(bytes, Packing::Bf16, [outputs, inputs])?);
            for level in Level::available() {
                let ready = packed.clone().ready(level).unwrap();
                let forms = [packed.clone(), ready].map(|weight| {
                    let layer = Linear {
                        weight,
                        shape: [outputs, inputs],
                        bias: Some(bias.clone()),
                        kernels: KernelChoice::at(level),
                    };
                    layer.gelu(&x).unwrap()
                });
                let [passing, ready] = forms.each_ref().map(|y| y.to_vec2::<f32>().unwrap());
                assert_eq!(passing, ready, "{level:?} {rows}x{inputs}x{outputs}: a layer that stays computes the same");
                let error = relative_l2(&forms[0], &expected).unwrap();
                assert!(error < 6e-6, "{level:?} {rows}x{inputs}x{outputs}: {error:.1e}");
            }
        }
        Ok(())
    }

    #[test]
    fn eight_bits_are_near_the_formula_from_every_form() -> Result<()> {
        let (x, weight, bias) = (randn(30, 256), randn(96, 256), randn(1, 96).squeeze(0)?);
        let expected = x.matmul(&weight.t()?)?.broadcast_add(&bias)?.gelu()?;
        let blocks = QTensor::quantize(&weight, GgmlDType::Q8_0)?;
        let packed = Packed::new(blocks.data()?.to_vec(), Packing::Blocks(GgmlDType::Q8_0), [96, 256])?;
        for matrix in [Matrix::Dense(weight), Matrix::Packed(packed)] {
            let weight = matrix.eight_bit([96, 256], Level::widest())?;
            assert!(matches!(weight, Matrix::EightBit(_)));
            let layer = Linear { weight, shape: [96, 256], bias: Some(bias.clone()), kernels: KernelChoice::fastest() };
            let error = relative_l2(&layer.gelu(&x)?, &expected).unwrap();
            assert!(error < 2e-2, "{error:.1e}");
        }
        assert!(matches!(Matrix::Dense(randn(96, 100)).eight_bit([96, 100], Level::widest())?, Matrix::Panels(_)));
        assert!(matches!(Matrix::Dense(randn(32, 256)).eight_bit([32, 256], Level::widest())?, Matrix::Panels(_)));
        Ok(())
    }

    #[test]
    fn a_factor_of_another_size_is_refused() {
        let layer =
            Linear { weight: Matrix::Dense(randn(4, 8)), shape: [4, 8], bias: None, kernels: KernelChoice::fastest() };
        assert!(layer.gelu_times(&randn(3, 8), &randn(2, 4)).is_err());
    }
}
