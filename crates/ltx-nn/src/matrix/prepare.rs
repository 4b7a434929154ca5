//! From what a source handed out to the form that [`super::form()`] decided on.
//!
//! Must not know which form is right.

use super::{
    Form, Packed, Prepared, Stored,
    prepared::{Fp8, Values},
    stored::StoredValues,
};
use crate::{Level, NnError, Packing, Result, kernels};
use candle_core::{DType, Device, Tensor};
use std::sync::Arc;

/// Makes a form of a matrix. Its tensors lie on `on`: the device that multiplies, or the host if they are carried there later;
/// what is never carried lies on `device`, which multiplies.
///
/// # Errors
/// The form cannot be made of what is stored, or there is no memory for it.
pub fn prepare(stored: Stored, form: Form, on: &Device, device: &Device) -> Result<Prepared> {
    let Stored { shape, values, pairs } = stored;
    let made = match form {
        Form::Rows(dtype) | Form::GpuRows(dtype) => Values::Rows(values.tensor(shape, dtype, on)?),
        Form::Panels => Values::Panels(panels(&values, shape)?),
        Form::Tiles => Values::Tiles(Arc::new(kernels::Tiles16::new(&values.packed()?.rows(Level::current())?)?)),
        Form::EightBit => Values::EightBit(Arc::new(eight_bit(&values, shape)?)),
        Form::Packed(_) => Values::Packed(values.packed()?.clone()),
        Form::GpuFp8 => Values::Fp8(fp8(values.packed()?, on, device)?),
    };
    let pairs = pairs.iter().map(|pair| pair.map(&mut |tensor| Ok::<_, NnError>(tensor.to_device(on)?)));
    Ok(Prepared { shape, values: made, pairs: pairs.collect::<Result<_>>()? })
}

/// The values in f32, in the order in which products read them.
fn panels(values: &StoredValues, shape: [usize; 2]) -> Result<Tensor> {
    match values {
        StoredValues::Packed(packed) => Ok(kernels::panel_tensor(packed.rows(Level::current())?.panels(), shape)?),
        StoredValues::ShapeAlone | StoredValues::Floats(_) => {
            Ok(kernels::panels(&values.tensor(shape, DType::F32, &Device::Cpu)?)?)
        }
    }
}

/// The values rounded to 8 bits.
fn eight_bit(values: &StoredValues, shape: [usize; 2]) -> Result<kernels::Weights8> {
    let [_, inputs] = shape;
    match values {
        StoredValues::Packed(packed) => {
            let rows = packed.rows(Level::current())?;
            Ok(kernels::Weights8::pack(shape, |row, out| rows.decode_row(row, 0..inputs, out)))
        }
        StoredValues::ShapeAlone | StoredValues::Floats(_) => {
            let wide = values.tensor(shape, DType::F32, &Device::Cpu)?;
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
            Ok(Fp8 { bytes: packed.bytes_on(on)?, scale, scale_on_device: Tensor::new(&[scale], device)? })
        }
        other => Err(NnError::unsupported("the stored form of a matrix", format!("{other:?}"), "8-bit floats")),
    }
}
