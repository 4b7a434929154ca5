//! Which generation of tensor cores the kernels of attention and convolution are written for.
//!
//! Must not know what the kernels compute.

use super::device::capability;
use candle_core::{Device, Result};
use std::{env, sync::LazyLock};

/// Kernels exist twice where Hopper has instructions of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Generation {
    /// `mma.sync`, on compute capability 8.0 and everything later.
    Ampere,
    /// `wgmma`, on compute capability 9.0 alone.
    Hopper,
}

/// The variable that makes Hopper use the older kernels, and its value.
const VARIABLE: (&str, &str) = ("LTXD_KERNELS", "ampere");
/// Read once.
static OLDER: LazyLock<bool> = LazyLock::new(|| env::var(VARIABLE.0).is_ok_and(|value| value == VARIABLE.1));

impl Generation {
    /// What a GPU gets.
    pub(super) fn of(device: &Device) -> Result<Self> {
        Ok(Self::choose(capability(device)?, *OLDER))
    }

    fn choose(capability: (i32, i32), older: bool) -> Self {
        if capability == (9, 0) && !older { Self::Hopper } else { Self::Ampere }
    }
}

#[cfg(test)]
mod tests {
    use super::Generation;

    #[test]
    fn hopper_alone_gets_its_kernels_unless_the_older_ones_are_asked_for() {
        assert_eq!(Generation::choose((9, 0), false), Generation::Hopper);
        for (capability, older) in
            [((9, 0), true), ((8, 0), false), ((8, 9), false), ((10, 0), false), ((12, 0), false)]
        {
            assert_eq!(Generation::choose(capability, older), Generation::Ampere);
        }
    }
}
