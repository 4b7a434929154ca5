//! How layers reach kernels on the CPU: the values of tensors are lent to them, and what they write becomes a tensor.
//!
//! Must not know layers' weights by name.

mod linear;

pub(crate) use linear::{Linear, Then, Weight, panel_tensor, panels};
pub(crate) use ltx_kernels::{
    cpu::{GROUP, PackedRows, Tiles16, Weights8, decode},
    cuda,
};

use crate::Result;
use candle_core::{Device, Error, Shape, Storage, Tensor};

/// Lends the values of contiguous f32 tensors on the CPU.
///
/// # Errors
/// One of them is none, or `work` fails.
pub(crate) fn with_values<const N: usize, T, E: From<Error>>(
    tensors: [&Tensor; N],
    work: impl FnOnce([&[f32]; N]) -> Result<T, E>,
) -> Result<T, E> {
    let held = tensors.map(Tensor::storage_and_layout);
    let mut values = [&[][..]; N];
    for (values, (storage, layout)) in values.iter_mut().zip(&held) {
        let Storage::Cpu(storage) = &**storage else {
            return Err(Error::msg("a kernel's input is not on the CPU").into());
        };
        let (start, end) = layout.contiguous_offsets().ok_or_else(|| Error::msg("kernel input is not contiguous"))?;
        *values = &storage.as_slice::<f32>()?[start..end];
    }
    work(values)
}

/// A new f32 tensor on the CPU, written by `work`.
///
/// # Errors
/// `work` fails.
pub(crate) fn written(shape: Shape, work: impl FnOnce(&mut [f32]) -> Result<()>) -> Result<Tensor> {
    let mut values = vec![0f32; shape.elem_count()];
    work(&mut values)?;
    Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
}
