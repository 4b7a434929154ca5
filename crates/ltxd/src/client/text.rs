//! Messages for people: `get`, `list`, `node` and `check` without `--json`.
//!
//! Must not know how they were asked for.

use super::words;
use crate::human::human;
use ltx_proto::v1::{Batch, CheckEligibilityResponse, Estimate, Fidelity, Generation, GenerationState, Node};
use std::fmt::Write;

/// Lines of a name and a value.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, name: &str, value: impl std::fmt::Display) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{name:<12} {value}");
    }

    fn add_some(&mut self, name: &str, value: Option<impl std::fmt::Display>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }

    fn done(self) -> String {
        self.0.trim_end().to_owned()
    }
}

/// Everything about one generation.
pub(crate) fn generation(generation: &Generation) -> String {
    let spec = generation.spec.clone().unwrap_or_default();
    let mut lines = Lines::default();
    lines.add("id", &generation.id);
    lines.add_some(
        "batch",
        generation.batch.as_ref().map(|Batch { id, index, size }| format!("{} of {size}, {id}", index + 1)),
    );
    lines.add("state", standing(generation));
    lines.add("method", format!("{}, {}", words::method(generation.method()), spec.model));
    lines.add("prompt", &spec.prompt);
    lines.add("clip", format!("{}, seed {}", shape(generation), spec.seed.unwrap_or_default()));
    lines.add_some("created", generation.created.as_ref());
    lines.add_some("started", generation.started.as_ref());
    lines.add_some("ended", generation.ended.as_ref());
    if generation.resumptions > 0 {
        lines.add("resumed", format!("{} times", generation.resumptions));
    }
    for (name, resources) in [("predicted", &generation.predicted), ("measured", &generation.measured)] {
        lines.add_some(
            name,
            resources.as_ref().map(|resources| match resources.seconds {
                0.0 => format!("{}, time not known yet", human(resources.peak_memory_bytes)),
                taken => format!("{}, {}", human(resources.peak_memory_bytes), words::seconds(taken)),
            }),
        );
    }
    if let Some(mark) = &generation.mark {
        let class = words::usage_class(mark.usage_class());
        lines.add(
            "mark",
            format!("{class}, {} credits charged, {} by {}", mark.credits_charged, mark.model, mark.engine),
        );
        lines.add("frames", format!("SHA-256 {}", mark.frames_sha256));
    }
    let kept = |kept: &Fidelity| format!("PSNR {:.1} dB, SSIM {:.3} against its image", kept.psnr_db, kept.ssim);
    lines.add_some("first frame", generation.first_frame.as_ref().map(kept));
    lines.add_some("last frame", generation.last_frame.as_ref().map(kept));
    for file in &generation.outputs {
        lines.add(&words::output(file.output()), format!("{}, {}", file.file_name, human(file.total_bytes)));
    }
    lines.add_some("kept until", generation.outputs_expire.as_ref());
    if let Some(failure) = &generation.failure {
        let again = if failure.retryable { "; the same request may succeed when made again" } else { "" };
        lines.add("failure", format!("{}: {}{again}", words::failure(failure.reason()), failure.message));
    }
    lines.done()
}

/// State, with place or step.
fn standing(generation: &Generation) -> String {
    let state = words::state(generation.state());
    match (generation.state(), generation.queue_position, &generation.progress) {
        (GenerationState::Queued, Some(position), _) => format!("{state}, {position} before it"),
        (GenerationState::Running, _, Some(progress)) => {
            format!("{state}, {} {}/{}", words::stage(progress.stage()), progress.step, progress.steps)
        }
        _ => state,
    }
}

fn shape(generation: &Generation) -> String {
    let spec = generation.spec.clone().unwrap_or_default();
    let (width, height) = (spec.width.unwrap_or_default(), spec.height.unwrap_or_default());
    format!("{width}x{height}, {} frames", spec.frames.unwrap_or_default())
}

/// The heading of [`row`].
pub(crate) const HEADING: &str =
    "ID                                    STATE                      CREATED               CLIP";

/// One generation in one line.
pub(crate) fn row(generation: &Generation) -> String {
    let created = generation.created.as_ref().map(ToString::to_string).unwrap_or_default();
    let created: String = created.chars().take(19).collect();
    let prompt = generation.spec.as_ref().map_or("", |spec| &spec.prompt);
    let mut prompt: String = prompt.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if let Some((at, _)) = prompt.char_indices().nth(40) {
        prompt.truncate(at);
        prompt.push('…');
    }
    format!("{:<37} {:<26} {created:<21} {}: {prompt}", generation.id, standing(generation), shape(generation))
}

/// What a node is.
pub(crate) fn node(node: &Node) -> String {
    let (device, memory) = (node.device.clone().unwrap_or_default(), node.memory.unwrap_or_default());
    let (queue, limits) = (node.queue.unwrap_or_default(), node.limits.unwrap_or_default());
    let mut lines = Lines::default();
    lines.add("node", format!("{}, {}, {}", node.id, node.version, words::node_state(node.state())));
    lines.add_some("started", node.started.as_ref());
    lines.add_some("you are", Some(&node.client).filter(|client| !client.is_empty()));
    lines.add("device", format!("{} {}, {}, {} threads", device.kind, device.name, device.dtype, device.threads));
    let (total, available) = (human(memory.total_bytes), human(memory.available_bytes));
    lines.add("memory", format!("{available} of {total} available; process {}", human(memory.resident_bytes)));
    let wait = queue.wait_seconds.map(|wait| format!("; a new one waits {}", words::seconds(wait))).unwrap_or_default();
    let Some(own) = node.queue.as_ref().map(|queue| format!("{} of {}", queue.own_queued, queue.own_capacity)) else {
        return lines.done();
    };
    let room = format!("{} of {} queued, {} running, own {own}{wait}", queue.queued, queue.capacity, queue.running);
    lines.add("queue", room);
    for model in &node.models {
        let loaded = if model.loaded { "loaded" } else { "not loaded" };
        let default = if model.default { ", the default" } else { "" };
        lines.add("model", format!("{} {} ({}, {loaded}{default})", model.name, model.version, model.family));
        let loras: Vec<_> = model.loras.iter().map(|lora| lora.name.as_str()).collect();
        if !loras.is_empty() {
            lines.add("its LoRAs", loras.join(", "));
        }
    }
    let (image, pixels) = (human(limits.image_bytes), limits.image_pixels);
    lines.add("images", format!("at most {image} and {pixels} pixels"));
    if let Some(policy) = &node.policy {
        lines.add("plans", policy.plans.join(", "));
        lines.add("refused", policy.external_models.join(", "));
    }
    if let Some(testing) = &node.testing {
        let faults = if testing.faults.is_empty() { "none".to_owned() } else { testing.faults.join(", ") };
        lines.add("testing", format!("makes faults on purpose; by its configuration: {faults}"));
    }
    lines.done()
}

/// A verdict.
pub(crate) fn eligibility(answer: &CheckEligibilityResponse) -> String {
    let mut lines = Lines::default();
    lines.add("verdict", words::verdict(answer.verdict()));
    lines.add("why", &answer.sentence);
    for ground in &answer.grounds {
        lines.add("reason", format!("{}: {}", words::reason(ground.reason()), ground.why));
        lines.add("remedy", &ground.remedy);
    }
    for violation in &answer.violations {
        let nearest = match violation.nearest.as_str() {
            "" => String::new(),
            nearest => format!("; nearest: {nearest}"),
        };
        lines.add("field", format!("{}: {}{nearest}", violation.field, violation.description));
    }
    if !answer.model.is_empty() {
        lines.add("model", &answer.model);
    }
    for (name, count) in [("prompt", answer.prompt_tokens), ("negative prompt", answer.negative_prompt_tokens)] {
        lines.add_some(name, count.map(|count| format!("{} of {} tokens", count.tokens, count.most)));
    }
    if let Some(estimate) = &answer.estimate {
        lines.add("needs", needs(estimate));
    }
    lines.done()
}

fn needs(estimate: &Estimate) -> String {
    let resources = estimate.resources.clone().unwrap_or_default();
    let (peak, available) = (human(resources.peak_memory_bytes), human(estimate.available_memory_bytes));
    let fits = match (&estimate.largest, estimate.fits) {
        (_, true) => "fits".to_owned(),
        (None, false) => "does not fit".to_owned(),
        (Some(shape), false) => {
            format!("does not fit; the largest that does: {}x{}, {} frames", shape.width, shape.height, shape.frames)
        }
    };
    let time = match resources.seconds {
        0.0 => "time not known yet".to_owned(),
        taken if resources.counted => format!("{}, counted", words::seconds(taken)),
        taken => words::seconds(taken),
    };
    let time = match estimate.limit_seconds {
        limit if limit > 0.0 => format!("{time} of {} at most", words::seconds(limit)),
        _ => time,
    };
    let wait = estimate.wait_seconds.map(|wait| format!(" after waiting {}", words::seconds(wait)));
    format!("{peak} of {available} ({fits}), {time}{}", wait.unwrap_or_default())
}
