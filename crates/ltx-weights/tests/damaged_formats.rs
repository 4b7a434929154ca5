//! Damaged files of the quantised formats, with the allocator counted: every file is read, or refused with a typed error that names
//! it, in no more memory than its bytes allow. The good files are those of `formats.rs`.
//!
//! 10,000 files by default, `FUZZ_CASES` times four if that is more.

mod trial;

use ltx_nn::{Compute, Vb};
use ltx_testkit::fuzz::{Edit, Verdict, campaign_of, edits};
use ltx_weights::{Stored, TensorSet, WeightsError};
use proptest::{
    prelude::{Just, Strategy},
    prop_oneof,
    sample::select,
};
use serde_json::{Value, json};
use std::{cell::Cell, fs, path::Path, sync::Arc};
use trial::{Good, anywhere, tried, tried_as};

/// Of each campaign.
const CASES: u32 = 2500;
/// The files, in turn.
const FILES: [&str; 7] = ["comfy_nvfp4", "header_nvfp4", "plain_nvfp4", "comfy_mxfp8", "plain_mxfp8", "fp8", "int8"];

/// A copy of a good file.
fn good(folder: &Path, name: &str) -> Good {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats").join(name);
    fs::copy(from, folder.join(name)).unwrap();
    Good::new(folder.join(name))
}

fn header_of(good: &Good) -> usize {
    ltx_weights::header_bytes(&good.file).unwrap() as usize
}

/// The file with another header, padded so that its data begins on the same boundary.
fn with_header(good: &Good, header: &Value) -> Vec<u8> {
    let mut text = header.to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    let length = 8 + u64::from_le_bytes(*good.bytes.first_chunk().unwrap()) as usize;
    [&(text.len() as u64).to_le_bytes()[..], &text, &good.bytes[length..]].concat()
}

fn parsed(good: &Good) -> Value {
    let length = u64::from_le_bytes(*good.bytes.first_chunk().unwrap()) as usize;
    serde_json::from_slice(&good.bytes[8..8 + length]).unwrap()
}

/// A way to spoil what a file states or how its tensors are described.
#[derive(Debug, Clone)]
enum Spoil {
    /// A tensor is gone, by its number.
    Gone(usize),
    /// A tensor has another name.
    Renamed(usize),
    /// A tensor has another type of the same size.
    Type(usize, &'static str),
    /// A tensor has other sides with as many values, or not.
    Shape(usize, [u64; 2]),
    /// The header's statement.
    Statement(Value),
    /// A layer's statement in the header.
    Layer(Value),
}

fn spoils() -> impl Strategy<Value = (usize, Spoil)> {
    let tensor = 0..24usize;
    let types = select(vec!["I8", "U8", "F8_E4M3", "F8_E5M2", "F8_E8M0", "BOOL", "F32", "BF16", "F16"]);
    let side = || select(vec![0, 1, 2, 3, 4, 5, 16, 24, 32, 48, 64, 128, 255, 256, 1 << 20, 1 << 40]);
    let statement = prop_oneof![
        Just(json!({"layers": {}})),
        Just(json!({"layers": []})),
        Just(json!({})),
        Just(json!([])),
        Just(json!({"format_version": "2.0", "layers": {}})),
        Just(json!({"format_version": 1, "layers": {}})),
    ];
    let layer = prop_oneof![
        select(vec!["nvfp4", "mxfp8", "float8_e4m3fn", "float8_e5m2", "int8_tensorwise", "awq_w4a16", "no_such", ""])
            .prop_map(|format| json!({"format": format})),
        (0..512u64).prop_map(|size| json!({"format": "int8_tensorwise", "convrot": true, "convrot_groupsize": size})),
        (0..512u64, side()).prop_map(|(rows, row)| json!({"format": "nvfp4", "orig_shape": [rows, row]})),
        side().prop_map(|side| json!({"format": "float8_e4m3fn_blockwise", "group_size": side})),
        Just(json!({"format": "nvfp4", "swapped": true})),
        Just(json!(null)),
        Just(json!({"format": {"format": "nvfp4"}})),
    ];
    let spoil = prop_oneof![
        tensor.clone().prop_map(Spoil::Gone),
        tensor.clone().prop_map(Spoil::Renamed),
        (tensor.clone(), types).prop_map(|(tensor, kind)| Spoil::Type(tensor, kind)),
        (tensor, side(), side()).prop_map(|(tensor, down, across)| Spoil::Shape(tensor, [down, across])),
        statement.prop_map(Spoil::Statement),
        layer.prop_map(Spoil::Layer),
    ];
    (0..FILES.len(), spoil)
}

fn spoilt(good: &Good, spoil: &Spoil) -> Verdict {
    let mut header = parsed(good);
    let tensors: Vec<String> =
        header.as_object().unwrap().keys().filter(|key| *key != "__metadata__").cloned().collect();
    let named = |number: usize| tensors[number % tensors.len()].clone();
    let layers = |statement: Value| json!({"_quantization_metadata": statement.to_string()});
    // What the header alone says is wrong for certain.
    let mut wrong = false;
    match spoil {
        Spoil::Gone(number) => drop(header.as_object_mut().unwrap().remove(&named(*number))),
        Spoil::Renamed(number) => {
            let entry = header.as_object_mut().unwrap().remove(&named(*number)).unwrap();
            header[format!("{}x", named(*number))] = entry;
        }
        Spoil::Type(number, kind) => header[named(*number)]["dtype"] = json!(kind),
        Spoil::Shape(number, shape) => header[named(*number)]["shape"] = json!(shape),
        Spoil::Statement(statement) => {
            wrong = !statement["layers"].is_object() || statement["format_version"] == "2.0";
            header["__metadata__"] = layers(statement.clone());
        }
        Spoil::Layer(stated) => {
            let layer = tensors.iter().find_map(|key| key.strip_suffix(".weight")).unwrap();
            wrong = !stated.is_object()
                || stated["swapped"] == true
                || ["awq_w4a16", "no_such", ""].iter().any(|name| stated["format"] == **name);
            header["__metadata__"] = layers(json!({"format_version": "1.0", "layers": {layer: stated}}));
        }
    }
    let stated =
        |error: &WeightsError| matches!(error, WeightsError::Quantisation { .. } | WeightsError::UnreadFormat { .. });
    tried_as(good, &with_header(good, &header), wrong, stated)
}

/// A scale of a matrix becomes one that is no number; the matrix is refused by the name of its scales when it is read.
fn not_finite(folder: &Path) {
    for (name, weight, scale, bytes) in [
        ("fp8", "e4m3.row.weight", "e4m3.row.weight_scale", f32::NAN.to_le_bytes().to_vec()),
        ("fp8", "e5m2.block.weight", "e5m2.block.weight_scale", f32::INFINITY.to_le_bytes().to_vec()),
        ("int8", "rotated256.weight", "rotated256.weight_scale", f32::NAN.to_le_bytes().to_vec()),
        ("plain_nvfp4", "b.weight", "b.weight_scale", vec![0x7f]),
        ("plain_mxfp8", "b.weight", "b.weight_scale", vec![0xff]),
    ] {
        let good = good(folder, &format!("{name}.safetensors"));
        let (header, start) = (parsed(&good), 8 + u64::from_le_bytes(*good.bytes.first_chunk().unwrap()) as usize);
        let at = start + header[scale]["data_offsets"][0].as_u64().unwrap() as usize;
        let mut spoilt = good.bytes.clone();
        spoilt[at..at + bytes.len()].copy_from_slice(&bytes);
        fs::write(&good.file, spoilt).unwrap();
        let set = Arc::new(TensorSet::open_file(&good.file).unwrap());
        let shape: [usize; 2] = set.shape_of(weight).unwrap().try_into().unwrap();
        let error = Vb::new(Arc::new(Stored(set)), Compute::cpu_f32()).matrix(weight, shape).err().unwrap();
        assert!(error.to_string().contains(scale), "{error}");
    }
}

/// One test, as the allocator counts for the whole process.
#[test]
fn fuzz_quantised_files_within_their_size() {
    let folder = tempfile::tempdir().unwrap();
    not_finite(folder.path());
    let files = FILES.map(|name| good(folder.path(), &format!("{name}.safetensors")));
    let ggml = good(folder.path(), "ggml.gguf");
    for good in files.iter().chain([&ggml]) {
        // Room for what is set up once.
        let set = Arc::new(TensorSet::open_file(&good.file).unwrap());
        let key = set.keys().find(|key| key.ends_with(".weight")).unwrap().to_owned();
        let shape: Vec<usize> = set.shape_of(&key).unwrap().to_vec();
        Vb::new(Arc::new(Stored(set)), Compute::cpu_f32()).tensor(&key, &shape).unwrap();
        assert_eq!(tried(good, &good.bytes, None), Verdict::Accepted);
    }
    let headers = files.each_ref().map(header_of);
    let turn = Cell::new(0);
    let of_types = header_of(&ggml);
    let in_turn = |edits: &[Edit]| {
        let number = turn.get() / 2 % FILES.len();
        anywhere(&files[number], headers[number], &turn, edits)
    };
    campaign_of(CASES, "weights: damaged files of every type of ggml, counted", &edits(4), |edits| {
        anywhere(&ggml, of_types, &turn, &edits)
    });
    campaign_of(CASES, "weights: damaged quantised safetensors, counted", &edits(4), |edits| in_turn(&edits));
    campaign_of(CASES, "weights: quantised safetensors with an edit, counted", &edits(1), |edits| in_turn(&edits));
    campaign_of(CASES, "weights: quantised safetensors spoilt on purpose", &spoils(), |(number, spoil)| {
        spoilt(&files[number], &spoil)
    });
}
