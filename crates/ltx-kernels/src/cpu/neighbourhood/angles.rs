//! Cosines and sines of the positions on one axis.
//!
//! Must not know heads.

/// Base of the frequencies.
const BASE: f64 = 10_000.0;

/// `[positions, pairs]` each.
pub(super) struct Angles {
    cos: Vec<f32>,
    sin: Vec<f32>,
    pairs: usize,
}

impl Angles {
    /// Of positions `−beyond .. length + beyond`, for `values` values of a head.
    pub(super) fn new(length: usize, beyond: usize, values: usize) -> Self {
        let pairs = values / 2;
        let frequency = |pair: usize| (1.0 / BASE.powf((2 * pair) as f64 / values as f64)) as f32;
        let frequencies: Vec<f32> = (0..pairs).map(frequency).collect();
        let angle = |at: usize| {
            let position = at as f32 - beyond as f32;
            frequencies.iter().map(move |frequency| position * frequency)
        };
        let angles: Vec<f32> = (0..length + 2 * beyond).flat_map(angle).collect();
        Self { cos: angles.iter().map(|x| x.cos()).collect(), sin: angles.iter().map(|x| x.sin()).collect(), pairs }
    }

    /// Cosines and sines of a position, counted from the first there is.
    #[inline(always)]
    pub(super) fn at(&self, place: usize) -> (&[f32], &[f32]) {
        let (start, end) = (place * self.pairs, (place + 1) * self.pairs);
        (&self.cos[start..end], &self.sin[start..end])
    }

    /// Values of a head that they rotate.
    #[inline(always)]
    pub(super) fn values(&self) -> usize {
        2 * self.pairs
    }
}
