//! The guided noise levels of LTX-Video 0.9.x. Source: Polyak et al., “Movie Gen” (2024).
//!
//! Must not know what they are sampled by.

/// Where the linear half ends.
const LINEAR: f64 = 0.025;

/// The sigma at the start of each of so many steps: half of them go down evenly by 0.025, the others along a parabola to 0.
pub fn linear_quadratic(steps: usize) -> Vec<f32> {
    if steps < 2 {
        return vec![1.0];
    }
    let count = steps as f64;
    let linear = (steps / 2) as f64;
    let quadratic = count - linear;
    let difference = linear - LINEAR * count;
    let square = difference / (linear * quadratic * quadratic);
    let slope = LINEAR / linear - 2.0 * difference / (quadratic * quadratic);
    let constant = square * linear * linear;
    let way = |i: usize| {
        let i_ = i as f64;
        if i < steps / 2 { i_ * LINEAR / linear } else { square * i_ * i_ + slope * i_ + constant }
    };
    (0..steps).map(|i| if i == 0 { 1.0 } else { (1.0 - way(i)) as f32 }).collect()
}
