//! Files that are not what they should be, each refused by name; and the dtypes that are read.

use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};
use ltx_nn::{Compute, NnError, Vb};
use ltx_types::Part;
use ltx_weights::{KeyProblem, ShapeOnly, Stored, TensorSet, WeightsError};
use std::{
    collections::HashMap,
    fs,
    os::unix::{fs::symlink, net::UnixListener},
    path::Path,
    process::Command,
    sync::Arc,
};

fn save(path: &Path, tensors: &[(&str, Tensor)]) {
    let tensors: HashMap<&str, Tensor> = tensors.iter().cloned().collect();
    candle_core::safetensors::save(&tensors, path).unwrap();
}

fn matrix() -> Tensor {
    Tensor::arange(0f32, 12f32, &Device::Cpu).unwrap().reshape((4, 3)).unwrap()
}

#[test]
fn every_stored_type_becomes_every_compute_type() {
    let folder = tempfile::tempdir().unwrap();
    for stored in [DType::F32, DType::BF16, DType::F16] {
        let file = folder.path().join("w.safetensors");
        save(&file, &[("w", matrix().to_dtype(stored).unwrap())]);
        let set = Arc::new(TensorSet::open_file(&file).unwrap());
        for wanted in [DType::F32, DType::BF16, DType::F16] {
            let vb = Vb::new(Arc::new(Stored(Arc::clone(&set))), Compute::cpu_f32().with_dtype(wanted));
            let tensor = vb.tensor("w", [4, 3]).unwrap();
            assert_eq!(tensor.dtype(), wanted);
            let values: Vec<Vec<f32>> = tensor.to_dtype(DType::F32).unwrap().to_vec2().unwrap();
            assert_eq!(values, matrix().to_vec2::<f32>().unwrap(), "{stored:?} as {wanted:?}");
            let rows: Vec<Vec<f32>> =
                vb.rows("w", [4, 3], &[2, 0]).unwrap().to_dtype(DType::F32).unwrap().to_vec2().unwrap();
            assert_eq!(rows, [[6.0, 7.0, 8.0], [0.0, 1.0, 2.0]]);
        }
    }
    // The two half formats are told apart: 1.0 is another bit pattern in each.
    assert_ne!(bf16::ONE.to_bits(), f16::ONE.to_bits());
}

#[test]
fn a_key_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("w.safetensors");
    save(&file, &[("w", matrix()), ("ids", Tensor::new(&[1i64], &Device::Cpu).unwrap())]);
    let vb = Vb::new(Arc::new(Stored(Arc::new(TensorSet::open_file(&file).unwrap()))), Compute::cpu_f32());
    let text = |error: NnError| error.to_string();
    let missing = text(vb.tensor("v", [4, 3]).unwrap_err());
    assert!(missing.contains("key v is missing") && missing.contains("w.safetensors"), "{missing}");
    let shape = text(vb.tensor("w", [3, 4]).unwrap_err());
    assert!(shape.contains("key w has shape [4, 3], expected [3, 4]"), "{shape}");
    let dtype = text(vb.tensor("ids", [1]).unwrap_err());
    assert!(dtype.contains("I64"), "{dtype}");
    assert!(matches!(vb.rows("w", [4, 3], &[4]), Err(NnError::NoSuchRow { rows: 4, row: 4, .. })));
}

#[test]
fn shapes_alone_account_for_every_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("w.safetensors");
    save(&file, &[("w", matrix()), ("extra", matrix()), ("audio_vae.w", matrix()), ("bent", matrix())]);
    let source = ShapeOnly::new(Arc::new(TensorSet::open_file(&file).unwrap()));
    let vb = Vb::new(source.part(Part::Transformer), Compute::cpu_f32());
    assert_eq!(vb.tensor("w", [4, 3]).unwrap().dims(), [4, 3]);
    vb.tensor("bent", [9]).unwrap();
    vb.tensor("gone", [2, 2]).unwrap();
    let report = source.report();
    assert_eq!((report.total.tensors, report.used[&Part::Transformer].tensors, report.audio.tensors), (4, 2, 1));
    assert_eq!(
        report.problems,
        [
            KeyProblem::WrongShape { key: "bent".into(), expected: vec![9], found: vec![4, 3] },
            KeyProblem::Missing { key: "gone".into(), expected: vec![2, 2] },
            KeyProblem::Unknown { key: "extra".into() },
        ]
    );
    assert!(matches!(source.complete(), Err(WeightsError::Keys { .. })));
}

#[test]
fn a_truncated_file_is_told_from_a_foreign_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("w.safetensors");
    save(&file, &[("w", matrix())]);
    let whole = fs::read(&file).unwrap();
    let error = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        TensorSet::open_file(&file).err().unwrap()
    };
    let cut = error(&whole[..whole.len() - 5]);
    assert!(matches!(cut, WeightsError::WrongLength { expected, found, .. } if expected == found + 5), "{cut}");
    assert!(cut.to_string().contains("truncated"), "{cut}");
    let longer: Vec<u8> = whole.iter().copied().chain([0; 3]).collect();
    assert!(error(&longer).to_string().contains("bytes after its last tensor"));
    for bytes in [&b"hello, I am text, not tensors"[..], &[], &[255; 64], &whole[..4], &whole[..20]] {
        let error = error(bytes);
        let fits = matches!(error, WeightsError::NotSafetensors { .. } | WeightsError::Read { .. });
        assert!(fits, "{error}");
    }
}

#[test]
fn ten_thousand_mutated_headers_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("w.safetensors");
    save(&file, &[("w", matrix()), ("v", matrix())]);
    let whole = fs::read(&file).unwrap();
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize
    };
    for _ in 0..10_000 {
        let mut bytes = whole.clone();
        for _ in 0..1 + random() % 4 {
            let at = random() % bytes.len();
            bytes[at] = random() as u8;
        }
        fs::write(&file, &bytes).unwrap();
        let Ok(set) = TensorSet::open_file(&file) else { continue };
        let source = Stored(Arc::new(set));
        let vb = Vb::new(Arc::new(source), Compute::cpu_f32());
        let _ = vb.tensor("w", [4, 3]);
        let _ = vb.rows("v", [4, 3], &[3]);
    }
}

#[test]
fn what_is_no_regular_file_is_refused_before_it_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let refused = |file: &Path| {
        let error = TensorSet::open_file(file).err().unwrap();
        assert!(matches!(error, WeightsError::NotAFile { .. }), "{error}");
        assert!(error.to_string().contains(&file.display().to_string()), "{error}");
        error.to_string()
    };
    let pipe = path("pipe.safetensors");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert!(refused(&pipe).contains("a pipe, expected a regular file"));
    assert!(TensorSet::open_folder(folder.path()).err().unwrap().to_string().contains("a pipe"));
    symlink(&pipe, path("link.gguf")).unwrap();
    assert!(refused(&path("link.gguf")).contains("a pipe"));
    let _socket = UnixListener::bind(path("socket")).unwrap();
    assert!(refused(&path("socket")).contains("a socket"));
    assert!(refused(Path::new("/dev/zero")).contains("a device"));
    let config = path("config.json");
    assert!(Command::new("mkfifo").arg(&config).status().unwrap().success());
    save(&path("w.safetensors"), &[("w", matrix())]);
    symlink(path("w.safetensors"), path("linked.safetensors")).unwrap();
    assert_eq!(TensorSet::open_file(&path("linked.safetensors")).unwrap().keys().count(), 1);
    let together = TensorSet::open_files(&[path("w.safetensors"), config]);
    assert!(matches!(together, Err(WeightsError::NotAFile { .. })));
}

#[test]
fn what_an_index_states_beside_its_files_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    save(&path("a.safetensors"), &[("a", matrix())]);
    save(&path("b.safetensors"), &[("b", matrix())]);
    let notes = |metadata: &str, b: &str| {
        let text = format!(r#"{{"metadata": {metadata}, "weight_map": {{"a": "a.safetensors"{b}}}}}"#);
        fs::write(path("model.safetensors.index.json"), text).unwrap();
        TensorSet::open_folder(folder.path()).unwrap().check_entries().unwrap()
    };
    let both = r#", "b": "b.safetensors""#;
    for metadata in ["{}", "null", r#"{"total_size": 96, "total_parameters": 24}"#, r#"{"total_size": 96.0}"#] {
        assert_eq!(notes(metadata, both), [] as [String; 0], "{metadata}");
    }
    let said = notes(r#"{"total_size": 5, "mood": "calm"}"#, both);
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("index.json: metadata.mood is calm: not known here"), "{said:?}");
    assert!(said[1].contains("metadata.total_size is 5, and its files hold 96 bytes of tensors"), "{said:?}");
    let said = notes("{}", "");
    assert!(said.len() == 1 && said[0].contains("b.safetensors: no tensor is placed in it"), "{said:?}");
}

#[test]
fn a_folder_is_joined_by_its_index() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    assert!(matches!(TensorSet::open_folder(folder.path()), Err(WeightsError::EmptyFolder { .. })));
    save(&path("a.safetensors"), &[("a", matrix())]);
    save(&path("b.safetensors"), &[("b", matrix())]);
    let index = |text: &str| fs::write(path("model.safetensors.index.json"), text).unwrap();
    assert_eq!(TensorSet::open_folder(folder.path()).unwrap().keys().collect::<Vec<_>>(), ["a", "b"]);
    index(r#"{"weight_map": {"a": "a.safetensors", "b": "b.safetensors"}}"#);
    assert_eq!(TensorSet::open_folder(folder.path()).unwrap().keys().count(), 2);
    index(r#"{"weight_map": {"a": "b.safetensors"}}"#);
    assert!(matches!(TensorSet::open_folder(folder.path()), Err(WeightsError::IndexMismatch { .. })));
    index(r#"{"weight_map": {"a": "c.safetensors"}}"#);
    assert!(matches!(TensorSet::open_folder(folder.path()), Err(WeightsError::Read { .. })));
    index(r#"{"weight_map": {"a": "a.safetensors"}, "quantization_config": {"bits": 4}}"#);
    let error = TensorSet::open_folder(folder.path()).err().unwrap();
    assert!(matches!(&error, WeightsError::IndexEntry { entry, .. } if entry == "quantization_config"), "{error}");
    index(r#"{"weight_map": {"a": "a.safetensors"}, "metadata": {"lora_scale": 0.5}}"#);
    let error = TensorSet::open_folder(folder.path()).err().unwrap();
    assert!(matches!(&error, WeightsError::IndexEntry { entry, .. } if entry == "metadata.lora_scale"), "{error}");
    index("{}");
    assert!(matches!(TensorSet::open_folder(folder.path()), Err(WeightsError::BadJson { .. })));
    fs::remove_file(path("model.safetensors.index.json")).unwrap();
    save(&path("c.safetensors"), &[("a", matrix())]);
    assert_eq!(TensorSet::open_folder(folder.path()).unwrap().twice().len(), 1, "the same bytes twice");
    save(&path("c.safetensors"), &[("a", (matrix() + 1.0).unwrap())]);
    assert!(matches!(TensorSet::open_folder(folder.path()), Err(WeightsError::DuplicateKey { .. })));
}
