//! Tensors on their way into a cache and out of it.
//!
//! Must not know what they are.

use candle_core::{Device, Tensor};
use ltx_engine::{Cache, CacheKey, CachedTensor};

/// Has a tensor kept. What fails here fails nothing that was asked for. Broken values are computed again, not served for days.
pub(crate) fn keep(cache: &dyn Cache, key: &CacheKey, tensor: &Tensor) {
    if let Ok(values) = tensor.flatten_all().and_then(|flat| flat.to_vec1::<f32>())
        && values.iter().all(|value| value.is_finite())
    {
        cache.put(key, CachedTensor { shape: tensor.dims().to_vec(), values });
    }
}

/// A kept tensor; nothing where it has not so many dimensions.
pub(crate) fn on_device<const DIMENSIONS: usize>(kept: &CachedTensor, device: &Device) -> Option<Tensor> {
    let fits = kept.shape.len() == DIMENSIONS;
    fits.then(|| Tensor::from_slice(&kept.values, kept.shape.as_slice(), device).ok()).flatten()
}
