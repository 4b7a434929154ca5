//! Files of every generation and of others, by a few keys of each.
//!
//! Must not know files.

use super::*;
use std::collections::BTreeMap;
use test_case::test_case;

struct Few(BTreeMap<String, Vec<usize>>);

impl Keys for Few {
    fn shape_of(&self, key: &str) -> Option<&[usize]> {
        self.0.get(key).map(Vec::as_slice)
    }

    fn has_prefix(&self, prefix: &str) -> bool {
        self.0.keys().any(|key| key.starts_with(prefix))
    }

    fn all(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.0.keys().map(String::as_str))
    }
}

/// What a file with these keys is; `B.` stands for the transformer's first block.
fn title(keys: &[&str], version: Option<&str>) -> Option<String> {
    found(keys, version).map(|found| found.title)
}

fn found(keys: &[&str], version: Option<&str>) -> Option<Foreign> {
    let key = |key: &&str| match key.strip_prefix("B.") {
        Some(rest) => format!("{BLOCK}{rest}"),
        None => (*key).to_owned(),
    };
    let keys = Few(keys.iter().map(|name| (key(name), vec![2048, 2048])).collect());
    let signs = Signs { keys: &keys, config: None, version, architecture: None };
    Foreign::of(&signs)
}

const GATED: [&str; 4] =
    ["B.attn1.to_q.weight", "B.attn1.to_gate_logits.weight", "B.ff.net.2.weight", "B.ff.net.2.bias"];

#[test_case(&GATED, None, None; "LTX-2.3")]
#[test_case(&GATED, Some("2.3.0"), None; "LTX-2.3 by version")]
#[test_case(&GATED, Some("2.5.0"), None; "LTX-2.5 by version")]
#[test_case(&GATED[..3], None, None; "LTX-2.5 by biases")]
#[test_case(&GATED, Some("2.6.0"), Some("LTX-2.6 transformer"); "a later one by version")]
#[test_case(&["B.attn1.to_q.weight", "B.attn1.to_gate_logits.weight", "model.diffusion_model.keyframes_abs_pos_embedding"],
    None, None; "LTX-2.5 by its embedding")]
#[test_case(&["B.attn1.to_q.weight", "B.audio_attn1.to_q.weight", "vae.encoder.conv_in.conv.weight"], None,
    None; "LTX-2 19B")]
#[test_case(&["B.attn1.to_q.weight"], None, None; "LTX-Video")]
#[test_case(&["B.attn1.to_q.weight"], Some("0.9.8"), None; "LTX-Video by version")]
#[test_case(&["B.attn1.to_q.weight", "B.attn1.norm_q.weight", "B.attn1.to_gate_logits.weight", "time_embed.linear.weight"], None,
    Some("LTX-2.3 transformer in the layout of diffusers"); "diffusers")]
#[test_case(&["B.attn1.to_q.weight", "B.attn1.norm_q.weight", "B.audio_attn1.to_q.weight"], None,
    Some("LTX-2 transformer in the layout of diffusers"); "LTX-2 of diffusers")]
#[test_case(&["B.attn1.to_q.weight", "B.attn1.norm_q.weight", "B.attn1.to_gate_logits.weight",
    "model.diffusion_model.keyframes_abs_pos_embedding"], None,
    Some("LTX-2.5 transformer in the layout of diffusers"); "LTX-2.5 of diffusers")]
#[test_case(&["B.attn1.to_q.weight", "B.attn1.norm_q.weight"], None,
    Some("LTX-Video 0.9.8 transformer in the layout of diffusers"); "LTX-Video of diffusers")]
#[test_case(&["vae.decoder.mid_block.resnets.0.conv1.conv.weight"], None,
    Some("video or image VAE in the layout of diffusers"); "VAE of diffusers")]
#[test_case(&["vae.decoder.mid_block.resnets.0.conv1.conv.weight", "vae.latents_mean",
    "vae.encoder.down_blocks.0.downsamplers.0.conv.weight"], None,
    Some("LTX-Video 0.9.0–0.9.4 video VAE in the layout of diffusers"); "older VAE of diffusers")]
#[test_case(&["vae.decoder.mid_block.resnets.0.conv1.conv.weight", "vae.latents_mean", "vae.decoder.time_embedder.linear_1.weight",
    "vae.encoder.down_blocks.0.downsamplers.0.conv.conv.weight"], None,
    Some("LTX-Video 0.9.x video VAE in the layout of diffusers"); "VAE of LTX-Video of diffusers")]
#[test_case(&["vae.decoder.mid_block.resnets.0.conv1.conv.weight", "latents_mean",
    "vae.encoder.down_blocks.0.downsamplers.0.conv.conv.weight"], None,
    Some("LTX-2 or LTX-2.3 video VAE in the layout of diffusers"); "VAE of LTX-2 of diffusers")]
#[test_case(&["vae.decoder.det_stages.0.weight"], None, None; "diffusion VAE of LTX-2.5")]
#[test_case(&["vae.encoder.conv_in.conv.weight"], Some("2.6.0"), Some("LTX-2.6 video VAE"); "VAE by version")]
#[test_case(&["vae.encoder.conv_in.conv.weight"], Some("2.5.0"), None; "convolutional VAE of LTX-2.5")]
#[test_case(&["vae.encoder.conv_in.conv.weight"], Some("2.3.1"), None; "VAE of this generation")]
#[test_case(&["vae.encoder.conv_in.conv.weight"], None, None; "VAE without version")]
#[test_case(&["vae.decoder.timestep_scale_multiplier"], None, None; "VAE with timesteps")]
#[test_case(&["text_embedding_projection.aggregate_embed.weight"], None, None; "projection of LTX-2")]
#[test_case(&["text_embedding_projection.video_aggregate_embed.weight"], None, None; "projection of LTX-2.3")]
#[test_case(&["decoder.1.weight", "encoder.0.weight"], None, Some("tiny autoencoder, which draws previews,"); "tiny autoencoder")]
#[test_case(&["vae.decoder.12.conv.0.weight"], None, Some("tiny autoencoder, which draws previews,"); "tiny autoencoder renamed")]
#[test_case(&["double_blocks.0.img_attn.qkv.weight", "single_blocks.0.linear1.weight"], None, Some("Flux transformer"); "Flux")]
#[test_case(&["blocks.0.cross_attn.q.weight", "blocks.0.self_attn.q.weight"], None, Some("Wan transformer"); "Wan")]
#[test_case(&["encoder.block.0.layer.0.SelfAttention.q.weight"], None, Some("T5 text encoder, as LTX-Video 0.9.x has it,"); "T5")]
#[test_case(&["vae.encoder.block.0.layer.0.SelfAttention.q.weight"], None, Some("T5 text encoder, as LTX-Video 0.9.x has it,");
    "T5 renamed as an encoder")]
#[test_case(&["vae.encoder.down.0.block.0.conv1.weight"], None, Some("image VAE (Stable Diffusion or Flux)"); "image VAE renamed")]
#[test_case(&["model.layers.0.self_attn.q_proj.weight", "model.layers.0.self_attn.q_proj.bias", "visual.blocks.0.attn.qkv.weight"], None,
    Some("Qwen-VL language model"); "Qwen-VL")]
#[test_case(&["model.layers.0.self_attn.q_proj.weight", "model.layers.0.self_attn.q_norm.weight"], None,
    Some("Llama, Qwen, Mistral or Gemma-1 language model"); "Qwen")]
#[test_case(&["vision_model.encoder.layers.0.self_attn.q_proj.weight"], None, None; "what sees images")]
#[test_case(&["model.layers.0.self_attn.q_proj.weight", "model.layers.0.pre_feedforward_layernorm.weight"], None, None; "Gemma")]
#[test_case(&["something.weight"], None, None; "unknown")]
fn a_file_is_named_as_what_it_is(keys: &[&str], version: Option<&str>, expected: Option<&str>) {
    assert_eq!(title(keys, version).as_deref(), expected);
}

/// What a whole file of LTX-2.3's keys is that states a version and a configuration; `keys` are there as well.
fn contradiction(version: Option<&str>, config: serde_json::Value, keys: &[&str]) -> Option<(String, String)> {
    let all = GATED.iter().map(|key| key.replace("B.", BLOCK)).chain(["vae.encoder.conv_in.conv.weight".to_owned()]);
    let keys = all.chain(keys.iter().map(|key| (*key).to_owned()));
    let keys = Few(keys.map(|key| (key, vec![2048, 2048])).collect());
    let found = Foreign::of(&Signs { keys: &keys, config: Some(&config), version, architecture: None })?;
    Some((found.title, found.sign))
}

#[test]
fn what_a_file_states_to_be_and_its_configuration_is_not_names_it() {
    let config = || -> serde_json::Value {
        serde_json::from_str(include_str!("../../../../models/facts/ltx-2.3-22b.config.json")).unwrap()
    };
    let mark = "model.diffusion_model.keyframes_abs_pos_embedding";
    for version in [None, Some("2.3.0"), Some("2.4"), Some("dev")] {
        assert_eq!(contradiction(version, config(), &[]), None, "{version:?}");
    }
    for (version, keys, title, sign) in [
        (
            Some("2.5.0"),
            &[][..],
            "LTX-2.5 checkpoint",
            "its model_version is 2.5.0, and its configuration is that of LTX-2.3",
        ),
        (Some("0.9.8"), &[], "LTX-Video 0.9.8 checkpoint", "that of LTX-2.3"),
        (Some("2.0"), &[], "LTX-2 checkpoint", "that of LTX-2.3"),
        (None, &[mark], "LTX-2.5 checkpoint", mark),
        (Some("2.3.0"), &[mark], "LTX-2.5 checkpoint", mark),
        (Some("2.5.0"), &[mark], "LTX-2.5 checkpoint", mark),
    ] {
        let (found, why) = contradiction(version, config(), keys).unwrap();
        assert!(found == title && why.contains(sign), "{version:?}: {found} ({why})");
    }
    let mut newer = config();
    newer["transformer"]["use_keyframes_abs_pos_embedding"] = true.into();
    let (found, why) = contradiction(None, newer.clone(), &[]).unwrap();
    assert!(found == "LTX-2.5 checkpoint" && why.contains("ff_bias"), "{found} ({why})");
    newer["transformer"]["ff_bias"] = false.into();
    assert_eq!(contradiction(Some("2.5.0"), newer.clone(), &[mark]), None);
    let (found, why) = contradiction(Some("2.3.0"), newer, &[mark]).unwrap();
    assert!(found == "LTX-2.5 checkpoint" && why.contains("2.3.0"), "{found} ({why})");
}

#[test]
fn a_section_of_connectors_may_leave_out_what_is_the_transformers() {
    let keys =
        ["video_embeddings_connector.learnable_registers", "text_embedding_projection.video_aggregate_embed.weight"];
    let keys = Few(keys.map(|key| (format!("model.diffusion_model.{key}"), vec![128, 4096])).into());
    let found = |version: &str, section: serde_json::Value| {
        let config = serde_json::json!({ "transformer": section });
        let signs = Signs { keys: &keys, config: Some(&config), version: Some(version), architecture: None };
        Foreign::of(&signs).map(|found| format!("{} ({})", found.title, found.sign))
    };
    let part =
        || serde_json::json!({"connector_num_layers": 2, "rope_type": "split", "caption_proj_before_connector": true});
    let classed = || serde_json::json!({"_class_name": "AVTransformer3DModel", "rope_type": "split"});
    for version in ["2.3.0", "2.5.0"] {
        assert_eq!(found(version, part()), None, "{version}");
        assert_eq!(found(version, classed()), None, "{version}");
    }
    let other = found("2.0.0", part()).unwrap();
    assert!(other.contains("LTX-2 ") && other.contains("caption_proj_before_connector"), "{other}");
    let other = found("2.5.0", serde_json::json!({"ff_bias": true, "connector_num_layers": 2})).unwrap();
    assert!(other.contains("LTX-2.5") && other.contains("ff_bias"), "{other}");
}

#[test]
fn a_version_is_one_familys_or_of_none_that_runs() {
    for (version, family) in
        [("2.3.1", Family::Ltx23), ("2.4", Family::Ltx23), ("0.9.7", Family::Ltxv098), ("2", Family::Ltx2)]
    {
        let fits = |of: &Family| Foreign::is_version_of(version, *of);
        assert_eq!(Family::ALL.into_iter().filter(fits).collect::<Vec<_>>(), [family], "{version}");
    }
    assert!(Family::ALL.into_iter().all(|family| Foreign::is_version_of("final", family)));
    assert!(!Family::ALL.into_iter().any(|family| Foreign::is_version_of("3.0", family)));
}

#[test]
fn gguf_and_diffusers_name_themselves() {
    let keys = Few(BTreeMap::new());
    for (architecture, title) in
        [("wan", "Wan transformer"), ("flux2", "Flux.2 transformer"), ("z_image", "Z-Image transformer")]
    {
        let signs = Signs { keys: &keys, config: None, version: None, architecture: Some(architecture) };
        assert_eq!(Foreign::of(&signs).map(|found| found.title).as_deref(), Some(title));
    }
    let title = |class| Foreign::of_diffusers_class(class).title;
    assert_eq!(title("LTX2Pipeline"), "diffusers layout of an LTX-2 model");
    assert_eq!(title("LTXLatentUpsamplePipeline"), "diffusers layout of LTX-Video 0.9.x, or a component of it,");
    assert_eq!(title("WanPipeline"), "diffusers layout of Wan");
}

#[test]
fn the_sign_names_the_key_that_showed_it() {
    for (keys, named) in [
        (
            &["B.attn1.to_q.weight", "B.attn1.to_gate_logits.weight", "time_embed.linear.bias"][..],
            "key time_embed.linear.bias",
        ),
        (&["a.video_connector.x", "video_connector.y.weight"], "key video_connector.y.weight"),
    ] {
        let sign = found(keys, None).unwrap().sign;
        assert!(sign.contains(named), "{sign}");
    }
    assert!(found(&GATED, Some("2.6.0")).unwrap().sign.contains("is 2.6.0"));
}
