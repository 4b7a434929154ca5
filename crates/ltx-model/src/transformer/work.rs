//! What a pass of the transformer has to do, counted along [`super::Transformer::forward`].
//!
//! Must not know forms of matrices, guidance, or how many passes there are.

use super::TransformerConfig;
use ltx_types::{Unit, Work};

/// What a pass works on, as far as its time depends on it.
#[derive(Debug, Clone, Copy)]
pub struct PassShape<'a> {
    /// Tokens of the sequence, appended ones included.
    pub tokens: u64,
    /// Slots of the text context.
    pub context: u64,
    /// Distinct timesteps of tokens.
    pub timesteps: u64,
    /// Blocks whose self-attention is skipped (STG).
    pub skips: &'a [usize],
}

/// Fifteen operators of a block beside products and attentions: modulations, norms of queries and keys, rotations, gates, sums. Few of
/// them are handed to other threads: beginning one takes a third of what beginning a product does, about.
const CALLS: u64 = 5;
/// Times that a token's values are read or written by them.
const MOVES: u64 = 29;
/// The same of the context's.
const CONTEXT_MOVES: u64 = 4;
/// What a rotation's sine and cosine cost, in values moved.
const ANGLE: u64 = 32;

impl TransformerConfig {
    /// Rows that a matrix is multiplied with in a pass, by its key behind the transformer's prefix.
    pub fn rows_of(&self, key: &str, pass: PassShape<'_>) -> u64 {
        if key.starts_with("prompt_adaln_single.") {
            return 1;
        }
        if key.starts_with("adaln_single.") {
            return pass.timesteps;
        }
        if key.starts_with("caption_projection.") {
            return pass.context;
        }
        match block_of(key) {
            Some((block, "attn1.to_q" | "attn1.to_k")) if pass.skips.contains(&block) => 0,
            Some((_, "attn2.to_k" | "attn2.to_v")) => pass.context,
            _ => pass.tokens,
        }
    }

    /// All of a pass but its products.
    pub fn pass_work(&self, pass: PassShape<'_>) -> Work {
        let PassShape { tokens, context, skips, .. } = pass;
        let (dim, heads, all) = (self.inner_dim() as u64, self.num_attention_heads as u64, self.num_layers as u64);
        let skipped = skips.iter().filter(|block| (**block as u64) < all).count() as u64;
        let attention = |keys: u64| {
            let work = Work::of(Unit::Attention, 4 * tokens * keys * dim).and(Unit::Score, tokens * keys * heads);
            work.and(Unit::Call, 1)
        };
        let block = Work::of(Unit::Call, CALLS).and(Unit::Value, (MOVES * tokens + CONTEXT_MOVES * context) * dim);
        let blocks = block.plus(&attention(context)).times(all);
        // The tokens projected in and out, and their norm between.
        blocks.plus(&attention(tokens).times(all - skipped)).and(Unit::Value, 6 * tokens * dim).and(Unit::Call, 2)
    }

    /// What a stage does once, before its first pass: the rotations of every token.
    pub fn stage_work(&self, tokens: u64) -> Work {
        Work::of(Unit::Value, ANGLE * tokens * self.inner_dim() as u64 / 2)
    }
}

/// A block's number and the name of a matrix in it.
fn block_of(key: &str) -> Option<(usize, &str)> {
    let (block, name) = key.strip_prefix("transformer_blocks.")?.split_once('.')?;
    Some((block.parse().ok()?, name.strip_suffix(".weight")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_and_its_matrix_are_told_from_a_key() {
        assert_eq!(block_of("transformer_blocks.12.attn1.to_q.weight"), Some((12, "attn1.to_q")));
        for other in
            ["transformer_blocks.x.attn1.to_q.weight", "transformer_blocks.1.attn1.to_q.bias", "proj_out.weight"]
        {
            assert_eq!(block_of(other), None, "{other}");
        }
    }
}
