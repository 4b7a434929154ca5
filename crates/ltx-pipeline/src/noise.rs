//! Gaussian noise that equals PyTorch's: `torch.randn` in f32 on a CPU `torch.Generator().manual_seed(seed)`.
//! Source: Matsumoto & Nishimura, “Mersenne Twister” (1998); Box & Muller (1958); PyTorch's layout of both.
//!
//! Must not know tokens.

use ltx_types::Seed;

const N: usize = 624;
const M: usize = 397;

/// A seeded stream of noise. Drawing from it advances it, as drawing from one torch generator does.
#[derive(Clone)]
pub struct Noise {
    state: [u32; N],
    next: usize,
    spare: Option<f64>,
}

impl Noise {
    /// Like torch, only the seed's low 32 bits matter.
    pub fn new(seed: Seed) -> Self {
        let mut state = [0u32; N];
        state[0] = seed.0 as u32;
        for i in 1..N {
            let previous = state[i - 1];
            state[i] = 1_812_433_253u32.wrapping_mul(previous ^ (previous >> 30)).wrapping_add(i as u32);
        }
        Self { state, next: N, spare: None }
    }

    /// `count` standard normal values, in the order in which `torch.randn` fills a contiguous tensor.
    pub fn draw(&mut self, count: usize) -> Vec<f32> {
        if count < 16 {
            return (0..count).map(|_| self.scalar() as f32).collect();
        }
        let mut values: Vec<f32> = (0..count).map(|_| self.uniform()).collect();
        let (sixteens, rest) = values.as_chunks_mut::<16>();
        sixteens.iter_mut().for_each(box_muller);
        if !rest.is_empty() {
            // A remainder is not transformed: the last sixteen values are drawn anew.
            let mut tail = [0f32; 16];
            tail.fill_with(|| self.uniform());
            box_muller(&mut tail);
            values[count - 16..].copy_from_slice(&tail);
        }
        values
    }

    /// The same for `torch.randn` in f64.
    pub fn draw_f64(&mut self, count: usize) -> Vec<f64> {
        if count < 16 {
            return (0..count).map(|_| self.scalar()).collect();
        }
        let mut values: Vec<f64> = (0..count).map(|_| self.uniform_f64()).collect();
        let (sixteens, rest) = values.as_chunks_mut::<16>();
        sixteens.iter_mut().for_each(box_muller_f64);
        if !rest.is_empty() {
            let mut tail = [0f64; 16];
            tail.fill_with(|| self.uniform_f64());
            box_muller_f64(&mut tail);
            values[count - 16..].copy_from_slice(&tail);
        }
        values
    }

    /// A uniform f64 in [0, 1) from the low 53 bits of two outputs, the first of which is the high half.
    fn uniform_f64(&mut self) -> f64 {
        let (high, low) = (u64::from(self.random()), u64::from(self.random()));
        (((high << 32) | low) & ((1 << 53) - 1)) as f64 / (1u64 << 53) as f64
    }

    /// A uniform f32 in [0, 1) from 24 bits.
    fn uniform(&mut self) -> f32 {
        (self.random() & 0x00ff_ffff) as f32 / 16_777_216.0
    }

    /// One normal value by torch's path for small tensors: doubles from 53 bits, the second value kept for later.
    fn scalar(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let (u1, u2) = (self.uniform_f64(), self.uniform_f64());
        let radius = (-2.0 * (-u2).ln_1p()).sqrt();
        let angle = 2.0 * std::f64::consts::PI * u1;
        self.spare = Some(radius * angle.sin());
        radius * angle.cos()
    }

    fn random(&mut self) -> u32 {
        if self.next == N {
            self.regenerate();
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    fn regenerate(&mut self) {
        for i in 0..N {
            let y = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % N] & 0x7fff_ffff);
            let twisted = if y & 1 == 0 { y >> 1 } else { (y >> 1) ^ 0x9908_b0df };
            self.state[i] = self.state[(i + M) % N] ^ twisted;
        }
        self.next = 0;
    }
}

/// Value `i` and value `i + 8` of sixteen uniforms become a pair of normals.
fn box_muller(values: &mut [f32; 16]) {
    for i in 0..8 {
        let radius = (-2.0 * (1.0 - values[i]).ln()).sqrt();
        let angle = 2.0 * std::f32::consts::PI * values[i + 8];
        (values[i], values[i + 8]) = (radius * angle.cos(), radius * angle.sin());
    }
}

/// [`box_muller`] in f64.
fn box_muller_f64(values: &mut [f64; 16]) {
    for i in 0..8 {
        let radius = (-2.0 * (-values[i]).ln_1p()).sqrt();
        let angle = 2.0 * std::f64::consts::PI * values[i + 8];
        (values[i], values[i + 8]) = (radius * angle.cos(), radius * angle.sin());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twister_equals_the_published_sequence() {
        // The reference implementation's 1st and 1000th output for the default seed 5489.
        let mut noise = Noise::new(Seed(5489));
        assert_eq!(noise.random(), 3_499_211_612);
        for _ in 1..999 {
            noise.random();
        }
        assert_eq!(noise.random(), 1_341_017_984);
    }

    #[test]
    fn draws_equal_torch_of_every_length() {
        // Printed by PyTorch 2.15: seed, length, the first two and the last value of randn(length), the first of a
        // further randn(20) from the same generator.
        for (seed, count, expected) in [
            (0, 3, [1.540_996, -0.293_428_9, -2.178_789_4, -0.356_128_36]),
            (0, 15, [1.540_996, -0.293_428_9, -1.071_187_4, -0.613_583_1]),
            (0, 16, [-1.125_839_8, -1.152_360_2, -0.247_278_15, -1.352_653_7]),
            (0, 17, [-1.125_839_8, -1.695_931_2, 0.931_826_6, 0.031_592_74]),
            (11, 40, [-0.510_797_56, 1.028_271_8, -0.638_827_74, 0.092_706_36]),
            (8_589_934_597, 100, [1.842_329_9, 0.518_887_16, -1.095_963_5, 0.044_237_91]),
        ] {
            let mut noise = Noise::new(Seed(seed));
            let drawn = noise.draw(count);
            let found = [drawn[0], drawn[1], drawn[count - 1], noise.draw(20)[0]];
            for (found, expected) in found.into_iter().zip(expected) {
                assert!((found - expected).abs() < 2e-6, "seed {seed}, {count} values: {found} {expected}");
            }
        }
    }

    #[test]
    fn a_longer_draw_begins_like_a_shorter_one_of_whole_sixteens() {
        let (long, short) = (Noise::new(Seed(7)).draw(64), Noise::new(Seed(7)).draw(32));
        assert_eq!(long[..32], short[..]);
    }
}
