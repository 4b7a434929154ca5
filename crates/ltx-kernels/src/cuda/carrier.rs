//! Copies of weights to a device, in an order of their own: what a device has to do for layers that are streamed.
//!
//! Must not know layers, or which device it is.

use candle_core::{Result, Tensor};

/// Copies to a device in an order of their own, beside the device's work.
pub trait Carrier: Send + Sync {
    /// A tensor's bytes in page-locked host memory; `None` if the system gives no more of that.
    ///
    /// # Errors
    /// The tensor is not one that can be copied.
    fn pin(&self, host: &Tensor) -> Result<Option<Box<dyn Pinned>>>;

    /// Begins to copy a tensor through a buffer that every such copy uses. The tensor may be dropped when this returns.
    ///
    /// # Errors
    /// The device has no memory for it.
    fn copy(&self, host: &Tensor) -> Result<Tensor>;

    /// The moment at which every copy that was begun is done.
    ///
    /// # Errors
    /// The device failed.
    fn arrival(&self) -> Result<Box<dyn Arrival>>;

    /// Orders what follows of copies, and of memory given back, behind all work that the device was given so far.
    ///
    /// # Errors
    /// The device failed.
    fn give_back(&self) -> Result<()>;
}

/// A tensor in page-locked host memory.
pub trait Pinned: Send + Sync {
    /// Begins to copy it to the device.
    ///
    /// # Errors
    /// The device has no memory for it.
    fn copy(&self) -> Result<Tensor>;
}

/// A moment among a carrier's copies.
pub trait Arrival: Send + Sync {
    /// Orders the device's further work behind it; waits for nothing here.
    ///
    /// # Errors
    /// The device failed.
    fn wait(&self) -> Result<()>;
}
