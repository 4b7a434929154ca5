//! What headers state: where alpha counts, what changes nothing, what is refused by name, what is said.
//!
//! Must not know tensors.

use crate::dressed::{ADAPTER, stating};
use ltx_weights::lora_report;

#[test]
fn alpha_counts_wherever_it_is_stated() {
    for (metadata, factors) in [
        (vec![], [1.0, 1.0]),
        (vec![("format", "pt")], [1.0, 1.0]),
        (vec![(ADAPTER, r#"{"transformer.r": 4, "transformer.lora_alpha": 8}"#)], [2.0, 2.0]),
        (vec![(ADAPTER, r#"{"r": 4, "lora_alpha": 2, "target_modules": ["to_q"], "use_dora": false}"#)], [0.5, 0.5]),
        (
            vec![(ADAPTER, r#"{"transformer.r": 4, "transformer.lora_alpha": 8, "transformer.use_rslora": true}"#)],
            [4.0, 4.0],
        ),
        // Another component's values are not the transformer's.
        (vec![(ADAPTER, r#"{"connectors.r": 9, "connectors.lora_alpha": 90}"#)], [1.0, 1.0]),
        (
            vec![(ADAPTER, r#"{"r": 4, "lora_alpha": 8, "alpha_pattern": {"transformer_blocks.0.attn1.to_q": 1}}"#)],
            [0.25, 2.0],
        ),
        (
            vec![(
                ADAPTER,
                r#"{"r": 8, "lora_alpha": 8, "rank_pattern": {"to_q": 4}, "alpha_pattern": {"0.attn1.to_q": 2}}"#,
            )],
            [0.5, 2.0],
        ),
        (
            vec![(ADAPTER, r#"{"r": 4, "lora_alpha": 4, "alpha_pattern": {"^transformer_blocks\\.1\\d\\..*": 12}}"#)],
            [1.0, 3.0],
        ),
        // The first pattern of the file counts, not the first of the alphabet.
        (vec![(ADAPTER, r#"{"lora_alpha": 4, "r": 4, "alpha_pattern": {"to_q": 8, "10.attn1.to_q": 1}}"#)], [2.0, 2.0]),
        // Names as the tensors have them, and as other tools put them.
        (
            vec![(
                ADAPTER,
                r#"{"r": 4, "lora_alpha": 8, "alpha_pattern": {"transformer.transformer_blocks.0.attn1.to_q": 1}}"#,
            )],
            [0.25, 2.0],
        ),
        (
            vec![(
                ADAPTER,
                r#"{"r": 4, "lora_alpha": 8, "alpha_pattern": {"diffusion_model.transformer_blocks.0.attn1.to_q": 1}}"#,
            )],
            [0.25, 2.0],
        ),
        (
            vec![(
                ADAPTER,
                r#"{"r": 8, "lora_alpha": 8, "rank_pattern": {"^transformer\\.transformer_blocks\\.\\d+\\.attn1\\.to_q": 4}}"#,
            )],
            [2.0, 2.0],
        ),
        // What changes nothing, and what is switched off.
        (
            vec![("scale", "1.0"), ("lora_strength", "1"), ("use_hdr_transform", "false"), ("network_alphas", "None")],
            [1.0, 1.0],
        ),
        (
            vec![
                ("modelspec.architecture", "ltx2/lora"),
                ("modelspec.title", "A camera"),
                ("ss_scale_weight_norms", "1.0"),
                ("ss_adaptive_noise_scale", "0.1"),
                ("ss_output_name", "camera"),
                ("sshs_model_hash", "00"),
                ("ot_config", r#"{"lora_alpha": 1.0, "lora_rank": 16}"#),
                ("training_info", r#"{"step": 100, "epoch": 3}"#),
            ],
            [1.0, 1.0],
        ),
        // What people wrote, and what a training was fed with.
        (
            vec![
                ("name", "cinematic_lora_v1"),
                ("kind", "Dynamic LoRA"),
                ("modelspec.title", "Static LoRA, like an IC-LoRA"),
                ("ss_output_name", "ic_lora"),
                ("ss_tag_frequency", r#"{"10_ic-lora": {"scale": 3, "r": 1, "alpha": 2}}"#),
                ("ss_dataset_dirs", r#"{"alpha": {"n_repeats": 10}}"#),
                ("ss_reg_dataset_dirs", r#"{"rank": {"n_repeats": 10}}"#),
                ("ss_bucket_info", r#"{"buckets": {"0": {"scale": 3}}}"#),
                ("ss_datasets", r#"{"strength": {"multiplier": 3}}"#),
                ("captions", r#"{"1.mp4": {"scale": 2}}"#),
                ("upscaler_version", "2"),
                ("frank_x", "y"),
                ("scale_note", "0.8 is best"),
                ("ss_network_args", r#"{"rescaled": "True", "algo": "lora"}"#),
                ("ss_training_config", r#"{"scale": 2, "caption": "ic-lora"}"#),
                ("rs_lora", "False"),
                ("dora", "false"),
                ("algo", "locon"),
                ("network_module", "lycoris.kohya"),
                ("lora_weight", "1"),
                ("weight_decay", "0.1"),
                ("training", r#"{"lr_scale": 2, "guidance_scale": 3, "weight_decay": 0.1}"#),
            ],
            [1.0, 1.0],
        ),
        (vec![("lora_alpha", "16"), ("r", "4")], [4.0, 4.0]),
        (vec![("lora_alpha", "16"), ("rank", "4"), ("use_rslora", "True")], [8.0, 8.0]),
        (
            vec![("ss_network_dim", "4"), ("ss_network_alpha", "2.0"), ("ss_network_module", "networks.lora")],
            [0.5, 0.5],
        ),
        (
            vec![
                ("ss_network_alpha", "2"),
                ("ss_network_args", r#"{"algo": "locon", "conv_dim": "1", "rs_lora": "True"}"#),
            ],
            [1.0, 1.0],
        ),
        (
            vec![
                (ADAPTER, r#"{"lora_alpha": 8, "init_lora_weights": "gaussian", "bias": "none", "peft_type": "LORA"}"#),
                ("ss_network_alpha", "8"),
            ],
            [2.0, 2.0],
        ),
    ] {
        stating(&metadata).is(factors, &format!("{metadata:?}"));
    }
}

#[test]
fn what_is_stated_and_not_obeyed_is_refused_by_name() {
    for (entry, text, said) in [
        (ADAPTER, r#"{"transformer.use_dora": true}"#, "transformer. use_dora is true: DoRA"),
        (ADAPTER, r#"{"lora_bias": true}"#, "lora_bias is true"),
        (ADAPTER, r#"{"bias": "all"}"#, "bias is \"all\""),
        (ADAPTER, r#"{"modules_to_save": ["proj_in"]}"#, "modules_to_save is [\"proj_in\"]"),
        (ADAPTER, r#"{"peft_type": "LOKR"}"#, "the kind LoKr"),
        (ADAPTER, r#"{"init_lora_weights": "pissa_niter_4"}"#, "begin as pissa"),
        (ADAPTER, r#"{"init_lora_weights": "loftq"}"#, "begin as loftq"),
        (ADAPTER, r#"{"layer_replication": [[0, 4], [2, 5]]}"#, "layers are repeated"),
        (ADAPTER, r#"{"something_new": 3}"#, "something_new is 3: an entry that is not known"),
        (ADAPTER, r#"{"text_encoder.r": 3}"#, "is text_encoder: it states values for a component"),
        (ADAPTER, r#"{"r": 4}"#, "lora_alpha is not there"),
        (ADAPTER, r#"{"r": 8, "lora_alpha": 8}"#, "is of rank 4, and header entry lora_adapter_metadata: r states 8"),
        (
            ADAPTER,
            r#"{"r": 4, "lora_alpha": 8, "rank_pattern": {"10.attn1.to_q": 2}}"#,
            "rank_pattern 10.attn1.to_q states 2",
        ),
        (ADAPTER, r#"{"r": -1}"#, "r is -1: expected a whole number above 0"),
        (ADAPTER, r#"{"r": 4, "lora_alpha": "much"}"#, "lora_alpha is \"much\": expected one finite number"),
        (ADAPTER, r#"{"r": 4, "lora_alpha": 1e40}"#, "within the range of f32"),
        (ADAPTER, r#"{"alpha_pattern": {"(": 1}}"#, "alpha_pattern is (: this pattern cannot be read"),
        (ADAPTER, "[1]", "expected an object of JSON"),
        (ADAPTER, "{", "is not JSON"),
        (
            ADAPTER,
            r#"{"r": 4, "lora_alpha": 4, "alpha_pattern": {"nosuch.layer": 2}}"#,
            "lora_adapter_metadata: alpha_pattern is nosuch.layer: this pattern matches no layer",
        ),
        (
            ADAPTER,
            r#"{"r": 4, "lora_alpha": 4, "rank_pattern": {"diffusion_model.transformer_blocks.1.attn1.to_q": 99}}"#,
            "rank_pattern is diffusion_model.transformer_blocks.1.attn1.to_q: this pattern matches no layer",
        ),
        (
            ADAPTER,
            r#"{"r": 4, "lora_alpha": 4, "rank_pattern": {"diffusion_model.transformer_blocks.0.attn1.to_q": 99}}"#,
            "is of rank 4, and header entry lora_adapter_metadata: rank_pattern",
        ),
        (
            ADAPTER,
            r#"{"transformer.r": 4, "transformer.lora_alpha": 4, "connectors.alpha_pattern": {"to_q": 2}}"#,
            "connectors. alpha_pattern is to_q",
        ),
        ("adapter_metadata", r#"{"r": 4, "lora_alpha": 2}"#, "header entry adapter_metadata is {"),
        (
            "transformer_lora_adapter_metadata",
            r#"{"r": 4, "lora_alpha": 2}"#,
            "it states r, and is no place that is read",
        ),
        ("peft", r#"{"lora_alpha": 2, "r": 4}"#, "header entry peft is"),
        ("metadata", r#"{"transformer": {"lora_alpha": 2}}"#, "header entry metadata is"),
        ("config", r#"{"lora_alpha": 2, "r": 4}"#, "header entry config is"),
        ("network_alphas", r#"{"a": 2}"#, "header entry network_alphas is"),
        ("LoRA_alpha", "2", "header entry LoRA_alpha is 2"),
        ("lora.alpha", "2", "header entry lora.alpha is 2"),
        ("lora_scale", "0.5", "header entry lora_scale is 0.5: an entry that is not known here"),
        ("scale", "0.5", "header entry scale is 0.5"),
        ("strength", "0.5", "header entry strength is 0.5"),
        ("ss_multiplier", "0.5", "header entry ss_multiplier is 0.5"),
        ("modelspec.lora_scale", "0.5", "header entry modelspec.lora_scale is 0.5"),
        ("ss_network_args", r#"{"scale": "0.5"}"#, "ss_network_args scale is"),
        ("modelspec.architecture", "ltx2/ic-lora", "modelspec.architecture is ltx2/ic-lora: an IC-LoRA"),
        ("model_type", "ic-lora", "model_type is ic-lora: an IC-LoRA"),
        ("downscale_factor", "2", "downscale_factor is 2: an IC-LoRA"),
        ("reference_downscale_factor", "1", "reference_downscale_factor is 1: an IC-LoRA"),
        ("lora_alpha", "lots", "header entry lora_alpha is \"lots\""),
        ("use_dora", "true", "use_dora is true"),
        ("ss_network_alpha", "nan", "ss_network_alpha is \"nan\""),
        ("ss_network_dim", "16", "is of rank 4, and header entry ss_network_dim states 16"),
        ("ss_network_module", "networks.loha", "the kind LoHa"),
        ("ss_network_args", r#"{"algo": "lokr"}"#, "the kind LoKr"),
        ("ss_network_args", r#"{"dora_wd": "True"}"#, "the kind DoRA"),
        ("ss_network_args", r#"{"rs_lora": true}"#, "ss_network_args rs_lora is \"true\": rsLoRA is read beside"),
        (ADAPTER, r#"{"target_modules": 3}"#, "target_modules is 3: expected names of modules"),
        ("reference_downscale_factor", "2", "reference_downscale_factor is 2: an IC-LoRA"),
        ("reference_temporal_scale_factor", "4", "an IC-LoRA"),
        ("use_hdr_transform", "true", "an IC-LoRA"),
        ("lora_type", "in-context", "lora_type is in-context: an IC-LoRA"),
        ("ss_training_config", r#"{"ic_lora": true}"#, "ss_training_config: ic_lora is true: an IC-LoRA"),
        ("metadata", r#"{"reference_downscale_factor": 2}"#, "metadata: reference_downscale_factor is 2: an IC-LoRA"),
        ("training_strategy", r#"{"name": "video_to_video"}"#, "an IC-LoRA"),
        ("rs_lora", "True", "header entry rs_lora is True: rsLoRA under this name"),
        ("rslora", "true", "header entry rslora is true: rsLoRA"),
        ("use_rs_lora", "1", "header entry use_rs_lora is 1: rsLoRA"),
        ("dora", "true", "header entry dora is true: an adapter of the kind DoRA"),
        ("weight_decompose", "True", "the kind DoRA"),
        ("algo", "loha", "header entry algo is loha: an adapter of the kind LoHa"),
        ("network_module", "lycoris.lokr", "the kind LoKr"),
        ("lora_weight", "0.5", "header entry lora_weight is 0.5: a factor"),
        ("network_config", r#"{"linear": 4, "linear_alpha": 2}"#, "it states linear_alpha"),
        ("metadata", r#"{"lora_dim": 4, "lora_scale_factor": 0.5}"#, "it states lora_scale_factor"),
        ("metadata", r#"[{"lora_alpha": 2}]"#, "it states lora_alpha"),
        ("metadata", r#"{"network": {"algo": "oft"}}"#, "it states algo: an adapter of the kind OFT"),
        ("ss_network_args", r#"{"lora_weight": 0.5}"#, "ss_network_args lora_weight is"),
        ("alpha_pattern", "dynamic", "alpha_pattern is"),
    ] {
        // Of rank 4 with sides of 5 and 6: a stated rank above 5 means 5.
        let (problems, _) = stating(&[(entry, text)]).account();
        assert!(problems.contains("lora.safetensors: ") && problems.contains(said), "{text}: {problems}");
    }
}

#[test]
fn what_is_left_alone_is_said_by_name() {
    for (entry, text, said) in [
        ("modelspec.architecture", "wan2.1/lora", "modelspec.architecture is wan2.1/lora: it names no model of LTX"),
        ("modelspec.prediction_type", "epsilon", "modelspec.prediction_type is epsilon: how a model predicts"),
        ("ss_base_model_version", "flux1", "ss_base_model_version is flux1: it names no model of LTX"),
        ("general.type", "model", "general.type is model: another kind of file"),
        ("scale", "1.0", "header entry scale is 1.0: not known here, and left alone"),
        ("network_alphas", "None", "header entry network_alphas is None: not known here, and left alone"),
        ("ss_network_args", r#"{"mood": "calm"}"#, "header entry ss_network_args mood is \"calm\": not known here"),
        (
            ADAPTER,
            r#"{"transformer.base_model_name_or_path": "wan", "transformer.revision": "main"}"#,
            "lora_adapter_metadata: transformer. base_model_name_or_path is \"wan\": it names no model of LTX",
        ),
        (ADAPTER, r#"{"auto_mapping": {"base_model_class": "Wan"}}"#, "it names no class of LTX"),
        (ADAPTER, r#"{"task_type": "CAUSAL_LM"}"#, "task_type is \"CAUSAL_LM\": the video model has no such tasks"),
        (
            ADAPTER,
            r#"{"target_modules": ["to_k"]}"#,
            "lora_adapter_metadata: target_modules leaves out transformer_blocks.0.attn1.to_q, and the file holds a pair",
        ),
        (
            ADAPTER,
            r#"{"exclude_modules": ["10.attn1.to_q"]}"#,
            "exclude_modules leaves out transformer_blocks.10.attn1",
        ),
        (ADAPTER, r#"{"layers_to_transform": [0]}"#, "layers_to_transform leaves out transformer_blocks.10.attn1.to_q"),
        (ADAPTER, r#"{"target_modules": "(?!audio).*"}"#, "an expression that cannot be read here"),
    ] {
        let dressed = stating(&[(entry, text)]);
        dressed.is([1.0, 1.0], text);
        let notes = &dressed.account().1[0].notes;
        assert!(notes.len() == 1 && notes[0].contains(said), "{text}: {notes:?}");
    }
    for (entry, text) in [
        ("modelspec.architecture", "ltx2/lora"),
        ("base_model", "Lightricks/LTX-2.3"),
        ("ss_network_args", r#"{"rescaled": "True", "algo": "lora", "dropout": null}"#),
        (
            ADAPTER,
            r#"{"base_model_name_or_path": "/models/LTX-2.3", "auto_mapping": {"base_model_class": "LTXVideo"},
                "target_modules": ["to_q", "to_k"], "exclude_modules": null, "layers_to_transform": null, "task_type": null}"#,
        ),
    ] {
        let notes = &stating(&[(entry, text)]).account().1[0].notes;
        assert!(notes.is_empty(), "{text}: {notes:?}");
    }
}

#[test]
fn an_entry_that_nobody_here_knows_is_said() {
    let dressed =
        stating(&[("mood", "calm"), ("config", r#"{"transformer": {"num_layers": 48}}"#), ("model_version", "2.5.0")]);
    dressed.is([1.0, 1.0], "they say nothing of the pairs");
    let (_, reports) = dressed.account();
    let notes = reports[0].notes.join("\n");
    assert!(notes.contains("mood is calm: not known here, and left alone") && notes.contains("config is"), "{notes}");
    let alone = lora_report(&dressed.file()).unwrap().unwrap();
    assert_eq!(alone.notes.len(), 2, "{:?}", alone.notes);
    assert!(stating(&[("format", "pt")]).account().1[0].notes.is_empty());
}
