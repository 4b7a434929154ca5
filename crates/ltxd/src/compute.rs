//! From a device's name and a precision to where the engine computes.
//!
//! Must not know commands.

use crate::exit::BadInput;
use anyhow::Result;
use ltx_nn::{Compute, DeviceChoice, DeviceError, gpu_memory, parse_dtype};

/// Where to compute, and why a GPU that is there was passed over.
pub(crate) struct Opened {
    pub(crate) compute: Compute,
    pub(crate) passed_over: Option<DeviceError>,
}

/// Opens a device.
pub(crate) fn open(device: DeviceChoice, dtype: &str) -> Result<Opened> {
    let dtype = parse_dtype(dtype).map_err(|error| BadInput(error.to_string()))?;
    let opened = device.open()?;
    Ok(Opened { compute: Compute { device: opened.device, dtype }, passed_over: opened.passed_over })
}

/// What is free on the GPU, in bytes; `None` for the CPU.
pub(crate) fn gpu_free_bytes(compute: &Compute) -> Option<u64> {
    gpu_memory(&compute.device).map(|(free, _)| free)
}

/// What is in use on the GPU, by anybody, in bytes; `None` for the CPU.
pub(crate) fn gpu_used_bytes(compute: &Compute) -> Option<u64> {
    gpu_memory(&compute.device).map(|(free, total)| total - free)
}
