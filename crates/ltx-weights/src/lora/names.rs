//! What LoRA files call their tensors: which of a pair one is, and which weight of the model it belongs to.
//!
//! - Lightricks' own and ComfyUI's: `diffusion_model.….lora_A.weight`, `.lora_B.weight`, sometimes `.alpha`.
//! - PEFT's and diffusers': `base_model.model.` or `transformer.` in front, the adapter's name within (`.lora_A.default.weight`),
//!   `proj_in`, `time_embed`, `prompt_adaln`, `av_cross_attn_…`; and `connectors.…` for the text connectors and projections.
//! - diffusers' older attention processors: `.processor.to_q_lora.down.weight`.
//! - kohya's and LyCORIS': `lora_unet_`, `lora_transformer_` or `lycoris_` in front and underscores for dots,
//!   `.lora_down.weight`, `.lora_up.weight`.
//!
//! Must not know shapes.

use crate::{
    names::official_ltx,
    vocabulary::{TRANSFORMER, is_audio},
};

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

const ENDINGS: [(&str, Role); 13] = [
    (".lora_A.weight", Role::Down),
    (".lora_B.weight", Role::Up),
    (".lora_down.weight", Role::Down),
    (".lora_up.weight", Role::Up),
    (".lora.down.weight", Role::Down),
    (".lora.up.weight", Role::Up),
    (".lora_linear_layer.down.weight", Role::Down),
    (".lora_linear_layer.up.weight", Role::Up),
    ("_lora.down.weight", Role::Down),
    ("_lora.up.weight", Role::Up),
    (".lora_A", Role::Down),
    (".lora_B", Role::Up),
    (".alpha", Role::Alpha),
];
/// Before and behind the name that PEFT gives an adapter.
const NAMED: [(&str, Role); 2] = [(".lora_A.", Role::Down), (".lora_B.", Role::Up)];
/// What may stand before the model's own names.
const HEADS: [&str; 5] = ["base_model.model.", "model.", "diffusion_model.", "transformer.", "unet."];
/// What diffusers puts before the names of its module of connectors.
const CONNECTORS: &str = "connectors.";
/// Beginnings of names with underscores for dots.
const UNDERSCORED: [&str; 4] = ["lora_unet_", "lora_transformer_", "lora_prior_unet_", "lycoris_"];
/// The same of names in diffusers' module of connectors, and that module behind the others.
const CONNECTORS_UNDERSCORED: [&str; 2] = ["lora_connectors_", "connectors_"];
/// What may stand before the model's own names there, unless a word goes on behind it.
const HEADS_UNDERSCORED: [&str; 5] = ["base_model_model_", "model_", "diffusion_model_", "transformer_", "unet_"];
/// Words that go on so.
const NO_HEADS: [&str; 2] = ["transformer_blocks", "transformer_1d_blocks"];
/// diffusers' beginnings of names in the transformer, and the official ones.
const DIFFUSERS: [(&str, &str); 10] = [
    ("proj_in", "patchify_proj"),
    ("audio_proj_in", "audio_patchify_proj"),
    ("time_embed", "adaln_single"),
    ("audio_time_embed", "audio_adaln_single"),
    ("prompt_adaln", "prompt_adaln_single"),
    ("audio_prompt_adaln", "audio_prompt_adaln_single"),
    ("av_cross_attn_video_scale_shift", "av_ca_video_scale_shift_adaln_single"),
    ("av_cross_attn_video_a2v_gate", "av_ca_a2v_gate_adaln_single"),
    ("av_cross_attn_audio_scale_shift", "av_ca_audio_scale_shift_adaln_single"),
    ("av_cross_attn_audio_v2a_gate", "av_ca_v2a_gate_adaln_single"),
];
/// diffusers' beginnings of names in its module of connectors, and the official ones.
const OF_CONNECTORS: [(&str, &str); 7] = [
    ("video_connector.transformer_blocks", "video_embeddings_connector.transformer_1d_blocks"),
    ("audio_connector.transformer_blocks", "audio_embeddings_connector.transformer_1d_blocks"),
    ("video_connector", "video_embeddings_connector"),
    ("audio_connector", "audio_embeddings_connector"),
    ("video_text_proj_in", "text_embedding_projection.video_aggregate_embed"),
    ("audio_text_proj_in", "text_embedding_projection.audio_aggregate_embed"),
    // Of LTX-2, which has one for both.
    ("text_proj_in", "text_embedding_projection.aggregate_embed"),
];

/// Words of the names of layers that have underscores of their own, the audio stream's aside.
const COMPOUNDS: [&str; 25] = [
    "adaln_single",
    "aggregate_embed",
    "caption_projection",
    "linear_1",
    "linear_2",
    "patchify_proj",
    "proj_in",
    "proj_out",
    "prompt_adaln",
    "prompt_adaln_single",
    "text_embedding_projection",
    "text_proj_in",
    "time_embed",
    "timestep_embedder",
    "to_gate_logits",
    "to_k",
    "to_out",
    "to_q",
    "to_v",
    "transformer_1d_blocks",
    "transformer_blocks",
    "video_aggregate_embed",
    "video_connector",
    "video_embeddings_connector",
    "video_text_proj_in",
];

/// A part of diffusers' pipeline that pairs may belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Component {
    Transformer,
    Connectors,
}

impl Component {
    /// By the name that a configuration of PEFT's gives it.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "connectors" => Some(Self::Connectors),
            name if HEADS.iter().any(|head| head.strip_suffix('.') == Some(name)) => Some(Self::Transformer),
            _ => None,
        }
    }
}

/// What a tensor is, and the name that it shares with the others of its pair.
pub(super) fn role_of(key: &str) -> Option<(Role, &str)> {
    let plain = || ENDINGS.iter().find_map(|(ending, role)| Some((*role, key.strip_suffix(ending)?)));
    let named = || {
        let inner = key.strip_suffix(".weight")?;
        NAMED.iter().find_map(|(mark, role)| {
            let (stem, adapter) = inner.rsplit_once(mark)?;
            (!adapter.is_empty() && !adapter.contains('.')).then_some((*role, stem))
        })
    };
    plain().or_else(named)
}

/// The weight that a pair belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// Its official key.
    Key(String),
    /// Its official key, or diffusers' name, without prefix and with underscores for dots.
    Underscored(String),
}

/// What the name of a pair says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) target: Target,
    pub(super) component: Component,
    /// The layer's name as the file has it, without what stands before the model's own.
    pub(super) layer: String,
}

pub(super) fn named(stem: &str) -> Named {
    if let Some((name, component)) = bare_underscored(stem) {
        return Named { target: Target::Underscored(name.to_owned()), component, layer: name.to_owned() };
    }
    let mut name = stem;
    let (mut component, mut renames) = (Component::Transformer, &DIFFUSERS[..]);
    loop {
        if let Some(rest) = HEADS.iter().find_map(|head| name.strip_prefix(head)) {
            name = rest;
        } else if let Some(rest) = name.strip_prefix(CONNECTORS) {
            (name, component, renames) = (rest, Component::Connectors, &OF_CONNECTORS[..]);
        } else {
            break;
        }
    }
    let mut layer = name.replace(".processor.", ".");
    if layer.ends_with(".to_out") {
        layer.push_str(".0"); // Older processors call the projection and the dropout behind it by one name.
    }
    let official = begun(&layer, renames).unwrap_or_else(|| layer.clone());
    Named { target: Target::Key(official_ltx(&format!("{official}.weight"))), component, layer }
}

/// A name with underscores without what stands before the model's own names; `None` of one that has no head of such.
fn bare_underscored(stem: &str) -> Option<(&str, Component)> {
    let [of_connectors, _] = CONNECTORS_UNDERSCORED;
    let begun = UNDERSCORED.iter().find_map(|head| Some((stem.strip_prefix(head)?, Component::Transformer)));
    let begun = begun.or_else(|| Some((stem.strip_prefix(of_connectors)?, Component::Connectors)));
    let (mut name, mut component) = begun?;
    loop {
        let goes_on = NO_HEADS.iter().any(|word| name.starts_with(word));
        let head = HEADS_UNDERSCORED.iter().filter(|_| !goes_on).find_map(|head| name.strip_prefix(head));
        let connectors = CONNECTORS_UNDERSCORED.iter().find_map(|head| name.strip_prefix(head));
        (name, component) = match (head, connectors) {
            (Some(rest), _) => (rest, component),
            (None, Some(rest)) => (rest, Component::Connectors),
            (None, None) => return Some((name, component)),
        };
    }
}

/// A layer's name without what may stand before the model's own names.
pub(super) fn bare(name: &str) -> &str {
    let mut bare = name;
    loop {
        let heads = HEADS.into_iter().chain([CONNECTORS]);
        let stripped = heads.filter_map(|head| strip_head(bare, head)).next();
        match stripped {
            Some(rest) => bare = rest,
            None => return bare,
        }
    }
}

/// A name, or the pattern of one in which dots may be escaped, without `head`.
fn strip_head<'a>(name: &'a str, head: &str) -> Option<&'a str> {
    let mut rest = name;
    for part in head.split_inclusive('.') {
        let word = part.trim_end_matches('.');
        rest = rest.strip_prefix(word)?;
        rest = rest.strip_prefix('\\').unwrap_or(rest).strip_prefix('.')?;
    }
    Some(rest)
}

/// A name with another beginning, if it begins with one of those that are renamed.
fn begun(name: &str, renames: &[(&str, &str)]) -> Option<String> {
    renames.iter().find_map(|(theirs, official)| {
        let rest = name.strip_prefix(theirs)?;
        (rest.is_empty() || rest.starts_with('.')).then(|| format!("{official}{rest}"))
    })
}

/// The names of a weight's layer, without prefix: the official one, and diffusers' where it is another.
pub(super) fn layers(key: &str) -> Vec<String> {
    let Some(name) = key.strip_suffix(".weight") else { return Vec::new() };
    let name = name.strip_prefix(TRANSFORMER).unwrap_or(name);
    let back = |renames: &[(&'static str, &'static str)]| {
        let turned: Vec<_> = renames.iter().map(|(theirs, official)| (*official, *theirs)).collect();
        begun(name, &turned)
    };
    let theirs = back(&DIFFUSERS).or_else(|| back(&OF_CONNECTORS));
    std::iter::once(name.to_owned()).chain(theirs).collect()
}

/// A weight's names as files with underscores have them.
pub(super) fn underscored(key: &str) -> impl Iterator<Item = String> {
    layers(key).into_iter().map(|name| name.replace('.', "_"))
}

/// The official key of a layer whose name has underscores for dots, as far as the vocabulary of published files tells it. A name of the
/// audio stream stays as it is.
pub(super) fn spelt_out(underscored: &str) -> String {
    if is_of_audio(underscored) {
        return underscored.to_owned();
    }
    let (mut name, mut rest) = (String::new(), underscored);
    while !rest.is_empty() {
        let begins =
            |word: &&&str| rest.strip_prefix(**word).is_some_and(|behind| behind.is_empty() || behind.starts_with('_'));
        let compound = COMPOUNDS.iter().filter(begins).max_by_key(|word| word.len());
        let length = compound.map_or_else(|| rest.find('_').unwrap_or(rest.len()), |word| word.len());
        let (word, behind) = rest.split_at(length);
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(word);
        rest = behind.strip_prefix('_').unwrap_or(behind);
    }
    let of_connectors = begun(&name, &OF_CONNECTORS).is_some();
    let name = if of_connectors { format!("{CONNECTORS}{name}") } else { name };
    match named(&name).target {
        Target::Key(key) | Target::Underscored(key) => key,
    }
}

/// Whether a weight is of the audio stream, by its official name or by one that no weight of the model has.
pub(super) fn is_of_audio(target: &str) -> bool {
    is_audio(target) || target.contains("av_cross_attn")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target_of(stem: &str) -> Target {
        named(stem).target
    }

    #[test]
    fn published_names_find_their_weight() {
        let block = "model.diffusion_model.transformer_blocks.3";
        for (published, role, target) in [
            ("diffusion_model.transformer_blocks.3.attn1.to_q.lora_A.weight", Role::Down, "attn1.to_q"),
            ("model.diffusion_model.transformer_blocks.3.attn1.to_q.lora_B.weight", Role::Up, "attn1.to_q"),
            ("transformer.transformer_blocks.3.attn2.to_out.0.lora_B.default.weight", Role::Up, "attn2.to_out.0"),
            ("transformer.transformer_blocks.3.attn2.to_k.lora_A.camera_1.weight", Role::Down, "attn2.to_k"),
            ("transformer.transformer_blocks.3.attn2.processor.to_out_lora.up.weight", Role::Up, "attn2.to_out.0"),
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
        assert_eq!(target_of("diffusion_model.text.q"), Target::Key("text.q.weight".into()));
    }

    #[test]
    fn diffusers_names_are_the_official_ones_and_back() {
        for (theirs, official) in [
            ("transformer.proj_in", "model.diffusion_model.patchify_proj"),
            ("transformer.proj_out", "model.diffusion_model.proj_out"),
            ("transformer.audio_proj_in", "model.diffusion_model.audio_patchify_proj"),
            ("transformer.time_embed.linear", "model.diffusion_model.adaln_single.linear"),
            ("transformer.audio_time_embed.linear", "model.diffusion_model.audio_adaln_single.linear"),
            (
                "transformer.prompt_adaln.emb.timestep_embedder.linear_1",
                "model.diffusion_model.prompt_adaln_single.emb.timestep_embedder.linear_1",
            ),
            ("transformer.audio_prompt_adaln.linear", "model.diffusion_model.audio_prompt_adaln_single.linear"),
            (
                "transformer.av_cross_attn_video_scale_shift.linear",
                "model.diffusion_model.av_ca_video_scale_shift_adaln_single.linear",
            ),
            (
                "transformer.av_cross_attn_video_a2v_gate.linear",
                "model.diffusion_model.av_ca_a2v_gate_adaln_single.linear",
            ),
            (
                "transformer.av_cross_attn_audio_scale_shift.linear",
                "model.diffusion_model.av_ca_audio_scale_shift_adaln_single.linear",
            ),
            (
                "transformer.av_cross_attn_audio_v2a_gate.linear",
                "model.diffusion_model.av_ca_v2a_gate_adaln_single.linear",
            ),
            (
                "connectors.video_connector.transformer_blocks.1.attn1.to_q",
                "model.diffusion_model.video_embeddings_connector.transformer_1d_blocks.1.attn1.to_q",
            ),
            (
                "connectors.audio_connector.transformer_blocks.1.ff.net.2",
                "model.diffusion_model.audio_embeddings_connector.transformer_1d_blocks.1.ff.net.2",
            ),
            ("connectors.video_text_proj_in", "text_embedding_projection.video_aggregate_embed"),
            ("connectors.audio_text_proj_in", "text_embedding_projection.audio_aggregate_embed"),
            ("connectors.text_proj_in", "text_embedding_projection.aggregate_embed"),
        ] {
            let found = named(theirs);
            let key = format!("{official}.weight");
            assert_eq!(found.target, Target::Key(key.clone()), "{theirs}");
            let connectors = theirs.starts_with("connectors.");
            assert_eq!(found.component == Component::Connectors, connectors, "{theirs}");
            assert!(layers(&key).contains(&found.layer), "{theirs}");
            let audio = ["audio", "av_cross"].iter().any(|mark| theirs.contains(mark));
            assert_eq!(is_of_audio(&key), audio, "{theirs}");
        }
    }

    #[test]
    fn names_with_underscores_are_spelt_out_as_published_files_have_them() {
        for list in ["ltx-2.3-22b", "ltx-2-19b"] {
            let file = ltx_testkit::tiny(&format!("../facts/{list}.manifest.json"));
            let keys: std::collections::BTreeMap<String, serde_json::Value> =
                serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
            let is_matrix = |shape: &serde_json::Value| shape[1].as_array().is_some_and(|shape| shape.len() == 2);
            let video = |key: &str| !key.contains("vae.") && key.ends_with(".weight") && !is_of_audio(key);
            let matrices: Vec<_> = keys.iter().filter(|(key, shape)| video(key) && is_matrix(shape)).collect();
            assert!(matrices.len() > 10, "{list}");
            for (key, _) in matrices {
                let key = key.split('{').map(|part| part.split_once('}').map_or(part, |(_, rest)| rest));
                let key = key.collect::<Vec<_>>().join("7");
                for name in underscored(&key) {
                    assert_eq!(spelt_out(&name), key, "{name}");
                }
            }
        }
        assert_eq!(spelt_out("some_layer_0"), "some.layer.0.weight");
        assert_eq!(spelt_out("av_ca_video_scale_shift"), "av_ca_video_scale_shift");
    }

    #[test]
    fn kohya_writes_underscores() {
        let (role, stem) = role_of("lora_unet_transformer_blocks_3_attn1_to_q.lora_down.weight").unwrap();
        let key = "model.diffusion_model.transformer_blocks.3.attn1.to_q.weight";
        let target = underscored(key).next().unwrap();
        assert_eq!((role, target_of(stem)), (Role::Down, Target::Underscored(target)));
        let theirs: Vec<_> = underscored("model.diffusion_model.prompt_adaln_single.linear.weight").collect();
        assert_eq!(theirs, ["prompt_adaln_single_linear", "prompt_adaln_linear"]);
        for (stem, name, component) in [
            ("lora_unet_diffusion_model_transformer_blocks_3_attn1_to_q", key, Component::Transformer),
            ("lycoris_transformer_transformer_blocks_3_attn1_to_q", key, Component::Transformer),
            ("lora_transformer_model_diffusion_model_transformer_blocks_3_attn1_to_q", key, Component::Transformer),
            (
                "lora_unet_connectors_video_connector_transformer_blocks_1_attn1_to_q",
                "model.diffusion_model.video_embeddings_connector.transformer_1d_blocks.1.attn1.to_q.weight",
                Component::Connectors,
            ),
            (
                "lora_connectors_video_text_proj_in",
                "text_embedding_projection.video_aggregate_embed.weight",
                Component::Connectors,
            ),
            (
                "lycoris_connectors_text_proj_in",
                "text_embedding_projection.aggregate_embed.weight",
                Component::Connectors,
            ),
        ] {
            let found = named(stem);
            let Target::Underscored(found_name) = &found.target else { panic!("{stem}") };
            assert!(underscored(name).any(|name| name == *found_name), "{stem}: {found_name}");
            assert_eq!((spelt_out(found_name).as_str(), found.component), (name, component), "{stem}");
        }
        assert!(matches!(target_of("lora_te_layers_0_q"), Target::Key(_)));
        assert_eq!(role_of("diffusion_model.transformer_blocks.3.attn1.to_q.dora_scale"), None);
        assert_eq!(role_of("diffusion_model.transformer_blocks.3.attn1.to_q.lora_B.bias"), None);
    }
}
