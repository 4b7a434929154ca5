//! Which device computes: what was asked for, what is there, and why it cannot be had.
//!
//! Must not know flags or configuration files.

use crate::cuda;
use candle_core::Device;
use std::{fmt, str::FromStr};

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// The first GPU if this binary and this machine have one that can be used, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// An NVIDIA GPU, by its number.
    Cuda(usize),
}

/// Why a device cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The name is none.
    #[error("device: {found} is not one of auto, cpu, cuda:0, cuda:1, …")]
    Unknown {
        /// The name given.
        found: String,
    },
    /// The binary has no CUDA.
    #[error("device: this ltxd was built without CUDA; scripts/build-cuda builds one with it, or ask for cpu")]
    NotBuilt,
    /// The machine has no NVIDIA driver.
    #[error("device: no NVIDIA driver here (libcuda cannot be loaded); install it, or ask for cpu")]
    NoDriver,
    /// The driver does not know the CUDA version that this binary was built for.
    #[error(
        "device: the NVIDIA driver here is for CUDA {found}, and {needed} is needed; update the driver, or ask for cpu"
    )]
    DriverTooOld {
        /// The driver's CUDA version.
        found: String,
        /// The binary's.
        needed: String,
    },
    /// A library of the CUDA toolkit is missing.
    #[error(
        "device: {library} of CUDA 13 cannot be loaded; install the CUDA toolkit's libraries and put their folder into \
         LD_LIBRARY_PATH, or ask for cpu"
    )]
    NoLibrary {
        /// The library's name.
        library: &'static str,
    },
    /// A driver and no GPU.
    #[error("device: the NVIDIA driver finds no GPU; ask for cpu")]
    NoDevice,
    /// There are GPUs, but not so many.
    #[error("device: there is no cuda:{asked}; there are: {}", listed(found))]
    NoSuchDevice {
        /// The number asked for.
        asked: usize,
        /// The GPUs' names, by number.
        found: Vec<String>,
    },
    /// A GPU of a generation that there are no kernels for.
    #[error("device: {name} has compute capability {}.{}, and {}.{} is needed; ask for cpu", found.0, found.1, needed.0, needed.1)]
    GpuTooOld {
        /// The GPU's name.
        name: String,
        /// The compute capability of that GPU.
        found: (i32, i32),
        /// The oldest there are kernels for.
        needed: (i32, i32),
    },
    /// The driver failed.
    #[error("device: the GPU cannot be opened")]
    Failed {
        /// What the driver said.
        #[source]
        source: Box<candle_core::Error>,
    },
}

fn listed(names: &[String]) -> String {
    let named = names.iter().enumerate().map(|(i, name)| format!("cuda:{i} ({name})"));
    named.collect::<Vec<_>>().join(", ")
}

impl FromStr for DeviceChoice {
    type Err = DeviceError;

    fn from_str(name: &str) -> Result<Self, DeviceError> {
        match name {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => {
                let number = name.strip_prefix("cuda:").filter(|number| number.bytes().all(|b| b.is_ascii_digit()));
                let number = number.and_then(|number| number.parse().ok());
                number.map(Self::Cuda).ok_or_else(|| DeviceError::Unknown { found: name.to_owned() })
            }
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
        }
    }
}

/// A device that can be used.
#[derive(Debug)]
pub struct Opened {
    /// The device.
    pub device: Device,
    /// Why a GPU that is there was passed over by [`DeviceChoice::Auto`].
    pub passed_over: Option<DeviceError>,
}

impl DeviceChoice {
    /// Opens it.
    ///
    /// # Errors
    /// A GPU was asked for by name and cannot be used.
    pub fn open(self) -> Result<Opened, DeviceError> {
        let cpu = |passed_over| Opened { device: Device::Cpu, passed_over };
        match self {
            Self::Cpu => Ok(cpu(None)),
            Self::Cuda(ordinal) => Ok(Opened { device: cuda::open(ordinal)?, passed_over: None }),
            Self::Auto => Ok(match cuda::open(0) {
                Ok(device) => Opened { device, passed_over: None },
                Err(DeviceError::NotBuilt | DeviceError::NoDriver | DeviceError::NoDevice) => cpu(None),
                Err(error) => cpu(Some(error)),
            }),
        }
    }
}

/// A GPU's name; `None` for the CPU.
pub fn gpu_name(device: &Device) -> Option<String> {
    let candle_core::DeviceLocation::Cuda { gpu_id } = device.location() else { return None };
    cuda::list().ok()?.into_iter().nth(gpu_id)
}

/// Free and all memory of a GPU in bytes; `None` for the CPU.
pub fn gpu_memory(device: &Device) -> Option<(u64, u64)> {
    cuda::free_bytes(device)
}

/// Waits until a device has done everything it was given.
///
/// # Errors
/// Something of it failed.
pub fn synchronize(device: &Device) -> candle_core::Result<()> {
    cuda::synchronize(device)
}

/// Whether a tensor operation failed for want of memory on the GPU.
pub fn is_out_of_memory(error: &candle_core::Error) -> bool {
    use candle_core::Error;
    match error {
        Error::WithBacktrace { inner, .. } | Error::WithPath { inner, .. } | Error::Context { inner, .. } => {
            is_out_of_memory(inner)
        }
        Error::Cuda(source) => {
            let text = source.to_string();
            text.contains("CUDA_ERROR_OUT_OF_MEMORY") || text.contains("CUBLAS_STATUS_ALLOC_FAILED")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        for (name, choice) in [
            ("auto", DeviceChoice::Auto),
            ("cpu", DeviceChoice::Cpu),
            ("cuda:0", DeviceChoice::Cuda(0)),
            ("cuda:13", DeviceChoice::Cuda(13)),
        ] {
            assert_eq!(name.parse::<DeviceChoice>().unwrap(), choice);
            assert_eq!(choice.to_string(), name);
        }
        assert_eq!("cuda".parse::<DeviceChoice>().unwrap(), DeviceChoice::Cuda(0));
        for name in ["", "gpu", "cuda:", "cuda:-1", "cuda:+1", "cuda:99999999999999999999", "CPU", "cuda:1 "] {
            assert!(matches!(name.parse::<DeviceChoice>(), Err(DeviceError::Unknown { .. })), "{name:?}");
        }
    }

    #[test]
    fn the_cpu_is_always_there() {
        assert!(DeviceChoice::Cpu.open().unwrap().device.is_cpu());
        assert!(gpu_name(&Device::Cpu).is_none() && gpu_memory(&Device::Cpu).is_none());
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn without_cuda_auto_means_the_cpu_and_a_gpu_is_refused() {
        let opened = DeviceChoice::Auto.open().unwrap();
        assert!(opened.device.is_cpu() && opened.passed_over.is_none());
        assert!(matches!(DeviceChoice::Cuda(0).open(), Err(DeviceError::NotBuilt)));
    }

    #[test]
    fn what_did_not_fit_is_told_from_other_failures() {
        let cuda = |text: &str| candle_core::Error::Cuda(text.into()).bt();
        assert!(is_out_of_memory(&cuda("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")")));
        assert!(is_out_of_memory(&cuda("cuBLASLt: CublasError(CUBLAS_STATUS_ALLOC_FAILED)")));
        assert!(!is_out_of_memory(&cuda("DriverError(CUDA_ERROR_ILLEGAL_ADDRESS, \"\")")));
        assert!(!is_out_of_memory(&candle_core::Error::msg("CUDA_ERROR_OUT_OF_MEMORY")));
    }
}
