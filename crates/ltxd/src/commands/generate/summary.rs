//! What `generate` says before and after.
//!
//! Must not know how it came about.

use super::clip::Files;
use crate::{forecast::Forecast, human::human, memory};
use ltx_engine::{MemoryPlan, Outcome};
use ltx_policy::{ModelIdentity, UsageMark};
use ltx_provenance::Sealed;
use ltx_types::{Generation, Guidance, LoraChoice, PassGuidance, Stage, Stages};
use ltx_weights::{Idle, LoraReport};
use serde_json::{Value, json};

/// One line before the work begins, the plan, and a warning when the memory at hand will not do.
pub(super) fn intent(
    request: &Generation,
    model: &ModelIdentity,
    (plan, forecast): (&MemoryPlan, Option<&Forecast>),
) -> String {
    let peak = plan.peak();
    let available = ltx_jobs::memory::available_bytes().filter(|_| !plan.gpu);
    let short = match available {
        Some(available) if available < peak => {
            format!(
                "\nwarning: only {} of memory are available; a smaller size or fewer frames need less",
                human(available)
            )
        }
        _ => String::new(),
    };
    let time = forecast.map(|forecast| format!("\n{}", forecast.text())).unwrap_or_default();
    format!(
        "{}: {} frames of {} at {} fps with {} ({}), {}, {} stage(s), seed {}\n{}{short}{time}",
        request.method,
        request.frames.get(),
        request.pixels,
        request.rate,
        model.name,
        model.version,
        schedule(request),
        request.stages.count(),
        request.seed,
        memory::table(plan)
    )
}

/// A LoRA file that was named, and why it changes nothing, if it does not.
pub(super) struct LoraAccount {
    choice: LoraChoice,
    idle: Option<String>,
}

impl LoraAccount {
    /// Of every file that was named, from the accounts of those that were opened.
    pub(super) fn of(named: &[LoraChoice], opened: &[LoraReport], stages: Stages) -> Vec<Self> {
        let account = |choice: &LoraChoice| {
            let LoraChoice { path, strengths, name, .. } = choice;
            // What is listed by name may have other strengths in a request.
            let is_of = |report: &&LoraReport| {
                report.file == *path && report.name == *name && (name.is_some() || report.strengths() == *strengths)
            };
            let idle = opened.iter().find(is_of).and_then(|report| report.idle);
            let idle = idle.or_else(|| (name.is_some() && strengths.are_nought()).then_some(Idle::StrengthNought));
            let idle = idle.map(|idle| idle.to_string());
            let later = choice.is_of_second_stage() && stages == Stages::One;
            let idle = if later { Some("it counts in the second stage only, and there is one".into()) } else { idle };
            Self { choice: choice.clone(), idle }
        };
        named.iter().map(account).collect()
    }

    /// That it changes nothing.
    pub(super) fn warning(&self) -> Option<String> {
        let path = self.choice.path.display();
        self.idle.as_ref().map(|idle| format!("warning: the LoRA {path} changes nothing: {idle}"))
    }

    fn json(&self) -> Value {
        let LoraChoice { path, strengths, .. } = &self.choice;
        json!({
            "name": self.choice.name,
            "file": path,
            "strength": strengths.first,
            "stage_2_strength": strengths.second,
            "changes_nothing": self.idle,
        })
    }
}

/// The schedule in words; the sigmas of one's own beside it.
fn schedule(request: &Generation) -> String {
    let named = match request.flow {
        Some(flow) => format!("flow {flow}, {} schedule", request.schedule),
        None => format!("{} schedule", request.schedule),
    };
    request.sigmas.as_ref().map_or(named.clone(), |list| format!("{named} with sigmas {list}"))
}

/// Everything a finished run can tell.
pub(super) struct Summary<'a> {
    pub(super) files: &'a Files,
    pub(super) loras: &'a [LoraAccount],
    pub(super) request: &'a Generation,
    pub(super) mark: &'a UsageMark,
    pub(super) outcome: &'a Outcome,
    pub(super) sealed: Option<Sealed>,
    pub(super) plan: &'a MemoryPlan,
    pub(super) forecast: Option<&'a Forecast>,
    pub(super) peak_rss_bytes: Option<u64>,
    pub(super) stage_peaks: Vec<(Stage, u64)>,
    pub(super) total_seconds: f64,
}

impl Summary<'_> {
    pub(super) fn json(&self) -> Value {
        let request = self.request;
        let seconds: serde_json::Map<String, Value> =
            self.outcome.seconds.iter().map(|s| (s.stage.label().to_owned(), json!(s.seconds))).collect();
        let peaks: serde_json::Map<String, Value> =
            self.stage_peaks.iter().map(|(stage, bytes)| (stage.label().to_owned(), json!(bytes))).collect();
        json!({
            "output": self.files.out,
            "frames_dir": self.files.frames_dir,
            "method": request.method,
            "width": request.pixels.width,
            "height": request.pixels.height,
            "frames": self.outcome.frames,
            "fps": request.rate.fps(),
            "seed": request.seed,
            "flow": request.flow,
            "schedule": request.schedule,
            "stages": request.stages,
            "steps": request.steps,
            "sigmas": request.sigmas,
            "refine_sigmas": request.refine_sigmas,
            "guidance": request.guidance.as_ref().map(|g: &Guidance| json!(g)),
            "pass_guidance": request.pass_guidance.as_ref().map(|g: &PassGuidance| json!(g)),
            "conditioning": request.conditioning,
            "image_crf": request.image_crf.get().unwrap_or(0),
            "loras": self.loras.iter().map(LoraAccount::json).collect::<Vec<_>>(),
            "mark": self.mark,
            "provenance": self.sealed,
            "seconds": seconds,
            "contexts": self.outcome.contexts,
            "image_latents": self.outcome.images,
            "total_seconds": self.total_seconds,
            "plan": memory::as_json(self.plan),
            "forecast": self.forecast.map(Forecast::json),
            "planned_peak_bytes": self.plan.peak(),
            "peak_rss_bytes": self.peak_rss_bytes,
            "peak_rss_bytes_by_stage": peaks,
            "latent_sha256": self.outcome.latent_sha256,
            "frames_sha256": self.outcome.frames_sha256,
        })
    }

    pub(super) fn text(&self) -> String {
        let stages: Vec<_> =
            self.outcome.seconds.iter().map(|s| format!("{} {:.1} s", s.stage.label(), s.seconds)).collect();
        let peak = self.peak_rss_bytes.map_or_else(|| "unknown".to_owned(), human);
        format!(
            "{}: {} frames in {:.1} s ({}); peak memory {}{peak}, planned {}{}",
            self.files.out.display(),
            self.outcome.frames,
            self.total_seconds,
            stages.join(", "),
            if self.plan.gpu { "of the process " } else { "" },
            if self.plan.gpu { "of the GPU " } else { "" },
            human(self.plan.peak())
        )
    }
}
