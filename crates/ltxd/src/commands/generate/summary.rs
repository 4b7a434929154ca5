//! What `generate` says before and after.
//!
//! Must not know how it came about.

use super::Arguments;
use crate::human::human;
use ltx_pipeline::Outcome;
use ltx_policy::{ModelIdentity, UsageMark};
use ltx_types::{Generation, Guidance};
use ltx_weights::LoraChoice;
use serde_json::{Value, json};

/// One line before the work begins, and a second one when the memory at hand will not do.
pub(super) fn intent(request: &Generation, model: &ModelIdentity, peak: u64) -> String {
    let short = match ltx_jobs::memory::available_bytes() {
        Some(available) if available < peak => {
            format!(
                "\nwarning: only {} of memory are available; a smaller size or fewer frames need less",
                human(available)
            )
        }
        _ => String::new(),
    };
    format!(
        "{}: {} frames of {} at {} fps with {} ({}), {} schedule, {} stage(s), seed {}; weights and activations need about {}{short}",
        request.method,
        request.frames.get(),
        request.pixels,
        request.rate,
        model.name,
        model.version,
        request.schedule,
        request.stages.count(),
        request.seed,
        human(peak)
    )
}

/// Everything a finished run can tell.
pub(super) struct Summary<'a> {
    pub(super) arguments: &'a Arguments,
    pub(super) loras: &'a [LoraChoice],
    pub(super) request: &'a Generation,
    pub(super) mark: &'a UsageMark,
    pub(super) outcome: &'a Outcome,
    pub(super) planned_peak_bytes: u64,
    pub(super) peak_rss_bytes: Option<u64>,
    pub(super) total_seconds: f64,
}

impl Summary<'_> {
    pub(super) fn json(&self) -> Value {
        let request = self.request;
        let seconds: serde_json::Map<String, Value> =
            self.outcome.seconds.iter().map(|s| (s.stage.label().to_owned(), json!(s.seconds))).collect();
        json!({
            "output": self.arguments.out,
            "frames_dir": self.arguments.frames_dir,
            "method": request.method,
            "width": request.pixels.width,
            "height": request.pixels.height,
            "frames": self.outcome.frames,
            "fps": request.rate.fps(),
            "seed": request.seed,
            "schedule": request.schedule,
            "stages": request.stages,
            "steps": request.guidance.as_ref().map(|_| request.steps),
            "guidance": request.guidance.as_ref().map(|g: &Guidance| json!(g)),
            "conditioning": request.conditioning,
            "image_crf": request.image_crf.get().unwrap_or(0),
            "loras": self.loras.iter().map(|lora| json!({"file": lora.path, "strength": lora.strength})).collect::<Vec<_>>(),
            "mark": self.mark,
            "seconds": seconds,
            "total_seconds": self.total_seconds,
            "planned_peak_bytes": self.planned_peak_bytes,
            "peak_rss_bytes": self.peak_rss_bytes,
            "latent_sha256": self.outcome.latent_sha256,
            "frames_sha256": self.outcome.frames_sha256,
        })
    }

    pub(super) fn text(&self) -> String {
        let stages: Vec<_> =
            self.outcome.seconds.iter().map(|s| format!("{} {:.1} s", s.stage.label(), s.seconds)).collect();
        let peak = self.peak_rss_bytes.map_or_else(|| "unknown".to_owned(), human);
        format!(
            "{}: {} frames in {:.1} s ({}); peak memory {peak}",
            self.arguments.out.display(),
            self.outcome.frames,
            self.total_seconds,
            stages.join(", ")
        )
    }
}
