//! T5's positions: a number is added to the score of every pair of tokens, by head and by the distance between the two. Near
//! distances have a bucket each, further ones share buckets that grow with the logarithm.
//!
//! Must not know tokens.

use super::T5Config;
use candle_core::Tensor;
use ltx_nn::Result;

/// The summands of all scores, `[1, heads, tokens, tokens]`, f32, from the table `[buckets, heads]`.
pub(super) fn bias(config: &T5Config, table: &Tensor, tokens: usize) -> Result<Tensor> {
    let mut buckets = Vec::with_capacity(tokens * tokens);
    for query in 0..tokens {
        buckets.extend((0..tokens).map(|key| bucket(config, query, key)));
    }
    let index = Tensor::from_vec(buckets, tokens * tokens, table.device())?;
    let heads = config.num_heads;
    let bias = table.index_select(&index, 0)?.reshape((tokens, tokens, heads))?;
    Ok(bias.permute((2, 0, 1))?.contiguous()?.unsqueeze(0)?)
}

/// Half of the buckets are for keys behind the query; of each half, half are for single distances.
fn bucket(config: &T5Config, query: usize, key: usize) -> u32 {
    let half = config.relative_attention_num_buckets / 2;
    let exact = half / 2;
    let (side, distance) = if key > query { (half, key - query) } else { (0, query - key) };
    let within = if distance < exact {
        distance
    } else {
        let most = (config.relative_attention_max_distance as f64 / exact as f64).ln() as f32;
        let share = (distance as f32 / exact as f32).ln() / most;
        // Casts of floats saturate.
        (exact + (share * (half - exact) as f32) as usize).min(half - 1)
    };
    (side + within) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_put_into_the_buckets_of_the_public_code() {
        let shapes = crate::t5::T5Shapes { embedding: [8, 8], bias: [32, 2], queries: 8, inner: 8, layers: 1 };
        let config = T5Config::from_shapes(&shapes).unwrap();
        let of = |query, key| bucket(&config, query, key);
        assert_eq!([of(0, 0), of(7, 0), of(8, 0), of(11, 0), of(12, 0), of(16, 0)], [0, 7, 8, 8, 9, 10]);
        assert_eq!([of(64, 0), of(127, 0), of(200, 0), of(0, 1), of(0, 9), of(0, 200)], [14, 15, 15, 17, 24, 31]);
    }
}
