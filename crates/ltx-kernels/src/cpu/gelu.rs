//! GELU in its tanh form.
//!
//! Must not know the perceptron around it.

use super::{Level, level::widest, math};
use crate::KernelError;
use rayon::prelude::*;

/// Values that one piece of work takes.
const CHUNK: usize = 1 << 14;

/// GELU of every value.
///
/// # Errors
/// `out` is not as long as `x`.
pub fn gelu(level: Level, x: &[f32], out: &mut [f32]) -> Result<(), KernelError> {
    KernelError::ensure(x.len() == out.len(), "gelu")?;
    out.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(out, x)| {
        widest(
            level,
            #[inline(always)]
            || {
                for (out, x) in out.iter_mut().zip(x) {
                    *out = math::gelu(*x);
                }
            },
        );
    });
    Ok(())
}
