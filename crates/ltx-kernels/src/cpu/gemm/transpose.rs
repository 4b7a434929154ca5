//! Sixteen values each of some rows, turned into columns: how packing reads a matrix across its rows.
//!
//! Must not know panels.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
use crate::cpu::level::Instructions;
use crate::cpu::level::Level;

/// Values of a row that are turned at once.
pub(super) const PIECE: usize = 16;

/// Writes value `i` of row `row` to `out[i][row]`: at most [`PIECE`] rows, at most [`PIECE`] values of each.
///
/// Rows begin at `source[row · stride]`.
pub(super) fn transpose<const WIDTH: usize>(
    level: Level,
    (source, stride): (&[f32], usize),
    rows: usize,
    (out, column): (&mut [[f32; WIDTH]], usize),
) {
    #[cfg(target_arch = "x86_64")]
    if level.instructions() >= Instructions::Avx512
        && rows > 0
        && rows <= PIECE
        && out.len() == PIECE
        && column + rows <= WIDTH
    {
        assert!(source.len() >= (rows - 1) * stride + PIECE, "transpose: a row reaches past the matrix");
        // SAFETY: a level is only made where the processor has it; 16 values of `rows` rows lie inside the source,
        // and so do `rows` values, from `column` on, inside 16 lines.
        unsafe { avx512((source.as_ptr(), stride), rows, (out.as_flattened_mut().as_mut_ptr().add(column), WIDTH)) };
        return;
    }
    let mut turned = 0;
    #[cfg(target_arch = "x86_64")]
    if level.instructions() >= Instructions::Avx2 && out.len() == PIECE && column + rows <= WIDTH {
        assert!(rows == 0 || source.len() >= (rows - 1) * stride + PIECE, "transpose: a row reaches past the matrix");
        while turned + 4 <= rows {
            let place = out.as_flattened_mut()[column + turned..].as_mut_ptr();
            // SAFETY: a level is only made where the processor has it; 16 values of these four rows lie inside the
            // source, and so do four values, from that place on, inside 16 lines.
            unsafe { avx((source.as_ptr().add(turned * stride), stride), (place, WIDTH)) };
            turned += 4;
        }
    }
    let _ = level;
    for row in turned..rows {
        let values = &source[row * stride..][..out.len()];
        out.iter_mut().zip(values).for_each(|(line, value)| line[column + row] = *value);
    }
}

/// Word `i` of line `row` to `out[i][row]`, of 16 lines of 16 words: bits are moved, whatever they mean.
pub(crate) fn transpose_words(level: Level, lines: &[[u8; 4 * PIECE]; PIECE], out: &mut [u32]) {
    let mut words = [[0f32; PIECE]; PIECE];
    for (line, words) in lines.iter().zip(&mut words) {
        line.as_chunks::<4>().0.iter().zip(words).for_each(|(bytes, word)| *word = f32::from_le_bytes(*bytes));
    }
    let mut turned = [[0f32; PIECE]; PIECE];
    transpose(level, (words.as_flattened(), PIECE), PIECE, (&mut turned, 0));
    out.iter_mut().zip(turned.as_flattened()).for_each(|(out, word)| *out = word.to_bits());
}

/// # Safety
/// The processor has AVX-512F; 16 values can be read at every of `count` rows, at most 16, and `count` values be written at
/// every of 16 lines.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512((source, stride): (*const f32, usize), count: usize, (out, out_stride): (*mut f32, usize)) {
    use std::arch::x86_64::{
        __m512, _mm512_castpd_ps, _mm512_castps_pd, _mm512_loadu_ps, _mm512_mask_storeu_ps, _mm512_setzero_ps,
        _mm512_shuffle_f32x4, _mm512_unpackhi_pd, _mm512_unpackhi_ps, _mm512_unpacklo_pd, _mm512_unpacklo_ps,
    };
    let mut rows: [__m512; PIECE] = [_mm512_setzero_ps(); PIECE];
    for (i, row) in rows.iter_mut().enumerate().take(count) {
        // SAFETY: row `i`, as promised.
        *row = unsafe { _mm512_loadu_ps(source.add(i * stride)) };
    }
    // Within the quarters of registers: pairs of rows, then fours.
    let mut fours = [_mm512_setzero_ps(); PIECE];
    for i in 0..4 {
        let [a, b, c, d] = [rows[4 * i], rows[4 * i + 1], rows[4 * i + 2], rows[4 * i + 3]];
        let (low, high) = (_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
        let (low_2, high_2) = (_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
        let pd = |x| _mm512_castps_pd(x);
        fours[4 * i] = _mm512_castpd_ps(_mm512_unpacklo_pd(pd(low), pd(low_2)));
        fours[4 * i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(pd(low), pd(low_2)));
        fours[4 * i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(pd(high), pd(high_2)));
        fours[4 * i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(pd(high), pd(high_2)));
    }
    let mask = u16::MAX >> (PIECE - count);
    // `fours[4 i + j]` holds, in quarter q, value 4 q + j of rows 4 i to 4 i + 3; now quarters change places.
    for j in 0..4 {
        let [a, b, c, d] = [fours[j], fours[4 + j], fours[8 + j], fours[12 + j]];
        let (ab_even, ab_odd) = (_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xdd>(a, b));
        let (cd_even, cd_odd) = (_mm512_shuffle_f32x4::<0x88>(c, d), _mm512_shuffle_f32x4::<0xdd>(c, d));
        let lines = [
            (j, _mm512_shuffle_f32x4::<0x88>(ab_even, cd_even)),
            (4 + j, _mm512_shuffle_f32x4::<0x88>(ab_odd, cd_odd)),
            (8 + j, _mm512_shuffle_f32x4::<0xdd>(ab_even, cd_even)),
            (12 + j, _mm512_shuffle_f32x4::<0xdd>(ab_odd, cd_odd)),
        ];
        for (line, values) in lines {
            // SAFETY: line `line`, as promised.
            unsafe { _mm512_mask_storeu_ps(out.add(line * out_stride), mask, values) };
        }
    }
}

/// # Safety
/// The processor has AVX; 16 values can be read at each of four rows, and four be written at each of 16 lines.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx")]
unsafe fn avx((source, stride): (*const f32, usize), (out, out_stride): (*mut f32, usize)) {
    use std::arch::x86_64::{
        _mm_storeu_ps, _mm256_castpd_ps, _mm256_castps_pd, _mm256_castps256_ps128, _mm256_extractf128_ps,
        _mm256_loadu_ps, _mm256_unpackhi_pd, _mm256_unpackhi_ps, _mm256_unpacklo_pd, _mm256_unpacklo_ps,
    };
    for half in [0, 8] {
        // SAFETY: half of each row, as promised.
        let [a, b, c, d] = [0, 1, 2, 3].map(|row| unsafe { _mm256_loadu_ps(source.add(row * stride + half)) });
        let pd = |x| _mm256_castps_pd(x);
        let (low, high) = (pd(_mm256_unpacklo_ps(a, b)), pd(_mm256_unpackhi_ps(a, b)));
        let (low_2, high_2) = (pd(_mm256_unpacklo_ps(c, d)), pd(_mm256_unpackhi_ps(c, d)));
        // Register j holds value j of the four rows and, in its upper half, value 4 + j.
        let fours = [
            _mm256_unpacklo_pd(low, low_2),
            _mm256_unpackhi_pd(low, low_2),
            _mm256_unpacklo_pd(high, high_2),
            _mm256_unpackhi_pd(high, high_2),
        ];
        for (j, four) in fours.into_iter().enumerate() {
            let four = _mm256_castpd_ps(four);
            // SAFETY: lines `half + j` and `half + 4 + j`, as promised.
            unsafe {
                _mm_storeu_ps(out.add((half + j) * out_stride), _mm256_castps256_ps128(four));
                _mm_storeu_ps(out.add((half + 4 + j) * out_stride), _mm256_extractf128_ps::<1>(four));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_turns_rows_into_columns() {
        let source: Vec<f32> = (0..16 * 19).map(|i| i as f32).collect();
        for level in Level::available() {
            for (rows, count, column) in [(16, 16, 0), (16, 16, 16), (12, 16, 3), (16, 7, 1), (1, 1, 31), (16, 0, 0)] {
                let mut out = [[-1f32; 32]; PIECE];
                transpose(level, (&source, 19), rows, (&mut out[..count], column));
                for (i, line) in out.iter().enumerate() {
                    for (place, found) in line.iter().enumerate() {
                        let inside = i < count && (column..column + rows).contains(&place);
                        let expected = if inside { ((place - column) * 19 + i) as f32 } else { -1.0 };
                        assert_eq!(*found, expected, "{level:?} {rows} {count} {column}: {i} {place}");
                    }
                }
            }
        }
    }
}
