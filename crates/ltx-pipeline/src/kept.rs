//! What a generation has encoded, place by place, where a cache may have some of it.
//!
//! Must not know what is encoded, or what a key is made of.

use candle_core::{Device, Tensor};
use ltx_engine::{Cache, CacheKey, CachedTensor, Encodings};

/// One encoding, of a prompt or an image in its place.
pub(crate) struct Wanted<P> {
    pub(crate) place: P,
    /// Nothing where no cache keeps anything, or no key can be made.
    key: Option<CacheKey>,
    /// On the device; nothing while it has to be computed.
    encoded: Option<Tensor>,
}

impl<P> Wanted<P> {
    /// Puts what was computed where it belongs, and has it kept. What fails there fails nothing that was asked for. Broken values are
    /// computed again, not served for days.
    pub(crate) fn computed(&mut self, encoded: Tensor, cache: &dyn Cache) {
        if let Some(key) = self.key
            && let Ok(values) = encoded.flatten_all().and_then(|flat| flat.to_vec1::<f32>())
            && values.iter().all(|value| value.is_finite())
        {
            cache.put(&key, CachedTensor { shape: encoded.dims().to_vec(), values });
        }
        self.encoded = Some(encoded);
    }
}

/// All encodings of one kind that a generation needs.
pub(crate) struct Encodes<P> {
    wanted: Vec<Wanted<P>>,
    cached: usize,
}

impl<P> Encodes<P> {
    /// Those of these places, what is kept already in its place; `key` is asked only where something is kept, and what has another
    /// number of dimensions than these is none of them.
    pub(crate) fn of<const DIMENSIONS: usize>(
        places: impl IntoIterator<Item = P>,
        key: impl Fn(&P) -> Option<CacheKey>,
        (cache, device): (&dyn Cache, &Device),
    ) -> Self {
        let look = |place| {
            let key = if cache.keeps() { key(&place) } else { None };
            let kept = key.and_then(|key| cache.get(&key)).filter(|kept| kept.shape.len() == DIMENSIONS);
            let encoded = kept.and_then(|kept| Tensor::from_slice(&kept.values, kept.shape.as_slice(), device).ok());
            Wanted { place, key, encoded }
        };
        let wanted: Vec<_> = places.into_iter().map(look).collect();
        let cached = wanted.iter().filter(|wanted| wanted.encoded.is_some()).count();
        Self { wanted, cached }
    }

    /// Whether the encoder is not needed.
    pub(crate) fn are_complete(&self) -> bool {
        self.wanted.iter().all(|wanted| wanted.encoded.is_some())
    }

    /// Where they came from.
    pub(crate) fn origin(&self) -> Encodings {
        Encodings { cached: self.cached, encoded: self.wanted.len() - self.cached }
    }

    /// Those that have to be computed, in order.
    pub(crate) fn lacking(&mut self) -> impl Iterator<Item = &mut Wanted<P>> {
        self.wanted.iter_mut().filter(|wanted| wanted.encoded.is_none())
    }

    /// Every place with what is in it.
    pub(crate) fn into_places(self) -> impl Iterator<Item = (P, Tensor)> {
        self.wanted.into_iter().filter_map(|Wanted { place, encoded, .. }| Some((place, encoded?)))
    }
}
