//! What the numbers of a picture's pixels mean, as its file states it, and the same colours in sRGB.
//!
//! Must not know file formats: samples come in, with what their file says of them. Nothing that a file says is passed over:
//! it is obeyed, or the picture is refused by what it says.

mod code_points;
mod icc;
mod icc_sizes;
mod icc_tags;
mod space;

pub(crate) use code_points::CodePoints;
pub(crate) use icc::to_srgb as profile_to_srgb;
use image::{DynamicImage, RgbaImage};
pub(crate) use space::{Chromaticities, Curve, RgbSpace};

/// What a picture's file states of its colours.
#[derive(Debug)]
pub(crate) enum Stated {
    /// Nothing.
    Nothing,
    /// An ICC profile.
    Profile(Vec<u8>),
    /// The primaries and the curve of an RGB space.
    Space(RgbSpace),
}

/// Samples of a picture, upright, 8 bits, no alpha.
#[derive(Debug)]
pub(crate) enum Samples {
    /// Grey or RGB.
    Light(DynamicImage),
    /// Cyan, magenta, yellow and black ink in the four channels, 255 for all of it.
    Inks(RgbaImage),
}

/// Why a picture's colours cannot be shown as its file states them. Reads on after the name of the file's part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ColourFault {
    /// It cannot be read.
    #[error("is damaged")]
    Damaged,
    /// It stands where it does not count.
    #[error("stands behind the pixels, where it does not count")]
    Misplaced,
    /// It is there twice, and says two things.
    #[error("is there more than once, and not always the same")]
    Contradictory,
    /// It is for pixels of another kind than the picture's.
    #[error("is for {profile} pixels where the picture's are {picture}")]
    OtherPixels {
        /// The profile's colour space.
        profile: String,
        /// What the picture has.
        picture: &'static str,
    },
    /// It is a profile, but not one that says what colours are.
    #[error("is a profile of class {class}, which says nothing of a picture's colours")]
    OtherClass {
        /// Its class, as the profile spells it.
        class: String,
    },
    /// It states a brightness range that an 8-bit sRGB picture does not have.
    #[error("states high dynamic range ({curve}), which is not supported")]
    HighDynamicRange {
        /// The curve's name.
        curve: &'static str,
    },
    /// It states a code that has no meaning here.
    #[error("states {what} {code}, which is not supported")]
    UnknownCode {
        /// What the code is of.
        what: &'static str,
        /// The code.
        code: u8,
    },
}

impl Samples {
    /// The kind of pixels, as errors name it.
    fn kind(&self) -> &'static str {
        match self {
            Self::Light(DynamicImage::ImageLuma8(_)) => "grey",
            Self::Light(_) => "RGB",
            Self::Inks(_) => "CMYK",
        }
    }
}
