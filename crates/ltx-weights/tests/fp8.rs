//! fp8 safetensors: plain, scaled under either name, mixed up, and damaged.

use candle_core::{DType, Device, Tensor};
use ltx_nn::{Compute, Linear, Vb, matrix::Form, relative_l2};
use ltx_testkit::fuzz::{Verdict, campaign_of, damaged, edits};
use ltx_types::Part;
use ltx_weights::{KeyProblem, ShapeOnly, Stored, TensorSet, WeightsError};
use safetensors::{Dtype, serialize_to_file, tensor::TensorView};
use std::{collections::HashMap, fs, path::Path, sync::Arc};

fn save(path: &Path, tensors: &[(&str, Tensor)]) {
    let tensors: HashMap<&str, Tensor> = tensors.iter().cloned().collect();
    candle_core::safetensors::save(&tensors, path).unwrap();
}

/// A matrix [8, 64] in fp8, and the values it holds.
fn fp8() -> (Tensor, Tensor) {
    let stored = Tensor::randn(0f32, 3f32, (8, 64), &Device::Cpu).unwrap().to_dtype(DType::F8E4M3).unwrap();
    let values = stored.to_dtype(DType::F32).unwrap();
    (stored, values)
}

fn number(value: f32) -> Tensor {
    Tensor::new(value, &Device::Cpu).unwrap()
}

fn vb(file: &Path) -> Vb {
    Vb::new(Arc::new(Stored(Arc::new(TensorSet::open_file(file).unwrap()))), Compute::cpu_f32())
}

#[test]
fn a_layer_computes_what_the_same_values_in_f32_give() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("w.safetensors");
    let (stored, values) = fp8();
    let x = Tensor::randn(0f32, 1f32, (5, 64), &Device::Cpu).unwrap();
    let bias = Tensor::randn(0f32, 1f32, 8, &Device::Cpu).unwrap();
    let scale = 0.037f32;
    let half = |value: f32, dtype| number(value).to_dtype(dtype).unwrap();
    for (name, found, factor) in [
        ("none", None, 1.0),
        ("l.weight_scale", Some(number(scale)), scale),
        ("l.scale_weight", Some(number(scale).reshape(1).unwrap()), scale),
        ("l.weight_scale", Some(half(0.25, DType::BF16)), 0.25),
        ("l.scale_weight", Some(half(0.5, DType::F16)), 0.5),
    ] {
        let mut tensors = vec![("l.weight", stored.clone()), ("l.bias", bias.clone())];
        tensors.extend(found.map(|scale| (name, scale)));
        if name == "l.weight_scale" {
            tensors.push(("l.input_scale", number(0.5)));
        }
        if name == "l.scale_weight" {
            tensors.extend([("l.scale_input", number(0.5)), ("scaled_fp8", stored.narrow(0, 0, 1).unwrap())]);
        }
        save(&file, &tensors);
        let vb = vb(&file).pp("l");
        assert!(matches!(vb.matrix("weight", [8, 64]).unwrap().form(), Form::Packed(_)), "{name}");
        let wide = (&values * f64::from(factor)).unwrap();
        let expected = x.matmul(&wide.t().unwrap()).unwrap().broadcast_add(&bias).unwrap();
        let found = Linear::load(&vb, 64, 8).unwrap().forward(&x).unwrap();
        let error = relative_l2(&found, &expected).unwrap();
        assert!(error < 1e-6, "{name}: {error:e}");
        let error = relative_l2(&vb.tensor("weight", [8, 64]).unwrap(), &wide).unwrap();
        assert!(error < 1e-7, "{name}: {error:e}");
        assert_eq!(vb.rows("weight", [8, 64], &[7]).unwrap().dims(), [1, 64]);
    }
}

#[test]
fn scales_are_accounted_for_and_orphans_are_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("w.safetensors");
    let (stored, values) = fp8();
    save(
        &file,
        &[
            ("l.weight", stored),
            ("l.weight_scale", number(2.0)),
            ("l.input_scale", number(2.0)),
            ("m.weight", values),
            ("m.weight_scale", number(2.0)),
        ],
    );
    let source = ShapeOnly::new(Arc::new(TensorSet::open_file(&file).unwrap()));
    let vb = Vb::new(source.part(Part::Transformer), Compute::cpu_f32());
    Linear::load_with(&vb.pp("l"), 64, 8, false).unwrap();
    Linear::load_with(&vb.pp("m"), 64, 8, false).unwrap();
    let report = source.report();
    assert_eq!((report.total.tensors, report.scales.tensors, report.used[&Part::Transformer].tensors), (5, 2, 2));
    assert_eq!(
        (report.packed[&Part::Transformer].bytes, report.stored[&Part::Transformer]["F8_E4M3"].tensors),
        (512, 1)
    );
    assert_eq!(report.problems, [KeyProblem::Unknown { key: "m.weight_scale".into() }]);
}

#[test]
fn a_scale_that_is_missing_or_none_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("w.safetensors");
    let (stored, _) = fp8();
    let refused = |tensors: &[(&str, Tensor)]| {
        save(&file, tensors);
        let error = TensorSet::open_file(&file).err().unwrap();
        assert!(error.to_string().contains("w.safetensors"), "{error}");
        error
    };
    let scaled = [("a.weight", stored.clone()), ("a.weight_scale", number(1.0)), ("b.weight", stored.clone())];
    assert!(matches!(refused(&scaled), WeightsError::MissingScale { key, .. } if key == "b.weight"));
    let marked = [("a.weight", stored.clone()), ("scaled_fp8", stored.clone())];
    assert!(matches!(refused(&marked), WeightsError::MissingScale { key, .. } if key == "a.weight"));
    for (scale, said) in [
        (number(f32::NAN), "NaN"),
        (number(f32::INFINITY), "inf"),
        (Tensor::zeros(7, DType::F32, &Device::Cpu).unwrap(), "[7]"),
        (Tensor::new(1i64, &Device::Cpu).unwrap(), "I64"),
    ] {
        let error = refused(&[("a.weight", stored.clone()), ("a.scale_weight", scale)]);
        assert!(matches!(&error, WeightsError::BadScale { key, .. } if key == "a.scale_weight"), "{error}");
        assert!(error.to_string().contains(said), "{error}");
    }
}

#[test]
fn a_statement_that_contradicts_its_tensors_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("w.safetensors");
    let (stored, _) = fp8();
    let open = |fields: &str, scale: Tensor| {
        let stated = format!(r#"{{"format": "float8_e4m3fn", {fields}}}"#);
        let stated = Tensor::from_vec(stated.clone().into_bytes(), stated.len(), &Device::Cpu).unwrap();
        save(&file, &[("a.weight", stored.clone()), ("a.weight_scale", scale), ("a.comfy_quant", stated)]);
        TensorSet::open_file(&file).map(drop)
    };
    let one_a_row = || Tensor::ones((8, 1), DType::F32, &Device::Cpu).unwrap();
    open(r#""per_row": true"#, one_a_row()).unwrap();
    open(r#""per_row": false"#, number(0.5)).unwrap();
    let two_a_row = || Tensor::ones((8, 2), DType::F32, &Device::Cpu).unwrap();
    open(r#""group_size": 32"#, two_a_row()).unwrap();
    open(r#""group_size": 32, "per_row": false"#, two_a_row()).unwrap();
    open(r#""group_size": 64, "orig_shape": [8, 64]"#, number(0.5)).unwrap();
    for (fields, scale, said) in [
        (r#""group_size": 16"#, two_a_row(), "a scale for every 16, as group_size states"),
        (r#""group_size": 32"#, number(0.5), "a scale for every 32, as group_size states"),
        (r#""orig_shape": [8, 63]"#, number(0.5), "orig_shape [8, 63]"),
        (r#""per_row": true"#, number(0.5), "one for every row, as per_row true states"),
        (r#""per_row": true"#, two_a_row(), "one for every row, as per_row true states"),
        (r#""per_row": false"#, one_a_row(), "no such, as per_row false states"),
        (r#""orig_shape": [8, 64, 1]"#, two_a_row(), "orig_shape [8, 64, 1]"),
    ] {
        let error = open(fields, scale).unwrap_err();
        assert!(matches!(&error, WeightsError::Quantisation { key, .. } if key == "a.weight"), "{error}");
        assert!(error.to_string().contains(said) && error.to_string().contains("w.safetensors"), "{error}");
    }
}

#[test]
fn scales_are_shared_as_the_formats_name_says_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("w.safetensors");
    let ones = |shape: &[usize]| Tensor::ones(shape, DType::F32, &Device::Cpu).unwrap();
    let open = |format: &str, scale: &[usize]| {
        let values = if format.starts_with("int8") { Dtype::I8 } else { Dtype::F8_E4M3 };
        let (weight, scales) = (vec![1; 64 * 64], ones(scale).flatten_all().unwrap().to_vec1::<f32>().unwrap());
        let scales: Vec<u8> = scales.into_iter().flat_map(f32::to_le_bytes).collect();
        let stated = format!(r#"{{"format": "{format}"}}"#).into_bytes();
        let view = |dtype, shape: &[usize], bytes| TensorView::new(dtype, shape.to_vec(), bytes).unwrap();
        let tensors = [
            ("a.weight", view(values, &[64, 64], &weight)),
            ("a.weight_scale", view(Dtype::F32, scale, &scales)),
            ("a.comfy_quant", view(Dtype::U8, &[stated.len()], &stated)),
        ];
        serialize_to_file(tensors, None, &file).unwrap();
        TensorSet::open_file(&file)
    };
    let (one, rows, of_rows, squares, bands) = (&[][..], &[64, 1][..], &[64, 2, 1][..], &[2, 2][..], &[4, 1][..]);
    for (format, fitting) in [
        ("float8_e4m3fn_tensorwise", &[one][..]),
        ("float8_e4m3fn_rowwise", &[rows]),
        ("float8_e4m3fn_blockwise", &[one, squares]),
        ("float8_e4m3fn_block3d", &[rows, of_rows]),
        ("int8_tensorwise", &[one, rows]),
        ("int8_rowwise", &[rows]),
        ("int8_blockwise", &[one, squares]),
    ] {
        for scale in [one, rows, of_rows, squares, bands] {
            let opened = open(format, scale);
            if fitting.contains(&scale) {
                assert_eq!(opened.unwrap().check_entries().unwrap(), [] as [&str; 0], "{format} {scale:?}");
                continue;
            }
            let error = opened.err().unwrap_or_else(|| panic!("{format} {scale:?}"));
            assert!(matches!(&error, WeightsError::Quantisation { key, .. } if key == "a.weight"), "{error}");
            let said = error.to_string();
            for part in ["w.safetensors", "a.weight_scale", &format!("{scale:?}"), &format!("as {format} states")] {
                assert!(said.contains(part), "{part}: {said}");
            }
        }
    }
    // A name that does not say it leaves it to the shape, which is said.
    assert_eq!(open("float8_e4m3fn", one).unwrap().check_entries().unwrap(), [] as [&str; 0]);
    for scale in [rows, of_rows, squares, bands] {
        let notes = open("float8_e4m3fn", scale).unwrap().check_entries().unwrap();
        assert_eq!(notes.len(), 1, "{notes:?}");
        for part in ["w.safetensors", "float8_e4m3fn", "a.weight_scale", &format!("{scale:?}"), "(1 in all)"] {
            assert!(notes[0].contains(part), "{part}: {notes:?}");
        }
    }
}

#[test]
fn what_stands_beside_a_scaled_weight_agrees_with_it_or_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("w.safetensors");
    let (stored, _) = fp8();
    let open = |more: &[(&str, Tensor)]| {
        let scaled = [("a.weight", stored.clone()), ("a.weight_scale", number(0.5))];
        save(&file, &[&scaled[..], more].concat());
        TensorSet::open_file(&file).map(drop)
    };
    open(&[("a.input_scale", number(2.0)), ("scaled_fp8", stored.narrow(0, 0, 1).unwrap())]).unwrap();
    let rowwise = br#"{"format": "float8_e4m3fn_rowwise"}"#.to_vec();
    let length = rowwise.len();
    let error = open(&[("a.comfy_quant", Tensor::from_vec(rowwise, length, &Device::Cpu).unwrap())]).unwrap_err();
    assert!(error.to_string().contains("one for every row, as float8_e4m3fn_rowwise states"), "{error}");
}

#[test]
fn a_mark_of_another_type_than_the_weights_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("w.safetensors");
    let zeros = [0; 4];
    let open = |mark: &str, of_mark: Dtype, of_weight: Dtype| {
        let view = |dtype: Dtype, shape: &[usize], bytes: usize| {
            TensorView::new(dtype, shape.to_vec(), &zeros[..bytes]).unwrap()
        };
        let tensors = [
            ("m.a.weight", view(of_weight, &[2, 2], 4)),
            ("m.a.weight_scale", view(Dtype::F32, &[], 4)),
            (mark, view(of_mark, &[1], of_mark.bitsize() / 8)),
        ];
        serialize_to_file(tensors, None, &file).unwrap();
        TensorSet::open_file(&file).map(drop)
    };
    for mark in ["scaled_fp8", "m.scaled_fp8"] {
        for (of_mark, of_weight) in
            [(Dtype::F8_E4M3, Dtype::F8_E4M3), (Dtype::F8_E5M2, Dtype::F8_E5M2), (Dtype::F32, Dtype::F8_E4M3)]
        {
            open(mark, of_mark, of_weight).unwrap();
        }
        for (of_mark, of_weight) in [(Dtype::F8_E5M2, Dtype::F8_E4M3), (Dtype::F8_E4M3, Dtype::F8_E5M2)] {
            let error = open(mark, of_mark, of_weight).unwrap_err();
            assert!(matches!(&error, WeightsError::Quantisation { key, .. } if key == mark), "{error}");
            assert!(error.to_string().contains("the type of m.a.weight"), "{error}");
        }
    }
    open("other.scaled_fp8", Dtype::F8_E5M2, Dtype::F8_E4M3).unwrap();
}

#[test]
fn fuzz_fp8() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("w.safetensors");
    let (stored, _) = fp8();
    let small = stored.narrow(0, 0, 2).unwrap();
    save(
        &file,
        &[("a.weight", small.clone()), ("a.weight_scale", number(0.5)), ("a.input_scale", number(1.0)), ("b", small)],
    );
    let whole = fs::read(&file).unwrap();
    campaign_of(10_000, "weights: damaged fp8 files", &edits(4), |edits| {
        fs::write(&file, damaged(whole.clone(), &edits)).unwrap();
        let opened = TensorSet::open_file(&file);
        if let Ok(set) = &opened {
            let keys: Vec<(String, Vec<usize>)> =
                set.keys().filter_map(|key| Some((key.to_owned(), set.shape_of(key)?.to_vec()))).collect();
            let vb = vb(&file);
            for (key, shape) in keys {
                let _ = vb.tensor(&key, &shape);
                if let [outputs, inputs] = shape[..] {
                    let _ = vb.matrix(&key, [outputs, inputs]);
                }
            }
        } else if let Err(error) = &opened {
            assert!(error.to_string().contains("w.safetensors"), "{error}");
        }
        Verdict::of(&opened)
    });
}
