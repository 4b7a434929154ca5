//! Damaged GGUF and fp8 files, each kind aimed at, with the allocator counted: every file is read, or refused with a typed error
//! that names it; opening it and holding its matrices takes no more memory than the file has bytes.
//!
//! 10,000 files by default, `FUZZ_CASES` times four if that is more.

mod trial;

use candle_core::{DType, Device, Tensor};
use ltx_nn::{Compute, Vb};
use ltx_testkit::fuzz::{Verdict, campaign_of, edits};
use ltx_types::CancelToken;
use ltx_weights::{GgufFault, Naming, QuantizeType, Recipe, Stored, TensorSet, WeightsError, quantize};
use proptest::{prelude::Strategy, prop_oneof, sample::select};
use std::{cell::Cell, collections::HashMap, fs, path::Path, sync::Arc};
use trial::{Good, anywhere, tried, tried_as};

/// Of each campaign.
const CASES: u32 = 2500;
/// Numbers that counts, sizes and offsets are replaced by.
const TELLING: [u64; 12] = [0, 1, 5, 31, 32, 255, 4096, 1 << 31, (1 << 32) - 1, 1 << 40, 1 << 62, u64::MAX];

fn random(shape: &[usize]) -> Tensor {
    Tensor::randn(0f32, 1f32, shape, &Device::Cpu).unwrap()
}

fn layer(number: usize, name: &str) -> String {
    format!("model.diffusion_model.transformer_blocks.{number}.{name}")
}

fn save(file: &Path, tensors: &[(String, Tensor)]) {
    let tensors: HashMap<&str, Tensor> = tensors.iter().map(|(key, tensor)| (key.as_str(), tensor.clone())).collect();
    candle_core::safetensors::save(&tensors, file).unwrap();
}

/// Matrices in blocks of 256 and 32 values, a norm, a table and a tensor of five dimensions, as `ltxd quantize` writes them.
fn gguf(folder: &Path) -> Good {
    let (from, out) = (folder.join("from.safetensors"), folder.join("w.gguf"));
    let mut tensors = vec![("vae.conv.weight".to_owned(), random(&[4, 2, 3, 3, 3]))];
    for number in 0..3 {
        tensors.push((layer(number, "attn1.to_q.weight"), random(&[32, 256])));
        tensors.push((layer(number, "ff.net.2.weight"), random(&[64, 96])));
        tensors.push((layer(number, "attn1.q_norm.weight"), random(&[256])));
        tensors.push((layer(number, "scale_shift_table"), random(&[9, 32])));
    }
    save(&from, &tensors);
    let recipe = Recipe { kind: QuantizeType::Q4K, keep: vec![], naming: Naming::Official, metadata: vec![] };
    quantize(&TensorSet::open_file(&from).unwrap(), &out, &recipe, &CancelToken::new(), |_, _| {}).unwrap();
    Good::new(out)
}

/// fp8 matrices with scales under either name, and one tensor in bf16.
fn fp8(folder: &Path) -> Good {
    let file = folder.join("w.safetensors");
    let mut tensors = vec![("plain.weight".to_owned(), random(&[32, 32]).to_dtype(DType::BF16).unwrap())];
    for number in 0..4 {
        let name = ["weight_scale", "scale_weight"][number % 2];
        tensors.push((layer(number, "attn1.to_q.weight"), random(&[64, 256]).to_dtype(DType::F8E4M3).unwrap()));
        tensors.push((layer(number, &format!("attn1.to_q.{name}")), Tensor::new(0.5f32, &Device::Cpu).unwrap()));
        tensors.push((layer(number, "attn1.to_q.input_scale"), Tensor::new(0.5f32, &Device::Cpu).unwrap()));
    }
    save(&file, &tensors);
    Good::new(file)
}

fn is(fault: &'static [GgufFault]) -> impl Fn(&WeightsError) -> bool {
    move |error| matches!(error, WeightsError::Gguf { fault: found, .. } if fault.contains(found))
}

/// Where a tensor is described: behind its name.
fn described(good: &Good, key: &str) -> usize {
    let at = |from: usize| good.bytes[from..].windows(key.len()).position(|part| part == key.as_bytes());
    let mut found = at(0).unwrap();
    // The metadata may say something of the tensor before that.
    while let Some(next) = at(found + 1) {
        found += 1 + next;
    }
    found + key.len()
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// A way to spoil a GGUF file whose answer is known.
#[derive(Debug, Clone)]
enum Spoil {
    Magic(u32),
    Version(u32),
    /// Tensors or entries, so many.
    Count(bool, u64),
    /// The file ends within data.
    Cut(f64),
    /// A matrix begins where another does.
    Overlap(usize, usize),
    /// A matrix has a side of this length.
    Side(usize, u64),
    /// A matrix has this type.
    Type(usize, u32),
}

fn aimed_at_gguf(good: &Good, spoil: &Spoil) -> Verdict {
    use GgufFault as F;
    let mut bytes = good.bytes.clone();
    let place = |number: usize| described(good, &layer(number, "attn1.to_q.weight"));
    match spoil {
        Spoil::Magic(word) => {
            put(&mut bytes, 0, &word.to_le_bytes());
            tried_as(good, &bytes, !bytes.starts_with(b"GGUF"), is(&[F::Magic]))
        }
        Spoil::Version(version) => {
            put(&mut bytes, 4, &version.to_le_bytes());
            tried_as(good, &bytes, !(2..=3).contains(version), is(&[F::Version]))
        }
        Spoil::Count(tensors, count) => {
            put(&mut bytes, if *tensors { 8 } else { 16 }, &count.to_le_bytes());
            let absurd = *count > good.bytes.len() as u64;
            tried_as(good, &bytes, absurd, is(&[F::Count]))
        }
        Spoil::Cut(share) => {
            bytes.truncate((share * good.bytes.len() as f64) as usize);
            let short = bytes.len() < good.bytes.len();
            tried_as(good, &bytes, short, is(&[F::Magic, F::Count, F::Truncated]))
        }
        Spoil::Overlap(number, other) => {
            let from = place(*other) + 4 + 16 + 4;
            let offset = bytes[from..from + 8].to_vec();
            put(&mut bytes, place(*number) + 4 + 16 + 4, &offset);
            tried_as(good, &bytes, number != other, is(&[F::Overlap]))
        }
        Spoil::Side(number, side) => {
            put(&mut bytes, place(*number) + 4, &side.to_le_bytes());
            let absurd = *side > 256;
            tried_as(good, &bytes, absurd, is(&[F::Shape, F::Truncated, F::Overlap]))
        }
        Spoil::Type(number, kind) => {
            put(&mut bytes, place(*number) + 4 + 16, &kind.to_le_bytes());
            let unknown = ![0..=3, 6..=8, 10..=14, 16..=30, 34..=35, 39..=40].iter().any(|known| known.contains(kind));
            tried_as(good, &bytes, unknown, is(&[F::Type]))
        }
    }
}

fn spoils() -> impl Strategy<Value = Spoil> {
    let word = || prop_oneof![proptest::num::u32::ANY, select(vec![0, 1, 2, 3, 4, u32::MAX])];
    prop_oneof![
        1 => word().prop_map(Spoil::Magic),
        1 => word().prop_map(Spoil::Version),
        2 => (proptest::bool::ANY, select(&TELLING[..])).prop_map(|(tensors, count)| Spoil::Count(tensors, count)),
        4 => (0.0..=1.0f64).prop_map(Spoil::Cut),
        1 => (0..3usize, 0..3usize).prop_map(|(number, other)| Spoil::Overlap(number, other)),
        2 => (0..3usize, select(&TELLING[..])).prop_map(|(number, side)| Spoil::Side(number, side)),
        2 => (0..3usize, prop_oneof![0..40u32, proptest::num::u32::ANY]).prop_map(|(number, kind)| Spoil::Type(number, kind)),
    ]
}

/// A way to spoil an fp8 file.
#[derive(Debug, Clone)]
enum SpoilFp8 {
    /// A scale has another name.
    NoScale(usize),
    /// A scale has these bytes.
    Scale(usize, u32),
    HeaderLength(u64),
    Cut(f64),
    /// The number that stands so far in the header becomes another.
    Number(f64, u64),
}

fn aimed_at_fp8(good: &Good, spoil: &SpoilFp8) -> Verdict {
    let mut bytes = good.bytes.clone();
    let length = 8 + u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
    let header = || String::from_utf8(good.bytes[8..length].to_vec()).unwrap();
    let with = |header: String| {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(&good.bytes[length..]);
        bytes
    };
    let scale = |number: usize| layer(number, ["attn1.to_q.weight_scale", "attn1.to_q.scale_weight"][number % 2]);
    match spoil {
        SpoilFp8::NoScale(number) => {
            let key = layer(*number, "attn1.to_q.weight");
            let changed = header().replace(&scale(*number), &layer(*number, "attn1.to_q.weight_scalx"));
            let missing = move |error: &WeightsError| matches!(error, WeightsError::MissingScale { key: found, .. } if *found == key);
            tried_as(good, &with(changed), true, missing)
        }
        SpoilFp8::Scale(number, value) => {
            let parsed: serde_json::Value = serde_json::from_str(header().trim_end()).unwrap();
            let start = parsed[scale(*number)]["data_offsets"][0].as_u64().unwrap() as usize;
            put(&mut bytes, length + start, &value.to_le_bytes());
            let bad = |error: &WeightsError| matches!(error, WeightsError::BadScale { .. });
            tried_as(good, &bytes, !f32::from_bits(*value).is_finite(), bad)
        }
        SpoilFp8::HeaderLength(value) => {
            put(&mut bytes, 0, &value.to_le_bytes());
            let bad = |error: &WeightsError| {
                matches!(error, WeightsError::NotSafetensors { .. } | WeightsError::WrongLength { .. })
            };
            tried_as(good, &bytes, true, bad)
        }
        SpoilFp8::Cut(share) => {
            bytes.truncate((share * good.bytes.len() as f64) as usize);
            let bad = |error: &WeightsError| {
                matches!(
                    error,
                    WeightsError::NotSafetensors { .. } | WeightsError::WrongLength { .. } | WeightsError::Read { .. }
                )
            };
            tried_as(good, &bytes, bytes.len() < good.bytes.len(), bad)
        }
        SpoilFp8::Number(share, value) => {
            let text = header();
            let digits: Vec<usize> = text.match_indices([',', '[']).map(|(at, _)| at + 1).collect();
            let at = digits[((share * digits.len() as f64) as usize).min(digits.len() - 1)];
            let end = at + text[at..].chars().take_while(char::is_ascii_digit).count();
            tried(good, &with(format!("{}{value}{}", &text[..at], &text[end..])), None)
        }
    }
}

fn spoils_fp8() -> impl Strategy<Value = SpoilFp8> {
    let bits = select(vec![0, f32::NAN.to_bits(), f32::INFINITY.to_bits(), 1, u32::MAX]);
    prop_oneof![
        1 => (0..4usize).prop_map(SpoilFp8::NoScale),
        2 => (0..4usize, prop_oneof![bits, proptest::num::u32::ANY]).prop_map(|(number, bits)| SpoilFp8::Scale(number, bits)),
        1 => select(&TELLING[..]).prop_map(SpoilFp8::HeaderLength),
        3 => (0.0..=1.0f64).prop_map(SpoilFp8::Cut),
        4 => (0.0..=1.0f64, select(&TELLING[..])).prop_map(|(share, value)| SpoilFp8::Number(share, value)),
    ]
}

/// One test, as the allocator counts for the whole process.
#[test]
fn fuzz_files_within_their_size() {
    let folder = tempfile::tempdir().unwrap();
    let (gguf, fp8) = (gguf(folder.path()), fp8(folder.path()));
    // The good files themselves, and room for what is set up once.
    for good in [&gguf, &fp8] {
        for _ in 0..2 {
            let set = TensorSet::open_file(&good.file).unwrap();
            let vb = Vb::new(Arc::new(Stored(Arc::new(set))), Compute::cpu_f32());
            vb.tensor(&layer(0, "attn1.to_q.weight"), if good.file == gguf.file { [32, 256] } else { [64, 256] })
                .unwrap();
        }
        assert_eq!(tried(good, &good.bytes, None), Verdict::Accepted);
    }
    let turn = Cell::new(0);
    let header = ltx_weights::header_bytes(&gguf.file).unwrap() as usize;
    campaign_of(CASES, "weights: GGUF files spoilt on purpose", &spoils(), |spoil| aimed_at_gguf(&gguf, &spoil));
    campaign_of(CASES, "weights: damaged GGUF files, counted", &edits(4), |edits| {
        anywhere(&gguf, header, &turn, &edits)
    });
    fs::write(&fp8.file, &fp8.bytes).unwrap();
    let header = ltx_weights::header_bytes(&fp8.file).unwrap() as usize;
    campaign_of(CASES, "weights: fp8 files spoilt on purpose", &spoils_fp8(), |spoil| aimed_at_fp8(&fp8, &spoil));
    campaign_of(CASES, "weights: damaged fp8 files, counted", &edits(4), |edits| anywhere(&fp8, header, &turn, &edits));
}
