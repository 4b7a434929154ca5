//! SiLU times a factor, the gate of a SwiGLU perceptron.
//!
//! Must not know the perceptron around it.

use super::{Level, level::widest, math};
use crate::KernelError;
use rayon::prelude::*;

/// Values that one piece of work takes.
const CHUNK: usize = 1 << 14;

/// `silu(x) · factor` of every value.
///
/// # Errors
/// The slices are not as long as each other.
pub fn silu_times(level: Level, x: &[f32], factor: &[f32], out: &mut [f32]) -> Result<(), KernelError> {
    KernelError::ensure(x.len() == out.len() && factor.len() == out.len(), "silu")?;
    let inputs = x.par_chunks(CHUNK).zip(factor.par_chunks(CHUNK));
    out.par_chunks_mut(CHUNK).zip(inputs).for_each(|(out, (x, factor))| {
        widest(
            level,
            #[inline(always)]
            || {
                for ((out, x), factor) in out.iter_mut().zip(x).zip(factor) {
                    *out = math::silu(*x) * factor;
                }
            },
        );
    });
    Ok(())
}
