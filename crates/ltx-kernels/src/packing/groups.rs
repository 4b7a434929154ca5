//! Values of 4 or 8 bits in groups along a row, behind each group the scale that it has for itself: what safetensors files hold
//! in two tensors, one of values and one of scales, laid together so that a row is whole groups.
//!
//! Must not know files, or how values are decoded.

/// What one value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// An 8-bit float of four bits of exponent.
    E4m3,
    /// An 8-bit float of five bits of exponent.
    E5m2,
    /// A signed byte.
    Int8,
    /// A 4-bit float: sign, two bits of exponent, one of mantissa. In a group the first half of the values are the lower four bits
    /// of their bytes, the second half the upper four.
    E2m1,
}

/// The scale of a group, behind its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupScale {
    /// None: the whole tensor has one.
    Whole,
    /// An f32, little-endian.
    F32,
    /// An e4m3 byte.
    E4m3,
    /// A power of two: the byte less 127 is its exponent; 255 is no number.
    E8m0,
}

/// How groups are laid out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Groups {
    /// What a value is.
    pub element: Element,
    /// Values in a group: even for 4-bit floats, and a divisor of 256.
    pub size: u16,
    /// The scale of a group.
    pub scale: GroupScale,
    /// Multiplies every scale.
    pub factor: f32,
    /// Values that were rotated together when the matrix was rounded, as ComfyUI's ConvRot does: a power of
    /// four that divides `size`. 1 is no rotation.
    pub rotation: u16,
}

impl Groups {
    /// Groups of one value without a scale of their own: one for the whole tensor.
    pub const fn of_one(element: Element, factor: f32) -> Self {
        Self { element, size: 1, scale: GroupScale::Whole, factor, rotation: 1 }
    }

    /// Whether it can be decoded: groups do not cross the ranges that products read, and whole rotations are in them.
    pub fn is_sound(&self) -> bool {
        let least = if self.element == Element::E2m1 { 2 } else { 1 };
        let whole = self.size.is_multiple_of(least) && self.size >= least && 256u16.is_multiple_of(self.size);
        let rotated = self.element == Element::Int8 || self.rotation == 1;
        whole && rotated && matches!(self.rotation, 1 | 4 | 16 | 64 | 256) && self.size.is_multiple_of(self.rotation)
    }

    /// Bytes of a group.
    pub const fn bytes(&self) -> usize {
        let values = match self.element {
            Element::E2m1 => self.size as usize / 2,
            Element::E4m3 | Element::E5m2 | Element::Int8 => self.size as usize,
        };
        values + self.scale_bytes()
    }

    /// Bytes of a group's scale.
    pub const fn scale_bytes(&self) -> usize {
        match self.scale {
            GroupScale::Whole => 0,
            GroupScale::F32 => 4,
            GroupScale::E4m3 | GroupScale::E8m0 => 1,
        }
    }

    /// The name that publishers use.
    pub const fn name(&self) -> &'static str {
        match (self.element, self.scale) {
            (Element::E2m1, _) => "NVFP4",
            (Element::E4m3, GroupScale::E8m0) => "MXFP8",
            (Element::E4m3, _) => "F8_E4M3",
            (Element::E5m2, _) => "F8_E5M2",
            (Element::Int8, _) if self.rotation > 1 => "I8_CONVROT",
            (Element::Int8, _) => "I8",
        }
    }
}
