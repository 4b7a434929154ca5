//! Which kernels compute: a choice that is made once, where the program is put together, and handed down to every kernel.
//!
//! Must not know flags, variables or configuration files.

use crate::Level;
use std::{fmt, str::FromStr};

/// Which kernels compute, on either kind of device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelChoice {
    /// Instructions of the CPU's kernels.
    pub level: Level,
    /// Kernels of a GPU.
    pub cuda: CudaKernels,
}

/// Which of its kernels a GPU gets where it has them twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CudaKernels {
    /// Those of its own generation.
    #[default]
    Newest,
    /// Those that every GPU from compute capability 8.0 on has: to tell a fault of the others, and to measure what they bring.
    Ampere,
}

/// A name of a GPU's kernels that is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cuda kernels: {found} is not one of newest, ampere")]
pub struct UnknownKernels {
    /// The name given.
    pub found: String,
}

impl KernelChoice {
    /// The fastest kernels that there are: the processor's widest level, and a GPU's own.
    pub fn fastest() -> Self {
        Self::at(Level::widest())
    }

    /// The CPU's kernels at a level.
    pub fn at(level: Level) -> Self {
        Self { level, cuda: CudaKernels::Newest }
    }
}

impl FromStr for CudaKernels {
    type Err = UnknownKernels;

    fn from_str(name: &str) -> Result<Self, UnknownKernels> {
        match name {
            "newest" => Ok(Self::Newest),
            "ampere" => Ok(Self::Ampere),
            _ => Err(UnknownKernels { found: name.to_owned() }),
        }
    }
}

impl fmt::Display for CudaKernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Newest => "newest",
            Self::Ampere => "ampere",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_read_as_they_are_written() {
        for kernels in [CudaKernels::Newest, CudaKernels::Ampere] {
            assert_eq!(kernels.to_string().parse(), Ok(kernels));
        }
        assert!(
            "hopper".parse::<CudaKernels>().unwrap_err().to_string().contains("hopper is not one of newest, ampere")
        );
    }
}
