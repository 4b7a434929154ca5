//! What a LoRA file states about how much its pairs count, wherever it states it: `W + s · scale · B A` by the plain formula; what
//! is refused, by name; and damaged statements.

mod dressed;
mod headers;

use dressed::{
    ADAPTER, Dressed, Entries, Entry, FIRST, FP8_ONE, RANK, SECOND, SHAPE, model, pair, pairs, save, stating, sum,
    weight,
};
use ltx_nn::Compute;
use ltx_testkit::fuzz::{Edit, Verdict, campaign, edits};
use ltx_types::{LoraChoice, LoraStrengths, Part, SamplingStage};
use ltx_weights::{Idle, Loras, ShapeOnly, lora_report};
use safetensors::Dtype;
use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc};

#[test]
fn a_rank_above_what_a_layer_allows_means_the_largest_that_it_does() {
    let [down, up] = pair(0, 5);
    let entries = BTreeMap::from([
        (format!("transformer.{FIRST}.lora_A.weight"), down),
        (format!("transformer.{FIRST}.lora_B.weight"), up),
    ]);
    // Files that were extracted from a difference of weights say one rank; and others a word in its place.
    let metadata = [("rank", "64"), ("ss_network_dim", "Dynamic")];
    let dressed = Dressed::of(&entries, &metadata, LoraStrengths::both(1.0));
    assert_eq!(dressed.account().0, "");
    dressed.layer_is(FIRST, SamplingStage::First, &sum(0, 5, 1.0), "capped");
}

#[test]
fn a_tensor_of_any_type_states_alpha() {
    for (entry, alpha) in [
        (Entry::number(8.0), 8.0),
        (Entry::f32(&[1], [8.0]), 8.0),
        (Entry { dtype: Dtype::BF16, shape: vec![], bytes: half::bf16::from_f32(8.0).to_le_bytes().to_vec() }, 8.0),
        (Entry { dtype: Dtype::F16, shape: vec![], bytes: half::f16::from_f32(6.0).to_le_bytes().to_vec() }, 6.0),
        (Entry { dtype: Dtype::I64, shape: vec![], bytes: 8i64.to_le_bytes().to_vec() }, 8.0),
        (Entry { dtype: Dtype::I32, shape: vec![1], bytes: 3i32.to_le_bytes().to_vec() }, 3.0),
        (Entry { dtype: Dtype::F64, shape: vec![], bytes: 0.5f64.to_le_bytes().to_vec() }, 0.5),
    ] {
        let mut entries = pairs("diffusion_model.");
        for layer in [FIRST, SECOND] {
            entries.insert(format!("diffusion_model.{layer}.alpha"), entry.clone());
        }
        let dressed = Dressed::of(&entries, &[], LoraStrengths::both(0.5));
        dressed.is([alpha / 8.0, alpha / 8.0], &format!("{:?}", entry.dtype));
    }
}

#[test]
fn an_alpha_that_is_left_to_tensors_needs_them() {
    for (entry, text) in [
        ("lora_alpha", "dynamic"),
        ("ss_network_alpha", "Dynamic"),
        ("alpha", "adaptive"),
        ("network_alpha", "DYNAMIC"),
    ] {
        let metadata = [(entry, text), ("ss_network_dim", "Dynamic")];
        with_tensors(8.0, &metadata).is([2.0, 2.0], entry);
        let mut entries = pairs("transformer.");
        entries.insert(format!("transformer.{FIRST}.alpha"), Entry::number(8.0));
        // Of one pair, and of none.
        for entries in [entries, pairs("transformer.")] {
            let (problems, _) = Dressed::of(&entries, &metadata, LoraStrengths::both(1.0)).account();
            let said =
                format!("header entry {entry} is {text}: every pair has an alpha of its own, and transformer.{SECOND}");
            assert!(problems.contains(&said), "{problems}");
        }
    }
}

/// A file with an alpha tensor of `own` beside every pair, and a header.
fn with_tensors(own: f32, metadata: &[(&str, &str)]) -> Dressed {
    let mut entries = pairs("transformer.");
    for layer in [FIRST, SECOND] {
        entries.insert(format!("transformer.{layer}.alpha"), Entry::number(own));
    }
    Dressed::of(&entries, metadata, LoraStrengths::both(1.0))
}

#[test]
fn places_that_agree_count_once_and_those_that_do_not_are_refused_by_name() {
    with_tensors(8.0, &[(ADAPTER, r#"{"r": 4, "lora_alpha": 8}"#), ("ss_network_alpha", "8")]).is([2.0, 2.0], "thrice");
    // rsLoRA with the root in the header alone, and with the root in the tensors already.
    let root = r#"{"r": 4, "lora_alpha": 8, "use_rslora": true}"#;
    with_tensors(8.0, &[(ADAPTER, root)]).is([4.0, 4.0], "as it is");
    with_tensors(16.0, &[(ADAPTER, root)]).is([4.0, 4.0], "converted");
    // A header that says a general alpha, and tensors that say each layer's.
    let by_layer = [("ss_network_alpha", "1"), ("ss_network_args", r#"{"block_alphas": "8,8"}"#)];
    with_tensors(8.0, &by_layer).is([2.0, 2.0], "by layer");
    for (metadata, first, second) in [
        (vec![(ADAPTER, r#"{"r": 4, "lora_alpha": 4}"#)], ".alpha is 8", "lora_alpha is 4"),
        (vec![("ss_network_alpha", "1")], ".alpha is 8", "ss_network_alpha is 1"),
        (
            vec![(ADAPTER, r#"{"lora_alpha": 8, "alpha_pattern": {"to_q": 3}}"#)],
            ".alpha is 8",
            "alpha_pattern to_q is 3",
        ),
        (vec![("lora_alpha", "2")], ".alpha is 8", "header entry lora_alpha is 2"),
    ] {
        let (problems, _) = with_tensors(8.0, &metadata).account();
        assert!(problems.contains("lora.safetensors: key transformer.transformer_blocks.0.attn1.to_q"), "{problems}");
        assert!(problems.contains(first) && problems.contains(second) && problems.contains("remove one"), "{problems}");
    }
    let (problems, _) = stating(&[(ADAPTER, r#"{"lora_alpha": 8}"#), ("ss_network_alpha", "4")]).account();
    assert!(problems.contains("lora_alpha is 8, but header entry ss_network_alpha is 4"), "{problems}");
}

#[test]
fn a_pair_that_stands_there_by_two_names_is_refused_with_both() {
    let kohya = |key: String| match key.split_once(".lora_") {
        Some((layer, end)) => format!("lora_unet_{}.lora_{end}", layer.replace('.', "_")),
        None => key,
    };
    let underscored: Entries = pairs("").into_iter().map(|(key, entry)| (kohya(key), entry)).collect();
    for again in [pairs("transformer."), underscored] {
        let entries = pairs("diffusion_model.").into_iter().chain(again).collect();
        let dressed = Dressed::of(&entries, &[], LoraStrengths::both(1.0));
        let alone = lora_report(&dressed.file()).unwrap().unwrap().report;
        for problems in [dressed.account().0, alone.to_string()] {
            let said =
                "lora_A.weight stands for the same as diffusion_model.transformer_blocks.0.attn1.to_q.lora_A.weight";
            assert!(problems.contains(said), "{problems}");
        }
    }
}

#[test]
fn names_with_underscores_are_judged_alone_as_beside_the_model() {
    let kohya = |(key, entry): (String, Entry)| match key.split_once(".lora_") {
        Some((layer, end)) => (format!("lora_unet_{}.lora_{end}", layer.replace('.', "_")), entry),
        None => (key, entry),
    };
    for (config, fine) in [
        (r#"{"r": 4, "lora_alpha": 8, "alpha_pattern": {"transformer_blocks.0.attn1.to_q": 1}}"#, true),
        (r#"{"r": 8, "lora_alpha": 8, "rank_pattern": {"to_q": 4}}"#, true),
        (r#"{"r": 8, "lora_alpha": 8, "rank_pattern": {"transformer_blocks\\.\\d+\\.attn1\\.to_[qk]": 4}}"#, true),
        (
            r#"{"r": 8, "lora_alpha": 8, "rank_pattern": {"^diffusion_model.transformer_blocks.0.attn1.to_q": 4}}"#,
            false,
        ),
        (r#"{"r": 4, "lora_alpha": 8, "alpha_pattern": {"nosuch.layer": 1}}"#, false),
    ] {
        let entries: Entries = pairs("").into_iter().map(kohya).collect();
        let dressed = Dressed::of(&entries, &[(ADAPTER, config)], LoraStrengths::both(1.0));
        let alone = lora_report(&dressed.file()).unwrap().unwrap().report.to_string();
        let beside = dressed.account().0;
        assert_eq!((alone.is_empty(), beside.is_empty()), (fine, fine), "{config}: {alone} {beside}");
    }
}

#[test]
fn pefts_own_configuration_lies_beside_the_file() {
    let dressed = |config: Option<&str>| {
        Dressed::with(|folder| {
            let file = folder.join("adapter_model.safetensors");
            save(&file, &pairs("base_model.model."), &[("format", "pt")]);
            if let Some(config) = config {
                fs::write(folder.join("adapter_config.json"), config).unwrap();
            }
            LoraChoice::new(file, 1.0)
        })
    };
    let beside = |names: &[&str]| {
        Dressed::with(|folder| {
            names.iter().for_each(|name| save(&folder.join(name), &pairs("base_model.model."), &[]));
            fs::write(folder.join("adapter_config.json"), r#"{"peft_type": "LORA", "r": 4, "lora_alpha": 2}"#).unwrap();
            LoraChoice::new(folder.join(names[0]), 1.0)
        })
    };
    // The folder holds the model as well, as a second file.
    beside(&["adapter_model.fp16.safetensors"]).is([0.5, 0.5], "as PEFT calls it");
    for (names, said) in [
        (&["my.safetensors", "adapter_model.safetensors"][..], "taken as that of adapter_model.safetensors"),
        (&["my.safetensors"], "may be that of another file there, such as model.safetensors"),
    ] {
        let dressed = beside(names);
        dressed.is([1.0, 1.0], said);
        let (_, reports) = dressed.account();
        assert!(reports[0].notes.join("\n").contains(said), "{:?}", reports[0].notes);
    }
    let alone = Dressed::with(|folder| {
        let of_lora = folder.join("lora");
        fs::create_dir(&of_lora).unwrap();
        save(&of_lora.join("my.safetensors"), &pairs("base_model.model."), &[]);
        fs::write(of_lora.join("adapter_config.json"), r#"{"r": 4, "lora_alpha": 2}"#).unwrap();
        LoraChoice::new(of_lora.join("my.safetensors"), 1.0)
    });
    alone.is([0.5, 0.5], "alone in its folder");
    dressed(None).is([1.0, 1.0], "none");
    dressed(Some(r#"{"peft_type": "LORA", "r": 4, "lora_alpha": 12, "lora_dropout": 0.1}"#)).is([3.0, 3.0], "beside");
    let (problems, _) = dressed(Some(r#"{"peft_type": "LOHA"}"#)).account();
    assert!(problems.contains("adapter_config.json: peft_type is \"LOHA\": an adapter of the kind LoHa"), "{problems}");
}

#[test]
fn fp8_pairs_are_read_with_their_scales() {
    let fp8 = |shape: &[usize]| {
        let count = shape.iter().product();
        Entry { dtype: Dtype::F8_E4M3, shape: shape.to_vec(), bytes: vec![FP8_ONE; count] }
    };
    let name = |ending: &str| format!("diffusion_model.{FIRST}.{ending}");
    let entries = BTreeMap::from([
        (name("lora_A.weight"), fp8(&[RANK, SHAPE[1]])),
        (name("lora_B.weight"), fp8(&[SHAPE[0], RANK])),
        (name("lora_A.weight_scale"), Entry::number(0.5)),
        (name("lora_B.weight_scale"), Entry::number(0.25)),
    ]);
    let dressed = Dressed::of(&entries, &[], LoraStrengths::both(2.0));
    assert_eq!(dressed.account().0, "");
    // Every value of the product is 4 · 0.5 · 0.25.
    let expected: Vec<f64> = weight(0).iter().map(|value| f64::from(*value) + 1.0).collect();
    dressed.layer_is(FIRST, SamplingStage::First, &expected, "fp8");
}

#[test]
fn every_stage_has_its_strength() {
    let strengths = LoraStrengths { first: 0.0, second: 0.75 };
    let dressed = Dressed::of(&pairs("diffusion_model."), &[], strengths);
    dressed.layer_is(FIRST, SamplingStage::First, &sum(0, RANK, 0.0), "first");
    dressed.layer_is(FIRST, SamplingStage::Second, &sum(0, RANK, 0.75), "second");
    let (problems, reports) = dressed.account();
    assert_eq!((problems.as_str(), reports[0].strengths(), reports[0].idle), ("", strengths, None));
    let missing = PathBuf::from("/nowhere/lora.safetensors");
    let folder = tempfile::tempdir().unwrap();
    let set = model(folder.path());
    let choice = |strengths| [LoraChoice::at(&missing, strengths)];
    assert_eq!(Loras::open(&choice(strengths), &set).unwrap().absent(), std::slice::from_ref(&missing));
    assert!(Loras::open(&choice(LoraStrengths { first: 0.1, second: 0.75 }), &set).is_err());
}

#[test]
fn a_file_that_changes_nothing_is_said_to() {
    let idle = |entries: &Entries, strength: f32| {
        let (problems, reports) = Dressed::of(entries, &[], LoraStrengths::both(strength)).account();
        assert_eq!(problems, "");
        reports[0].idle
    };
    let mut entries = pairs("diffusion_model.");
    assert_eq!(idle(&entries, 1.0), None);
    assert_eq!(idle(&entries, 0.0), Some(Idle::StrengthNought));
    for (key, entry) in &mut entries {
        if key.contains("lora_B") {
            entry.bytes.chunks_mut(4).for_each(|value| value.copy_from_slice(&(-0f32).to_le_bytes()));
        }
    }
    assert_eq!(idle(&entries, 1.0), Some(Idle::ProductsNought));
    let audio = pairs("diffusion_model.")
        .into_iter()
        .map(|(key, entry)| (key.replace("attn1", "audio_attn1"), entry))
        .chain([("diffusion_model.transformer_blocks.0.audio_ff.net.2.diff_b".to_owned(), Entry::number(1.0))]);
    assert_eq!(idle(&audio.collect(), 1.0), Some(Idle::AudioOnly));
    let mut alphas = pairs("diffusion_model.");
    for layer in [FIRST, SECOND] {
        alphas.insert(format!("diffusion_model.{layer}.alpha"), Entry::number(0.0));
    }
    assert_eq!(idle(&alphas, 1.0), Some(Idle::AlphaNought));
}

#[test]
fn other_adapters_are_refused_by_their_kind() {
    for (tensors, kind) in [
        (&["hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "alpha"][..], "but LoHa (4 such"),
        (&["lokr_w1", "lokr_w2"], "but LoKr (2 such"),
        (&["oft_blocks"], "but OFT"),
        (&["diff"], "a full difference (diff)"),
        (&["diff_b"], "a difference (diff_b)"),
        (&["set_weight"], "a replaced weight (set_weight)"),
        (&["dora_scale"], "a magnitude of DoRA"),
        (&["lora_magnitude_vector.default.weight"], "a magnitude of DoRA"),
    ] {
        let name = |tensor: &str| format!("diffusion_model.{FIRST}.{tensor}");
        let entries: Entries = tensors.iter().map(|tensor| (name(tensor), Entry::number(1.0))).collect();
        // Alone, and beside pairs.
        for entries in [entries.clone(), entries.into_iter().chain(pairs("diffusion_model.")).collect()] {
            let (problems, _) = Dressed::of(&entries, &[], LoraStrengths::both(1.0)).account();
            assert!(problems.contains(kind) && problems.contains("take a file of plain LoRA pairs"), "{problems}");
        }
    }
}

#[test]
fn fuzz_lora_statements() {
    let good = r#"{"transformer.r": 4, "transformer.lora_alpha": 8, "transformer.rank_pattern": {"0.attn1.to_q": 4},
        "transformer.alpha_pattern": {"^transformer_blocks\\.\\d+\\.attn1.*": 2, "to_q": 4}, "transformer.use_rslora": true,
        "transformer.bias": "none", "transformer.target_modules": ["to_q"], "connectors.r": 4, "connectors.lora_alpha": 1}"#;
    let folder = tempfile::tempdir().unwrap();
    let (set, file) = (model(folder.path()), folder.path().join("lora.safetensors"));
    let cases = (edits(3), edits(2));
    campaign("lora_statements", &cases, |(header, kohya): (Vec<Edit>, Vec<Edit>)| {
        let damaged = |text: &str, edits: &[Edit]| {
            let mut bytes = text.as_bytes().to_vec();
            edits.iter().for_each(|edit| edit.apply(&mut bytes));
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let (adapter, arguments) =
            (damaged(good, &header), damaged(r#"{"algo": "lora", "block_dims": "4,4"}"#, &kohya));
        let metadata = [(ADAPTER, adapter.as_str()), ("ss_network_args", arguments.as_str())];
        save(&file, &pairs("transformer."), &metadata);
        let loras = Arc::new(Loras::open(&[LoraChoice::new(&file, 1.0)], &set).unwrap());
        let source = ShapeOnly::with_loras(Arc::clone(&set), loras);
        for key in set.keys() {
            source.part(Part::Transformer).matrix(key, SHAPE, &Compute::cpu_f32()).unwrap();
        }
        let report = source.report();
        for problem in &report.problems {
            assert!(problem.to_string().contains("lora.safetensors: "), "{problem}");
            assert!(problem.to_string().len() < 2000, "{problem}");
        }
        if report.is_complete() { Verdict::Accepted } else { Verdict::Refused }
    });
}
