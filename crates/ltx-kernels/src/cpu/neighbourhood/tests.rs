//! Every level against the formula in f64, through a ring, and what is refused.
//!
//! Must not know instructions.

use super::*;
use crate::cpu::{Level, drawn::values};

/// One head's query or key as the formula has it, in f64.
fn prepared(x: &[f32], norm: &[f32], scale: f64, place: [isize; 3], split: [usize; 3]) -> Vec<f64> {
    let square: f64 = x.iter().map(|x| f64::from(*x).powi(2)).sum();
    let inverse = 1.0 / (square / x.len() as f64 + 1e-6).sqrt();
    let mut y: Vec<f64> = x.iter().zip(norm).map(|(x, w)| f64::from(*x) * inverse * f64::from(*w) * scale).collect();
    let mut start = 0;
    for (place, values) in place.into_iter().zip(split) {
        for pair in 0..values / 2 {
            let angle = place as f64 / 10_000f64.powf(2.0 * pair as f64 / values as f64);
            let (even, odd) = (y[start + 2 * pair], y[start + 2 * pair + 1]);
            y[start + 2 * pair] = even * angle.cos() - odd * angle.sin();
            y[start + 2 * pair + 1] = even * angle.sin() + odd * angle.cos();
        }
        start += values;
    }
    y
}

/// The formula: `qkv [positions, 3 · width]` → `[positions, width]`.
fn formula(shape: &NeighbourhoodShape, qkv: &[f32], [q_norm, k_norm]: [&[f32]; 2]) -> Vec<f32> {
    let NeighbourhoodShape { heads, head_dim, kernel, clip: [frames, rows, columns], sides } = *shape;
    let (width, split) = (heads * head_dim, NeighbourhoodShape::split(head_dim).unwrap());
    let at = |f: usize, r: usize, c: usize| &qkv[((f * rows + r) * columns + c) * 3 * width..][..3 * width];
    let scale = (head_dim as f64).powf(-0.5);
    let mut out = Vec::new();
    for (f, r, c) in (0..frames).flat_map(|f| (0..rows).flat_map(move |r| (0..columns).map(move |c| (f, r, c)))) {
        for head in 0..heads {
            let part = |x: &[f32], which: usize| x[which * width + head * head_dim..][..head_dim].to_vec();
            let q = prepared(&part(at(f, r, c), 0), q_norm, scale, [f as isize, r as isize, c as isize], split);
            let first = match sides {
                Sides::Shifted => window(c, kernel[2], columns) as isize,
                Sides::Repeated => c as isize - (kernel[2] / 2) as isize,
            };
            let mut seen = Vec::new();
            for kf in window(f, kernel[0], frames)..window(f, kernel[0], frames) + kernel[0] {
                for kr in window(r, kernel[1], rows)..window(r, kernel[1], rows) + kernel[1] {
                    for kc in first..first + kernel[2] as isize {
                        let x = at(kf, kr, kc.clamp(0, columns as isize - 1) as usize);
                        let place = [kf as isize, kr as isize, kc];
                        let k = prepared(&part(x, 1), k_norm, 1.0, place, split);
                        let score: f64 = q.iter().zip(&k).map(|(q, k)| q * k).sum();
                        seen.push((score, part(x, 2)));
                    }
                }
            }
            let total: f64 = seen.iter().map(|(score, _)| score.exp()).sum();
            for i in 0..head_dim {
                let sum: f64 = seen.iter().map(|(score, v)| score.exp() * f64::from(v[i])).sum();
                out.push((sum / total) as f32);
            }
        }
    }
    out
}

/// All frames through a ring, each answered as soon as the last it sees is there.
fn computed(level: Level, shape: NeighbourhoodShape, qkv: &[f32], [q_norm, k_norm]: [&[f32]; 2]) -> Vec<f32> {
    let attention = Neighbourhood::new(level, shape).unwrap();
    let ([frames, rows, columns], width) = (shape.clip, shape.width());
    let (mut ring, mut next) = (attention.ring(), 0);
    assert_eq!(ring.keys.len() + ring.values.len(), shape.ring_values());
    let frame = |at: usize| &qkv[at * rows * columns * 3 * width..][..rows * columns * 3 * width];
    let mut out = Vec::new();
    for at in 0..frames {
        while next < attention.first_seen(at) + shape.kernel[0] {
            attention.put(&mut ring, next, (frame(next), 3 * width, [width, 2 * width]), k_norm).unwrap();
            next += 1;
        }
        let q: Vec<f32> = frame(at).chunks(3 * width).flat_map(|row| &row[..width]).copied().collect();
        let mut answers = vec![0f32; q.len()];
        attention.answer(&ring, at, (&q, q_norm), &mut answers).unwrap();
        out.extend(answers);
    }
    out
}

#[test]
fn every_level_equals_the_formula() {
    for (heads, head_dim, kernel, clip) in [
        (1, 16, [1, 1, 1], [1, 1, 1]),
        (2, 24, [3, 3, 5], [4, 3, 9]),
        (1, 64, [3, 5, 11], [3, 6, 23]),
        (2, 40, [5, 3, 15], [6, 4, 17]),
        (3, 16, [3, 3, 3], [3, 3, 3]),
    ] {
        for sides in [Sides::Shifted, Sides::Repeated] {
            let shape = NeighbourhoodShape { heads, head_dim, kernel, clip, sides };
            let qkv = values(clip.iter().product::<usize>() * 3 * heads * head_dim, 7);
            let norms =
                [values(head_dim, 8), values(head_dim, 9)].map(|w| w.iter().map(|w| 2.0 + w).collect::<Vec<_>>());
            let norms = [&norms[0][..], &norms[1][..]];
            let expected = formula(&shape, &qkv, norms);
            for level in Level::available() {
                let found = computed(level, shape, &qkv, norms);
                let worst = found.iter().zip(&expected).map(|(x, y)| (x - y).abs()).fold(0f32, f32::max);
                assert!(found.len() == expected.len() && worst < 2e-5, "{level:?} {shape:?}: {worst:e}");
                let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
                assert_eq!(pool.install(|| computed(level, shape, &qkv, norms)), found, "threads change no bit");
            }
        }
    }
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let shape = NeighbourhoodShape { heads: 1, head_dim: 16, kernel: [3; 3], clip: [3; 3], sides: Sides::Shifted };
    assert!(Neighbourhood::new(Level::PORTABLE, shape).is_ok());
    for refused in [
        NeighbourhoodShape { kernel: [3, 3, 5], ..shape },
        NeighbourhoodShape { kernel: [3, 2, 3], ..shape },
        NeighbourhoodShape { kernel: [1, 1, 17], clip: [1, 1, 40], ..shape },
        NeighbourhoodShape { head_dim: 8, ..shape },
        NeighbourhoodShape { head_dim: 0, ..shape },
        NeighbourhoodShape { head_dim: 264, ..shape },
        NeighbourhoodShape { heads: 0, ..shape },
    ] {
        assert!(Neighbourhood::new(Level::PORTABLE, refused).is_err(), "{refused:?}");
    }
    let attention = Neighbourhood::new(Level::PORTABLE, shape).unwrap();
    let (mut ring, frame, norm) = (attention.ring(), [0f32; 9 * 48], [1f32; 16]);
    assert!(attention.put(&mut ring, 3, (&frame, 48, [16, 32]), &norm).is_err(), "there is no such frame");
    assert!(attention.put(&mut ring, 0, (&frame, 48, [16, 33]), &norm).is_err(), "values reach past the row");
    assert!(attention.put(&mut ring, 0, (&frame[1..], 48, [16, 32]), &norm).is_err());
    let mut out = [0f32; 9 * 16];
    assert!(attention.answer(&ring, 0, (&frame[..9 * 16], &norm[1..]), &mut out).is_err());
    let other = Neighbourhood::new(Level::PORTABLE, NeighbourhoodShape { clip: [3, 3, 40], ..shape }).unwrap().ring();
    assert!(attention.answer(&other, 0, (&frame[..9 * 16], &norm), &mut out).is_err(), "another clip's ring");
}
