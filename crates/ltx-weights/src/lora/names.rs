//! What LoRA files call their tensors: which of a pair one is, and which weight of the model it belongs to.
//!
//! - Lightricks' own and ComfyUI's: `diffusion_model.….lora_A.weight`, `.lora_B.weight`, sometimes `.alpha`.
//! - PEFT's and diffusers': `base_model.model.` or `transformer.` in front, `.lora_A.default.weight`, `proj_in`, `time_embed`.
//! - kohya's: `lora_unet_` in front and underscores for dots, `.lora_down.weight`, `.lora_up.weight`.
//!
//! Must not know shapes.

use crate::{names::official_ltx, vocabulary::TRANSFORMER};

/// Which tensor of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A, `[rank, inputs]`.
    Down,
    /// B, `[outputs, rank]`.
    Up,
    /// The product is multiplied by this over the rank.
    Alpha,
}

const ENDINGS: [(&str, Role); 11] = [
    (".lora_A.weight", Role::Down),
    (".lora_B.weight", Role::Up),
    (".lora_A.default.weight", Role::Down),
    (".lora_B.default.weight", Role::Up),
    (".lora_down.weight", Role::Down),
    (".lora_up.weight", Role::Up),
    (".lora.down.weight", Role::Down),
    (".lora.up.weight", Role::Up),
    (".lora_A", Role::Down),
    (".lora_B", Role::Up),
    (".alpha", Role::Alpha),
];
/// What may stand before the model's own names.
const HEADS: [&str; 4] = ["base_model.model.", "model.", "diffusion_model.", "transformer."];
/// kohya's beginning of the diffusion model's names.
const KOHYA: &str = "lora_unet_";
/// diffusers' names of layers outside the blocks, and the official ones.
const DIFFUSERS: [(&str, &str); 2] = [("proj_in", "patchify_proj"), ("time_embed.", "adaln_single.")];

/// What a tensor is, and the name that it shares with the others of its pair.
pub(super) fn role_of(key: &str) -> Option<(Role, &str)> {
    ENDINGS.iter().find_map(|(ending, role)| Some((*role, key.strip_suffix(ending)?)))
}

/// The weight that a pair belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// Its official key.
    Key(String),
    /// Its official key without prefix and with underscores for dots.
    Underscored(String),
}

pub(super) fn target_of(stem: &str) -> Target {
    if let Some(name) = stem.strip_prefix(KOHYA) {
        return Target::Underscored(name.to_owned());
    }
    let mut name = stem;
    while let Some(rest) = HEADS.iter().find_map(|head| name.strip_prefix(head)) {
        name = rest;
    }
    let renamed = DIFFUSERS.iter().find_map(|(theirs, official)| Some((name.strip_prefix(theirs)?, official)));
    Target::Key(match renamed {
        Some((rest, official)) => official_ltx(&format!("{official}{rest}.weight")),
        None => official_ltx(&format!("{name}.weight")),
    })
}

/// A weight's name as kohya's files have it.
pub(super) fn underscored(key: &str) -> Option<String> {
    Some(key.strip_prefix(TRANSFORMER)?.strip_suffix(".weight")?.replace('.', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_names_find_their_weight() {
        let block = "model.diffusion_model.transformer_blocks.3";
        for (published, role, target) in [
            ("diffusion_model.transformer_blocks.3.attn1.to_q.lora_A.weight", Role::Down, "attn1.to_q"),
            ("model.diffusion_model.transformer_blocks.3.attn1.to_q.lora_B.weight", Role::Up, "attn1.to_q"),
            ("transformer.transformer_blocks.3.attn2.to_out.0.lora_B.default.weight", Role::Up, "attn2.to_out.0"),
            ("base_model.model.transformer_blocks.3.ff.net.2.lora_A.weight", Role::Down, "ff.net.2"),
            ("transformer_blocks.3.ff.net.0.proj.lora_up.weight", Role::Up, "ff.net.0.proj"),
            ("diffusion_model.transformer_blocks.3.attn1.to_v.alpha", Role::Alpha, "attn1.to_v"),
        ] {
            let (found, stem) = role_of(published).unwrap();
            assert_eq!(
                (found, target_of(stem)),
                (role, Target::Key(format!("{block}.{target}.weight"))),
                "{published}"
            );
        }
        let outside = Target::Key("model.diffusion_model.adaln_single.linear.weight".into());
        assert_eq!(target_of("transformer.time_embed.linear"), outside);
        let outside = Target::Key("model.diffusion_model.patchify_proj.weight".into());
        assert_eq!(target_of("transformer.proj_in"), outside);
        assert_eq!(target_of("diffusion_model.text.q"), Target::Key("text.q.weight".into()));
    }

    #[test]
    fn kohya_writes_underscores() {
        let (role, stem) = role_of("lora_unet_transformer_blocks_3_attn1_to_q.lora_down.weight").unwrap();
        let target = underscored("model.diffusion_model.transformer_blocks.3.attn1.to_q.weight").unwrap();
        assert_eq!((role, target_of(stem)), (Role::Down, Target::Underscored(target)));
        assert_eq!(role_of("diffusion_model.transformer_blocks.3.attn1.to_q.dora_scale"), None);
    }
}
