//! The words by which official keys are told apart, on one page: where the keys of each part begin, which keys belong to the
//! audio stream or are left on disk for another reason, and which weights keep their precision. A family whose keys are
//! called otherwise is told here and nowhere else in this crate.
//!
//! Must not know files, formats or shapes.

/// What official files put in front of the keys of one part, which files of that part alone leave out.
pub(crate) struct Prefix {
    /// With the dot behind it.
    pub(crate) official: &'static str,
    /// Beginnings of keys without the prefix.
    pub(crate) heads: &'static [&'static str],
}

/// Where the official keys of the transformer and of the text connector begin.
pub(crate) const TRANSFORMER: &str = "model.diffusion_model.";
/// Where the official keys of the video VAE begin.
pub(crate) const VAE: &str = "vae.";
/// Where the official keys of a Gemma file begin.
pub(crate) const GEMMA: &str = "model.";

/// The prefixes of an LTX checkpoint; the first one with a head that fits is taken.
pub(crate) const PREFIXES: [Prefix; 3] = [
    Prefix {
        official: "text_embedding_projection.",
        heads: &["video_aggregate_embed.", "audio_aggregate_embed.", "aggregate_embed."],
    },
    Prefix {
        official: TRANSFORMER,
        heads: &[
            "transformer_blocks.",
            "patchify_proj.",
            "proj_out.",
            "adaln_single.",
            "prompt_adaln_single.",
            "scale_shift_table",
            "keyframes_abs_pos_embedding",
            "caption_projection.",
            "video_embeddings_connector.",
            "audio_",
            "av_ca_",
        ],
    },
    Prefix { official: VAE, heads: &["encoder.", "decoder.", "per_channel_statistics."] },
];

/// The prefixes of the audio stream's own parts; files of them alone may leave them out.
pub(crate) const AUDIO: [Prefix; 2] = [
    Prefix { official: "audio_vae.", heads: &["encoder.", "decoder.", "per_channel_statistics."] },
    Prefix { official: "vocoder.", heads: &["conv_pre.", "conv_post.", "ups.", "resblocks."] },
];

/// Before the keys of a file that holds only what a language model sees images with.
pub(crate) const VISION: &str = "vision_tower.";
/// Beginnings of such keys in a file that holds the language model as well.
pub(crate) const VISION_HEADS: [&str; 2] = ["v.", "mm."];

/// Beginnings of keys that are official as they are.
pub(crate) const OFFICIAL: [&str; 4] = ["model.", "vae.", "audio_vae.", "text_embedding_projection."];

/// Parts of an official key, and why a tensor with it keeps its precision when a file is quantised.
pub(crate) const KEPT: [(&str, &str); 13] = [
    ("vae.", "an autoencoder"),
    ("vocoder.", "a vocoder"),
    ("text_embedding_projection.", "the text projection"),
    ("patchify_proj.", "the first projection"),
    ("proj_out.", "the last projection"),
    ("adaln", "the timestep's modulation"),
    ("caption_projection.", "a projection of the text"),
    ("to_gate_logits.", "gates"),
    ("embed_tokens.", "an embedding"),
    ("lm_head.", "an embedding"),
    ("shared.", "an embedding"),
    ("relative_attention_bias.", "a table of distances"),
    ("norm.", "a norm"),
];

/// Whether a key of the official single file belongs to the audio stream or to the crossing between the streams.
pub(crate) fn is_audio(key: &str) -> bool {
    key.starts_with("vocoder.") || ["audio", "av_ca_", "a2v", "v2a"].iter().any(|mark| key.contains(mark))
}

/// Whether a key of a Gemma file belongs to the image side, to the head that predicts tokens, or is a packed tokenizer or setting.
pub(crate) fn is_vision(key: &str) -> bool {
    let marks = [
        "vision_tower.",
        "vision_model.",
        "vision_embedder.",
        "embed_vision.",
        "multi_modal_projector.",
        "lm_head.",
        "spiece_model",
        "tokenizer_json",
        "hf_asset__",
    ];
    marks.iter().any(|mark| key.contains(mark))
}

/// Whether a key belongs to the head that predicts how long a clip should be.
pub(crate) fn is_duration(key: &str) -> bool {
    key.starts_with("duration_head.")
}

/// Whether a key of a diffusion decoder belongs to what it draws keyframes or coarse previews with.
pub(crate) fn is_decoders_other(key: &str) -> bool {
    key.strip_prefix("vae.decoder.").is_some_and(|key| key == "type_emb" || key.starts_with("coarse_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audio_is_told_from_video_by_name() {
        for key in [
            "vocoder.vocoder.conv_pre.weight",
            "audio_vae.encoder.conv_in.conv.weight",
            "model.diffusion_model.av_ca_video_scale_shift_adaln_single.linear.bias",
            "model.diffusion_model.transformer_blocks.0.scale_shift_table_a2v_ca_video",
            "model.diffusion_model.transformer_blocks.0.video_to_audio_attn.to_q.weight",
        ] {
            assert!(is_audio(key), "{key}");
        }
        for key in ["vae.encoder.conv_in.conv.weight", "model.diffusion_model.transformer_blocks.0.attn1.to_v.bias"] {
            assert!(!is_audio(key), "{key}");
        }
    }
}
