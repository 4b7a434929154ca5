//! An RGB space stated by its primaries and its curve, converted to sRGB.
//!
//! Must not know which chunk of which file stated it.

use super::{ColourFault, Samples, icc};
use image::{DynamicImage, RgbImage};
use lcms2::{CIExyY, CIExyYTRIPLE, Profile, ThreadContext, ToneCurve};

/// How far two chromaticities may be apart and still be the same: writers round.
const SAME_CHROMATICITY: f64 = 0.001;
/// How far a power may be from sRGB's 2.2 and still mean sRGB's own curve, as libpng has it: 5 %.
const SAME_POWER: f64 = 0.05;

/// CIE 1931 x and y of white and of the three primaries.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Chromaticities {
    pub(crate) white: [f64; 2],
    pub(crate) red: [f64; 2],
    pub(crate) green: [f64; 2],
    pub(crate) blue: [f64; 2],
}

/// How light follows from a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Curve {
    /// sRGB's.
    Srgb,
    /// `light = sample^power`.
    Power(f64),
    /// A straight piece near black, then a power: `light = ((sample + offset) / (1 + offset))^power` from `knee` on, before it
    /// `sample / slope`.
    Linear {
        /// The exponent.
        power: f64,
        /// What the power's piece is shifted by.
        offset: f64,
        /// The straight piece's divisor.
        slope: f64,
        /// The sample where the pieces meet.
        knee: f64,
    },
}

/// An RGB space; of grey pixels, its curve alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RgbSpace {
    pub(crate) chromaticities: Chromaticities,
    pub(crate) curve: Curve,
}

impl Chromaticities {
    /// D65, as sRGB has it.
    pub(crate) const D65: [f64; 2] = [0.3127, 0.3290];
    /// sRGB's (ITU-R BT.709).
    pub(crate) const SRGB: Self = Self { white: Self::D65, red: [0.64, 0.33], green: [0.3, 0.6], blue: [0.15, 0.06] };

    fn all(&self) -> [[f64; 2]; 4] {
        [self.white, self.red, self.green, self.blue]
    }

    fn is_srgb(&self) -> bool {
        let apart = |a: [f64; 2], b: [f64; 2]| (a[0] - b[0]).abs().max((a[1] - b[1]).abs());
        self.all().into_iter().zip(Self::SRGB.all()).all(|(a, b)| apart(a, b) <= SAME_CHROMATICITY)
    }

    /// Whether they span colours: y is not 0, and the primaries are no line.
    fn is_possible(&self) -> bool {
        let inside = |&[x, y]: &[f64; 2]| (0.0..=1.0).contains(&x) && y > 0.0 && y <= 1.0;
        let [_, [rx, ry], [gx, gy], [bx, by]] = self.all();
        let area = (gx - rx) * (by - ry) - (bx - rx) * (gy - ry);
        // ProPhoto's blue lies below y = 0.001, ACES' below 0: those come as ICC profiles.
        self.all().iter().all(inside) && area.abs() > 1e-4
    }
}

impl Curve {
    fn is_srgb(self) -> bool {
        match self {
            Self::Srgb => true,
            Self::Power(power) => (power / 2.2 - 1.0).abs() <= SAME_POWER,
            Self::Linear { .. } => false,
        }
    }

    fn tone_curve(self) -> Result<ToneCurve, ColourFault> {
        let (kind, parameters) = match self {
            Self::Srgb => (4, vec![2.4, 1.0 / 1.055, 0.055 / 1.055, 1.0 / 12.92, 0.04045]),
            Self::Power(power) => (1, vec![power]),
            Self::Linear { power, offset, slope, knee } => {
                (4, vec![power, 1.0 / (1.0 + offset), offset / (1.0 + offset), 1.0 / slope, knee])
            }
        };
        ToneCurve::new_parametric(kind, &parameters).map_err(|_| ColourFault::Damaged)
    }
}

impl RgbSpace {
    /// Pixels of this space become sRGB; those that are sRGB already stay as they are.
    ///
    /// # Errors
    /// `Damaged` for primaries that span nothing, and for a power that is none.
    pub(crate) fn to_srgb(self, pixels: DynamicImage) -> Result<RgbImage, ColourFault> {
        let grey = matches!(pixels, DynamicImage::ImageLuma8(_));
        if self.curve.is_srgb() && (grey || self.chromaticities.is_srgb()) {
            return Ok(pixels.into_rgb8());
        }
        let Chromaticities { white, red, green, blue } = self.chromaticities;
        if !self.chromaticities.is_possible() {
            return Err(ColourFault::Damaged);
        }
        let curve = if self.curve.is_srgb() { Curve::Srgb } else { self.curve }.tone_curve()?;
        let at = |[x, y]: [f64; 2]| CIExyY { x, y, Y: 1.0 };
        let primaries = CIExyYTRIPLE { Red: at(red), Green: at(green), Blue: at(blue) };
        let context = ThreadContext::new();
        let profile = match grey {
            true => Profile::new_gray_context(&context, &at(white), &curve),
            false => Profile::new_rgb_context(&context, &at(white), &primaries, &[&curve, &curve, &curve]),
        };
        let profile = profile.map_err(|_| ColourFault::Damaged)?;
        icc::from_profile(&context, &profile, &Samples::Light(pixels))
    }
}
