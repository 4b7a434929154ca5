//! A sampling schedule of one's own: its noise levels, listed.
//!
//! Must not know the named schedules; their noise levels are computed in `ltx-pipeline`.

use crate::FieldError;
use serde::Serialize;

/// Noise levels (sigmas) from the first step to the last: every one within (0, 1], each below the one before it, and 0 at the
/// end. One step fewer than there are numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct SigmaList(Vec<f64>);

impl SigmaList {
    /// The most steps of a list.
    pub const MOST_STEPS: usize = 1000;
    /// The least sigma before the last: a step divides by it in 32 bits.
    const LEAST: f64 = 1e-30;

    /// Checks the numbers of the request's field of that name.
    ///
    /// # Errors
    /// There is no step or there are too many; a number is not finite, outside (0, 1] or too small to divide by; the list does
    /// not fall strictly, also in the 32 bits that the sampler computes in; it does not end at 0. The first number that is wrong is named.
    pub fn new(field: &'static str, sigmas: &[f64]) -> Result<Self, FieldError> {
        let steps = sigmas.len().saturating_sub(1);
        if steps > Self::MOST_STEPS {
            let rule = format!("steps are more than {}", Self::MOST_STEPS);
            return Err(FieldError::new(field, steps, rule).nearest(Self::MOST_STEPS));
        }
        let Some((&last, falling)) = sigmas.split_last().filter(|_| steps > 0) else {
            let rule = "has no step; sigmas fall from at most 1 to 0, as in 1, 0.5, 0";
            return Err(FieldError::new(field, format!("{sigmas:?}"), rule).nearest("1, 0"));
        };
        for (i, &sigma) in falling.iter().enumerate() {
            let error = |rule| FieldError::new(field, Self::named(i, sigma), rule);
            let before = i.checked_sub(1).map(|before| falling[before]);
            if !(sigma > 0.0 && sigma <= 1.0) {
                let error = error("is outside (0, 1]; only the last is 0".to_owned());
                return Err(if sigma > 1.0 && i == 0 { error.nearest(1) } else { error });
            }
            if sigma < Self::LEAST {
                let least = Self::LEAST;
                let error = error(format!("is below {least:e}, the least that a step can divide by"));
                let fits = before.is_none_or(|before| before as f32 > least as f32);
                return Err(if fits { error.nearest(format!("{least:e}")) } else { error });
            }
            if let Some(before) = before.filter(|before| sigma as f32 >= *before as f32) {
                return Err(error(format!("is not below the {} before it; sigmas fall strictly", shown(before))));
            }
        }
        if last != 0.0 {
            let rule = "is the last; a list of sigmas ends at 0";
            return Err(FieldError::new(field, Self::named(steps, last), rule).nearest(0));
        }
        Ok(Self(falling.iter().copied().chain([0.0]).collect()))
    }

    /// A number and where it stands.
    fn named(i: usize, sigma: f64) -> String {
        format!("{} (number {})", shown(sigma), i + 1)
    }

    /// Denoising steps.
    pub fn steps(&self) -> usize {
        self.0.len() - 1
    }

    /// All of them, as they were given.
    pub fn values(&self) -> &[f64] {
        &self.0
    }
}

/// A number without hundreds of zeros.
fn shown(number: f64) -> String {
    let size = number.abs();
    match size > 0.0 && size.is_finite() && !(1e-6..1e16).contains(&size) {
        true => format!("{number:e}"),
        false => number.to_string(),
    }
}

impl std::fmt::Display for SigmaList {
    /// As `--sigmas` takes them: with commas between.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, sigma) in self.0.iter().enumerate() {
            let between = if i == 0 { "" } else { "," };
            write!(f, "{between}{sigma}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_falls_from_one_to_zero() {
        let list = SigmaList::new("sigmas", &[1.0, 0.725, 0.421875, -0.0]).unwrap();
        assert_eq!((list.steps(), list.to_string().as_str()), (3, "1,0.725,0.421875,0"));
        assert_eq!(SigmaList::new("sigmas", &[0.3, 0.0]).map(|list| list.steps()), Ok(1));
        assert!(SigmaList::new("sigmas", &[1.0, 1e-30, 0.0]).is_ok());
        assert_eq!(serde_json::to_value(&list).unwrap(), serde_json::json!([1.0, 0.725, 0.421875, 0.0]));
        let twice = SigmaList::new("sigmas", &[1e-30, 1e-31, 0.0]).unwrap_err();
        assert_eq!(twice.nearest, None, "nothing legal lies below the one before it");
        let longest: Vec<f64> = (0..=1000).rev().map(|i| f64::from(i) / 1000.0).collect();
        assert_eq!(SigmaList::new("sigmas", &longest).map(|list| list.steps()), Ok(1000));
    }

    #[test]
    fn whatever_is_wrong_is_named_with_its_place() {
        let refusal = |sigmas: &[f64]| SigmaList::new("refine_sigmas", sigmas).unwrap_err().to_string();
        for (sigmas, says) in [
            (&[][..], "refine_sigmas: [] has no step"),
            (&[0.0], "refine_sigmas: [0.0] has no step"),
            (&[1.5, 0.5, 0.0], "refine_sigmas: 1.5 (number 1) is outside (0, 1]; only the last is 0; nearest legal: 1"),
            (&[1.0, f64::NAN, 0.0], "refine_sigmas: NaN (number 2) is outside (0, 1]"),
            (&[f64::INFINITY, 0.0], "refine_sigmas: inf (number 1) is outside (0, 1]"),
            (&[1.0, -0.5, 0.0], "refine_sigmas: -0.5 (number 2) is outside (0, 1]"),
            (&[1.0, 0.0, 0.0], "refine_sigmas: 0 (number 2) is outside (0, 1]"),
            (&[f64::MAX, 0.0], "refine_sigmas: 1.7976931348623157e308 (number 1) is outside (0, 1]"),
            (
                &[1.0, 1e-320, 0.0],
                "refine_sigmas: 1e-320 (number 2) is below 1e-30, the least that a step can divide by; nearest legal: 1e-30",
            ),
            (&[1.0, 0.0, 1.5, 0.0], "refine_sigmas: 0 (number 2)"),
            (&[1.0, 0.5, 0.5, 0.0], "refine_sigmas: 0.5 (number 3) is not below the 0.5 before it"),
            (&[0.5, 0.500_000_001, 0.0], "refine_sigmas: 0.500000001 (number 2) is not below the 0.5 before it"),
            // They fall, but not in 32 bits.
            (&[0.5, 0.499_999_999_9, 0.0], "refine_sigmas: 0.4999999999 (number 2) is not below the 0.5 before it"),
            (&[1.0, 0.5], "refine_sigmas: 0.5 (number 2) is the last; a list of sigmas ends at 0; nearest legal: 0"),
            (&[1.0, f64::NAN], "refine_sigmas: NaN (number 2) is the last"),
            (&[0.0; 1002], "refine_sigmas: 1001 steps are more than 1000; nearest legal: 1000"),
        ] {
            assert!(refusal(sigmas).starts_with(says), "{}", refusal(sigmas));
        }
    }
}
