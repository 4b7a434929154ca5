//! Weights of layers that pass through a GPU's memory. Their matrices are brought into page-locked host memory when they are
//! first asked for, as far as that goes, and are copied from there, beside the GPU's work, whenever their layer is loaded
//! again. What is not a matrix (norms, biases, tables) is small and stays on the GPU.
//!
//! Must not know which layers these are, what they compute, or how a copy is made; `Carrier` does that.

use crate::{
    Arrival, Carrier, Compute, NnError, Pinned, Result, Weights, kernels,
    matrix::{Arithmetic, Prepared, Use, form, prepare},
};
use candle_core::{DType, Device, Tensor};
use parking_lot::{Mutex, MutexGuard};
use std::{collections::HashMap, fmt, sync::Arc};

/// What carries weights to a device; `None` for the CPU, where they are used where they are read to.
///
/// # Errors
/// The GPU failed.
pub fn carrier(device: &Device) -> Result<Option<Box<dyn Carrier>>> {
    if device.is_cpu() { Ok(None) } else { Ok(Some(kernels::cuda::carrier(device)?)) }
}

/// A source of weights whose matrices pass through the device's memory.
pub struct Staging {
    source: Arc<dyn Weights>,
    carrier: Box<dyn Carrier>,
    kept: Mutex<Kept>,
}

/// What stays between two passes.
struct Kept {
    /// Bytes of host memory that may still be locked.
    left: u64,
    matrices: HashMap<String, Arc<Prepared<Box<dyn Pinned>>>>,
    small: HashMap<(String, DType), Tensor>,
}

impl Staging {
    /// Over `source`; at most `host_bytes` of matrices are kept in page-locked memory, the others are read again in every pass.
    pub fn new(source: Arc<dyn Weights>, carrier: Box<dyn Carrier>, host_bytes: u64) -> Self {
        let kept = Kept { left: host_bytes, matrices: HashMap::new(), small: HashMap::new() };
        Self { source, carrier, kept: Mutex::new(kept) }
    }

    /// A tensor that is no matrix; it stays on the device.
    pub(crate) fn tensor(&self, key: &str, shape: &[usize], compute: &Compute) -> Result<Tensor> {
        let place = (key.to_owned(), compute.dtype);
        if let Some(tensor) = self.kept().small.get(&place) {
            return Ok(tensor.clone());
        }
        let tensor = self.source.tensor(key, shape, compute)?;
        self.kept().small.insert(place, tensor.clone());
        Ok(tensor)
    }

    /// A matrix whose copy has begun; it may be used behind the next [`Staging::arrival`].
    pub(crate) fn matrix(&self, key: &str, shape: [usize; 2], compute: &Compute) -> Result<Prepared> {
        // One source is asked in one dtype, so the key alone says what is meant.
        let pinned = self.kept().matrices.get(key).cloned();
        if let Some(pinned) = pinned {
            return pinned.map(&mut |pinned| Ok(pinned.copy()?));
        }
        let host = self.on_host(key, shape, compute)?;
        if let Some(pinned) = self.pinned(&host)? {
            let pinned = Arc::new(pinned);
            self.kept().matrices.insert(key.to_owned(), Arc::clone(&pinned));
            return pinned.map(&mut |pinned| Ok(pinned.copy()?));
        }
        host.map(&mut |tensor| Ok(self.carrier.copy(tensor)?))
    }

    /// A matrix in the form that a GPU is to have, its tensors still on the host.
    fn on_host(&self, key: &str, shape: [usize; 2], compute: &Compute) -> Result<Prepared> {
        let host = Compute { device: Device::Cpu, ..compute.clone() };
        let stored = self.source.matrix(key, shape, &host)?;
        let arithmetic = Arithmetic { on_gpu: true, ..Arithmetic::of(compute) };
        let form = form(&stored.describe(), &arithmetic, Use::Streamed);
        prepare(stored, form, &host.device, compute)
    }

    /// A matrix in page-locked memory, if there is room for all of it.
    fn pinned(&self, host: &Prepared) -> Result<Option<Prepared<Box<dyn Pinned>>>> {
        let bytes = host.tensor_bytes();
        let fits = {
            let mut kept = self.kept();
            let fits = bytes <= kept.left;
            kept.left -= if fits { bytes } else { 0 };
            fits
        };
        if !fits {
            return Ok(None);
        }
        let pinned = host.map(&mut |tensor| match self.carrier.pin(tensor) {
            Ok(Some(pinned)) => Ok(pinned),
            Ok(None) => Err(NotPinned::Refused),
            Err(error) => Err(NotPinned::Failed(error.into())),
        });
        match pinned {
            Ok(pinned) => Ok(Some(pinned)),
            Err(NotPinned::Refused) => {
                // The system locks no more: asking again in every pass would cost time for nothing.
                self.kept().left = 0;
                Ok(None)
            }
            Err(NotPinned::Failed(error)) => Err(error),
        }
    }

    /// The moment at which everything that was loaded so far is on the device.
    ///
    /// # Errors
    /// The device failed.
    pub fn arrival(&self) -> Result<Box<dyn Arrival>> {
        Ok(self.carrier.arrival()?)
    }

    /// To be called before a layer that the device was given work for is dropped: its memory is free for the next layers'
    /// copies when that work is done, not before.
    ///
    /// # Errors
    /// The device failed.
    pub fn give_back(&self) -> Result<()> {
        Ok(self.carrier.give_back()?)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock()
    }
}

/// Why a tensor is not in page-locked memory.
enum NotPinned {
    /// The system gives no more of it.
    Refused,
    /// The carrier failed.
    Failed(NnError),
}

impl fmt::Debug for Staging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.kept();
        write!(f, "Staging({} matrices pinned, {} bytes left)", kept.matrices.len(), kept.left)
    }
}
