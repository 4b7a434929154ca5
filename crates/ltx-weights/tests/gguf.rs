//! GGUF files: what is read from a good one, what is said of each kind of bad one, and ten thousand damaged ones.

use candle_core::{
    DType, Device, Tensor,
    quantized::{GgmlDType, QTensor},
};
use ltx_nn::{Compute, Vb};
use ltx_testkit::fuzz::{Verdict, campaign_of, damaged, edits};
use ltx_types::Part;
use ltx_weights::{GgufFault, ShapeOnly, Stored, TensorSet, WeightsError};
use proptest::strategy::Strategy;
use std::{env, fs, path::Path, process::Command, sync::Arc};

/// A tensor as a header describes it.
#[derive(Clone)]
struct Described {
    name: &'static str,
    sides: Vec<u64>,
    kind: u32,
    offset: u64,
}

/// What a file is made from.
#[derive(Clone)]
struct Parts {
    magic: &'static [u8],
    version: u32,
    tensor_count: u64,
    /// Key, type, value.
    metadata: Vec<(&'static str, u32, Vec<u8>)>,
    tensors: Vec<Described>,
    data: Vec<u8>,
}

fn text(words: &str) -> Vec<u8> {
    [&(words.len() as u64).to_le_bytes(), words.as_bytes()].concat()
}

impl Parts {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.magic.to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend(self.tensor_count.to_le_bytes());
        bytes.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, kind, value) in &self.metadata {
            bytes.extend([text(key), kind.to_le_bytes().to_vec(), value.clone()].concat());
        }
        for Described { name, sides, kind, offset } in &self.tensors {
            bytes.extend([text(name), (sides.len() as u32).to_le_bytes().to_vec()].concat());
            bytes.extend(sides.iter().flat_map(|side| side.to_le_bytes()));
            bytes.extend(kind.to_le_bytes());
            bytes.extend(offset.to_le_bytes());
        }
        bytes.resize(bytes.len().next_multiple_of(32), 0);
        bytes.extend(&self.data);
        bytes
    }
}

fn matrix() -> Tensor {
    Tensor::arange(-32f32, 32f32, &Device::Cpu).unwrap().reshape((2, 32)).unwrap()
}

/// A Q8_0 matrix [2, 32], and an F32 tensor [3, 1, 2] that the header can only call [3, 2].
fn good() -> Parts {
    let blocks = QTensor::quantize(&matrix(), GgmlDType::Q8_0).unwrap().data().unwrap().into_owned();
    let mut data = blocks;
    data.resize(96, 0);
    data.extend((0..6u8).flat_map(|value| f32::from(value).to_le_bytes()));
    let shape = [[5u32, 3, 0].map(u32::to_le_bytes).concat(), [3u32, 1, 2].map(u32::to_le_bytes).concat()].concat();
    let strings = [8u32.to_le_bytes().to_vec(), 2u64.to_le_bytes().to_vec(), text("a"), text("b")].concat();
    Parts {
        magic: b"GGUF",
        version: 3,
        tensor_count: 2,
        metadata: vec![
            ("general.architecture", 8, text("ltxv")),
            ("config", 8, text(r#"{"transformer": {}}"#)),
            ("tokens", 9, strings),
            ("general.alignment", 4, 32u32.to_le_bytes().to_vec()),
            ("comfy.gguf.orig_shape.vae.table", 9, shape),
        ],
        tensors: vec![
            Described { name: "transformer_blocks.0.attn1.to_q.weight", sides: vec![32, 2], kind: 8, offset: 0 },
            Described { name: "vae.table", sides: vec![2, 3], kind: 0, offset: 96 },
        ],
        data,
    }
}

const Q: &str = "model.diffusion_model.transformer_blocks.0.attn1.to_q.weight";

fn open(folder: &Path, bytes: &[u8]) -> Result<TensorSet, WeightsError> {
    let file = folder.join("w.gguf");
    fs::write(&file, bytes).unwrap();
    TensorSet::open_file(&file)
}

#[test]
fn a_good_file_is_read_by_official_keys() {
    let folder = tempfile::tempdir().unwrap();
    let set = Arc::new(open(folder.path(), &good().bytes()).unwrap());
    assert_eq!(set.keys().collect::<Vec<_>>(), [Q, "vae.table"]);
    assert_eq!(set.metadata("general.architecture"), Some("ltxv"));
    assert!(set.config().unwrap().get("transformer").is_some());
    assert_eq!((set.stored_as(Q), set.shape_of("vae.table")), (Some("Q8_0"), Some(&[3, 1, 2][..])));
    let vb = Vb::new(Arc::new(Stored(Arc::clone(&set))), Compute::cpu_f32());
    let expected = QTensor::quantize(&matrix(), GgmlDType::Q8_0).unwrap().dequantize(&Device::Cpu).unwrap();
    let expected = expected.to_vec2::<f32>().unwrap();
    assert_eq!(vb.tensor(Q, [2, 32]).unwrap().to_vec2::<f32>().unwrap(), expected);
    assert_eq!(vb.rows(Q, [2, 32], &[1]).unwrap().to_vec2::<f32>().unwrap(), expected[1..]);
    assert_eq!(vb.tensor("vae.table", [3, 1, 2]).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()[5], 5.0);
    assert_eq!(vb.with_dtype(DType::BF16).tensor(Q, [2, 32]).unwrap().dtype(), DType::BF16);
    // As a matrix it stays packed, and the account says so.
    let source = ShapeOnly::new(set);
    let vb = Vb::new(source.part(Part::Transformer), Compute::cpu_f32());
    vb.matrix(Q, [2, 32]).unwrap();
    vb.tensor("vae.table", [3, 1, 2]).unwrap();
    let report = source.complete().unwrap();
    assert_eq!((report.packed[&Part::Transformer].bytes, report.stored[&Part::Transformer]["Q8_0"].tensors), (68, 1));
}

#[test]
fn every_kind_of_bad_header_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let check = |change: &dyn Fn(&mut Parts), fault: GgufFault, needles: &[&str]| {
        let mut parts = good();
        change(&mut parts);
        let error = open(folder.path(), &parts.bytes()).err().unwrap_or_else(|| panic!("{fault:?}: taken"));
        let said = error.to_string();
        assert!(matches!(error, WeightsError::Gguf { fault: found, .. } if found == fault), "{fault:?}: {error:?}");
        for needle in needles.iter().chain(&["w.gguf"]) {
            assert!(said.contains(needle), "{fault:?}: {said}");
        }
    };
    check(&|p| p.magic = b"GGML", GgufFault::Magic, &["GGML", "expected GGUF"]);
    check(&|p| p.version = 1, GgufFault::Version, &["1, expected 2 or 3"]);
    check(&|p| p.version = 3u32.swap_bytes(), GgufFault::Version, &[]);
    check(&|p| p.tensor_count = u64::MAX, GgufFault::Count, &["number of tensors", "18446744073709551615"]);
    check(&|p| p.metadata[0].2 = (1u64 << 40).to_le_bytes().to_vec(), GgufFault::Truncated, &["general.architecture"]);
    check(&|p| p.metadata[0].2 = [&text("ab")[..8], &[255, 254]].concat(), GgufFault::Text, &["general.architecture"]);
    check(&|p| p.metadata[0].1 = 13, GgufFault::Value, &["type 13"]);
    check(&|p| p.metadata[1].0 = "general.architecture", GgufFault::Duplicate, &["twice"]);
    check(&|p| p.metadata[3].2 = 7u32.to_le_bytes().to_vec(), GgufFault::Alignment, &["general.alignment", "7"]);
    check(&|p| p.tensors[0].offset = 4, GgufFault::Alignment, &["to_q.weight", "offset 4"]);
    check(&|p| p.tensors[1].offset = 32, GgufFault::Overlap, &["vae.table", "to_q.weight ends"]);
    check(&|p| p.tensors[1].offset = 1 << 40, GgufFault::Truncated, &["vae.table"]);
    check(&|p| p.data.truncate(100), GgufFault::Truncated, &["vae.table"]);
    check(&|p| p.tensors[0].sides = vec![16, 4], GgufFault::Shape, &["[4, 16] as Q8_0", "blocks of 32"]);
    check(&|p| p.tensors[0].sides = vec![1 << 62, 1 << 62], GgufFault::Shape, &["to_q.weight"]);
    check(&|p| p.tensors[0].sides = vec![32, 0], GgufFault::Shape, &["to_q.weight"]);
    check(&|p| p.tensors[1].sides = vec![1, 2, 3, 1, 1], GgufFault::Shape, &["5 dimensions", "at most 4"]);
    check(&|p| p.tensors[1].sides = vec![2, 2], GgufFault::Shape, &["orig_shape", "[3, 1, 2]"]);
    check(&|p| p.tensors[1].kind = 77, GgufFault::Type, &["vae.table", "type 77"]);
    check(&|p| p.tensors[1].name = "transformer_blocks.0.attn1.to_q.weight", GgufFault::Duplicate, &["twice"]);
    let deep = (0..6).fold(text(""), |inner, _| [&9u32.to_le_bytes()[..], &1u64.to_le_bytes(), &inner].concat());
    check(&|p| p.metadata[2].2 = deep.clone(), GgufFault::Value, &["arrays"]);
    // The same tensor under two names.
    let mut parts = good();
    parts.tensors[1].name = "diffusion_model.transformer_blocks.0.attn1.to_q.weight";
    assert!(matches!(open(folder.path(), &parts.bytes()), Err(WeightsError::DuplicateKey { .. })));
    // A type that is known and not read is refused where it is asked for.
    let mut parts = good();
    (parts.tensors[1].kind, parts.tensors[1].sides) = (28, vec![3, 1]);
    parts.metadata.truncate(4);
    let set = open(folder.path(), &parts.bytes()).unwrap();
    let vb = Vb::new(Arc::new(Stored(Arc::new(set))), Compute::cpu_f32());
    assert!(vb.tensor("vae.table", [1, 3]).unwrap_err().to_string().contains("F64"));
}

/// Opens and reads whatever the header offers; an error must name the file.
fn try_all(folder: &Path, bytes: &[u8]) -> Verdict {
    let opened = open(folder, bytes);
    if let Ok(set) = &opened {
        let keys: Vec<(String, Vec<usize>)> =
            set.keys().filter_map(|key| Some((key.to_owned(), set.shape_of(key)?.to_vec()))).collect();
        let _ = set.config();
        let file = folder.join("w.gguf");
        let vb = Vb::new(Arc::new(Stored(Arc::new(TensorSet::open_file(&file).unwrap()))), Compute::cpu_f32());
        for (key, shape) in keys {
            let _ = vb.tensor(&key, &shape);
            if let [outputs, inputs] = shape[..] {
                let _ = vb.matrix(&key, [outputs, inputs]);
                let _ = vb.rows(&key, [outputs, inputs], &[0, u32::MAX]);
            }
        }
    } else if let Err(error) = &opened {
        assert!(error.to_string().contains("w.gguf"), "{error}");
    }
    Verdict::of(&opened)
}

#[test]
fn fuzz_gguf() {
    let folder = tempfile::tempdir().unwrap();
    let whole = good().bytes();
    campaign_of(10_000, "weights: damaged GGUF files", &edits(4), |edits| {
        try_all(folder.path(), &damaged(whole.clone(), &edits))
    });
    // Aimed at the numbers: eight bytes anywhere become a number that is telling.
    let numbers =
        proptest::sample::select(vec![0, 1, 31, 1 << 16, (1 << 31) - 1, 1 << 32, 1 << 62, u64::MAX - 7, u64::MAX]);
    let case = (0..whole.len() - 8, numbers, 1..8usize).prop_map(|(at, number, width)| (at, number, width));
    campaign_of(10_000, "weights: GGUF files with telling numbers", &case, |(at, number, width)| {
        let mut bytes = whole.clone();
        bytes[at..at + width].copy_from_slice(&number.to_le_bytes()[..width]);
        try_all(folder.path(), &bytes)
    });
}

/// The campaigns again, in a process that may have no more than a gigabyte of address space: a count that was believed would
/// end it.
#[test]
fn damaged_files_make_nobody_allocate() {
    let limited = r#"ulimit -v 1048576 && exec "$0" --exact fuzz_gguf --test-threads=1"#;
    let mut command = Command::new("sh");
    let ran =
        command.args(["-c", limited]).arg(env::current_exe().unwrap()).env("RAYON_NUM_THREADS", "2").output().unwrap();
    assert!(ran.status.success(), "{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(String::from_utf8_lossy(&ran.stdout).contains("1 passed"));
}
