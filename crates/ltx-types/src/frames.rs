//! How many frames, and how fast they play.
//!
//! Must not know pixel sizes.

use crate::{FieldError, SizeRules};
use serde::{Deserialize, Serialize};

/// A number of pixel frames of the form `step · k + 1`: the first latent frame covers one frame, every later one `step` of
/// them, eight in every LTX model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "usize", into = "usize")]
pub struct FrameCount(usize);

impl FrameCount {
    /// Checks a number of frames by the rules of every LTX model ([`SizeRules::LTX`]).
    ///
    /// # Errors
    /// As [`Self::by_rules`].
    pub fn new(frames: usize) -> Result<Self, FieldError> {
        Self::by_rules(frames, &SizeRules::LTX)
    }

    /// Checks the form once; nothing downstream rounds.
    ///
    /// # Errors
    /// `frames` is 0, more than the rules allow, or not of their form; the error names the nearest counts below and above.
    pub fn by_rules(frames: usize, rules: &SizeRules) -> Result<Self, FieldError> {
        let SizeRules { frame_step: step, most_frames: most, .. } = *rules;
        if frames > most {
            return Err(FieldError::new("frames", frames, format!("is more than {most}")).nearest(most));
        }
        let error = || FieldError::new("frames", frames, format!("is not of the form {step}k+1"));
        let Some(behind_first) = frames.checked_sub(1) else { return Err(error().nearest(1)) };
        if behind_first.is_multiple_of(step) {
            return Ok(Self(frames));
        }
        let below = behind_first / step * step + 1;
        Err(error().nearest(format!("{below} or {}", below + step)))
    }

    /// Pixel frames.
    pub fn get(self) -> usize {
        self.0
    }

    /// Latent frames of a video VAE that folds `step` frames into one: `(frames − 1) / step + 1`.
    pub fn latent(self, step: usize) -> usize {
        (self.0 - 1) / step + 1
    }

    /// Index of the last frame.
    pub fn last(self) -> usize {
        self.0 - 1
    }
}

impl TryFrom<usize> for FrameCount {
    type Error = FieldError;
    fn try_from(frames: usize) -> Result<Self, FieldError> {
        Self::new(frames)
    }
}

impl From<FrameCount> for usize {
    fn from(frames: FrameCount) -> usize {
        frames.0
    }
}

/// Frames per second, kept as a fraction so that the MP4 carries it exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct FrameRate {
    numerator: u32,
    denominator: u32,
}

impl FrameRate {
    /// From frames per second. 23.976, 29.97, 59.94 and 119.88 mean the NTSC fractions (·1000/1001); everything else
    /// is kept to a thousandth.
    ///
    /// # Errors
    /// Not finite, below 1, above 120, or finer than a thousandth.
    pub fn new(fps: f64) -> Result<Self, FieldError> {
        if !(1.0..=120.0).contains(&fps) {
            let error = FieldError::new("fps", fps, "is outside 1..=120");
            return Err(if fps.is_finite() { error.nearest(fps.clamp(1.0, 120.0)) } else { error.nearest(24) });
        }
        for nominal in [24_000u32, 30_000, 60_000, 120_000] {
            if (fps - f64::from(nominal) / 1001.0).abs() < 0.003 {
                return Ok(Self { numerator: nominal, denominator: 1001 });
            }
        }
        let thousandths = (fps * 1000.0).round();
        if (thousandths / 1000.0 - fps).abs() > 1e-9 {
            return Err(FieldError::new("fps", fps, "is finer than a thousandth").nearest(thousandths / 1000.0));
        }
        let (numerator, denominator) = (thousandths as u32, 1000u32);
        let divisor = gcd(numerator, denominator);
        Ok(Self { numerator: numerator / divisor, denominator: denominator / divisor })
    }

    /// Numerator of the reduced fraction.
    pub fn numerator(self) -> u32 {
        self.numerator
    }

    /// Denominator of the reduced fraction.
    pub fn denominator(self) -> u32 {
        self.denominator
    }

    /// Frames per second.
    pub fn fps(self) -> f64 {
        f64::from(self.numerator) / f64::from(self.denominator)
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

impl TryFrom<f64> for FrameRate {
    type Error = FieldError;
    fn try_from(fps: f64) -> Result<Self, FieldError> {
        Self::new(fps)
    }
}

impl From<FrameRate> for f64 {
    fn from(rate: FrameRate) -> f64 {
        rate.fps()
    }
}

impl std::fmt::Display for FrameRate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.denominator {
            1 => write!(f, "{}", self.numerator),
            _ => write!(f, "{}/{}", self.numerator, self.denominator),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_counts_name_the_two_nearest() {
        let latent = |n| FrameCount::new(n).map(|frames| frames.latent(8));
        assert_eq!((latent(17), latent(1)), (Ok(3), Ok(1)));
        let text = |n| FrameCount::new(n).map_err(|e| e.to_string());
        assert_eq!(text(20), Err("frames: 20 is not of the form 8k+1; nearest legal: 17 or 25".into()));
        assert_eq!(text(8), Err("frames: 8 is not of the form 8k+1; nearest legal: 1 or 9".into()));
        assert_eq!(text(0), Err("frames: 0 is not of the form 8k+1; nearest legal: 1".into()));
        assert!(text(usize::MAX).is_err());
    }

    #[test]
    fn frame_rates_are_exact_fractions() {
        let parts = |fps| FrameRate::new(fps).map(|r| (r.numerator(), r.denominator()));
        assert_eq!(parts(24.0), Ok((24, 1)));
        assert_eq!(parts(23.976), Ok((24_000, 1001)));
        assert_eq!(parts(29.97), Ok((30_000, 1001)));
        assert_eq!(parts(12.5), Ok((25, 2)));
        assert!(parts(f64::NAN).is_err() && parts(0.0).is_err() && parts(121.0).is_err());
    }
}
