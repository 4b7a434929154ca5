//! From what a source handed out to the form that [`super::form()`] decided on.
//!
//! Must not know which form is right.

use super::{
    Form, Packed, Prepared, Stored,
    prepared::{Fp8, Values},
    stored::StoredValues,
};
use crate::{Compute, KernelChoice, Level, NnError, Packing, Result, kernels};
use candle_core::{Device, Tensor};
use std::sync::Arc;

/// Makes a form of a matrix for products that `compute` says the device and the kernels of. Its tensors lie on `on`: that
/// device, or the host if they are carried there later; what is never carried lies on the device.
///
/// # Errors
/// The form cannot be made of what is stored, or there is no memory for it.
pub fn prepare(stored: Stored, form: Form, on: &Device, compute: &Compute) -> Result<Prepared> {
    let Stored { shape, values, pairs } = stored;
    let (level, here) = (compute.kernels.level, |dtype| Compute { device: on.clone(), ..compute.with_dtype(dtype) });
    let made = match form {
        Form::Rows(dtype) | Form::GpuRows(dtype) => Values::Rows(values.tensor(shape, &here(dtype))?),
        Form::Panels => Values::Panels(panels(&values, shape, level)?),
        Form::Tiles => Values::Tiles(Arc::new(kernels::Tiles16::new(&values.packed()?.rows(level)?)?)),
        Form::EightBit => Values::EightBit(Arc::new(eight_bit(&values, shape, level)?)),
        Form::Packed(_) => Values::Packed(values.packed()?.clone()),
        Form::PackedEightBit(_) => Values::PackedEightBit(values.packed()?.clone()),
        Form::GpuFp8 => Values::Fp8(fp8(values.packed()?, on, &compute.device)?),
    };
    let pairs = pairs.iter().map(|pair| pair.map(&mut |tensor| Ok::<_, NnError>(tensor.to_device(on)?)));
    Ok(Prepared { shape, values: made, kernels: compute.kernels, pairs: pairs.collect::<Result<_>>()? })
}

/// In f32 on the CPU.
fn wide(level: Level) -> Compute {
    Compute { kernels: KernelChoice::at(level), ..Compute::cpu_f32() }
}

/// The values in f32, in the order in which products read them.
fn panels(values: &StoredValues, shape: [usize; 2], level: Level) -> Result<Tensor> {
    match values {
        StoredValues::Packed(packed) => Ok(kernels::panel_tensor(packed.rows(level)?.panels(), shape)?),
        StoredValues::ShapeAlone | StoredValues::Floats(_) => {
            Ok(kernels::panels(level, &values.tensor(shape, &wide(level))?)?)
        }
    }
}

/// The values rounded to 8 bits.
fn eight_bit(values: &StoredValues, shape: [usize; 2], level: Level) -> Result<kernels::Weights8> {
    let [_, inputs] = shape;
    match values {
        StoredValues::Packed(packed) => {
            let rows = packed.rows(level)?;
            Ok(kernels::Weights8::pack(shape, |row, out| rows.decode_row(row, 0..inputs, out)))
        }
        StoredValues::ShapeAlone | StoredValues::Floats(_) => {
            let wide = values.tensor(shape, &wide(level))?;
            kernels::with_values([&wide], |[values]| {
                let row = |row: usize, out: &mut [f32]| out.copy_from_slice(&values[row * inputs..][..inputs]);
                Ok(kernels::Weights8::pack(shape, row))
            })
        }
    }
}

/// 8-bit floats as a GPU multiplies them.
fn fp8(packed: &Packed, on: &Device, device: &Device) -> Result<Fp8<Tensor>> {
    match packed.packing() {
        Packing::Fp8 { scale } => {
            let bytes = packed.bytes_on(on)?;
            let scale_on_device = Tensor::full(scale, bytes.dim(0)?, device)?;
            Ok(Fp8 { bytes, scale, scale_on_device })
        }
        other => Err(NnError::unsupported("the stored form of a matrix", format!("{other:?}"), "8-bit floats")),
    }
}
