//! The folders of diffusers for LTX-Video 0.9.x: what their files call tensors, and the official names.
//!
//! Must not know their configurations, or shapes.

use crate::weight_file::Header;

/// Names within the transformer that differ; each stands between dots.
const TRANSFORMER: [(&str, &str); 4] =
    [("proj_in", "patchify_proj"), ("time_embed", "adaln_single"), ("norm_q", "q_norm"), ("norm_k", "k_norm")];

/// Which component of such a folder a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Component {
    /// `transformer`.
    Transformer,
    /// `vae`, whose encoder has so many blocks in front of the one in the middle.
    Vae { down_blocks: usize },
}

impl Component {
    /// What a file is by its keys: no later model of LTX without gates and audio has these.
    pub(crate) fn of(header: &Header) -> Option<Self> {
        let has = |key: &str| header.entries.contains_key(key);
        let any = |mark: &str| header.entries.keys().any(|key| key.contains(mark));
        if has("proj_in.weight") && has("transformer_blocks.0.attn1.norm_q.weight") {
            let later = ["audio", "to_gate_logits", "prompt_adaln", "av_cross"];
            return (has("caption_projection.linear_1.weight") && !later.into_iter().any(any))
                .then_some(Self::Transformer);
        }
        let of_decoder = has("decoder.time_embedder.timestep_embedder.linear_1.weight");
        (of_decoder && has("latents_mean")).then(|| {
            let number =
                |key: &String| key.strip_prefix("encoder.down_blocks.")?.split('.').next()?.parse::<usize>().ok();
            let last = header.entries.keys().filter_map(number).max();
            Self::Vae { down_blocks: last.map_or(0, |last| last.saturating_add(1)) }
        })
    }

    /// The official name of a tensor; what has none stays as it is.
    pub(crate) fn official(self, key: &str) -> String {
        match self {
            Self::Transformer => {
                let renamed = |word: &str| {
                    let official = TRANSFORMER.iter().find(|(theirs, _)| *theirs == word);
                    official.map_or_else(|| word.to_owned(), |(_, official)| (*official).to_owned())
                };
                let words: Vec<String> = key.split('.').map(renamed).collect();
                format!("model.diffusion_model.{}", words.join("."))
            }
            Self::Vae { down_blocks } => format!("vae.{}", of_vae(key, down_blocks)),
        }
    }
}

/// Blocks that diffusers nests are numbered in a row: each block, then what resamples behind (encoder) or before it (decoder).
fn of_vae(key: &str, down_blocks: usize) -> String {
    match key {
        "latents_mean" => return "per_channel_statistics.mean-of-means".to_owned(),
        "latents_std" => return "per_channel_statistics.std-of-means".to_owned(),
        "decoder.scale_shift_table" => return "decoder.last_scale_shift_table".to_owned(),
        _ => {}
    }
    let numbered = |head: &str, resampler: &str| {
        let (number, rest) = key.strip_prefix(head)?.split_once('.')?;
        let number = number.parse::<usize>().ok()?;
        Some(match rest.strip_prefix(resampler) {
            Some(rest) => (number, true, rest.to_owned()),
            None => (number, false, rest.replacen("resnets.", "res_blocks.", 1)),
        })
    };
    if let Some((number, resamples, rest)) = numbered("encoder.down_blocks.", "downsamplers.0.") {
        return format!(
            "encoder.down_blocks.{}.{rest}",
            number.saturating_mul(2).saturating_add(usize::from(resamples))
        );
    }
    if let Some((number, resamples, rest)) = numbered("decoder.up_blocks.", "upsamplers.0.") {
        return format!(
            "decoder.up_blocks.{}.{rest}",
            number.saturating_mul(2).saturating_add(if resamples { 1 } else { 2 })
        );
    }
    if let Some(rest) = key.strip_prefix("encoder.mid_block.") {
        return format!(
            "encoder.down_blocks.{}.{}",
            down_blocks.saturating_mul(2),
            rest.replacen("resnets.", "res_blocks.", 1)
        );
    }
    if let Some(rest) = key.strip_prefix("decoder.mid_block.") {
        return format!("decoder.up_blocks.0.{}", rest.replacen("resnets.", "res_blocks.", 1));
    }
    match key.strip_prefix("decoder.time_embedder.") {
        Some(rest) => format!("decoder.last_time_embedder.{rest}"),
        None => key.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_diffusers_become_official_ones() {
        let transformer = |key| Component::Transformer.official(key);
        assert_eq!(transformer("proj_in.weight"), "model.diffusion_model.patchify_proj.weight");
        assert_eq!(
            transformer("time_embed.emb.timestep_embedder.linear_1.bias"),
            "model.diffusion_model.adaln_single.emb.timestep_embedder.linear_1.bias"
        );
        assert_eq!(
            transformer("transformer_blocks.7.attn2.norm_k.weight"),
            "model.diffusion_model.transformer_blocks.7.attn2.k_norm.weight"
        );
        let vae = Component::Vae { down_blocks: 4 };
        for (theirs, official) in [
            ("encoder.down_blocks.0.resnets.1.conv1.conv.bias", "encoder.down_blocks.0.res_blocks.1.conv1.conv.bias"),
            ("encoder.down_blocks.3.downsamplers.0.conv.conv.bias", "encoder.down_blocks.7.conv.conv.bias"),
            ("encoder.mid_block.resnets.0.conv2.conv.bias", "encoder.down_blocks.8.res_blocks.0.conv2.conv.bias"),
            ("decoder.mid_block.time_embedder.x", "decoder.up_blocks.0.time_embedder.x"),
            ("decoder.up_blocks.0.upsamplers.0.conv.conv.bias", "decoder.up_blocks.1.conv.conv.bias"),
            ("decoder.up_blocks.2.resnets.1.scale_shift_table", "decoder.up_blocks.6.res_blocks.1.scale_shift_table"),
            ("decoder.time_embedder.x", "decoder.last_time_embedder.x"),
            ("decoder.timestep_scale_multiplier", "decoder.timestep_scale_multiplier"),
            ("latents_std", "per_channel_statistics.std-of-means"),
        ] {
            assert_eq!(vae.official(theirs), format!("vae.{official}"), "{theirs}");
        }
    }
}
