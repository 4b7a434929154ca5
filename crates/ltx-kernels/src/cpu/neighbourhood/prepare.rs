//! A head's query or key before it is compared: normalised, scaled, rotated by where it stands.
//!
//! Must not know rings.

use super::{EPS, Neighbourhood};
use crate::cpu::math::sum;

impl Neighbourhood {
    /// Writes one head, of which `weight` multiplies the normalised values; `place` counts columns from the first that is seen.
    #[inline(always)]
    pub(super) fn prepare(&self, x: &[f32], (weight, scale): (&[f32], f32), place: [usize; 3], out: &mut [f32]) {
        let inverse = 1.0 / (sum(x, |x| x * x) / x.len() as f32 + EPS).sqrt();
        for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
            *out = x * inverse * weight * scale;
        }
        let mut start = 0;
        for (angles, place) in self.angles.iter().zip(place) {
            let (cos, sin) = angles.at(place);
            let pairs = out[start..start + angles.values()].as_chunks_mut::<2>().0;
            for ((pair, cos), sin) in pairs.iter_mut().zip(cos).zip(sin) {
                let [even, odd] = *pair;
                *pair = [even * cos - odd * sin, even * sin + odd * cos];
            }
            start += angles.values();
        }
    }
}
