//! What everything that one part computes has in common, for the keys by which it is kept: the program, how and where it computes,
//! the configuration, the weights.
//!
//! Must not know what is kept.

use crate::Engine;
use ltx_nn::gpu_name;
use sha2::{Digest, Sha256};

/// Takes the pieces of what is digested.
pub(crate) type Sink<'a> = &'a mut dyn FnMut(&[u8]);

impl Engine {
    /// SHA-256 of all that; nothing where the program or the device cannot be told from others, or `weights`, which tells a sink what
    /// identifies them, fails. Random weights are others every time they are drawn.
    pub(crate) fn identify(
        &self,
        (kind, config): (&str, &str),
        weights: impl FnOnce(Sink<'_>) -> ltx_nn::Result<()>,
    ) -> Option<[u8; 32]> {
        if self.options.random_weights {
            return None;
        }
        let compute = &self.options.compute;
        let device = if compute.device.is_cpu() { "cpu".to_owned() } else { gpu_name(&compute.device)? };
        let how = format!("{:?} {:?} {:?}", compute.dtype, compute.eight_bit, compute.kernels);
        let mut digest = Sha256::new();
        for piece in [kind, env!("CARGO_PKG_VERSION"), (self.options.build)()?, &device, &how, config] {
            digest.update((piece.len() as u64).to_le_bytes());
            digest.update(piece);
        }
        weights(&mut |piece| digest.update(piece)).ok()?;
        Some(digest.finalize().into())
    }
}
