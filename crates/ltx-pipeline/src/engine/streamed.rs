//! Tests of whole generations whose layers pass through a staging, with a carrier that copies on the CPU: the same clip
//! whatever stays, and nothing wrong after a run that was cancelled.
//!
//! Must not know how a GPU copies.

use crate::{Engine, EngineOptions, PipelineError, golden::GoldenCase, quantize};
use candle_core::{Device, Tensor};
use ltx_engine::{MemoryBudget, Run};
use ltx_nn::{Carrier, Level, Taps};
use ltx_testkit::{Ledger, LedgerCarrier, assert_close, data};
use ltx_types::{CancelToken, Generation, ModelFiles, NoProgress, Progress, ProgressSink, Stage};
use ltx_weights::QuantizeType;
use std::sync::LazyLock;

/// What the carriers of one test did; the other tests' write elsewhere.
static LEDGER: LazyLock<Ledger> = LazyLock::new(Ledger::default);

fn noted(_: &Device) -> ltx_nn::Result<Option<Box<dyn Carrier>>> {
    Ok(Some(Box::new(LedgerCarrier::new(LEDGER.clone(), usize::MAX))))
}

fn unnoted(_: &Device) -> ltx_nn::Result<Option<Box<dyn Carrier>>> {
    Ok(Some(Box::new(LedgerCarrier::new(Ledger::default(), usize::MAX))))
}

fn case() -> GoldenCase {
    GoldenCase::open(&data("i2v_distilled")).unwrap()
}

fn streamed(files: &ModelFiles, host_bytes: u64, resident_bytes: u64) -> Engine {
    let memory = Some(MemoryBudget { bytes: 0, firm: false });
    let options = EngineOptions { memory, host_bytes, resident_bytes, ..EngineOptions::default() };
    Engine::open(files, options).unwrap()
}

fn latent(
    engine: &Engine,
    request: &Generation,
    cancel: &CancelToken,
    progress: &dyn ProgressSink,
) -> crate::Result<Tensor> {
    let run = Run { progress, ..Run::quiet(cancel) };
    engine.run(request, &run, &Taps::off(), |_| Ok(())).map(|ran| ran.latent)
}

/// Weights that a staging made dense are multiplied in f32; on AMX the plain engine has activations of 17 bits.
fn near() -> f64 {
    if Level::widest().has_tiles() { 1e-4 } else { 1e-5 }
}

#[test]
fn layers_that_pass_through_a_staging_make_the_same_clip() {
    let (mut case, never) = (case(), CancelToken::new());
    let folder = tempfile::tempdir().unwrap();
    let packed = folder.path().join("model.gguf");
    quantize(&[case.files.checkpoint.clone()], &packed, (QuantizeType::Q8_0, vec![]), &never, |_, _| {}).unwrap();
    for checkpoint in [case.files.checkpoint.clone(), packed] {
        case.files.checkpoint = checkpoint;
        let plain = Engine::open(&case.files, EngineOptions::default()).unwrap();
        let expected = latent(&plain, &case.request, &never, &NoProgress).unwrap();
        let mut first: Option<Vec<f32>> = None;
        for host_bytes in [0, 100_000, u64::MAX] {
            let engine = streamed(&case.files, host_bytes, 0).carried_by(unnoted);
            let found = latent(&engine, &case.request, &never, &NoProgress).unwrap();
            assert_close(&format!("{host_bytes}"), &found, &expected, near());
            let found = found.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(&found, first.get_or_insert_with(|| found.clone()), "kept or read again: the same bytes");
        }
    }
}

/// Cancels in the middle of the denoising.
struct CancelWhileDenoising<'a>(&'a CancelToken);

impl ProgressSink for CancelWhileDenoising<'_> {
    fn report(&self, progress: Progress) {
        if progress.stage == Stage::Denoising && progress.done == 1 {
            self.0.cancel();
        }
    }
}

#[test]
fn after_a_cancelled_run_an_engine_goes_on_with_what_it_pinned() {
    let (case, never) = (case(), CancelToken::new());
    let plain = Engine::open(&case.files, EngineOptions::default()).unwrap();
    let expected = latent(&plain, &case.request, &never, &NoProgress).unwrap();
    let engine = streamed(&case.files, u64::MAX, 1).carried_by(noted);
    let cancel = CancelToken::new();
    let cancelled = latent(&engine, &case.request, &cancel, &CancelWhileDenoising(&cancel));
    assert!(matches!(cancelled, Err(PipelineError::Cancelled(_))));
    let count = |entries: &[String], of: &str| entries.iter().filter(|entry| *entry == of).count();
    let begun = LEDGER.take();
    let loaded = begun.iter().filter(|entry| entry.starts_with("arrival")).count();
    assert_eq!(count(&begun, "give back"), loaded, "every layer that was loaded was given back");
    assert!(count(&begun, "pin") > 0);
    // The language model and the blocks are pinned by now, all of what the first step needed; the connector never is.
    assert_close("after", &latent(&engine, &case.request, &never, &NoProgress).unwrap(), &expected, near());
    let again = LEDGER.take();
    assert_eq!(count(&again, "pin"), 0, "nothing is read and pinned a second time");
    assert!(count(&again, "copy") > count(&begun, "copy"));
}
