//! From a device's name and a precision to where the engine computes.
//!
//! Must not know commands.

use crate::exit::BadInput;
use anyhow::Result;
use ltx_nn::{Compute, DeviceChoice, DeviceError, gpu_memory};

/// Where to compute, and why a GPU that is there was passed over.
pub(crate) struct Opened {
    pub(crate) compute: Compute,
    pub(crate) passed_over: Option<DeviceError>,
}

/// Opens a device. Products in 8 bits are the CPU's: `auto` takes it then.
pub(crate) fn open(device: DeviceChoice, dtype: &str) -> Result<Opened> {
    let named = Compute::named(dtype).map_err(|error| BadInput(error.to_string()))?;
    let device = match device {
        DeviceChoice::Auto if named.eight_bit => DeviceChoice::Cpu,
        DeviceChoice::Cuda(_) if named.eight_bit => {
            return Err(BadInput(format!("dtype: {dtype} is computed on the CPU alone; on {device} take bf16")).into());
        }
        device => device,
    };
    let opened = device.open()?;
    Ok(Opened { compute: Compute { device: opened.device, ..named }, passed_over: opened.passed_over })
}

/// What is free on the GPU, in bytes; `None` for the CPU.
pub(crate) fn gpu_free_bytes(compute: &Compute) -> Option<u64> {
    gpu_memory(&compute.device).map(|(free, _)| free)
}

/// What is in use on the GPU, by anybody, in bytes; `None` for the CPU.
pub(crate) fn gpu_used_bytes(compute: &Compute) -> Option<u64> {
    gpu_memory(&compute.device).map(|(free, total)| total - free)
}
