//! From a device's name and a precision to where the engine computes, and by which kernels.
//!
//! Must not know commands.

use crate::exit::BadInput;
use anyhow::Result;
use ltx_nn::{Compute, CudaKernels, DeviceChoice, DeviceError, EightBitProducts, KernelChoice, Level, gpu_memory};
use serde::{Deserialize, Deserializer, de::Error};

/// Where to compute, and why a GPU that is there was passed over.
pub(crate) struct Opened {
    pub(crate) compute: Compute,
    pub(crate) passed_over: Option<DeviceError>,
}

/// What may be taken out of a GPU's way of computing, to find a fault or to measure it: `cuda.graphs` and `cuda.kernels`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CudaOptions {
    /// Whether launches that are repeated are made as one.
    pub(crate) graphs: bool,
    /// Which kernels a GPU gets that has some of its own.
    #[serde(deserialize_with = "kernels")]
    pub(crate) kernels: CudaKernels,
}

fn kernels<'de, D: Deserializer<'de>>(deserializer: D) -> Result<CudaKernels, D::Error> {
    let said = String::deserialize(deserializer)?;
    said.parse().map_err(|_| D::Error::custom("is neither newest nor ampere"))
}

/// The device, precision and kernels that were asked for.
pub(crate) struct Asked<'a> {
    pub(crate) device: DeviceChoice,
    pub(crate) dtype: &'a str,
    pub(crate) level: Level,
    pub(crate) cuda: CudaOptions,
}

/// Opens a device. Products in 8 bits are the CPU's: `auto` takes it then.
pub(crate) fn open(asked: &Asked<'_>) -> Result<Opened> {
    let Asked { device, dtype, level, cuda: CudaOptions { graphs, kernels: cuda } } = *asked;
    let named = Compute::named(dtype).map_err(|error| BadInput(error.to_string()))?;
    let device = match device {
        DeviceChoice::Auto if named.eight_bit == EightBitProducts::Always => DeviceChoice::Cpu,
        DeviceChoice::Cuda(_) if named.eight_bit == EightBitProducts::Always => {
            return Err(BadInput(format!("dtype: {dtype} is computed on the CPU alone; on {device} take bf16")).into());
        }
        device => device,
    };
    let opened = device.open()?;
    // A GPU rounds nothing: what is kept by how it was computed is the same for `auto` and `f32` there.
    let eight_bit = if opened.device.is_cpu() { named.eight_bit } else { EightBitProducts::Never };
    let compute = Compute { device: opened.device, kernels: KernelChoice { level, cuda }, graphs, eight_bit, ..named };
    Ok(Opened { compute, passed_over: opened.passed_over })
}

/// What is free on the GPU, in bytes; `None` for the CPU.
pub(crate) fn gpu_free_bytes(compute: &Compute) -> Option<u64> {
    gpu_memory(&compute.device).map(|(free, _)| free)
}

/// What is in use on the GPU, by anybody, in bytes; `None` for the CPU.
pub(crate) fn gpu_used_bytes(compute: &Compute) -> Option<u64> {
    gpu_memory(&compute.device).map(|(free, total)| total - free)
}
