//! What a kernel on the CPU refuses to compute.
//!
//! Must not know layers. On a GPU, errors are candle's.

/// Inputs that a CPU kernel cannot compute on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KernelError {
    /// Slices are not as long as the sizes say, or sizes do not fit each other.
    #[error("{kernel}: input sizes do not fit each other")]
    Sizes {
        /// The kernel's name.
        kernel: &'static str,
    },
    /// A matrix is larger than the slice that holds it.
    #[error("product: a matrix reaches past its slice")]
    PastSlice,
}

impl KernelError {
    /// Fails unless the inputs of `kernel` fit each other.
    ///
    /// # Errors
    /// They do not.
    pub fn ensure(fits: bool, kernel: &'static str) -> Result<(), Self> {
        if fits { Ok(()) } else { Err(Self::Sizes { kernel }) }
    }
}

impl From<KernelError> for candle_core::Error {
    fn from(error: KernelError) -> Self {
        Self::msg(error)
    }
}
