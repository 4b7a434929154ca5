//! Performs launches and matrix products on a GPU.
//!
//! Must not know what the kernels compute. All work of a device goes through one stream, in order; only copies of weights that
//! are streamed have a stream of their own (`carrier`).
#![allow(unsafe_code)]

mod carrier;
mod graph;
mod lt;
mod open;
mod ptx;
#[cfg(test)]
mod tests;

pub use carrier::carrier;
pub use graph::{Graph, capture, copy_into};
pub(super) use lt::Product;
pub(crate) use open::{free_bytes, list, open, synchronize};

use super::launch::{Argument, Launch};
use candle_core::{
    DType, Device, Error, Layout, Result, Storage, Tensor,
    cuda_backend::{
        CudaStorage, CudaStorageSlice, WrapErr,
        cudarc::driver::{CudaStream, DevicePtr, LaunchConfig, PushKernelArg, sys::CUfunction_attribute},
    },
};

/// What a block may use of shared memory without being asked for.
const USUAL_SHARED: u32 = 48 << 10;

/// Launches a kernel over contiguous tensors of one device: inputs, then outputs, in the order of the launch's arguments.
pub(super) fn run(launch: &Launch, inputs: &[&Tensor], outputs: &[&Tensor]) -> Result<()> {
    let Some(Device::Cuda(device)) = outputs.first().map(|tensor| tensor.device()) else {
        return Err(Error::msg(format!("{}: no output on a GPU", launch.kernel)));
    };
    let stream = device.cuda_stream();
    let (major, minor) = stream.context().compute_capability().w()?;
    let text = ptx::text(launch.module, (major, minor))?;
    let function = device.get_or_load_custom_func(&launch.kernel, ptx::name(launch.module), text)?;
    if launch.shared > USUAL_SHARED {
        let most = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        function.set_attribute(most, launch.shared as i32).w()?;
    }
    let tensors = || inputs.iter().chain(outputs);
    let addresses = tensors().map(|tensor| address_of(tensor, &stream)).collect::<Result<Vec<_>>>()?;
    let wanted = launch.arguments.iter().filter(|argument| **argument == Argument::Tensor).count();
    if wanted != addresses.len() || tensors().any(|tensor| !tensor.is_contiguous()) {
        return Err(Error::msg(format!("{}: takes {wanted} contiguous tensors", launch.kernel)));
    }
    let mut next = addresses.iter();
    let mut builder = function.builder();
    for argument in &launch.arguments {
        match argument {
            Argument::Tensor => next.next().map(|address| builder.arg(address)),
            Argument::Int(value) => Some(builder.arg(value)),
            Argument::Long(value) => Some(builder.arg(value)),
            Argument::Float(value) => Some(builder.arg(value)),
        };
    }
    let [x, y, z] = launch.grid;
    let config = LaunchConfig { grid_dim: (x, y, z), block_dim: (launch.block, 1, 1), shared_mem_bytes: launch.shared };
    // SAFETY: number, kinds and order of the arguments are the kernel's own, as the same launches are performed in tests by the
    // same source, which checks them. Every address is that of a contiguous tensor whose size the launch was computed from.
    // Inputs and outputs are held by the caller until the launch is in the stream, and memory is given back in stream order.
    unsafe { builder.launch(config) }.w()?;
    Ok(())
}

/// An uninitialised tensor on the device of another.
pub(super) fn empty(shape: &[usize], like: &Tensor, dtype: DType) -> Result<Tensor> {
    // SAFETY: every caller hands it to a kernel or product that writes all of it before anybody reads it.
    unsafe { Tensor::empty(shape, dtype, like.device()) }
}

pub(super) fn capability(device: &Device) -> Result<(i32, i32)> {
    device.as_cuda_device()?.cuda_stream().context().compute_capability().w()
}

/// Where a tensor's first value lies.
fn address_of(tensor: &Tensor, stream: &CudaStream) -> Result<u64> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cuda(storage) => address_in(storage, layout, stream),
        _ => Err(Error::msg("a tensor of a launch is not on the GPU")),
    }
}

fn address_in(storage: &CudaStorage, layout: &Layout, stream: &CudaStream) -> Result<u64> {
    let (start, size) = match &storage.slice {
        CudaStorageSlice::F32(slice) => (slice.device_ptr(stream).0, size_of::<f32>()),
        CudaStorageSlice::BF16(slice) => (slice.device_ptr(stream).0, 2),
        CudaStorageSlice::U8(slice) => (slice.device_ptr(stream).0, 1),
        CudaStorageSlice::U32(slice) => (slice.device_ptr(stream).0, size_of::<u32>()),
        _ => return Err(Error::msg("a tensor of a launch has a dtype that no kernel takes")),
    };
    Ok(start + (layout.start_offset() * size) as u64)
}
