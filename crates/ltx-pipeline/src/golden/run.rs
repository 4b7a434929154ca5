//! Running a case.
//!
//! Must not know how verdicts are shown.

use super::{
    GoldenCase, GoldenError,
    compare::{Comparison, compare_all},
};
use crate::{Engine, EngineOptions, PipelineError};
use candle_core::{Device, Tensor};
use ltx_engine::Run;
use ltx_nn::Taps;
use ltx_types::Stages;
use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

/// Everything one case yields.
pub struct GoldenResult {
    /// Every tensor compared or required.
    pub comparisons: Vec<Comparison>,
    /// Everything computed, under the goldens' names.
    pub computed: HashMap<String, Tensor>,
}

impl GoldenResult {
    /// Whether every comparison holds.
    pub fn passes(&self) -> bool {
        !self.comparisons.is_empty() && self.comparisons.iter().all(Comparison::passes)
    }
}

/// Runs a case and compares.
///
/// # Errors
/// The case's tensors cannot be read, or the engine failed; a deviation is not an error but a failed comparison.
pub fn run_case(case: &GoldenCase, options: EngineOptions, run: &Run<'_>) -> Result<GoldenResult, GoldenError> {
    let expected = tensors_of(&case.folder)?;
    let tolerance = case.tolerance.of(options.compute.dtype);
    let text_slots = case.text_slots.unwrap_or(options.text_slots);
    let ancestral = Some(case.ancestral);
    let options = EngineOptions { ancestral, text_slots, decode_noise: case.decode_noise, ..options };
    let engine = Engine::open(&case.files, options)?;
    let taps = Taps::on();
    let mut chunks = Vec::new();
    engine.run(&case.request, run, &taps, |chunk| {
        chunks.push(chunk.to_device(&Device::Cpu)?);
        Ok(())
    })?;
    let mut computed = flatten_names(taps.into_tensors().map_err(PipelineError::from)?);
    let decoded = Tensor::cat(&chunks, 2).map_err(PipelineError::from)?;
    computed.insert("decoded_raw".to_owned(), decoded);
    let comparisons = compare_all(&computed, &expected, &required(case), tolerance);
    Ok(GoldenResult { comparisons, computed: computed.into_iter().collect() })
}

/// What the reference computed.
pub(super) fn tensors_of(folder: &Path) -> Result<BTreeMap<String, Tensor>, PipelineError> {
    let file = folder.join("tensors.safetensors");
    let tensors = candle_core::safetensors::load(&file, &Device::Cpu)
        .map_err(|source| PipelineError::Tensors { file, source: Box::new(source) })?;
    Ok(tensors.into_iter().collect())
}

/// The connector's RoPE is the same for every prompt; the goldens hold it once.
fn flatten_names(mut computed: BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor> {
    for part in ["cos", "sin"] {
        if let Some(table) = computed.remove(&format!("text.pos.connector_rope_{part}")) {
            computed.insert(format!("text.connector_rope_{part}"), table);
        }
        computed.remove(&format!("text.neg.connector_rope_{part}"));
    }
    computed
}

/// Names without which a case proves nothing.
fn required(case: &GoldenCase) -> Vec<String> {
    let request = &case.request;
    let mut names = vec!["decoded_raw".to_owned()];
    for prompt in ["pos"].into_iter().chain(request.uses_cfg().then_some("neg")) {
        names.extend(["input_ids", "video_context"].map(|name| format!("text.{prompt}.{name}")));
    }
    let stages = if request.stages == Stages::Two { 2 } else { 1 };
    for stage in 1..=stages {
        let of_stage = ["noise_tokens", "positions", "denoise_mask", "denoised.step0", "final_latent"];
        names.extend(of_stage.map(|name| format!("stage{stage}.{name}")));
        for image in 0..request.images.len() {
            names.extend(["pixels", "latent"].map(|name| format!("stage{stage}.image{image}.{name}")));
        }
    }
    if stages == 2 {
        names.push("stage2.upsampled_latent".to_owned());
    }
    names
}
