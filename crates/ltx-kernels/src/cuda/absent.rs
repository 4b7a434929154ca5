//! What stands in for a GPU in a binary without CUDA: there is none. No tensor lives on one, so nothing is ever launched.
//!
//! Must not know kernels.

use super::carrier::Carrier;
use super::launch::Launch;
use crate::DeviceError;
use candle_core::{Device, Error, Result, Tensor};

/// The matrix product of `device`, see there.
pub(super) struct Product<'a> {
    pub(super) x: &'a Tensor,
    pub(super) weight: &'a Tensor,
    pub(super) bias: Option<&'a Tensor>,
    pub(super) gelu: bool,
    pub(super) scales: Option<(&'a Tensor, &'a Tensor)>,
}

impl Product<'_> {
    pub(super) fn perform(&self, _out: &Tensor) -> Result<bool> {
        let _ = (self.x, self.weight, self.bias, self.gelu, self.scales);
        Err(Error::NotCompiledWithCudaSupport)
    }
}

pub(super) fn run(_launch: &Launch, _inputs: &[&Tensor], _outputs: &[&Tensor]) -> Result<()> {
    Err(Error::NotCompiledWithCudaSupport)
}

pub(super) fn capability(_device: &Device) -> Result<(i32, i32)> {
    Err(Error::NotCompiledWithCudaSupport)
}

pub(super) fn empty(_shape: &[usize], _like: &Tensor, _dtype: candle_core::DType) -> Result<Tensor> {
    Err(Error::NotCompiledWithCudaSupport)
}

/// Launches noted down; none is ever made.
pub enum Graph {}

impl Graph {
    /// Makes all its launches.
    ///
    /// # Errors
    /// The GPU failed.
    pub fn launch(&mut self) -> Result<()> {
        match *self {}
    }
}

/// Notes down what `work` launches; nothing is ever launched here.
///
/// # Errors
/// The GPU failed.
pub fn capture<E>(_device: &Device, _work: impl FnOnce() -> std::result::Result<(), E>) -> Result<Option<Graph>> {
    Ok(None)
}

/// Overwrites a tensor on a GPU; there is none here.
///
/// # Errors
/// Always.
pub fn copy_into(_source: &Tensor, _target: &Tensor) -> Result<()> {
    Err(Error::NotCompiledWithCudaSupport)
}

pub(crate) fn open(_ordinal: usize) -> std::result::Result<Device, DeviceError> {
    Err(DeviceError::NotBuilt)
}

pub(crate) fn list() -> std::result::Result<Vec<String>, DeviceError> {
    Err(DeviceError::NotBuilt)
}

/// What carries weights to a GPU; there is none here.
///
/// # Errors
/// Always.
pub fn carrier(_device: &Device) -> Result<Box<dyn Carrier>> {
    Err(Error::NotCompiledWithCudaSupport)
}

pub(crate) fn free_bytes(_device: &Device) -> Option<(u64, u64)> {
    None
}

pub(crate) fn synchronize(device: &Device) -> Result<()> {
    device.synchronize()
}
