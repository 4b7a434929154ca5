//! What safetensors files state about the quantisation of their layers: attached to a tensor by whatever spelling of its name, or
//! refused by name; and formats that are recognised and not read, each refused once by its name.
//!
//! Must not know how values are decoded.

use ltx_nn::{Compute, Vb};
use ltx_weights::{LoadReport, ShapeOnly, Stored, TensorSet, WeightsError, lora_report};
use safetensors::{Dtype, serialize_to_file, tensor::TensorView};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};
use tempfile::TempDir;

const BLOCK: &str = "transformer_blocks.0.attn1.to_q";
const SHAPE: [usize; 2] = [4, 16];
/// What stands before the names of a transformer's layers, in files as in statements.
const HEADS: [&str; 3] = ["model.diffusion_model.", "diffusion_model.", ""];

/// A tensor of a file.
type Tensor = (String, Dtype, Vec<usize>, Vec<u8>);

fn of(key: impl Into<String>, dtype: Dtype, shape: &[usize]) -> Tensor {
    let bytes = shape.iter().product::<usize>() * dtype.bitsize() / 8;
    (key.into(), dtype, shape.to_vec(), (0..bytes).map(|i| (i % 7) as u8).collect())
}

fn save(path: &Path, tensors: &[Tensor], metadata: &[(&str, String)]) -> PathBuf {
    let views = tensors
        .iter()
        .map(|(key, dtype, shape, bytes)| (key.as_str(), TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    let metadata: HashMap<String, String> =
        metadata.iter().map(|(key, text)| ((*key).to_owned(), text.clone())).collect();
    serialize_to_file(views, Some(metadata), path).unwrap();
    path.to_owned()
}

/// An integer matrix with a scale a row.
fn matrix(layer: &str) -> Vec<Tensor> {
    let scales = (0..SHAPE[0]).flat_map(|row| (row as f32 + 0.5).to_le_bytes()).collect();
    vec![
        of(format!("{layer}.weight"), Dtype::I8, &SHAPE),
        (format!("{layer}.weight_scale"), Dtype::F32, vec![SHAPE[0], 1], scales),
    ]
}

fn rotated(size: usize) -> Value {
    json!({"format": "int8_tensorwise", "convrot": true, "convrot_groupsize": size})
}

/// The header's entry with these layers.
fn entry(layers: &[(&str, Value)]) -> [(&'static str, String); 1] {
    let layers: serde_json::Map<String, Value> =
        layers.iter().map(|(layer, stated)| ((*layer).to_owned(), stated.clone())).collect();
    [("_quantization_metadata", json!({"format_version": "1.0", "layers": layers}).to_string())]
}

/// A tensor that states the same beside a layer.
fn beside(layer: &str, stated: &Value) -> Tensor {
    let bytes = stated.to_string().into_bytes();
    (format!("{layer}.comfy_quant"), Dtype::U8, vec![bytes.len()], bytes)
}

fn values(file: &Path) -> Vec<f32> {
    let set = Arc::new(TensorSet::open_file(file).unwrap());
    set.check_statements().unwrap();
    let key = set.keys().find(|key| key.ends_with(&format!("{BLOCK}.weight"))).unwrap().to_owned();
    let vb = Vb::new(Arc::new(Stored(set)), Compute::cpu_f32());
    vb.tensor(&key, SHAPE).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn a_statement_is_attached_by_any_spelling_of_its_layer() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("w.safetensors");
    let plain = values(&save(&file, &matrix(BLOCK), &[]));
    let own = |size| [matrix(BLOCK), vec![beside(BLOCK, &rotated(size))]].concat();
    let expected = values(&save(&file, &own(16), &[]));
    assert_ne!(plain, expected, "undoing the rotation changes values");
    for of_file in HEADS {
        let layer = format!("{of_file}{BLOCK}");
        for of_statement in HEADS.into_iter().chain(["model."]) {
            let stated = format!("{of_statement}{BLOCK}");
            for name in [stated.clone(), format!("{stated}.weight")] {
                let what = format!("{layer} by {name}");
                let header = entry(&[(&name, rotated(16))]);
                assert_eq!(values(&save(&file, &matrix(&layer), &header)), expected, "{what}: in the header");
                let tensors = [matrix(&layer), vec![beside(&name, &rotated(16))]].concat();
                save(&file, &tensors, &[]);
                assert_eq!(values(&file), expected, "{what}: as a tensor");
                assert_eq!(TensorSet::open_file(&file).unwrap().keys().count(), 1, "{what}");
            }
        }
    }
}

#[test]
fn two_statements_about_one_layer_agree_or_are_refused() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("w.safetensors");
    let official = format!("model.diffusion_model.{BLOCK}");
    let open = |first: Value, second: Value, own: Option<Value>| {
        let tensors = own.iter().map(|stated| beside(&format!("diffusion_model.{BLOCK}"), stated));
        let tensors = matrix(&official).into_iter().chain(tensors).collect::<Vec<_>>();
        TensorSet::open_file(&save(&file, &tensors, &entry(&[(BLOCK, first), (&official, second)]))).map(drop)
    };
    open(rotated(16), rotated(16), Some(rotated(16))).unwrap();
    for (first, second, own) in [
        (rotated(16), rotated(4), None),
        (rotated(16), json!("int8_tensorwise"), None),
        (rotated(16), rotated(16), Some(rotated(4))),
    ] {
        let said = open(first, second, own).unwrap_err().to_string();
        assert!(said.contains(BLOCK) && said.contains("as the header states"), "{said}");
    }
}

#[test]
fn a_statement_in_another_files_header_is_stated_there_or_refused() {
    let folder = TempDir::new().unwrap();
    let official = format!("model.diffusion_model.{BLOCK}");
    let holder =
        |header: &[(&str, String)]| save(&folder.path().join("holder.safetensors"), &matrix(&official), header);
    let stating = |layer: &str, stated: Value| {
        let tensors = [of("vae.encoder.conv_in.conv.bias", Dtype::F32, &[1])];
        save(&folder.path().join("stating.safetensors"), &tensors, &entry(&[(layer, stated)]))
    };
    for head in HEADS {
        let layer = format!("{head}{BLOCK}");
        let other = stating(&layer, rotated(16));
        let together = |holder: PathBuf| TensorSet::open_files(&[holder, other.clone()]).unwrap();
        together(holder(&entry(&[(BLOCK, rotated(16))]))).check_statements().unwrap();
        for header in [vec![], entry(&[(BLOCK, rotated(4))]).to_vec()] {
            let set = together(holder(&header));
            let said = set.check_statements().unwrap_err().to_string();
            for part in ["stating.safetensors", &layer, "holder.safetensors, whose own header", "(1 in all)"] {
                assert!(said.contains(part), "{part}: {said}");
            }
            let holder = set.stated_in_vain()[0].holder.unwrap();
            assert!(holder.ends_with("holder.safetensors"));
        }
        let alone = TensorSet::open_file(&other).unwrap();
        let said = alone.check_statements().unwrap_err().to_string();
        assert!(said.contains("stating.safetensors") && said.contains("no file holds (1 in all)"), "{said}");
        assert_eq!((alone.stated_in_vain()[0].layer, alone.stated_in_vain()[0].holder), (layer.as_str(), None));
        assert!(alone.without_metadata().stated_in_vain().is_empty());
    }
    let audio = stating("model.diffusion_model.transformer_blocks.0.audio_attn1.to_q", rotated(16));
    assert!(TensorSet::open_file(&audio).unwrap().check_statements().is_ok(), "audio may be left out");
}

#[test]
fn scales_whose_order_nothing_states_are_said() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("w.safetensors");
    let notes = |scales: &[usize], nvfp4: bool, stated: Option<&str>| {
        let key = |end: &str| format!("{BLOCK}.{end}");
        let mut tensors = vec![of(key("weight_scale"), if nvfp4 { Dtype::F8_E4M3 } else { Dtype::U8 }, scales)];
        if nvfp4 {
            tensors.push(of(key("weight"), Dtype::U8, &[128, 32]));
            tensors.push((key("weight_scale_2"), Dtype::F32, vec![], 1f32.to_le_bytes().to_vec()));
        } else {
            tensors.push(of(key("weight"), Dtype::F8_E4M3, &[128, 128]));
        }
        tensors.extend(stated.map(|format| beside(BLOCK, &json!({"format": format}))));
        TensorSet::open_file(&save(&file, &tensors, &[])).unwrap().check_entries().unwrap()
    };
    // Both shapes may be tiles of 128 by 4, or not.
    for nvfp4 in [false, true] {
        let said = notes(&[128, 4], nvfp4, None);
        let format = if nvfp4 { "nvfp4" } else { "mxfp8" };
        assert!(said.len() == 1, "{said:?}");
        for part in ["w.safetensors", format, "attn1.to_q.weight_scale of shape [128, 4]", "row after row"] {
            assert!(said[0].contains(part), "{part}: {said:?}");
        }
        assert_eq!(notes(&[128, 4], nvfp4, Some(format)), [] as [&str; 0]);
    }
    let tensors = [
        of(format!("{BLOCK}.weight"), Dtype::F8_E4M3, &[64, 64]),
        of(format!("{BLOCK}.weight_scale"), Dtype::U8, &[64, 2]),
        beside(BLOCK, &json!({"format": "mxfp8"})),
    ];
    let said = TensorSet::open_file(&save(&file, &tensors, &[])).unwrap().check_entries().unwrap();
    assert!(said.len() == 1 && said[0].contains("[64, 2]") && said[0].contains("lie in tiles"), "{said:?}");
}

#[test]
fn a_lora_states_nothing_in_vain() {
    let folder = TempDir::new().unwrap();
    let pair = [("lora_A", [2, 16]), ("lora_B", [4, 2])]
        .map(|(end, shape)| of(format!("diffusion_model.{BLOCK}.{end}.weight"), Dtype::F32, &shape));
    let file = folder.path().join("lora.safetensors");
    let said = lora_report(&save(&file, &pair, &entry(&[(BLOCK, rotated(16))]))).unwrap_err().to_string();
    assert!(said.contains("lora.safetensors") && said.contains(BLOCK) && said.contains("no file holds"), "{said}");
}

#[test]
fn what_else_the_headers_entry_says_is_refused_by_name() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("w.safetensors");
    let open = |more: Value| {
        let mut stated = json!({"layers": {BLOCK: rotated(16)}});
        stated.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        TensorSet::open_file(&save(&file, &matrix(BLOCK), &[("_quantization_metadata", stated.to_string())])).map(drop)
    };
    for fine in [
        json!({}),
        json!({"format_version": "1.0"}),
        json!({"format_version": "1.1", "tool": "x", "converter": {"name": "y"}, "comment": "z", "default": null}),
    ] {
        open(fine).unwrap();
    }
    for (more, said) in [
        (json!({"global_scale": 0.5}), "global_scale 0.5"),
        (json!({"default": rotated(16)}), "default {"),
        (json!({"quantized_layers": {BLOCK: rotated(16)}}), "quantized_layers {"),
        (json!({"transformer": {"layers": {BLOCK: rotated(16)}}}), "transformer {"),
        (json!({"Layers": {}}), "Layers {}"),
        (json!({"format_version": "2.0"}), "format_version"),
    ] {
        let error = open(more).unwrap_err();
        assert!(matches!(&error, WeightsError::Quantisation { key, .. } if key == "_quantization_metadata"), "{error}");
        assert!(error.to_string().contains(said), "{said}: {error}");
    }
    for (stated, said) in [
        (json!({"format": "int8_tensorwise", "convrot_groupsize": 16}), "convrot_groupsize 16 without convrot"),
        (
            json!({"format": "int8_tensorwise", "convrot": false, "params": {"convrot": true}}),
            "convrot false, and true in params",
        ),
    ] {
        let error = TensorSet::open_file(&save(&file, &matrix(BLOCK), &entry(&[(BLOCK, stated)]))).err().unwrap();
        assert!(error.to_string().contains(said) && error.to_string().contains(BLOCK), "{error}");
    }
}

/// A layer of a format that is not read: the words of its tensors behind the layer's name.
fn foreign(tensors: &[(&str, Dtype, &[usize])]) -> Vec<Tensor> {
    let layer = |number: usize| format!("model.diffusion_model.transformer_blocks.{number}.attn1.to_q");
    let of_layer =
        |number| tensors.iter().map(move |(end, dtype, shape)| of(format!("{}.{end}", layer(number)), *dtype, shape));
    (0..3).flat_map(of_layer).chain([of("vae.decoder.conv_in.conv.bias", Dtype::BF16, &[4])]).collect()
}

#[test]
fn formats_that_are_not_read_are_refused_once_by_name() {
    use Dtype::{BF16, F16, F32, I8, I32, I64, U8, U32};
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("w.safetensors");
    for (name, tensors) in [
        ("MLX", &[("weight", U32, &[8, 2][..]), ("scales", F16, &[8, 1]), ("biases", F16, &[8, 1])][..]),
        ("MLX", &[("weight", U32, &[8, 2]), ("scales", U8, &[8, 1])]),
        (
            "compressed-tensors",
            &[("weight_packed", I32, &[8, 2]), ("weight_scale", BF16, &[8, 1]), ("weight_shape", I64, &[2])],
        ),
        (
            "compressed-tensors",
            &[("weight_packed", U8, &[8, 8]), ("weight_scale", BF16, &[8, 1]), ("weight_global_scale", F32, &[1])],
        ),
        ("optimum-quanto", &[("weight._data", I8, &[8, 16]), ("weight._scale", BF16, &[8, 1])]),
        ("optimum-quanto", &[("weight._data._data", I8, &[8, 16]), ("weight._scale", BF16, &[8, 1])]),
        ("torchao", &[("weight_qdata", I8, &[8, 16]), ("weight_scale", F32, &[8])]),
        ("torchao", &[("_weight_qdata", I8, &[8, 16]), ("_weight_scale", F32, &[8]), ("_weight_zero_point", I8, &[8])]),
        ("HQQ", &[("W_q", U8, &[64]), ("scale", F16, &[8]), ("zero", F16, &[8])]),
        ("GPTQ or AWQ", &[("qweight", I32, &[2, 8]), ("qzeros", I32, &[1, 1]), ("scales", F16, &[1, 8])]),
        ("GPTQ", &[("qweight", I32, &[2, 8]), ("g_idx", I32, &[16]), ("scales", F16, &[1, 8])]),
        ("SVDQuant (Nunchaku)", &[("qweight", I8, &[8, 8]), ("wscales", BF16, &[8, 1]), ("proj_down", BF16, &[8, 4])]),
        ("bitsandbytes", &[("weight", U8, &[64, 1]), ("weight.absmax", F32, &[2]), ("weight.quant_map", F32, &[16])]),
        ("NF4 of bitsandbytes", &[("weight", U8, &[64, 1]), ("weight.quant_state.bitsandbytes__nf4", U8, &[9])]),
        ("8-bit integers of bitsandbytes", &[("weight", I8, &[8, 16]), ("SCB", F32, &[8])]),
        (
            "zero points",
            &[("weight", I8, &[8, 16]), ("weight_scale", F32, &[8, 1]), ("weight_zero_point", I8, &[8, 1])],
        ),
        ("MXFP4", &[("weight_blocks", U8, &[8, 1, 16]), ("weight_scales", U8, &[8, 1])]),
        ("I32 whose scales", &[("weight", I32, &[8, 2]), ("weight_scale", F32, &[8, 1])]),
        ("F8_E4M3 with weight_scales", &[("weight", Dtype::F8_E4M3, &[8, 16]), ("weight_scales", F32, &[8])]),
        ("F8_E4M3 with wscale", &[("weight", Dtype::F8_E4M3, &[8, 16]), ("wscale", F32, &[])]),
        ("F8_E4M3 with scale", &[("weight", Dtype::F8_E4M3, &[8, 16]), ("weight.scale", F32, &[])]),
        ("F8_E4M3 with Weight_Scale", &[("weight", Dtype::F8_E4M3, &[8, 16]), ("Weight_Scale", F32, &[])]),
        ("I8 with zeros", &[("weight", I8, &[8, 16]), ("weight_scale", F32, &[8, 1]), ("zeros", F32, &[8])]),
    ] {
        let error =
            TensorSet::open_file(&save(&file, &foreign(tensors), &[])).err().unwrap_or_else(|| panic!("{name}"));
        let said = error.to_string();
        assert!(matches!(error, WeightsError::UnreadFormat { .. }), "{name}: {said}");
        for part in
            ["w.safetensors", "quantised as", name, "attn1.to_q", "which is not read; take the same model in BF16"]
        {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert_eq!(said.matches("attn1.to_q").count(), 1, "{said}");
    }
}

#[test]
fn scales_of_weights_that_are_not_quantised_stay_what_they_are() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("w.safetensors");
    let tensors = foreign(&[
        ("weight", Dtype::BF16, &[8, 16]),
        ("scales", Dtype::BF16, &[8]),
        ("scale_shift_table", Dtype::F32, &[6]),
    ]);
    let set = TensorSet::open_file(&save(&file, &tensors, &[])).unwrap();
    assert_eq!(set.keys().count(), tensors.len());
    let report: LoadReport = ShapeOnly::new(Arc::new(set)).report();
    assert_eq!(report.unknown(), tensors.len(), "nothing asked for them");
}
