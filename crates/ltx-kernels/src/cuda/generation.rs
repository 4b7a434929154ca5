//! Which generation of tensor cores the kernels of attention and convolution are written for.
//!
//! Must not know what the kernels compute.

use super::device::capability;
use crate::CudaKernels;
use candle_core::{Device, Result};

/// Kernels exist twice where Hopper has instructions of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Generation {
    /// `mma.sync`, on compute capability 8.0 and everything later.
    Ampere,
    /// `wgmma`, on compute capability 9.0 alone.
    Hopper,
}

impl Generation {
    /// What a GPU gets of the kernels that were chosen.
    pub(super) fn of(device: &Device, kernels: CudaKernels) -> Result<Self> {
        Ok(Self::choose(capability(device)?, kernels))
    }

    fn choose(capability: (i32, i32), kernels: CudaKernels) -> Self {
        if capability == (9, 0) && kernels == CudaKernels::Newest { Self::Hopper } else { Self::Ampere }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hopper_alone_gets_its_kernels_unless_the_older_ones_are_asked_for() {
        use CudaKernels::{Ampere, Newest};
        assert_eq!(Generation::choose((9, 0), Newest), Generation::Hopper);
        for (capability, kernels) in
            [((9, 0), Ampere), ((8, 0), Newest), ((8, 9), Newest), ((10, 0), Newest), ((12, 0), Newest)]
        {
            assert_eq!(Generation::choose(capability, kernels), Generation::Ampere);
        }
    }
}
