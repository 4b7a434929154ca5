//! The rotation of groups of inputs by a regular Hadamard matrix, undone. The matrix is the Kronecker power of
//! `[[1,1,1,−1],[1,1,−1,1],[1,−1,1,1],[−1,1,1,1]]`, which is symmetric and, divided by the root of its size, its own inverse.
//! Source: ComfyUI's comfy-kitchen (Apache 2.0), `tensor/int8_utils.py`, which calls it ConvRot.
//!
//! Must not know scales, or where values come from.

/// The most values that are rotated together.
pub const MOST: usize = 256;

/// Multiplies as many values as a power of four, at most [`MOST`], by the matrix, not divided by the root of its size. Sums of
/// whole numbers below 2²⁴ are exact.
#[inline(always)]
pub(super) fn unrotate(values: &mut [f32]) {
    match values.len() {
        4 => sized::<4>(values),
        16 => sized::<16>(values),
        64 => sized::<64>(values),
        256 => sized::<256>(values),
        _ => {}
    }
}

/// One factor of the power at a time: each takes quarters of the values and lays its results side by side, so that after all
/// factors every value is back in its place.
#[inline(always)]
fn sized<const SIZE: usize>(values: &mut [f32]) {
    let Some(values) = values.first_chunk_mut::<SIZE>() else { return };
    let mut next = [0f32; SIZE];
    for _ in 0..SIZE.trailing_zeros() / 2 {
        let quarter = SIZE / 4;
        let (first, rest) = values.split_at(quarter);
        let (second, rest) = rest.split_at(quarter);
        let (third, fourth) = rest.split_at(quarter);
        for (i, out) in next.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            let (a, b, c, d) = (first[i], second[i], third[i], fourth[i]);
            let (sum, difference) = (a + b, a - b);
            let (other_sum, other_difference) = (c + d, c - d);
            *out = [sum + other_difference, sum - other_difference, difference + other_sum, other_sum - difference];
        }
        *values = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An element of the matrix, by its definition.
    fn element(row: usize, column: usize, size: usize) -> f32 {
        const FOUR: [[f32; 4]; 4] = [[1., 1., 1., -1.], [1., 1., -1., 1.], [1., -1., 1., 1.], [-1., 1., 1., 1.]];
        let digits = |mut number: usize| {
            std::iter::from_fn(move || {
                let digit = number % 4;
                number /= 4;
                Some(digit)
            })
        };
        let factors = size.trailing_zeros() as usize / 2;
        digits(row).zip(digits(column)).take(factors).map(|(row, column)| FOUR[row][column]).product()
    }

    #[test]
    fn sums_are_those_of_the_matrix_exactly_and_twice_is_the_size_times_as_much() {
        for size in [4, 16, 64, 256] {
            let values: Vec<f32> = (0..size).map(|i| ((i * 89 + 7) % 255) as f32 - 127.0).collect();
            let mut found = values.clone();
            unrotate(&mut found);
            for (column, found) in found.iter().enumerate() {
                let sum: f32 = (0..size).map(|row| values[row] * element(row, column, size)).sum();
                assert_eq!(*found, sum, "{size} {column}");
            }
            unrotate(&mut found);
            assert!(found.iter().zip(&values).all(|(found, value)| *found == value * size as f32));
        }
    }
}
