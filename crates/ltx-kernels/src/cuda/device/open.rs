//! Finding and opening GPUs, without a panic where driver or libraries are missing: every library is asked for before it is used.
//!
//! Must not know models.

use crate::DeviceError;
use candle_core::{
    Device, Result,
    cuda_backend::{
        WrapErr,
        cudarc::{
            cublas, cublaslt, curand,
            driver::{CudaContext, result, sys},
        },
    },
};

/// The CUDA version of the kernels' PTX and of the bindings, as `cuDriverGetVersion` counts.
const NEEDED: i32 = 13_000;
/// The oldest GPU there are kernels for.
const OLDEST: (i32, i32) = (8, 0);

/// Opens a GPU by its number.
pub(crate) fn open(ordinal: usize) -> std::result::Result<Device, DeviceError> {
    let found = list()?;
    if ordinal >= found.len() {
        return Err(DeviceError::NoSuchDevice { asked: ordinal, found });
    }
    let device = Device::new_cuda_with_stream(ordinal).map_err(failed)?;
    let cuda = device.as_cuda_device().map_err(failed)?;
    let stream = cuda.cuda_stream();
    let capability = stream.context().compute_capability().w().map_err(failed)?;
    if capability < OLDEST {
        return Err(DeviceError::GpuTooOld { name: found[ordinal].clone(), found: capability, needed: OLDEST });
    }
    // SAFETY: all work of this device goes through its one stream, so that order needs no events; the one other stream, that of
    // copies (`carrier`), is ordered with it by events of its own.
    unsafe { cuda.disable_event_tracking() };
    keep_memory(stream.context()).w().map_err(failed)?;
    Ok(device)
}

/// The GPUs' names.
pub(crate) fn list() -> std::result::Result<Vec<String>, DeviceError> {
    // SAFETY: looks whether a system library can be loaded; its initialisers are those of the driver.
    if !unsafe { sys::is_culib_present() } {
        return Err(DeviceError::NoDriver);
    }
    let mut found = 0;
    // SAFETY: writes one number through a valid pointer; the library is there.
    unsafe { sys::cuDriverGetVersion(&mut found) }.result().w().map_err(failed)?;
    if found < NEEDED {
        return Err(DeviceError::DriverTooOld { found: version(found), needed: version(NEEDED) });
    }
    // SAFETY: as above, of libraries of the CUDA toolkit.
    let libraries = unsafe {
        [
            ("libcublas", cublas::sys::is_culib_present()),
            ("libcublasLt", cublaslt::sys::is_culib_present()),
            ("libcurand", curand::sys::is_culib_present()),
        ]
    };
    if let Some((library, _)) = libraries.into_iter().find(|(_, present)| !present) {
        return Err(DeviceError::NoLibrary { library });
    }
    let count = match CudaContext::device_count() {
        Ok(count) => count,
        Err(error) if error.0 == sys::CUresult::CUDA_ERROR_NO_DEVICE => 0,
        Err(error) => return Err(Err::<(), _>(error).w().map_err(failed).unwrap_err()),
    };
    if count == 0 {
        return Err(DeviceError::NoDevice);
    }
    let name = |ordinal| result::device::get_name(result::device::get(ordinal)?);
    (0..count).map(name).collect::<std::result::Result<_, _>>().w().map_err(failed)
}

/// Free and all memory of a GPU, in bytes.
pub(crate) fn free_bytes(device: &Device) -> Option<(u64, u64)> {
    let stream = device.as_cuda_device().ok()?.cuda_stream();
    let (free, total) = stream.context().mem_get_info().ok()?;
    Some((free as u64, total as u64))
}

/// Waits until everything that was launched is done.
pub(crate) fn synchronize(device: &Device) -> Result<()> {
    device.synchronize()
}

/// Memory that was freed stays with the process, as asking the driver again costs more than most kernels.
fn keep_memory(context: &CudaContext) -> std::result::Result<(), result::DriverError> {
    if !context.has_async_alloc() {
        return Ok(());
    }
    let mut all = u64::MAX;
    // SAFETY: the device is open; the attribute takes a pointer to 64 bits, which are copied.
    unsafe {
        let pool = result::device::get_default_mem_pool(context.cu_device())?;
        let threshold = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
        sys::cuMemPoolSetAttribute(pool, threshold, (&raw mut all).cast()).result()
    }
}

fn version(number: i32) -> String {
    format!("{}.{}", number / 1000, number % 1000 / 10)
}

fn failed(source: candle_core::Error) -> DeviceError {
    DeviceError::Failed { source: Box::new(source) }
}
