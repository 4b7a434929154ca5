//! Which tensors are quantised, to what, and which stay as they are.
//!
//! Must not know files.

use crate::ggml_types::name_of;
use crate::vocabulary::KEPT;
use candle_core::quantized::GgmlDType;

/// What matrices are quantised to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuantizeType {
    /// 8.5 bits.
    Q8_0,
    /// 6.5625 bits.
    Q6K,
    /// 5.5 bits.
    Q5K,
    /// 4.5 bits, scales and minima by 32 values.
    Q4K,
    /// 4.5 bits, scales by 32 values.
    Q4_0,
    /// 16 bits: not quantised, only written as GGUF.
    Bf16,
}

impl QuantizeType {
    /// All of them, with their names on the command line.
    pub const ALL: [(&'static str, Self); 6] = [
        ("q8_0", Self::Q8_0),
        ("q6_k", Self::Q6K),
        ("q5_k", Self::Q5K),
        ("q4_k", Self::Q4K),
        ("q4_0", Self::Q4_0),
        ("bf16", Self::Bf16),
    ];

    fn kind(self) -> GgmlDType {
        match self {
            Self::Q8_0 => GgmlDType::Q8_0,
            Self::Q6K => GgmlDType::Q6K,
            Self::Q5K => GgmlDType::Q5K,
            Self::Q4K => GgmlDType::Q4K,
            Self::Q4_0 => GgmlDType::Q4_0,
            Self::Bf16 => GgmlDType::BF16,
        }
    }

    /// The number by which GGUF files name what most of them is.
    pub(super) fn file_type(self) -> u32 {
        match self {
            Self::Q4_0 => 2,
            Self::Q8_0 => 7,
            Self::Q4K => 14,
            Self::Q5K => 16,
            Self::Q6K => 18,
            Self::Bf16 => 32,
        }
    }

    /// The type for rows of `row` values: the one asked for, or where a row is not whole blocks, the nearest of smaller blocks
    /// as llama.cpp takes it, or F16.
    pub(super) fn fitting(self, row: usize) -> GgmlDType {
        let smaller = match self {
            Self::Q6K | Self::Q8_0 => GgmlDType::Q8_0,
            Self::Q5K => GgmlDType::Q5_1,
            Self::Q4K => GgmlDType::Q5_0,
            Self::Q4_0 => GgmlDType::Q4_0,
            Self::Bf16 => GgmlDType::BF16,
        };
        let fits = |kind: &GgmlDType| row.is_multiple_of(kind.block_size());
        [self.kind(), smaller].into_iter().find(fits).unwrap_or(GgmlDType::F16)
    }

    /// The name in files and reports.
    pub(super) fn name(self) -> &'static str {
        name_of(self.kind())
    }
}

/// Why a tensor keeps its precision; `None` where it is quantised. A pattern of `keep` is a part of the key, or with `*` in it
/// the whole key.
pub(super) fn kept(key: &str, shape: &[usize], keep: &[String]) -> Option<&'static str> {
    if shape.len() != 2 {
        return Some("not a matrix");
    }
    if !key.ends_with(".weight") {
        return Some("a table");
    }
    let asked = keep.iter().any(|pattern| matches(pattern, key)).then_some("--keep");
    asked.or_else(|| KEPT.iter().find(|(part, _)| key.contains(part)).map(|(_, why)| *why))
}

fn matches(pattern: &str, key: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    if first.len() == pattern.len() {
        return key.contains(pattern);
    }
    let Some(mut rest) = key.strip_prefix(first) else { return false };
    let mut pieces = pieces.peekable();
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_large_products_are_quantised() {
        let block = "model.diffusion_model.transformer_blocks.0";
        let kept = |key: &str| kept(key, &[64, 64], &[]);
        for key in ["attn1.to_q.weight", "attn2.to_out.0.weight", "ff.net.0.proj.weight", "audio_ff.net.2.weight"] {
            assert_eq!(kept(&format!("{block}.{key}")), None, "{key}");
        }
        assert_eq!(kept("model.layers.3.mlp.up_proj.weight"), None);
        for key in [
            "model.diffusion_model.patchify_proj.weight",
            "model.diffusion_model.audio_proj_out.weight",
            "model.diffusion_model.prompt_adaln_single.linear.weight",
            "model.diffusion_model.transformer_blocks.0.attn1.to_gate_logits.weight",
            "model.diffusion_model.scale_shift_table",
            "model.diffusion_model.video_embeddings_connector.learnable_registers",
            "text_embedding_projection.video_aggregate_embed.weight",
            "language_model.model.embed_tokens.weight",
            "vae.decoder.x.weight",
        ] {
            assert!(kept(key).is_some(), "{key}");
        }
    }

    #[test]
    fn patterns_are_parts_or_with_stars_the_whole() {
        let key = "a.transformer_blocks.11.attn1.to_v.weight";
        for pattern in ["to_v", "a.*", "*.to_v.weight", "*blocks.1*.to_v.*", "*"] {
            assert!(matches(pattern, key), "{pattern}");
        }
        for pattern in ["to_q", "to_v*", "*to_v", "a.*.to_q.*", "b*"] {
            assert!(!matches(pattern, key), "{pattern}");
        }
        assert_eq!(super::kept(key, &[2, 2], &["to_v".to_owned()]), Some("--keep"));
    }

    #[test]
    fn rows_that_do_not_fit_get_smaller_blocks_or_f16() {
        assert_eq!(QuantizeType::Q4K.fitting(512), GgmlDType::Q4K);
        assert_eq!(QuantizeType::Q4K.fitting(96), GgmlDType::Q5_0);
        assert_eq!(QuantizeType::Q5K.fitting(96), GgmlDType::Q5_1);
        assert_eq!(QuantizeType::Q6K.fitting(96), GgmlDType::Q8_0);
        assert_eq!(QuantizeType::Q8_0.fitting(48), GgmlDType::F16);
        assert_eq!(QuantizeType::Bf16.fitting(7), GgmlDType::BF16);
    }
}
