//! GGUF files by their format alone: metadata of numbers, text and arrays, and tensors of plain floats.
//!
//! Must not know which keys a model has. Not by `ltx-weights`, whose reading is under test.

use super::safetensors::Tensor;

/// A metadata value.
#[derive(Clone)]
pub(crate) enum Entry {
    Text(String),
    Whole(u32),
    Real(f32),
    Truth(bool),
    Texts(Vec<String>),
    Reals(Vec<f32>),
    Numbers(Vec<i32>),
}

const ALIGNMENT: usize = 32;

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn array<T>(out: &mut Vec<u8>, kind: u32, items: &[T], mut one: impl FnMut(&mut Vec<u8>, &T)) {
    out.extend(9u32.to_le_bytes());
    out.extend(kind.to_le_bytes());
    out.extend((items.len() as u64).to_le_bytes());
    items.iter().for_each(|item| one(out, item));
}

impl Entry {
    fn write(&self, out: &mut Vec<u8>) {
        let mut number = |kind: u32, bytes: &[u8]| {
            out.extend(kind.to_le_bytes());
            out.extend(bytes);
        };
        match self {
            Self::Whole(whole) => number(4, &whole.to_le_bytes()),
            Self::Real(real) => number(6, &real.to_le_bytes()),
            Self::Truth(truth) => number(7, &[u8::from(*truth)]),
            Self::Text(words) => {
                number(8, &[]);
                text(out, words);
            }
            Self::Texts(texts) => array(out, 8, texts, |out, item| text(out, item)),
            Self::Reals(reals) => array(out, 6, reals, |out, item| out.extend(item.to_le_bytes())),
            Self::Numbers(numbers) => array(out, 5, numbers, |out, item| out.extend(item.to_le_bytes())),
        }
    }
}

/// A file's bytes. Tensors are stored as `F32`, `F16` or `BF16`, as they say; shapes of more than four dimensions are said beside
/// them, as ComfyUI's converters do.
pub(crate) fn file(metadata: &[(&str, Entry)], tensors: &[Tensor]) -> Vec<u8> {
    let mut metadata: Vec<(String, Entry)> =
        metadata.iter().map(|(key, entry)| ((*key).to_owned(), entry.clone())).collect();
    for tensor in tensors.iter().filter(|tensor| tensor.shape.len() > 4) {
        let shape = tensor.shape.iter().map(|side| *side as i32).collect();
        metadata.push((format!("comfy.gguf.orig_shape.{}", tensor.key), Entry::Numbers(shape)));
    }
    let mut out = b"GGUF".to_vec();
    out.extend(3u32.to_le_bytes());
    out.extend((tensors.len() as u64).to_le_bytes());
    out.extend((metadata.len() as u64).to_le_bytes());
    for (key, entry) in &metadata {
        text(&mut out, key);
        entry.write(&mut out);
    }
    let mut offset = 0;
    for Tensor { key, dtype, shape, bytes } in tensors {
        text(&mut out, key);
        let flat = [shape.iter().product::<u64>()];
        let sides = if shape.len() > 4 { &flat[..] } else { shape };
        out.extend((sides.len() as u32).to_le_bytes());
        sides.iter().rev().for_each(|side| out.extend(side.to_le_bytes()));
        let kind: u32 = match dtype.as_str() {
            "F32" => 0,
            "F16" => 1,
            "BF16" => 30,
            other => panic!("{other} is not written here"),
        };
        out.extend(kind.to_le_bytes());
        out.extend((offset as u64).to_le_bytes());
        offset = (offset + bytes.len()).next_multiple_of(ALIGNMENT);
    }
    for Tensor { bytes, .. } in tensors {
        out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
        out.extend(bytes);
    }
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
    out
}
