//! A checkpoint as it comes: transformer, connectors, projection and VAE in files of their own, as safetensors or GGUF, with a
//! configuration or without; overlapping; in a folder.
//!
//! Must not know how files are read.

use super::{assert_says, generated, inspected, plain, refused};
use crate::support::{
    command::{BAD_INPUT, DONE, ltxd, run},
    files::{checkpoint, gemma, scratch, text},
    gguf::{self, Entry},
    published::{Parts, ROOT, data, parts, save, tiny, under, write, write_as},
    safetensors::Tensor,
};
use serde_json::{Map, Value, json};
use std::path::Path;

/// The digest of the frames of a checkpoint in several files, and what is said about it.
fn of_files(files: &[&str]) -> (String, String) {
    let gemma = gemma();
    let mut flags = vec![("model", files[0]), ("text-encoder", &*gemma)];
    flags.extend(files[1..].iter().map(|file| ("component", *file)));
    generated(&flags)
}

fn refused_files(files: &[&str]) -> String {
    let gemma = gemma();
    let mut flags = vec![("model", files[0]), ("text-encoder", &*gemma)];
    flags.extend(files[1..].iter().map(|file| ("component", *file)));
    refused(&flags)
}

/// The audio VAE of a checkpoint, as a file of its own has it: the video VAE's names.
fn audio_vae() -> Vec<Tensor> {
    let tensor = |key: &str, shape: Vec<u64>| Tensor {
        key: key.into(),
        dtype: "BF16".into(),
        bytes: vec![0; 2 * shape.iter().product::<u64>() as usize],
        shape,
    };
    vec![
        tensor("encoder.conv_in.conv.weight", vec![4, 2, 3, 3]),
        tensor("decoder.conv_in.conv.weight", vec![4, 2, 3, 3]),
        tensor("per_channel_statistics.mean-of-means", vec![4]),
    ]
}

#[test]
fn the_gguf_set_overlaps_and_makes_the_frames_of_the_gguf() {
    let (folder, parts) = (scratch(), parts());
    let both = || [parts.connectors.clone(), parts.projection.clone()].concat();
    let vae = write(folder.path(), "video_vae.safetensors", parts.vae.clone(), None);
    let overlapping = write(folder.path(), "embeddings_connectors.safetensors", both(), None);
    let projection = write(folder.path(), "text_projection.safetensors", parts.projection.clone(), None);
    let gguf = text(&data("transformer-with-connectors.gguf"));
    let (said, frames) = of_files(&[&gguf, &vae, &overlapping]);
    assert_eq!(frames, of_files(&[&gguf, &vae, &projection]).1);
    assert_says(&said, &["embeddings_connectors.safetensors", "are read from there"]);
}

#[test]
fn sets_of_parts_make_the_frames_of_the_single_file() {
    let (folder, plain) = (scratch(), plain());
    let Parts { transformer, connectors, projection, vae, config } = parts();
    let of = |section: &str| json!({ section: config[section] });
    let at = folder.path();
    let prefixed = under(&tiny(), "").into_iter().filter(|tensor| tensor.key.starts_with(ROOT)).collect();
    let whole = write(at, "diffusion_models/with-prefix.safetensors", prefixed, Some(&config));
    let alone = write(at, "transformer_only.safetensors", transformer.clone(), Some(&of("transformer")));
    let connectors_alone = write(at, "connectors.safetensors", connectors.clone(), None);
    let both =
        write(at, "both.safetensors", [connectors.clone(), projection.clone()].concat(), Some(&of("transformer")));
    let projection_alone = write(at, "projection.safetensors", under_prefix(&projection), None);
    let vae_stated = write(at, "vae-stated.safetensors", vae.clone(), Some(&of("vae")));
    let audio = write(at, "audio_vae.safetensors", audio_vae(), None);
    let json = save(at, "config.json", config.to_string().as_bytes());
    let bare_vae = write(at, "vae.safetensors", vae, None);
    for files in [
        vec![&whole, &projection_alone, &vae_stated],
        vec![&alone, &both, &vae_stated],
        vec![&alone, &connectors_alone, &projection_alone, &vae_stated, &audio],
        vec![&alone, &both, &connectors_alone, &projection_alone, &vae_stated],
        vec![&whole, &both, &bare_vae, &json],
        vec![&checkpoint(), &both, &vae_stated],
    ] {
        let files: Vec<&str> = files.into_iter().map(String::as_str).collect();
        assert_eq!(of_files(&files).1, plain, "{files:?}");
    }
    let (said, title) = inspected(&audio, DONE);
    assert!(title.contains("LTX audio VAE") && said.contains("audio, left on disk"), "{said}");
}

/// Keys of the projection as files of it alone have them.
fn under_prefix(projection: &[Tensor]) -> Vec<Tensor> {
    let short = |tensor: &Tensor| {
        let key = tensor.key.strip_prefix("text_embedding_projection.").expect("a prefix").to_owned();
        Tensor { key, ..tensor.clone() }
    };
    projection.iter().map(short).collect()
}

#[test]
fn a_gguf_that_states_no_configuration_has_the_one_that_its_shapes_show() {
    let (folder, parts) = (scratch(), parts());
    let metadata = [("general.architecture", Entry::Text("ltxv".into()))];
    let all = [parts.transformer.clone(), parts.connectors.clone()].concat();
    let gguf = save(folder.path(), "ltx.gguf", &gguf::file(&metadata, &all));
    let vae = write(folder.path(), "vae.safetensors", parts.vae.clone(), None);
    let projection = write(folder.path(), "projection.safetensors", parts.projection.clone(), None);
    let (said, frames) = of_files(&[&gguf, &vae, &projection]);
    assert_eq!(frames, plain());
    assert_says(&said, &["ltx.gguf", "states no configuration of the transformer", "of the vae"]);
    assert_says(&inspected(&gguf, DONE).0, &["LTX-2.3 component", "states no configuration"]);
    let ungated =
        all.into_iter().filter(|tensor| !tensor.key.contains("prompt_adaln_single.linear.weight")).collect::<Vec<_>>();
    let other = save(folder.path(), "other.gguf", &gguf::file(&metadata, &ungated));
    assert_says(
        &refused_files(&[&other, &vae, &projection]),
        &["other.gguf", "prompt_adaln_single", "add the configuration .json"],
    );
}

#[test]
fn files_that_contradict_each_other_are_refused_by_both_names() {
    let (folder, parts) = (scratch(), parts());
    let mut changed = parts.connectors.clone();
    // Of the video stream: the other one is never read.
    changed.sort_by_key(|tensor| !tensor.key.starts_with("video_"));
    let last = changed[3].bytes.len() - 1;
    changed[3].bytes[last] ^= 1;
    let other = write(folder.path(), "other.safetensors", changed.clone(), None);
    let whole = checkpoint();
    assert_says(
        &refused_files(&[&whole, &other]),
        &["other.safetensors", "ltx-2.3-tiny-dev.safetensors", &changed[3].key],
    );
    changed[3].bytes[last] ^= 1;
    changed[3].shape.insert(0, 1);
    let bent = write(folder.path(), "bent.safetensors", changed, None);
    assert_says(&refused_files(&[&whole, &bent]), &["bent.safetensors", "shapes"]);
    let mut config = parts.config.clone();
    config["transformer"]["norm_eps"] = json!(1e-5);
    let connectors = write(folder.path(), "connectors.safetensors", parts.connectors.clone(), Some(&config));
    let said = refused_files(&[&whole, &connectors]);
    assert_says(
        &said,
        &["connectors.safetensors", "ltx-2.3-tiny-dev.safetensors", "transformer.norm_eps", "0.00001", "1e-6"],
    );
    // One that states less contradicts nothing.
    let less = json!({"transformer": {"num_layers": 3}});
    let fine = write(folder.path(), "fine.safetensors", parts.connectors, Some(&less));
    assert_eq!(of_files(&[&whole, &fine]).1, plain());
}

/// Parts in files that state these versions.
fn versioned(folder: &Path, versions: [Option<&str>; 3]) -> Vec<String> {
    let Parts { transformer, connectors, projection, vae, config } = parts();
    let [transformer_of, connectors_of, vae_of] = versions;
    let file = |name: &str, tensors: Vec<Tensor>, section: Option<&str>, version: Option<&str>| {
        let stated = section.map(|section| ("config", json!({ section: config[section] }).to_string()));
        let version = version.map(|version| ("model_version", version.to_owned()));
        let metadata = stated.into_iter().chain(version).map(|(entry, text)| (entry.to_owned(), text.into())).collect();
        write_as(folder, name, tensors, metadata)
    };
    vec![
        file("transformer.safetensors", transformer, Some("transformer"), transformer_of),
        file("connectors.safetensors", [connectors, projection].concat(), None, connectors_of),
        file("vae.safetensors", vae, Some("vae"), vae_of),
    ]
}

#[test]
fn the_transformers_version_counts_in_whatever_order_the_files_are_named() {
    let (folder, plain) = (scratch(), plain());
    let orders = [[0, 1, 2], [2, 1, 0], [1, 2, 0]];
    // A VAE of another version decides how images are compressed, which is said, and nothing else.
    for transformer in [Some("2.3.0"), None] {
        let files = versioned(folder.path(), [transformer, None, Some("2.5.0")]);
        for order in orders {
            let mut flags = vec![("image-crf", "33"), ("text-encoder", "")];
            let gemma = gemma();
            flags[1].1 = &gemma;
            flags.push(("model", &files[order[0]]));
            flags.extend(order[1..].iter().map(|number| ("component", files[*number].as_str())));
            let (said, frames) = generated(&flags);
            assert_eq!(frames, plain, "{transformer:?} {order:?}");
            assert_says(&said, &["vae.safetensors", "model_version 2.5.0", "images are compressed"]);
        }
    }
    // Parts of two models.
    for versions in
        [[Some("2.3.0"), Some("2.5.0"), None], [None, Some("2.5.0"), None], [Some("2.4.0"), Some("2.3.0"), None]]
    {
        let files = versioned(folder.path(), versions);
        for order in orders {
            let files: Vec<&str> = order.iter().map(|number| files[*number].as_str()).collect();
            let said = refused_files(&files);
            assert_says(&said, &["connectors.safetensors", "transformer.safetensors", "model_version"]);
        }
    }
}

#[test]
fn a_quantised_file_states_what_its_parts_did() {
    let folder = scratch();
    // The VAE's version is not the transformer's, which states none.
    for transformer in [None, Some("2.3.0")] {
        let files = versioned(folder.path(), [transformer, None, Some("2.5.0")]);
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        let packed = text(&folder.path().join("packed.gguf"));
        let components = files[1..].iter().flat_map(|file| ["--component", *file]).collect();
        let words = [vec!["quantize", files[0], &packed, "--type", "bf16"], components].concat();
        run(ltxd(&words)).with(DONE);
        let (said, frames) = of_files(&[&packed]);
        assert_eq!(frames, of_files(&files).1, "{transformer:?}");
        assert_says(&said, &["packed.gguf", "vae.model_version 2.5.0", "images are compressed"]);
        assert!(!said.contains("left alone"), "{said}");
        inspected(&packed, DONE);
    }
}

#[test]
fn a_gguf_that_lacks_a_tensor_is_told_by_that() {
    let (folder, parts) = (scratch(), parts());
    let metadata = [("general.architecture", Entry::Text("ltxv".into()))];
    let mut all = [parts.transformer, parts.connectors].concat();
    all.retain(|tensor| !tensor.key.contains("patchify_proj.weight") || tensor.key.contains("audio"));
    let cut = save(folder.path(), "cut.gguf", &gguf::file(&metadata, &all));
    let said = refused_files(&[&cut]);
    assert_says(&said, &["cut.gguf", "LTX-2.3 transformer with a tensor missing", "patchify_proj.weight is absent"]);
    assert!(!said.contains("without a configuration") && !said.contains("makes it whole"), "{said}");
}

#[test]
fn a_file_of_connectors_may_state_a_part_of_the_configuration() {
    let folder = scratch();
    let Parts { transformer, connectors, projection, vae, config } = parts();
    let whole = &config["transformer"];
    let of_connectors = |name: &str| name.starts_with("connector_") || name == "rope_type";
    let own: Map<String, Value> =
        whole.as_object().unwrap().clone().into_iter().filter(|(name, _)| of_connectors(name)).collect();
    let stating = |name: &str, tensors: Vec<Tensor>, config: Value, version: &str| {
        let entries = [("config", config.to_string()), ("model_version", version.to_owned())];
        let metadata = entries.map(|(entry, text)| (entry.to_owned(), text.into())).into_iter().collect();
        write_as(folder.path(), name, tensors, metadata)
    };
    let transformer = stating("t.safetensors", transformer, json!({ "transformer": whole }), "2.3.0");
    let vae = stating("v.safetensors", vae, json!({ "vae": config["vae"] }), "2.3.0");
    let both = [connectors, projection].concat();
    let part = stating("c.safetensors", both.clone(), json!({ "transformer": own.clone() }), "2.3.0");
    assert_eq!(of_files(&[&transformer, &part, &vae]).1, plain());
    let mut other = own;
    other.insert("connector_apply_gated_attention".into(), false.into());
    let other = stating("o.safetensors", both, json!({ "transformer": other }), "2.3.0");
    assert_says(&refused_files(&[&transformer, &other, &vae]), &["o.safetensors", "connector_apply_gated_attention"]);
}

#[test]
fn entries_of_the_configuration_are_obeyed_or_refused() {
    let folder = scratch();
    let changed = |section: &str, entry: &str, value: Value| {
        let mut file = tiny();
        let mut config: Value = serde_json::from_str(file.metadata["config"].as_str().unwrap()).unwrap();
        match section {
            "" => config[entry] = value,
            section => config[section][entry] = value,
        }
        file.metadata.insert("config".into(), config.to_string().into());
        let path = save(folder.path(), "changed.safetensors", &file.to_bytes());
        refused(&[("model", &path), ("text-encoder", &gemma())])
    };
    for (section, entry, value) in [
        ("transformer", "frequencies_precision", json!("float16")),
        ("transformer", "attention_type", json!("sparse")),
        ("transformer", "norm_elementwise_affine", json!(true)),
        ("transformer", "double_self_attention", json!(true)),
        ("transformer", "caption_projection_first_linear", json!(true)),
        ("transformer", "connector_rope_theta", json!(5000)),
        ("transformer", "something_new", json!(1)),
        ("vae", "scaling_factor", json!(0.5)),
        ("vae", "decoder_spatial_padding_mode", json!("reflect")),
        ("vae", "normalize_latent_channels", json!(true)),
        ("vae", "something_new", json!(1)),
        ("", "refiner", json!({})),
    ] {
        assert_says(&changed(section, entry, value), &["changed.safetensors", entry]);
    }
}

#[test]
fn entries_of_a_header_are_known_refused_or_said() {
    let folder = scratch();
    let stating = |entry: &str, text: &str| {
        let mut file = tiny();
        file.metadata.insert(entry.into(), text.into());
        save(folder.path(), "stating.safetensors", &file.to_bytes())
    };
    let made = |file: &str| generated(&[("model", file), ("text-encoder", &gemma())]);
    let (said, frames) = made(&stating("license", "LTX-2.x Community License"));
    assert_eq!((said.contains("license"), frames), (false, plain()));
    let odd = stating("mood", "calm");
    assert_says(&made(&odd).0, &["stating.safetensors", "mood is calm: not known here"]);
    assert_says(&inspected(&odd, DONE).0, &["mood is calm: not known here"]);
    for (entry, text) in [("upscaler_version", "2"), ("quantstack_note", "q"), ("ss_tag_frequency", r#"{"rank": 3}"#)] {
        assert_says(&made(&stating(entry, text)).0, &["stating.safetensors", entry, "left alone"]);
    }
    for (entry, text) in [("lora_scale", "0.5"), ("quantization_config", r#"{"bits": 4}"#)] {
        let said = refused(&[("model", &stating(entry, text)), ("text-encoder", &gemma())]);
        assert_says(&said, &["stating.safetensors", entry, "take it out"]);
    }
    let layers = json!({"format_version": "1.0", "layers": {"transformer_blocks.99.attn1.to_q": {"format": "nvfp4"}}});
    let lost = stating("_quantization_metadata", &layers.to_string());
    let said = refused(&[("model", &lost), ("text-encoder", &gemma())]);
    assert_says(&said, &["stating.safetensors", "transformer_blocks.99.attn1.to_q", "no file holds"]);
    assert_says(&inspected(&lost, DONE).0, &["transformer_blocks.99.attn1.to_q", "a layer that no file holds"]);
    let Parts { transformer, connectors, .. } = parts();
    let all = [transformer, connectors].concat();
    for (entry, value) in [
        ("ltxv.something", Entry::Whole(5)),
        ("general.quantization_version", Entry::Whole(3)),
        ("ltxv.scale", Entry::Real(0.5)),
    ] {
        let metadata = [("general.architecture", Entry::Text("ltxv".into())), (entry, value)];
        let file = save(folder.path(), "stating.gguf", &gguf::file(&metadata, &all));
        assert_says(&inspected(&file, BAD_INPUT).0, &["stating.gguf", entry]);
    }
}

#[test]
fn a_folder_is_read_where_it_holds_one_checkpoint() {
    let (folder, plain) = (scratch(), plain());
    let Parts { transformer, connectors, projection, vae, config } = parts();
    let comfyui = folder.path().join("ComfyUI");
    let all = [transformer, connectors].concat();
    write(&comfyui, "models/diffusion_models/transformer.safetensors", all.clone(), Some(&config));
    write(&comfyui, "models/vae/video_vae.safetensors", vae, None);
    write(&comfyui, "models/text_encoders/projection.safetensors", projection, None);
    let one = folder.path().join("one");
    std::fs::create_dir(&one).unwrap();
    std::fs::copy(checkpoint(), one.join("ltx.safetensors")).unwrap();
    for path in [&comfyui, &one] {
        assert_eq!(generated(&[("model", &text(path)), ("text-encoder", &gemma())]).1, plain, "{}", path.display());
    }
    let gemma = gemma();
    let refused_at = |path: &Path| refused(&[("model", &text(path)), ("text-encoder", &gemma)]);
    write(&comfyui, "models/diffusion_models/second.safetensors", all, Some(&config));
    assert_says(&refused_at(&comfyui), &["second.safetensors", "transformer.safetensors", "twice"]);
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    assert_says(&refused_at(&empty), &["no safetensors or GGUF file"]);
    assert_says(&refused_at(Path::new(&gemma)), &["Gemma", "--text-encoder"]);
}

#[test]
fn a_preview_autoencoder_is_no_vae() {
    let folder = scratch();
    let tensor = |key: &str| Tensor { key: key.into(), dtype: "BF16".into(), shape: vec![1], bytes: vec![0; 2] };
    let keys = ["encoder.0.weight", "decoder.1.weight", "decoder.3.conv.0.weight"];
    let tae = write_as(folder.path(), "taeltx2_3.safetensors", keys.map(tensor).to_vec(), Map::new());
    let Parts { transformer, connectors, projection, config, .. } = parts();
    let rest = write(folder.path(), "rest.safetensors", [transformer, connectors, projection].concat(), Some(&config));
    assert_says(&refused_files(&[&rest, &tae]), &["taeltx2_3.safetensors", "tiny autoencoder", "official video VAE"]);
}
