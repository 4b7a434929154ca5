//! Tests of whole generations whose frames a diffusion decoder draws: its noise goes on where the sampling's ended, whoever looks on;
//! what it needs is planned and counted, and what its file must have is said before a weight is read.
//!
//! Must not know layers.

#[path = "../../tests/common/mod.rs"]
mod recording;

use crate::{Engine, EngineOptions, Noise, PipelineError, PlanShape, decode_tiled, golden::GoldenCase, inspect};
use candle_core::Tensor;
use ltx_engine::{Axis, NoPreviews, Preview, PreviewSink, Run, TileSizes};
use ltx_nn::Taps;
use ltx_testkit::{data, tiny};
use ltx_types::{CancelToken, Generation, NoProgress, Part, Stage, Unit};
use ltx_weights::TensorSet;
use parking_lot::Mutex;
use recording::Recording;
use std::{
    fs,
    path::{Path, PathBuf},
};

const FILE: &str = "../tiny-2.5/ltx-2.5-tiny-video-vae.safetensors";

/// A case of LTX-2.5, with another decoder than its golden's.
fn case(vae: PathBuf) -> GoldenCase {
    let mut case = GoldenCase::open(&data("ltx25/i2v_gemma4")).unwrap();
    case.files.components = vec![vae];
    case
}

fn engine(options: EngineOptions) -> (Engine, Generation) {
    let case = case(tiny(FILE));
    (Engine::open(&case.files, options).unwrap(), case.request)
}

/// The frames of a run, as values, and its latent.
fn made(engine: &Engine, request: &Generation, previews: &dyn PreviewSink) -> (Vec<f32>, Tensor) {
    let cancel = CancelToken::new();
    ran(engine, request, &Run { previews, ..Run::quiet(&cancel) })
}

fn ran(engine: &Engine, request: &Generation, run: &Run<'_>) -> (Vec<f32>, Tensor) {
    let mut chunks = Vec::new();
    let each = |chunk| {
        chunks.push(chunk);
        Ok(())
    };
    let latent = engine.run(request, run, &Taps::off(), each).unwrap().latent;
    (values(&chunks), latent)
}

fn values(chunks: &[Tensor]) -> Vec<f32> {
    Tensor::cat(chunks, 2).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Wants every preview.
#[derive(Default)]
struct Shown(Mutex<Vec<Preview>>);

impl PreviewSink for Shown {
    fn wanted(&self) -> bool {
        true
    }

    fn show(&self, preview: Preview) {
        self.0.lock().push(preview);
    }
}

#[test]
fn frames_are_drawn_from_where_the_samplings_noise_ended() {
    let (engine, request) = engine(EngineOptions::default());
    assert!(engine.draws_frames());
    let (frames, latent) = made(&engine, &request, &NoPreviews);
    let (_, _, count, height, width) = latent.dims5().unwrap();
    assert_eq!(frames.len(), 3 * (8 * (count - 1) + 1) * 32 * height * 32 * width);
    let decoded = |noise: &mut Noise| {
        let mut chunks = Vec::new();
        let (fit, _) = engine.fitted(&PlanShape::of(&request, engine.prompts()));
        let decoder = engine.video_decoder(&fit).unwrap();
        decode_tiled(&decoder, &latent, &fit.tiles, noise, (&CancelToken::new(), &NoProgress), |chunk| {
            chunks.push(chunk);
            Ok(())
        })
        .unwrap();
        values(&chunks)
    };
    // One generator: first the noise of all tokens, which are the latent's elements, then the decoder's.
    let mut noise = Noise::new(request.seed);
    noise.draw(latent.elem_count());
    assert_eq!(decoded(&mut noise), frames);
    assert_ne!(decoded(&mut Noise::new(request.seed)), frames);
}

#[test]
fn a_clip_that_goes_on_from_any_latent_has_the_same_frames() {
    let (engine, request) = engine(EngineOptions::default());
    let frames = |store: &Recording| {
        let cancel = CancelToken::new();
        ran(&engine, &request, &Run { store, ..Run::quiet(&cancel) }).0
    };
    let store = Recording::default();
    let whole = frames(&store);
    let states = store.saved.into_inner().unwrap();
    assert!(states.len() > 1);
    for state in states {
        let at = state.steps_done;
        assert!(frames(&Recording { resume: Some(state), ..Recording::default() }) == whole, "from step {at}");
    }
}

#[test]
fn who_looks_on_changes_no_frame() {
    let (engine, request) = engine(EngineOptions::default());
    let shown = Shown::default();
    let (seen, _) = made(&engine, &request, &shown);
    assert_eq!(seen, made(&engine, &request, &NoPreviews).0);
    let previews = shown.0.into_inner();
    assert!(!previews.is_empty(), "none was made");
    let size = (previews[0].pixels.width, previews[0].pixels.height);
    assert_eq!(size, (request.pixels.width, request.pixels.height));
    assert_eq!(previews[0].rgb.len(), 3 * size.0 * size.1);
}

#[test]
fn tiles_share_what_the_decoder_sees_and_the_plan_counts_them() {
    let axis = |size, overlap| Axis { size, overlap };
    let small = TileSizes { frames: axis(16, 8), height: axis(64, 0), width: axis(64, 32) };
    let plan = |tiles| {
        let (engine, request) = engine(EngineOptions { tiles, ..EngineOptions::default() });
        let plan = engine.plan(&request);
        let decoding = plan.stages.iter().find(|need| need.stage == Stage::Decoding).unwrap().activations;
        (plan.decoding, decoding)
    };
    let ((usual, whole), (cut, less)) = (plan(None), plan(Some(small)));
    assert_eq!((usual.count, usual.tiles.frames, usual.tiles.width.size), (1, axis(80, 24), 768));
    assert!(cut.count > 1 && less < whole, "{} tiles, {less} of {whole} bytes", cut.count);
    // What was asked for shares no rows; the decoder needs 32 of them.
    assert_eq!(cut.tiles, TileSizes { height: axis(64, 32), ..small });
}

#[test]
fn its_work_is_counted_in_products_and_attention() {
    let (engine, request) = engine(EngineOptions::default());
    let shape = PlanShape::of(&request, engine.prompts());
    let work = engine.work(&request, &shape, false);
    let decoding = work.iter().find(|work| work.stage == Stage::Decoding).unwrap();
    let count = |of: &dyn Fn(&Unit) -> bool| -> u64 {
        let phases = decoding.phases.iter().flat_map(|phase| phase.work.counts());
        phases.filter(|(unit, _)| of(unit)).map(|(_, count)| count).sum()
    };
    let products = count(&|unit| matches!(unit, Unit::Product(_)));
    let attention = count(&|unit| *unit == Unit::Attention);
    assert!(attention > 1 << 20 && products > attention, "{attention} of attention, {products} of products");
    assert_eq!(count(&|unit| matches!(unit, Unit::Convolution(_) | Unit::FlatConvolution(_))), 0);
    // Every form that a product has can be measured.
    let recipes = engine.recipes(&shape);
    let forms = decoding.phases.iter().flat_map(|phase| phase.work.counts().map(|(unit, _)| unit.clone()));
    for form in forms.filter_map(|unit| if let Unit::Product(form) = unit { Some(form) } else { None }) {
        assert!(recipes.contains_key(&form), "{form}");
    }
}

/// The header of a file of weights.
type Header = serde_json::Map<String, serde_json::Value>;

/// The file with a changed header; what is added to it is as long as the last norm, and lies behind everything else.
fn spoilt(to: &Path, change: impl FnOnce(&mut Header)) -> PathBuf {
    let bytes = fs::read(tiny(FILE)).unwrap();
    let (length, rest) = bytes.split_at(8);
    let (text, data) = rest.split_at(u64::from_le_bytes(length.try_into().unwrap()) as usize);
    let mut header: Header = serde_json::from_slice(text).unwrap();
    let count = header.len();
    change(&mut header);
    let added: &[u8] = if header.len() > count { &[0; 64] } else { &[] };
    let header = serde_json::to_string(&header).unwrap();
    fs::write(to, [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data, added].concat()).unwrap();
    to.to_owned()
}

/// Adds a tensor like the last norm.
fn adds(name: &'static str) -> impl Fn(&mut Header) {
    move |header| {
        let end = header.values().filter_map(|entry| entry["data_offsets"][1].as_u64()).max().unwrap();
        let mut entry = header["decoder.norm_out.weight"].clone();
        entry["data_offsets"] = serde_json::json!([end, end + 64]);
        header.insert(name.to_owned(), entry);
    }
}

#[test]
fn every_key_of_its_file_is_accounted_for_and_others_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let found = inspect(&tiny(FILE)).unwrap();
    assert!(found.report.is_complete(), "{}", found.report);
    assert!(found.kind.ends_with("LTX-2.5 component"), "{}", found.kind);
    assert!(found.absent.contains(&Part::Transformer) && !found.absent.contains(&Part::VideoDecoder));
    let all = TensorSet::open_file(&tiny(FILE)).unwrap().keys().count() as u64;
    assert_eq!(found.report.used_total().tensors, all);
    let opened = |change: &dyn Fn(&mut Header)| {
        let file = spoilt(&folder.path().join("vae.safetensors"), change);
        Engine::open(&case(file).files, EngineOptions::default()).map(drop)
    };
    // The mark on keyframes, and what coarse previews are drawn with, are left on disk; a gate that is no part of its weights is not.
    opened(&adds("decoder.type_emb")).unwrap();
    opened(&adds("decoder.coarse_head.weight")).unwrap();
    let renamed = |header: &mut Header| {
        let entry = header.remove("decoder.diff_blocks.0.attn.qkv.bias").unwrap();
        header.insert("decoder.diff_blocks.0.attn.bias".to_owned(), entry);
    };
    let reshaped = |header: &mut Header| {
        header["decoder.diff_blocks.0.mlp.w_up.weight"]["shape"] = serde_json::json!([64, 64]);
    };
    let moving = |header: &mut Header| {
        let config = header["__metadata__"]["config"].as_str().unwrap().replace("\"x0\"", "\"v\"");
        header["__metadata__"]["config"] = config.into();
    };
    let silent = |header: &mut Header| drop(header.remove("__metadata__"));
    type Change<'a> = &'a dyn Fn(&mut Header);
    let cases: [(Change<'_>, &[&str]); 5] = [
        (&adds("decoder.diff_blocks.0.gate_msa"), &["unknown key vae.decoder.diff_blocks.0.gate_msa"]),
        (&renamed, &["missing key vae.decoder.diff_blocks.0.attn.qkv.bias"]),
        (&reshaped, &["vae.decoder.diff_blocks.0.mlp.w_up.weight", "[128, 32]"]),
        (&moving, &["model_output_type is \"v\", supported: \"x0\""]),
        (&silent, &["vae is absent"]),
    ];
    for (change, said) in cases {
        let error: PipelineError = opened(change).expect_err(said[0]);
        let found = ltx_types::causes(&error).map(|cause| cause.to_string()).collect::<Vec<_>>().join(": ");
        assert!(said.iter().all(|said| found.contains(said)), "{said:?}: {found}");
    }
}
