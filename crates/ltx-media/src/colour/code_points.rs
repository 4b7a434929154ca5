//! An RGB space stated by numbers: coding-independent code points (ITU-T H.273).
//!
//! Must not know the chunk they came in.

use super::{Chromaticities, ColourFault, Curve, RgbSpace};

/// The numbers, as a file states them. The matrix is that of RGB, as PNG has no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CodePoints {
    /// H.273, table 2.
    pub(crate) primaries: u8,
    /// H.273, table 3.
    pub(crate) transfer: u8,
    /// Whether samples use all of their range, rather than video's.
    pub(crate) full_range: bool,
}

/// BT.709's curve and those that share it.
const BT709: Curve = Curve::Linear { power: 1.0 / 0.45, offset: 0.099, slope: 4.5, knee: 0.081 };
/// SMPTE ST 240's curve.
const ST240: Curve = Curve::Linear { power: 1.0 / 0.45, offset: 0.1115, slope: 4.0, knee: 0.0913 };

impl CodePoints {
    /// The space. What is left to the application (code 2) is taken as sRGB's.
    ///
    /// # Errors
    /// The range is video's, the curve is one of high dynamic range, or a number is not known.
    pub(crate) fn space(self) -> Result<RgbSpace, ColourFault> {
        if !self.full_range {
            return Err(ColourFault::UnknownCode { what: "the narrow sample range, flag", code: 0 });
        }
        Ok(RgbSpace { chromaticities: self.chromaticities()?, curve: self.curve()? })
    }

    /// The name of a curve of high dynamic range; `None` for every other code.
    pub(super) fn high_dynamic_range(transfer: u8) -> Option<&'static str> {
        match transfer {
            16 => Some("PQ"),
            18 => Some("HLG"),
            _ => None,
        }
    }

    fn chromaticities(self) -> Result<Chromaticities, ColourFault> {
        let (illuminant_c, dci) = ([0.310, 0.316], [0.314, 0.351]);
        let of = |white, [red, green, blue]: [[f64; 2]; 3]| Chromaticities { white, red, green, blue };
        let d65 = Chromaticities::D65;
        Ok(match self.primaries {
            1 | 2 => Chromaticities::SRGB,
            4 => of(illuminant_c, [[0.67, 0.33], [0.21, 0.71], [0.14, 0.08]]),
            5 => of(d65, [[0.64, 0.33], [0.29, 0.60], [0.15, 0.06]]),
            6 | 7 => of(d65, [[0.630, 0.340], [0.310, 0.595], [0.155, 0.070]]),
            8 => of(illuminant_c, [[0.681, 0.319], [0.243, 0.692], [0.145, 0.049]]),
            9 => of(d65, [[0.708, 0.292], [0.170, 0.797], [0.131, 0.046]]),
            11 => of(dci, [[0.680, 0.320], [0.265, 0.690], [0.150, 0.060]]),
            12 => of(d65, [[0.680, 0.320], [0.265, 0.690], [0.150, 0.060]]),
            22 => of(d65, [[0.630, 0.340], [0.295, 0.605], [0.155, 0.077]]),
            code => return Err(ColourFault::UnknownCode { what: "colour primaries", code }),
        })
    }

    fn curve(self) -> Result<Curve, ColourFault> {
        if let Some(curve) = Self::high_dynamic_range(self.transfer) {
            return Err(ColourFault::HighDynamicRange { curve });
        }
        Ok(match self.transfer {
            2 | 13 => Curve::Srgb,
            1 | 6 | 14 | 15 => BT709,
            4 => Curve::Power(2.2),
            5 => Curve::Power(2.8),
            7 => ST240,
            8 => Curve::Power(1.0),
            code => return Err(ColourFault::UnknownCode { what: "transfer characteristics", code }),
        })
    }
}
