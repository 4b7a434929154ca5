//! What the configuration of a video VAE with a diffusion decoder may say, and what is refused by name; what its files may lack.

use ltx_model::{
    config::section,
    part::Module,
    video_vae::{VideoDecoder, VideoEncoder, VideoVaeConfig},
};
use ltx_testkit::{open, vb};
use ltx_types::{LatentScale, LatentShape};
use serde_json::{Value, json};

const FILE: &str = "../tiny-2.5/ltx-2.5-tiny-video-vae.safetensors";

fn tiny() -> Value {
    section(&open(FILE).config().unwrap(), "vae").unwrap().clone()
}

fn published() -> Value {
    let config: Value =
        serde_json::from_str(include_str!("../../../models/facts/ltx-2.5-22b-video-vae.config.json")).unwrap();
    config["vae"].clone()
}

fn latent(frames: usize, height: usize, width: usize) -> LatentShape {
    LatentShape { frames, height, width }
}

#[test]
fn the_published_one_is_read() {
    let config = VideoVaeConfig::from_json(&published()).unwrap();
    assert_eq!((config.latent_channels, config.scale(), config.decode_timestep), (128, LatentScale::LTX, None));
    let decoder = config.diffusion().unwrap();
    // Tiles share 40 frames and 160 pixels, as the authors demand of this configuration.
    assert_eq!((decoder.cell(), decoder.overlap(), decoder.least_tile()), ([2, 8, 8], [40, 160, 160], [6, 6, 6]));
    assert_eq!(decoder.cells(latent(16, 16, 24)), [61, 64, 96]);
    // One frame of 64 × 96 pixels is raised as three of 224 × 224.
    let padded = decoder.padded(latent(1, 2, 3));
    assert_eq!((padded.latent, padded.before), (latent(3, 7, 7), [2, 2]));
    assert_eq!(decoder.padded(latent(16, 16, 24)).latent, latent(16, 16, 24));
    // What the last stage holds grows with the clip's cells.
    let bytes = |tile| decoder.bytes(latent(16, 16, 24), tile);
    assert!(bytes([61, 64, 96]) > bytes([40, 64, 96]) && bytes([40, 64, 96]) > bytes([40, 40, 40]));
    let stream = 4 * 256 * (2 * 61) * (2 * 64) * (2 * 96);
    assert!(bytes([61, 64, 96]) > stream && bytes([61, 64, 96]) < 2 * stream + (1 << 30), "{}", bytes([61, 64, 96]));
}

#[test]
fn encoder_and_decoder_load_from_one_file() {
    let config = VideoVaeConfig::from_json(&tiny()).unwrap();
    assert!(VideoEncoder::load(&vb(FILE), &config).is_ok());
    assert!(matches!(VideoDecoder::load(&vb(FILE), &config), Ok(VideoDecoder::Diffusion(_))));
}

/// What is said of the tiny one with an entry of a section changed; an entry that is `null` is taken out.
fn refusal(at: &str, entry: &str, value: Value) -> String {
    let mut vae = tiny();
    let section = if at.is_empty() { &mut vae } else { &mut vae[at] };
    let section = section.as_object_mut().unwrap();
    if value.is_null() {
        section.remove(entry)
    } else {
        section.insert(entry.to_owned(), value)
    };
    match VideoVaeConfig::from_json(&vae) {
        Ok(_) => "nothing".to_owned(),
        Err(error) => ltx_types::causes(&error).map(|cause| cause.to_string()).collect::<Vec<_>>().join(": "),
    }
}

#[test]
fn entries_that_are_not_implemented_are_refused_by_name() {
    for (at, entry, value, said) in [
        ("", "model_output_type", json!("v"), "model_output_type is \"v\", supported: \"x0\""),
        ("", "model_output_type", Value::Null, "model_output_type is null"),
        ("", "decoder_noise", json!(1), "vae.decoder_noise is 1"),
        ("", "latent_channels", json!(16), "latent_channels is 16, supported: 8"),
        ("", "decoder", Value::Null, "decoder is absent"),
        ("encoder", "spatial_padding_mode", json!("reflect"), "vae.encoder.spatial_padding_mode"),
        ("encoder", "norm_layer", json!("group_norm"), "norm_layer"),
        ("encoder", "base", json!(4), "vae.encoder.base is 4"),
        ("encoder", "blocks", json!([["res_y", {}]]), "vae block is res_y"),
        ("encoder", "blocks", json!([["res_x", {"layers": 1}]]), "vae.encoder.blocks.res_x.layers"),
        ("decoder", "default_num_inference_steps", json!(2), "default_num_inference_steps is 2, supported: 1"),
        ("decoder", "resampler_kind", json!("conv"), "vae.decoder.resampler_kind"),
        ("decoder", "rope_dim_split", json!([8, 4, 4]), "vae.decoder.rope_dim_split"),
        ("decoder", "in_channels", json!(9), "in_channels is 9, supported: 8"),
        ("decoder", "out_channels", json!(4), "out_channels is 4"),
        ("decoder", "head_dim", json!(8), "vae.decoder.head_dim is 8, supported: a multiple of 8 from 16 to 256"),
        ("decoder", "head_dim", json!(64), "vae.decoder.stage_channels[1] is 32, supported: a multiple of head_dim"),
        ("decoder", "stage_channels", json!([64, 32, 16, 16]), "vae.decoder.stage_channels (count) is 4"),
        ("decoder", "stage_channels", json!([64, 16, 16, 16, 16]), "vae.decoder.upsamples[0] is 2"),
        ("decoder", "stage_depths", json!([1, 2, 1, 1, 0]), "vae.decoder.stage_depths[4] is 0"),
        (
            "decoder",
            "stage_kernels",
            json!([[3, 3, 3], [3, 3, 4], [3, 3, 3], [3, 3, 3], [3, 3, 3]]),
            "stage_kernels[1]",
        ),
        ("decoder", "stage5_kernel", json!([5, 5, 17]), "vae.decoder.stage5_kernel is [5, 5, 17]"),
        (
            "decoder",
            "stage5_kernel",
            json!([5, 5, 15]),
            "vae.decoder.stage5_kernel is [5, 5, 15], supported: at most 12",
        ),
        (
            "decoder",
            "upsamples",
            json!([[[1, 2, 2], 2], [[2, 1, 1], 2], [[2, 2, 2], 1], [[1, 2, 2], 1]]),
            "upsamples[3]",
        ),
        (
            "decoder",
            "upsamples",
            json!([[[1, 2, 2], 2], [[1, 1, 1], 2], [[2, 2, 2], 1], [[2, 2, 2], 1]]),
            "(compression)",
        ),
        ("decoder", "timestep_scale_multiplier", json!(-1.0), "vae.decoder.timestep_scale_multiplier is -1"),
        ("decoder", "timestep_scale_multiplier", Value::Null, "timestep_scale_multiplier"),
        ("decoder", "patch_size", json!(8), "(compression)"),
    ] {
        let found = refusal(at, entry, value.clone());
        assert!(found.contains(said), "{at}.{entry} {value}: {found}");
    }
    assert_eq!(refusal("decoder", "stage5_channels", json!(32)), "nothing", "it is not changed");
}

#[test]
fn a_number_that_is_missing_has_no_default_but_the_authors() {
    for entry in ["stage_channels", "stage_depths", "stage_kernels", "upsamples", "stage5_kernel", "patch_size"] {
        let found = refusal("decoder", entry, Value::Null);
        assert!(found.contains(entry), "{entry}: {found}");
    }
    // 384, which no shape of the tiny one has.
    let mut vae = tiny();
    vae["decoder"].as_object_mut().unwrap().remove("t_emb_dim");
    let config = VideoVaeConfig::from_json(&vae).unwrap();
    let refused = VideoDecoder::load(&vb(FILE), &config).err().expect("its layers have other shapes").to_string();
    assert!(refused.contains("vae.decoder.t_embedder.mlp.0.weight") && refused.contains("[384, 256]"), "{refused}");
}

#[test]
fn a_missing_tensor_is_named() {
    let mut vae = tiny();
    vae["decoder"]["stage_depths"] = json!([1, 2, 1, 1, 3]);
    let config = VideoVaeConfig::from_json(&vae).unwrap();
    let refused = VideoDecoder::load(&vb(FILE), &config).err().expect("there is no third block").to_string();
    assert!(refused.contains("vae.decoder.diff_blocks.2."), "{refused}");
}
