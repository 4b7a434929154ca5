//! `res_2s`: an exponential integrator of second order with noise in every step, as the authors' HQ flow runs it. It asks the
//! model at a step's start and at the geometric mean of its noise levels, and once more at the end. Arithmetic is in f64.
//! Source: the public `ltx_pipelines` sampler; Hochbruck & Ostermann, “Exponential integrators” (2010); its noise injection is
//! that of variance-preserving SDE steps with η = ½.
//!
//! Must not know the transformer.

use super::{Model, Sampler, Step, Stepped};
use crate::{Noise, Result, Sigmas, conditioning::TokenState};
use candle_core::{DType, Tensor};
use ltx_types::{Flow, Seed};

/// Seeds of the noise in steps and in their middles, whatever the request's.
const SEEDS: [Seed; 2] = [Seed(u64::MAX), Seed(9999)];
/// Rounds in which a step's start is refined by its middle.
const ROUNDS: usize = 100;
/// Larger steps are not refined.
const LARGEST_REFINED: f64 = 0.5;
/// Nor are steps that begin at this noise level or lower.
const LOWEST_REFINED: f64 = 0.03;
/// Share of a step's end that is fresh noise.
const ETA: f64 = 0.5;

/// The sampler with its two streams of noise.
pub(super) struct Res2s {
    steps: Noise,
    middles: Noise,
}

impl Res2s {
    pub(super) fn new() -> Self {
        let [steps, middles] = SEEDS.map(Noise::new);
        Self { steps, middles }
    }

    /// The noise of a step's middle and of its end.
    fn draw(&mut self, count: usize) -> [Vec<f64>; 2] {
        [&mut self.middles, &mut self.steps].map(|noise| normalized(normalized(noise.draw_f64(count))))
    }
}

impl Sampler for Res2s {
    /// The last step goes to a level just above 0, and one evaluation there is a step of its own.
    fn steps(&self, sigmas: &Sigmas) -> Vec<Step> {
        let last = |next: f32| if next == 0.0 { Flow::LAST_SIGMA } else { next };
        let mut steps: Vec<Step> = { sigmas.pairs().enumerate() }
            .map(|(index, (sigma, next))| Step { index, sigma, next: last(next) })
            .collect();
        steps.push(Step { index: steps.len(), sigma: Flow::LAST_SIGMA, next: 0.0 });
        steps
    }

    fn evaluations(&self, step: Step) -> usize {
        if step.next == 0.0 { 1 } else { 2 }
    }

    fn skip(&mut self, step: Step, state: &TokenState) {
        if step.next != 0.0 {
            self.draw(state.values());
        }
    }

    fn step(&mut self, x: &Tensor, step: Step, model: &Model<'_>) -> Result<Stepped> {
        let at_start = model.clean(x, step.sigma, "")?;
        if step.next == 0.0 {
            return Ok(Stepped { tokens: at_start.clone(), clean: at_start });
        }
        let (dims, device) = (x.dims3()?, x.device());
        let [for_middle, for_end] = self.draw(dims.0 * dims.1 * dims.2);
        let tensor = |values: &[f64]| {
            let values: Vec<f32> = values.iter().map(|value| *value as f32).collect();
            Tensor::from_vec(values, dims, device)
        };
        for (at, noise) in [(".mid", &for_middle), ("", &for_end)] {
            model.taps(at).record("sde_noise", || Ok(tensor(noise)?))?;
        }
        let levels = Levels::of(step);
        let hold = Hold::of(model.state())?;
        let mut start = values(x)?;
        let first = values(&at_start)?;
        let middle: Vec<f64> =
            (0..start.len()).map(|i| hold.blend(i, levels.middle(start[i], first[i], for_middle[i]))).collect();
        if levels.refines() {
            for i in 0..start.len() {
                start[i] = levels.refined(start[i], first[i], middle[i]);
            }
        }
        let at_middle = model.clean(&tensor(&middle)?, levels.m as f32, ".mid")?;
        let second = values(&at_middle)?;
        let end: Vec<f64> =
            (0..start.len()).map(|i| hold.blend(i, levels.end(start[i], [first[i], second[i]], for_end[i]))).collect();
        Ok(Stepped { tokens: tensor(&end)?, clean: at_middle })
    }
}

/// Noise levels of a step and what follows from them. Functions take one value of the tokens.
struct Levels {
    s: f64,
    m: f64,
    t: f64,
    h: f64,
    /// Weight of the first estimate at the middle, and of both at the end.
    a: f64,
    b: [f64; 2],
}

impl Levels {
    fn of(step: Step) -> Self {
        let (s, t) = (f64::from(step.sigma), f64::from(step.next));
        let h = (s / t).ln();
        let second = 2.0 * phi_2(-h);
        Self { s, m: (s * t).sqrt(), t, h, a: 0.5 * phi_1(-h / 2.0), b: [phi_1(-h) - second, second] }
    }

    /// The noisy middle, from the step's start and the clean estimate there.
    fn middle(&self, x: f64, clean: f64, noise: f64) -> f64 {
        injected(x, x + self.h * self.a * (clean - x), [self.s, self.m], noise)
    }

    fn refines(&self) -> bool {
        self.h < LARGEST_REFINED && self.s > LOWEST_REFINED
    }

    /// The start that leads to the middle: a fixed point, approached in so many rounds.
    fn refined(&self, start: f64, clean: f64, middle: f64) -> f64 {
        (0..ROUNDS).fold(start, |x, _| middle - self.h * self.a * (clean - x))
    }

    /// The step's end, from its start and the clean estimates at the start and in the middle.
    fn end(&self, x: f64, [first, second]: [f64; 2], noise: f64) -> f64 {
        let [b1, b2] = self.b;
        injected(x, x + self.h * (b1 * (first - x) + b2 * (second - x)), [self.s, self.t], noise)
    }
}

/// `(e^z − 1) / z`.
fn phi_1(z: f64) -> f64 {
    if z == 0.0 { 1.0 } else { z.exp_m1() / z }
}

/// `(e^z − 1 − z) / z²`.
fn phi_2(z: f64) -> f64 {
    if z == 0.0 { 0.5 } else { (z.exp_m1() - z) / (z * z) }
}

/// `y` at level `t`, reached from `x` at level `s`, with a part of its noise drawn anew.
fn injected(x: f64, y: f64, [s, t]: [f64; 2], noise: f64) -> f64 {
    let fresh = (ETA * t).min(0.9999 * t);
    let kept = (t * t - fresh * fresh).sqrt();
    let signal = 1.0 - t + kept;
    let direction = (x - y) / (s - t);
    signal * (x - s * direction + kept / signal * direction) + fresh * noise
}

/// Images as they are held, value by value.
struct Hold<'a> {
    mask: &'a [f32],
    clean: Vec<f64>,
    channels: usize,
}

impl<'a> Hold<'a> {
    fn of(state: &'a TokenState) -> Result<Self> {
        Ok(Self { mask: &state.mask, clean: values(&state.clean)?, channels: state.channels()? })
    }

    fn blend(&self, i: usize, value: f64) -> f64 {
        let mask = f64::from(self.mask[i / self.channels]);
        value * mask + self.clean[i] * (1.0 - mask)
    }
}

fn values(x: &Tensor) -> Result<Vec<f64>> {
    let values = x.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    Ok(values.into_iter().map(f64::from).collect())
}

/// Less its mean, over its unbiased deviation.
fn normalized(values: Vec<f64>) -> Vec<f64> {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0)).sqrt();
    values.into_iter().map(|value| (value - mean) / deviation).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_a_small_step_are_those_of_the_midpoint_rule() {
        let levels = Levels::of(Step { index: 0, sigma: 0.5, next: 0.499 });
        assert!((levels.a - 0.5).abs() < 1e-3 && levels.b[0].abs() < 1e-2 && (levels.b[1] - 1.0).abs() < 1e-2);
        assert!((phi_2(-1.0) - (-1f64).exp()).abs() < 1e-15);
    }

    #[test]
    fn a_refined_start_leads_to_its_middle() {
        let levels = Levels::of(Step { index: 0, sigma: 0.5, next: 0.4 });
        assert!(levels.refines());
        let x = levels.refined(0.3, -0.2, 0.7);
        assert!((x + levels.h * levels.a * (-0.2 - x) - 0.7).abs() < 1e-12);
    }

    #[test]
    fn noise_is_normal_and_a_skipped_step_draws_it() {
        let mut sampler = Res2s::new();
        let [middle, end] = sampler.draw(64);
        for noise in [&middle, &end] {
            let mean = noise.iter().sum::<f64>() / 64.0;
            let square = noise.iter().map(|value| value * value).sum::<f64>() / 63.0;
            assert!(mean.abs() < 1e-12 && (square - 1.0).abs() < 1e-12);
        }
        assert!(sampler.draw(64) != [middle, end]);
    }
}
