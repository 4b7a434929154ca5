//! Both spellings of Gemma-3's configuration, what contradicts itself, what is not known, and what GGUF files state.
//!
//! Must not know files but the tiny model's.

use super::*;
use test_case::test_case;

fn tiny() -> Value {
    let text = std::fs::read(ltx_testkit::tiny("gemma/config.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// The tiny configuration with entries of its `text_config` changed; `null` takes one out.
fn with(changes: Value) -> Value {
    let mut config = tiny();
    let text = config["text_config"].as_object_mut().unwrap();
    for (entry, value) in changes.as_object().unwrap() {
        if value.is_null() {
            text.remove(entry)
        } else {
            text.insert(entry.clone(), value.clone())
        };
    }
    config
}

/// Base and linear scaling of global and of sliding layers.
fn ropes(config: &GemmaConfig) -> ((f64, f64), (f64, f64)) {
    let [global, sliding] = [true, false].map(|global| config.rope(global));
    assert_eq!((global.share, sliding.share), (1.0, 1.0));
    ((global.theta, global.factor), (sliding.theta, sliding.factor))
}

fn new_spelling() -> Value {
    let kinds: Vec<_> = (1..=7).map(|layer| if layer == 6 { "full_attention" } else { "sliding_attention" }).collect();
    with(json!({
        "rope_theta": null, "rope_local_base_freq": null, "rope_scaling": null, "sliding_window_pattern": null,
        "layer_types": kinds,
        "rope_parameters": {
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
        },
    }))
}

#[test]
fn both_spellings_and_both_forms_say_the_same() {
    let old = GemmaConfig::from_json(&tiny()).unwrap();
    assert_eq!(ropes(&old), ((1e6, 8.0), (1e4, 1.0)));
    assert_eq!((0..7).map(|layer| old.is_global(layer)).collect::<Vec<_>>(), [0, 0, 0, 0, 0, 1, 0].map(|one| one == 1));
    let flat = with(json!({
        "rope_theta": null, "rope_scaling": null,
        "rope_parameters": {"rope_type": "linear", "factor": 8, "rope_theta": 1_000_000},
    }));
    let both = with(json!({"rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 8}}}));
    let old_type = with(json!({"rope_scaling": {"type": "linear", "factor": 8}, "_sliding_window_pattern": 6}));
    for config in [new_spelling(), tiny()["text_config"].clone(), flat, both, old_type, old.to_json()] {
        assert_eq!(GemmaConfig::from_json(&config).unwrap(), old, "{config}");
    }
    let kept = GemmaConfig::from_json(&with(json!({"rope_scaling": null}))).unwrap();
    assert_eq!(ropes(&kept).0, (1e6, 1.0));
    let scaled =
        json!({"rope_parameters": {"sliding_attention": {"rope_type": "linear", "factor": 2, "rope_theta": 5e3}}});
    let scaled = GemmaConfig::from_json(&with(
        json!({"rope_local_base_freq": null, "rope_parameters": scaled["rope_parameters"]}),
    ));
    assert_eq!(ropes(&scaled.unwrap()).1, (5e3, 2.0));
}

#[test_case(json!({"rope_scaling": {"rope_type": "yarn", "factor": 8.0}}), "rope_scaling.rope_type is \"yarn\""; "yarn")]
#[test_case(json!({"rope_scaling": {"rope_type": "linear"}}), "rope_scaling.factor is absent"; "linear without factor")]
#[test_case(json!({"rope_scaling": {"factor": 8.0}}), "rope_scaling.rope_type is absent"; "factor without type")]
#[test_case(json!({"rope_scaling": {"rope_type": "default", "factor": 8.0}}), "rope_scaling.factor is 8"; "factor of the default")]
#[test_case(json!({"rope_scaling": {"rope_type": "linear", "factor": 0}}), "rope_scaling.factor is 0"; "factor 0")]
#[test_case(json!({"rope_scaling": {"rope_type": "linear", "factor": 8, "low_freq_factor": 1}}), "rope_scaling.low_freq_factor"; "unknown in scaling")]
#[test_case(json!({"rope_scaling": {"rope_type": "linear", "type": "dynamic", "factor": 8}}), "rope_scaling.type"; "two types")]
#[test_case(json!({"rope_scaling": 8}), "an object"; "scaling is a number")]
#[test_case(json!({"rope_parameters": {"full_attention": {"rope_type": "dynamic", "factor": 8}}}), "rope_parameters.full_attention.rope_type"; "dynamic")]
#[test_case(json!({"rope_parameters": {"full_attention": {}, "chunked_attention": {}}}), "rope_parameters.chunked_attention"; "third type")]
#[test_case(json!({"rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 4}}}), "as rope_scaling.factor states"; "two factors")]
#[test_case(json!({"rope_parameters": {"full_attention": {"rope_type": "default"}}}), "as rope_scaling.factor states"; "scaled and not")]
#[test_case(json!({"rope_parameters": {"rope_theta": 5e5}}), "1000000, as rope_theta states"; "two bases")]
#[test_case(json!({"rope_parameters": {"sliding_attention": {"rope_theta": 5e5}}}), "as rope_local_base_freq states"; "two local bases")]
#[test_case(json!({"rope_theta": "much"}), "rope_theta is \"much\""; "base is text")]
#[test_case(json!({"layer_types": ["full_attention"]}), "layer_types (count) is 1"; "too few types")]
#[test_case(json!({"layer_types": vec!["full_attention"; 7]}), "sliding_window_pattern is 6"; "types against pattern")]
#[test_case(json!({"layer_types": vec!["linear_attention"; 7]}), "linear_attention"; "unknown type of layer")]
#[test_case(json!({"_sliding_window_pattern": 3}), "_sliding_window_pattern is 3"; "two patterns")]
#[test_case(json!({"sliding_window_pattern": 0}), "sliding_window_pattern is 0"; "pattern 0")]
#[test_case(json!({"attn_logit_softcapping": 50.0}), "attn_logit_softcapping is 50"; "soft cap of scores")]
#[test_case(json!({"final_logit_softcapping": 30.0}), "final_logit_softcapping is 30"; "soft cap of logits")]
#[test_case(json!({"hidden_activation": "silu"}), "hidden_activation is \"silu\""; "another activation")]
#[test_case(json!({"hidden_act": "relu"}), "hidden_act is \"relu\""; "activation by its other name")]
#[test_case(json!({"attention_bias": true}), "attention_bias is true"; "biases")]
#[test_case(json!({"use_bidirectional_attention": true}), "use_bidirectional_attention is true"; "bidirectional")]
#[test_case(json!({"query_pre_attn_scalar": 0}), "query_pre_attn_scalar is 0"; "scalar 0")]
#[test_case(json!({"query_pre_attn_scalar": -3.5}), "query_pre_attn_scalar is -3.5"; "scalar negative")]
#[test_case(json!({"rms_norm_eps": 0}), "rms_norm_eps is 0"; "epsilon 0")]
#[test_case(json!({"max_position_embeddings": 512}), "max_position_embeddings is 512"; "too few positions")]
#[test_case(json!({"sliding_window": 0}), "sliding_window is 0"; "no window")]
#[test_case(json!({"quantization_config": {"bits": 4}}), "quantization_config"; "quantised by another library")]
#[test_case(json!({"attention_sinks": true}), "attention_sinks is true"; "unknown")]
#[test_case(json!({"model_type": "gemma2"}), "model_type is gemma2"; "another generation")]
#[test_case(json!({"num_key_value_heads": 3}), "heads per key head"; "heads that do not divide")]
fn refused(changes: Value, says: &str) {
    let error = GemmaConfig::from_json(&with(changes)).unwrap_err().to_string();
    assert!(error.contains(says), "{error}");
}

#[test]
fn what_changes_no_state_is_let_be() {
    let expected = GemmaConfig::from_json(&tiny()).unwrap();
    let changes = json!({
        "attention_dropout": 0.1, "cache_implementation": "hybrid", "dtype": "bfloat16", "use_cache": false, "eos_token_id": [1, 9],
        "transformers_version": "5.0.0", "use_bidirectional_attention": false, "partial_rotary_factor": 1,
    });
    assert_eq!(GemmaConfig::from_json(&with(changes)).unwrap(), expected);
}

#[test]
fn entries_outside_the_language_model_are_its_own_or_refused() {
    let outside = |entry: &str, value: Value| {
        let mut config = tiny();
        config[entry] = value;
        GemmaConfig::from_json(&config).map_err(|error| error.to_string())
    };
    assert_eq!(outside("hidden_size", json!(48)).unwrap(), GemmaConfig::from_json(&tiny()).unwrap());
    assert!(outside("hidden_size", json!(64)).unwrap_err().contains("48, as text_config states"));
    assert!(outside("layer_types", json!([])).unwrap_err().contains("inside text_config"));
    assert!(outside("quantization_config", json!({})).unwrap_err().contains("quantization_config"));
    assert!(outside("model_type", json!("llava")).unwrap_err().contains("llava"));
    assert!(outside("text_config", json!(3)).is_err());
}

fn keys() -> LlamaKeys {
    let values = [
        ("block_count", "48"),
        ("embedding_length", "3840"),
        ("feed_forward_length", "15360"),
        ("context_length", "131072"),
        ("attention.head_count", "16"),
        ("attention.head_count_kv", "8"),
        ("attention.key_length", "256"),
        ("attention.value_length", "256"),
        ("attention.layer_norm_rms_epsilon", "0.000001"),
        ("attention.sliding_window", "1024"),
        ("rope.freq_base", "1000000"),
        ("rope.scaling.factor", "8"),
        ("rope.scaling.type", "linear"),
    ];
    let values = values.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    LlamaKeys { values, vocabulary: 262_144, layers: 48, ..LlamaKeys::default() }
}

fn keys_with(key: &str, value: Option<&str>) -> LlamaKeys {
    let mut keys = keys();
    match value {
        Some(value) => keys.values.insert(key.to_owned(), value.to_owned()),
        None => keys.values.remove(key),
    };
    keys
}

#[test]
fn llama_cpp_states_the_12b_configuration() {
    let config = GemmaConfig::from_llama(&keys()).unwrap();
    let shapes = GemmaShapes {
        vocabulary: 262_144,
        hidden: 3840,
        inner: 15_360,
        layers: 48,
        queries: 4096,
        keys: 2048,
        head: 256,
    };
    assert_eq!(GemmaConfig::from_shapes(&shapes).unwrap(), (config.clone(), "12B"));
    assert!(
        GemmaConfig::from_shapes(&GemmaShapes { layers: 47, ..shapes }).unwrap_err().to_string().contains("47 layers")
    );
    assert_eq!(ropes(&config), ((1e6, 8.0), (1e4, 1.0)));
    assert!((config.is_global(5), config.is_global(6)) == (true, false) && config.query_pre_attn_scalar == 256.0);
    let unscaled = keys_with("rope.scaling.factor", None);
    assert!(GemmaConfig::from_llama(&unscaled).unwrap_err().to_string().contains("rope.scaling.factor"));
    let mut swa = keys_with("rope.freq_base_swa", Some("20000"));
    swa.values.insert("attention.scale".into(), "0.125".into());
    swa.lists.insert("attention.sliding_window_pattern".into(), (0..48).map(|i| f64::from(i % 2)).collect());
    let config = GemmaConfig::from_llama(&swa).unwrap();
    assert_eq!((config.rope(false).theta, config.query_pre_attn_scalar), (2e4, 64.0));
    assert!(config.is_global(0) && !config.is_global(1));
}

#[test]
fn a_file_that_says_nothing_of_scaling_has_the_published_sizes_factor() {
    let mut silent = keys();
    silent.values.retain(|key, _| !key.starts_with("rope.scaling."));
    assert_eq!(silent.unstated_factor().unwrap(), Some(UnstatedFactor { factor: 8.0, size: Some("12B") }));
    assert_eq!(GemmaConfig::from_llama(&silent).unwrap(), GemmaConfig::from_llama(&keys()).unwrap());
    let sized = |layers: &str, width: &str, inner: &str, heads: [&str; 2], head: &str| {
        let mut keys = silent.clone();
        let all = [("block_count", layers), ("embedding_length", width), ("feed_forward_length", inner)];
        let heads =
            [("attention.head_count", heads[0]), ("attention.head_count_kv", heads[1]), ("attention.key_length", head)];
        for (key, value) in all.into_iter().chain(heads) {
            keys.values.insert(key.to_owned(), value.to_owned());
        }
        keys.unstated_factor().unwrap().map(|found| (found.factor, found.size))
    };
    assert_eq!(sized("34", "2560", "10240", ["8", "4"], "256"), Some((8.0, Some("4B"))));
    assert_eq!(sized("62", "5376", "21504", ["32", "16"], "128"), Some((8.0, Some("27B"))));
    assert_eq!(sized("26", "1152", "6912", ["4", "1"], "256"), Some((1.0, Some("1B"))));
    assert_eq!(sized("7", "48", "96", ["4", "2"], "16"), Some((1.0, None)));
    // What is stated is obeyed.
    for (key, value) in [("rope.scaling.type", "none"), ("rope.scaling.factor", "4")] {
        let mut stated = silent.clone();
        stated.values.insert(key.into(), value.into());
        assert_eq!(stated.unstated_factor().unwrap(), None);
        assert_ne!(GemmaConfig::from_llama(&stated).unwrap(), GemmaConfig::from_llama(&keys()).unwrap());
    }
}

#[test_case("attention.head_count", None, "gemma3.attention.head_count is absent"; "missing")]
#[test_case("attention.head_count", Some("many"), "gemma3.attention.head_count is many"; "no number")]
#[test_case("attention.head_count", Some("2.5"), "whole number"; "half a head")]
#[test_case("rope.scaling.type", Some("yarn"), "gemma3.rope.scaling.type is yarn"; "yarn")]
#[test_case("rope.scaling.type", Some("none"), "gemma3.rope.scaling.factor is 8"; "factor of none")]
#[test_case("attention.causal", Some("false"), "gemma3.attention.causal is false"; "not causal")]
#[test_case("attn_logit_softcapping", Some("50"), "gemma3.attn_logit_softcapping is 50"; "soft cap")]
#[test_case("expert_count", Some("8"), "gemma3.expert_count is 8"; "unknown")]
#[test_case("attention.value_length", Some("128"), "as gemma3.attention.key_length states"; "two widths")]
#[test_case("vocab_size", Some("5"), "rows of the embedding"; "two vocabularies")]
#[test_case("block_count", Some("47"), "gemma3.block_count is 47, supported: 48"; "a layer less than tensors")]
#[test_case("attention.scale", Some("0"), "gemma3.attention.scale is 0"; "scale 0")]
#[test_case("attention.scale", Some("-0.0625"), "gemma3.attention.scale is -0.0625"; "scale negative")]
fn llama_cpp_is_refused(key: &str, value: Option<&str>, says: &str) {
    let error = GemmaConfig::from_llama(&keys_with(key, value)).unwrap_err().to_string();
    assert!(error.contains(says), "{error}");
}

#[test]
fn a_file_and_the_configuration_beside_it_agree_or_not() {
    let config = GemmaConfig::from_llama(&keys()).unwrap();
    assert_eq!(keys().agrees_with(&config).unwrap(), Ok(()));
    assert_eq!(keys_with("block_count", None).agrees_with(&config).unwrap(), Ok(()), "the other is more complete");
    let other = keys_with("rope.scaling.factor", Some("4")).agrees_with(&config).unwrap().unwrap_err();
    assert_eq!(other.entry, "rope_parameters.full_attention.factor");
}
