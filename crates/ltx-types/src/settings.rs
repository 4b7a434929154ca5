//! Values of settings that carry their bounds: what is out of them cannot be held, wherever it came from.
//!
//! Must not know which setting it is, nor files: whoever reads one names the key.

use serde::{Deserialize, Deserializer, de};
use std::{fmt, marker::PhantomData, time::Duration};

/// A value that is not within its bounds. Printed as the rest of a sentence that begins with key and value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutOfBounds {
    /// A whole number.
    #[error("is outside {least} to {most}")]
    Whole {
        /// The least that it may be.
        least: u64,
        /// The most that it may be.
        most: u64,
    },
    /// A share of time or a number of times, which cannot be nothing.
    #[error("is not above 0 and at most {most}")]
    Positive {
        /// The most that it may be.
        most: u32,
    },
}

/// A whole number from `LEAST` to `MOST`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bounded<T, const LEAST: u64, const MOST: u64>(T);

/// A number of things: one at least.
pub type Count<T> = Bounded<T, 1, { 1 << 30 }>;
/// A number of bytes, which may be none. The most is the most that TOML has.
pub type Bytes = Bounded<u64, 0, { i64::MAX as u64 }>;
/// A number of bytes: one at least.
pub type SomeBytes = Bounded<u64, 1, { i64::MAX as u64 }>;

impl<T: Copy + TryFrom<u64>, const LEAST: u64, const MOST: u64> Bounded<T, LEAST, MOST> {
    /// # Errors
    /// Outside the bounds.
    pub fn new(number: u64) -> Result<Self, OutOfBounds> {
        let within = Some(number).filter(|number| (LEAST..=MOST).contains(number));
        let held = within.and_then(|number| T::try_from(number).ok());
        held.map(Self).ok_or(OutOfBounds::Whole { least: LEAST, most: MOST })
    }

    /// The number.
    pub fn get(self) -> T {
        self.0
    }
}

impl<'de, T: Copy + TryFrom<u64>, const LEAST: u64, const MOST: u64> Deserialize<'de> for Bounded<T, LEAST, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Whole<T>(PhantomData<T>);

        impl<T: Copy + TryFrom<u64>, const LEAST: u64, const MOST: u64> de::Visitor<'_> for Whole<Bounded<T, LEAST, MOST>> {
            type Value = Bounded<T, LEAST, MOST>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
                Bounded::new(number).map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
                let number = u64::try_from(number).map_err(|_| OutOfBounds::Whole { least: LEAST, most: MOST });
                number.and_then(Bounded::new).map_err(E::custom)
            }
        }
        deserializer.deserialize_u64(Whole(PhantomData))
    }
}

/// How often a second something may happen: above 0, at most a million times.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Deserialize)]
#[serde(try_from = "f64")]
pub struct PerSecond(f64);

impl PerSecond {
    const MOST: u32 = 1_000_000;

    /// # Errors
    /// Not above 0, above a million, or not a number.
    pub fn new(times: f64) -> Result<Self, OutOfBounds> {
        positive(times, Self::MOST).map(Self)
    }

    /// The number of times.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for PerSecond {
    type Error = OutOfBounds;
    fn try_from(times: f64) -> Result<Self, OutOfBounds> {
        Self::new(times)
    }
}

fn positive(number: f64, most: u32) -> Result<f64, OutOfBounds> {
    match number > 0.0 && number <= f64::from(most) {
        true => Ok(number),
        false => Err(OutOfBounds::Positive { most }),
    }
}

/// Reads whole seconds, from 1 to `MOST`, for `#[serde(deserialize_with)]`.
///
/// # Errors
/// Outside the bounds, or not a whole number.
pub fn seconds<'de, D: Deserializer<'de>, const MOST: u64>(deserializer: D) -> Result<Duration, D::Error> {
    Bounded::<u64, 1, MOST>::deserialize(deserializer).map(|seconds| Duration::from_secs(seconds.get()))
}

/// Reads hours, above 0 and at most a century of them, for `#[serde(deserialize_with)]`.
///
/// # Errors
/// Outside the bounds, or not a number.
pub fn hours<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let hours = positive(f64::deserialize(deserializer)?, 876_000).map_err(de::Error::custom)?;
    Ok(Duration::from_secs_f64(hours * 3600.0))
}

/// Reads bytes of which 0 leaves the choice to the node, for `#[serde(deserialize_with)]`.
///
/// # Errors
/// Outside the bounds, or not a whole number.
pub fn bytes_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Bytes::deserialize(deserializer).map(|bytes| Some(bytes.get()).filter(|&bytes| bytes > 0))
}

/// Reads whole seconds of which 0 is no limit, for `#[serde(deserialize_with)]`: at most a century of them.
///
/// # Errors
/// Outside the bounds, or not a whole number.
pub fn seconds_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    const CENTURY: u64 = 876_000 * 3600;
    let seconds = Bounded::<u64, 0, CENTURY>::deserialize(deserializer)?;
    Ok(Some(seconds.get()).filter(|&seconds| seconds > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_kept_and_said() {
        type Few = Bounded<u32, 2, 5>;
        assert_eq!(Few::new(2).unwrap().get(), 2);
        assert_eq!(Few::new(5).unwrap().get(), 5);
        for outside in [0, 1, 6, u64::MAX] {
            assert_eq!(Few::new(outside).unwrap_err().to_string(), "is outside 2 to 5");
        }
        assert!(Bounded::<u8, 0, { u64::MAX }>::new(256).is_err(), "the type has bounds of its own");
    }

    #[test]
    fn a_rate_is_a_number_above_nothing() {
        assert_eq!(PerSecond::new(0.5).unwrap().get(), 0.5);
        assert!(PerSecond::new(1e6).is_ok());
        for outside in [0.0, -0.0, -1.0, 1e6 + 1.0, f64::NAN, f64::INFINITY] {
            let error = PerSecond::new(outside).unwrap_err().to_string();
            assert_eq!(error, "is not above 0 and at most 1000000");
        }
    }
}
