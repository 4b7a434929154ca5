//! What a LoRA file states about how much its pairs count, wherever it states it: `W + s · scale · B A` by the plain formula; what
//! is refused, by name; and damaged statements.

use candle_core::Device;
use ltx_nn::{Compute, Weights};
use ltx_testkit::fuzz::{Edit, Verdict, campaign, edits};
use ltx_types::{LoraChoice, LoraStrengths, Part, SamplingStage};
use ltx_weights::{Adapted, Idle, LoraReport, Loras, ShapeOnly, Stored, TensorSet, lora_report};
use safetensors::{Dtype, serialize_to_file, tensor::TensorView};
use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

const FIRST: &str = "transformer_blocks.0.attn1.to_q";
const SECOND: &str = "transformer_blocks.10.attn1.to_q";
const CONNECTOR: &str = "video_embeddings_connector.transformer_1d_blocks.0.attn1.to_q";
const SHAPE: [usize; 2] = [6, 5];
const RANK: usize = 4;
/// A 7-bit float of e4m3 that is 1.
const FP8_ONE: u8 = 0x38;

/// A tensor of a file.
#[derive(Clone)]
struct Entry {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Entry {
    fn f32(shape: &[usize], values: impl IntoIterator<Item = f32>) -> Self {
        let bytes = values.into_iter().flat_map(f32::to_le_bytes).collect();
        Self { dtype: Dtype::F32, shape: shape.to_vec(), bytes }
    }

    fn number(value: f32) -> Self {
        Self::f32(&[], [value])
    }
}

type Entries = BTreeMap<String, Entry>;

fn save(file: &Path, entries: &Entries, metadata: &[(&str, &str)]) {
    let views = entries.iter().map(|(key, Entry { dtype, shape, bytes })| {
        (key.as_str(), TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    });
    let metadata: HashMap<String, String> =
        metadata.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect();
    serialize_to_file(views, Some(metadata), file).unwrap();
}

/// Values that are no two alike, and exact in every float type.
fn values(seed: usize, count: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 7 + seed * 3) % 11) as f32 / 8.0 - 0.5).collect()
}

fn weight(number: usize) -> Vec<f32> {
    values(number + 5, SHAPE[0] * SHAPE[1])
}

/// A model of three layers.
fn model(folder: &Path) -> Arc<TensorSet> {
    let file = folder.join("model.safetensors");
    let layer = |(number, name): (usize, &&str)| {
        (format!("model.diffusion_model.{name}.weight"), Entry::f32(&SHAPE, weight(number)))
    };
    save(&file, &[FIRST, SECOND, CONNECTOR].iter().enumerate().map(layer).collect(), &[]);
    Arc::new(TensorSet::open_file(&file).unwrap())
}

/// The pair of a layer: `A` and `B`.
fn pair(number: usize, rank: usize) -> [Entry; 2] {
    let (down, up) = (values(number, rank * SHAPE[1]), values(number + 1, SHAPE[0] * rank));
    [Entry::f32(&[rank, SHAPE[1]], down), Entry::f32(&[SHAPE[0], rank], up)]
}

/// A file's entries for the first two layers, `head` before their names.
fn pairs(head: &str) -> Entries {
    let mut entries = Entries::new();
    for (number, layer) in [FIRST, SECOND].iter().enumerate() {
        let [down, up] = pair(number, RANK);
        entries.insert(format!("{head}{layer}.lora_A.weight"), down);
        entries.insert(format!("{head}{layer}.lora_B.weight"), up);
    }
    entries
}

/// `W + factor · B A` of a layer.
fn sum(number: usize, rank: usize, factor: f64) -> Vec<f64> {
    let (down, up) = (values(number, rank * SHAPE[1]), values(number + 1, SHAPE[0] * rank));
    let at = |i: usize| {
        let (row, column) = (i / SHAPE[1], i % SHAPE[1]);
        let product: f64 =
            (0..rank).map(|k| f64::from(up[row * rank + k]) * f64::from(down[k * SHAPE[1] + column])).sum();
        f64::from(weight(number)[i]) + factor * product
    };
    (0..SHAPE[0] * SHAPE[1]).map(at).collect()
}

/// A model with a LoRA over it.
struct Dressed {
    _folder: tempfile::TempDir,
    set: Arc<TensorSet>,
    loras: Arc<Loras>,
}

impl Dressed {
    fn of(entries: &Entries, metadata: &[(&str, &str)], strengths: LoraStrengths) -> Self {
        Self::with(|folder| {
            let file = folder.join("lora.safetensors");
            save(&file, entries, metadata);
            LoraChoice::at(file, strengths)
        })
    }

    fn with(choice: impl FnOnce(&Path) -> LoraChoice) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let set = model(folder.path());
        let loras = Arc::new(Loras::open(&[choice(folder.path())], &set).unwrap());
        Self { _folder: folder, set, loras }
    }

    /// What is wrong, as a load says it.
    fn account(&self) -> (String, Vec<LoraReport>) {
        let source = ShapeOnly::with_loras(Arc::clone(&self.set), Arc::clone(&self.loras));
        for key in self.set.keys() {
            source.part(Part::Transformer).matrix(key, SHAPE, &Compute::cpu_f32()).unwrap();
        }
        let report = source.report();
        (report.to_string(), report.loras.clone())
    }

    fn matrix(&self, layer: &str, stage: SamplingStage) -> Vec<f32> {
        let base = Arc::new(Stored(Arc::clone(&self.set)));
        let wear = self.loras.wear(&[]).unwrap();
        let source = Adapted { base, loras: Arc::clone(&self.loras), stage, wear };
        let matrix = source.matrix(&format!("model.diffusion_model.{layer}.weight"), SHAPE, &Compute::cpu_f32());
        let tensor = matrix.unwrap().tensor(&Compute::cpu_f32()).unwrap();
        tensor.to_device(&Device::Cpu).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    /// Asserts that both layers are sums with these factors.
    fn is(&self, factors: [f64; 2], what: &str) {
        let (problems, _) = self.account();
        assert_eq!(problems, "", "{what}");
        for (number, layer) in [FIRST, SECOND].into_iter().enumerate() {
            self.layer_is(layer, SamplingStage::First, &sum(number, RANK, factors[number]), what);
        }
    }

    fn layer_is(&self, layer: &str, stage: SamplingStage, expected: &[f64], what: &str) {
        for (found, expected) in self.matrix(layer, stage).iter().zip(expected) {
            let (found, expected) = (f64::from(*found), *expected);
            assert!((found - expected).abs() < 1e-5 * (1.0 + expected.abs()), "{what}: {layer}: {found} {expected}");
        }
    }
}

fn stating(metadata: &[(&str, &str)]) -> Dressed {
    Dressed::of(&pairs("transformer."), metadata, LoraStrengths::both(1.0))
}

const ADAPTER: &str = "lora_adapter_metadata";

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
fn a_rank_above_what_a_layer_allows_means_the_largest_that_it_does() {
    let [down, up] = pair(0, 5);
    let entries = BTreeMap::from([
        (format!("transformer.{FIRST}.lora_A.weight"), down),
        (format!("transformer.{FIRST}.lora_B.weight"), up),
    ]);
    // Files that were extracted from a difference of weights say one rank; and others a word in its place.
    let metadata = [("rank", "64"), ("ss_network_alpha", "Dynamic"), ("ss_network_dim", "Dynamic")];
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
        let alone = lora_report(&dressed._folder.path().join("lora.safetensors")).unwrap().unwrap().0;
        for problems in [dressed.account().0, alone.to_string()] {
            let said =
                "lora_A.weight stands for the same as diffusion_model.transformer_blocks.0.attn1.to_q.lora_A.weight";
            assert!(problems.contains(said), "{problems}");
        }
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
        ("lora_alpha", "lots", "header entry lora_alpha is \"lots\""),
        ("use_dora", "true", "use_dora is true"),
        ("ss_network_alpha", "nan", "ss_network_alpha is \"nan\""),
        ("ss_network_dim", "16", "is of rank 4, and header entry ss_network_dim states 16"),
        ("ss_network_module", "networks.loha", "the kind LoHa"),
        ("ss_network_args", r#"{"algo": "lokr"}"#, "the kind LoKr"),
        ("ss_network_args", r#"{"dora_wd": "True"}"#, "the kind DoRA"),
        ("reference_downscale_factor", "2", "reference_downscale_factor is 2: an IC-LoRA"),
        ("reference_temporal_scale_factor", "4", "an IC-LoRA"),
        ("use_hdr_transform", "true", "an IC-LoRA"),
    ] {
        // Of rank 4 with sides of 5 and 6: a stated rank above 5 means 5.
        let (problems, _) = stating(&[(entry, text)]).account();
        assert!(problems.contains("lora.safetensors: ") && problems.contains(said), "{text}: {problems}");
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
        "transformer.alpha_pattern": {"^transformer_blocks\\.\\d+": 2, "to_q": 4}, "transformer.use_rslora": true,
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
