//! RGB to 8-bit YCbCr 4:2:0, BT.709 matrix, limited range (Rec. ITU-R BT.709-6, items 3.2 to 3.5).
//!
//! Must not know FFmpeg: planes are byte slices with a stride.

use ltx_types::PixelShape;

/// Fractional bits of the coefficients.
const BITS: u32 = 16;
/// Y from R, G, B: (0.2126, 0.7152, 0.0722) · 219/255. The sum maps 255 to 219.
const LUMA: [i32; 3] = [11_966, 40_254, 4_064];

/// A colour-difference plane.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Chroma {
    /// (B − Y) / 1.8556 · 224/255.
    Blue,
    /// (R − Y) / 1.5748 · 224/255.
    Red,
}

impl Chroma {
    /// From R, G, B. Each sums to 0, so greys have no colour.
    fn coefficients(self) -> [i32; 3] {
        match self {
            Self::Blue => [-6_596, -22_188, 28_784],
            Self::Red => [28_784, -26_145, -2_639],
        }
    }
}

fn dot(rgb: [i32; 3], coefficients: [i32; 3]) -> i32 {
    rgb[0] * coefficients[0] + rgb[1] * coefficients[1] + rgb[2] * coefficients[2]
}

/// Writes the luma plane.
///
/// # Shapes
/// `rgb` is `[height, width, 3]`; `plane` holds at least `height` rows of `stride` bytes, `stride ≥ width`.
pub(crate) fn luma_plane(rgb: &[u8], shape: PixelShape, plane: &mut [u8], stride: usize) {
    for (line, out) in rgb.chunks_exact(shape.width * 3).zip(plane.chunks_mut(stride)) {
        for (pixel, y) in line.chunks_exact(3).zip(out) {
            let sum = dot([pixel[0].into(), pixel[1].into(), pixel[2].into()], LUMA);
            *y = (16 + ((sum + (1 << (BITS - 1))) >> BITS)) as u8;
        }
    }
}

/// Writes one chroma plane at half resolution. Samples sit where H.264 puts them by default: on the even column,
/// between the two rows. So columns weigh 1:2:1 (the edge repeats) and rows 1:1.
///
/// # Shapes
/// `rgb` is `[height, width, 3]`, both sides even; `plane` holds at least `height / 2` rows of `stride ≥ width / 2`
/// bytes.
pub(crate) fn chroma_plane(rgb: &[u8], shape: PixelShape, chroma: Chroma, plane: &mut [u8], stride: usize) {
    /// The weights of 3 columns and 2 rows sum to 8.
    const SHIFT: u32 = BITS + 3;
    let coefficients = chroma.coefficients();
    let line_bytes = shape.width * 3;
    for (pair, out) in rgb.chunks_exact(line_bytes * 2).zip(plane.chunks_mut(stride)) {
        let (upper, lower) = pair.split_at(line_bytes);
        for (index, value) in out.iter_mut().enumerate().take(shape.width / 2) {
            let column = index * 2;
            let left = column.saturating_sub(1);
            let sum: [i32; 3] = std::array::from_fn(|channel| {
                let both = |x: usize| i32::from(upper[x * 3 + channel]) + i32::from(lower[x * 3 + channel]);
                both(left) + 2 * both(column) + both(column + 1)
            });
            *value = (128 + ((dot(sum, coefficients) + (1 << (SHIFT - 1))) >> SHIFT)) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ycbcr(rgb: &[u8], width: usize, height: usize) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        let shape = PixelShape { width, height };
        let (mut y, mut cb, mut cr) =
            (vec![0; width * height], vec![0; width * height / 4], vec![0; width * height / 4]);
        luma_plane(rgb, shape, &mut y, width);
        chroma_plane(rgb, shape, Chroma::Blue, &mut cb, width / 2);
        chroma_plane(rgb, shape, Chroma::Red, &mut cr, width / 2);
        (y, cb, cr)
    }

    #[test]
    fn flat_colours_have_the_standard_codes() {
        let cases = [
            ("white", [255, 255, 255], (235, 128, 128)),
            ("black", [0, 0, 0], (16, 128, 128)),
            ("red", [255, 0, 0], (63, 102, 240)),
            ("green", [0, 255, 0], (173, 42, 26)),
            ("blue", [0, 0, 255], (32, 240, 118)),
            ("grey", [128, 128, 128], (126, 128, 128)),
        ];
        for (name, rgb, expected) in cases {
            let (y, cb, cr) = ycbcr(&rgb.repeat(8), 4, 2);
            assert_eq!((y[0], cb[0], cr[0]), expected, "{name}");
            assert!(y.iter().all(|&v| v == y[0]) && cb[0] == cb[1] && cr[0] == cr[1], "{name} is flat");
        }
    }

    #[test]
    fn every_colour_is_within_half_a_step_of_the_formula() {
        for code in (0..1 << 24).step_by(4099) {
            let rgb = [(code >> 16) as u8, (code >> 8) as u8, code as u8];
            let [r, g, b] = rgb.map(|v| f64::from(v) / 255.0);
            let luma = 0.2126 * r + 0.7152 * g + 0.0722 * b;
            let exact = [16.0 + 219.0 * luma, 128.0 + 224.0 * (b - luma) / 1.8556, 128.0 + 224.0 * (r - luma) / 1.5748];
            let (y, cb, cr) = ycbcr(&rgb.repeat(4), 2, 2);
            for (got, want) in [y[0], cb[0], cr[0]].into_iter().zip(exact) {
                assert!((f64::from(got) - want).abs() < 0.51, "{rgb:?}: {got} is not {want}");
            }
        }
    }

    #[test]
    fn chroma_sits_on_the_even_column() {
        // One red column at x = 2 of 8: the sample there takes half of it, its neighbours nothing.
        let mut rgb = vec![0; 8 * 2 * 3];
        for row in 0..2 {
            rgb[(row * 8 + 2) * 3] = 255;
        }
        assert_eq!(ycbcr(&rgb, 8, 2).2, [128, 184, 128, 128]);
        // At x = 1 it is shared between the samples at 0 and 2, a quarter each.
        rgb.rotate_right(21 * 2 + 3);
        assert_eq!(ycbcr(&rgb, 8, 2).2, [156, 156, 128, 128]);
    }
}
