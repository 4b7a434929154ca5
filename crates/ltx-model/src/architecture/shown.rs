//! Which family a checkpoint is of, by keys and shapes alone, or by the class that it states.
//!
//! Must not know files.

use super::{Family, KEYFRAMES, Keys, VIDEO_ALONE};
use serde_json::Value;

/// Width of the hidden states of Gemma-3 12B, LTX-2's text encoder.
const GEMMA_WIDTH: usize = 3840;

impl Family {
    /// Whether keys are of a family whose checkpoints have no text part: a transformer without gates, audio and connector, or a
    /// VAE whose decoder is told a timestep. An LTX-2 transformer that was stripped of its audio is none: it is as wide as
    /// Gemma 3 where it takes captions, or lies beside another decoder.
    pub fn has_no_text_part(keys: &dyn Keys) -> bool {
        const MODEL: &str = "model.diffusion_model.";
        let has = |rest: &str| keys.has_prefix(&format!("{MODEL}{rest}"));
        let block = |rest: &str| has(&format!("transformer_blocks.0.{rest}"));
        let told = keys.has_prefix("vae.decoder.last_time_embedder.");
        if !block("") {
            return told;
        }
        let foreign = block("attn1.to_gate_logits.")
            || ["transformer_blocks.0.audio_", "audio_", "av_ca_", "video_embeddings_connector."].into_iter().any(has)
            || keys.has_prefix("text_embedding_projection.")
            || keys.has_prefix("vae.decoder.") && !told;
        let captions = keys.shape_of(&format!("{MODEL}caption_projection.linear_1.weight"));
        let of_gemma = captions.and_then(|shape| shape.get(1)) == Some(&GEMMA_WIDTH);
        block("attn1.to_q.") && !foreign && !of_gemma
    }

    /// The same of a checkpoint whose configuration states the transformer's class, which decides.
    pub fn states_no_text_part(config: &Value) -> Option<bool> {
        let class = config.get("transformer")?.get("_class_name")?.as_str()?;
        Some(class == VIDEO_ALONE)
    }

    /// The family that the keys of a transformer, of a text part or of a decoder show, whatever is stated: by the mark on the first
    /// latent frame, by gates, by an audio stream without gates. `None` of keys that show none.
    pub fn shown_by(keys: &dyn Keys) -> Option<Self> {
        const MODEL: &str = "model.diffusion_model.";
        let has = |rest: &str| keys.has_prefix(&format!("{MODEL}{rest}"));
        let connector = "video_embeddings_connector.";
        let gates = [
            "transformer_blocks.0.attn1.to_gate_logits.",
            "video_embeddings_connector.transformer_1d_blocks.0.attn1.to_gate_logits.",
        ];
        if has(KEYFRAMES) {
            Some(Self::Ltx25)
        } else if gates.into_iter().any(has) || keys.has_prefix("text_embedding_projection.video_aggregate_embed.") {
            Some(Self::Ltx23)
        } else if Self::has_no_text_part(keys) {
            Some(Self::Ltxv098)
        } else if has("transformer_blocks.0.attn1.to_q.")
            || has(connector)
            || keys.has_prefix("text_embedding_projection.")
        {
            Some(Self::Ltx2)
        } else {
            None
        }
    }
}
