//! Quantised files of the tiny model, as publishers lay them out: frames near those of the checkpoint itself, or one refusal by the
//! format's name. `formats/make_tiny` wrote the matrices.
//!
//! Must not know how a format is decoded.

use crate::support::{
    command::{BAD_INPUT, DONE, ltxd, run},
    files::{checkpoint, gemma, paths_in, repository, scratch, text},
    request::{Request, good},
    safetensors::{File, Tensor},
};
use std::{fs, path::Path};
use test_case::test_case;

fn data(name: &str) -> String {
    text(&repository("crates/ltxd/tests/cli/formats").join(name))
}

fn request(model: &str) -> Request {
    let request = good().with("model", model).with("text-encoder", gemma()).with("schedule", "distilled");
    request.without("models-dir")
}

/// The 8-bit values of all frames.
fn frames(request: Request, folder: &Path) -> Vec<u8> {
    let made = folder.join("frames");
    let request = request.with("out", folder.join("clip.mp4").display()).with("frames-dir", made.display());
    run(ltxd(&request.words())).with(DONE);
    let mut files = paths_in(&made);
    files.sort();
    assert!(!files.is_empty());
    let mut values = Vec::new();
    for file in files {
        let decoder = png::Decoder::new(std::io::BufReader::new(fs::File::open(file).unwrap()));
        let mut reader = decoder.read_info().unwrap();
        let mut frame = vec![0; reader.output_buffer_size().unwrap()];
        let size = reader.next_frame(&mut frame).unwrap().buffer_size();
        values.extend_from_slice(&frame[..size]);
    }
    values
}

/// In decibels.
fn psnr(found: &[u8], expected: &[u8]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let square = |(a, b): (&u8, &u8)| (f64::from(*a) - f64::from(*b)).powi(2);
    let mean = found.iter().zip(expected).map(square).sum::<f64>() / found.len() as f64;
    10.0 * (255.0 * 255.0 / mean).log10()
}

/// The checkpoint with the layers of another file in place of its own.
fn with_layers(other: File, out: &Path) {
    let mut file = File::read(checkpoint());
    file.tensors.retain(|tensor| !other.tensors.iter().any(|theirs| theirs.key == tensor.key));
    file.tensors.extend(other.tensors);
    fs::write(out, file.to_bytes()).unwrap();
}

#[test_case("nvfp4", 25.0)]
#[test_case("mxfp8", 38.0)]
#[test_case("int8-convrot", 43.0)]
#[test_case("fp8-row", 38.0)]
#[test_case("fp8-block", 38.0)]
fn frames_of_quantised_layers_are_near_the_checkpoints(name: &str, least: f64) {
    let folder = scratch();
    let (model, plain) = (folder.path().join("model.safetensors"), scratch());
    with_layers(File::read(data(&format!("tiny-{name}.safetensors"))), &model);
    let found = psnr(&frames(request(&text(&model)), folder.path()), &frames(request(&checkpoint()), plain.path()));
    assert!(found > least, "{name}: {found} dB");
    let inspected = run(ltxd(&["inspect", "--json", &text(&model)])).with(DONE).json();
    assert_eq!((&inspected["keys_unknown"], &inspected["keys_missing"]), (&0.into(), &0.into()));
}

#[test]
fn frames_of_a_gguf_in_iq4_are_near_the_checkpoints() {
    let (folder, plain) = (scratch(), scratch());
    let mut rest = File::read(checkpoint());
    rest.tensors.retain(|tensor| !tensor.key.starts_with("model.diffusion_model."));
    let component = folder.path().join("rest.safetensors");
    fs::write(&component, rest.to_bytes()).unwrap();
    let request_of = request(&data("tiny-iq4.gguf")).with("component", component.display());
    let found = psnr(&frames(request_of, folder.path()), &frames(request(&checkpoint()), plain.path()));
    assert!(found > 25.0, "{found} dB");
}

/// A layer as a file of this format has it, all bytes 0.
fn layer(format: &str, scale: [u64; 2]) -> File {
    let stem = "model.diffusion_model.transformer_blocks.0.attn1.to_q.";
    let stated = format!("{{\"format\": \"{format}\"}}").into_bytes();
    let tensor = |name: &str, dtype: &str, shape: &[u64], bytes: Vec<u8>| Tensor {
        key: format!("{stem}{name}"),
        dtype: dtype.to_owned(),
        shape: shape.to_vec(),
        bytes,
    };
    let count = (scale[0] * scale[1]) as usize;
    File {
        metadata: serde_json::Map::new(),
        tensors: vec![
            tensor("weight", "U8", &[64, 32], vec![0; 2048]),
            tensor("weight_scale", "F8_E4M3", &scale, vec![0; count]),
            tensor("weight_scale_2", "F32", &[], vec![0; 4]),
            tensor("comfy_quant", "U8", &[stated.len() as u64], stated),
        ],
    }
}

#[test_case("nvfp4", [64, 4]; "scales that are not in tiles")]
#[test_case("awq_w4a16", [128, 4]; "a format that others read")]
#[test_case("some_new_format", [128, 4]; "a format nobody knows")]
fn what_stays_unread_is_refused_once_by_its_name(format: &str, scale: [u64; 2]) {
    let folder = scratch();
    let model = folder.path().join("model.safetensors");
    with_layers(layer(format, scale), &model);
    let words = request(&text(&model)).with("out", folder.path().join("clip.mp4").display()).words();
    for words in [words, vec!["inspect".to_owned(), text(&model)]] {
        let said = run(ltxd(&words)).with(BAD_INPUT).err;
        assert_eq!(said.matches(format).count(), 1, "{said}");
        assert!(said.contains("model.safetensors") && said.contains("take the same model"), "{said}");
        assert!(!said.contains("has shape"), "{said}");
    }
}
