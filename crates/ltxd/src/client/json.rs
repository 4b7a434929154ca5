//! The contract's messages as the JSON that `--json` prints. Documented in README; keys are never taken away or renamed,
//! and those without a value are null. Times are RFC 3339 in UTC.
//!
//! Must not know who reads it.

use super::{fault::Fault, words};
use ltx_proto::v1::{
    Batch, CheckEligibilityResponse, Failure, Fidelity, Generation, GenerationEvent, LoraUse, ModelRules, Node,
    OutputFile, Progress, Queued, Resources, TokenCount, UsageMark, generation_event::Event,
    watch_generation_response::News,
};
use ltx_types::FieldErrors;
use prost_types::Timestamp;
use serde_json::{Map, Value, json};

fn time(time: Option<&Timestamp>) -> Value {
    time.map_or(Value::Null, |time| json!(time.to_string()))
}

/// A list of sigmas; null where there is none.
fn listed(sigmas: &[f64]) -> Value {
    if sigmas.is_empty() { Value::Null } else { json!(sigmas) }
}

pub(crate) fn generation(generation: &Generation) -> Value {
    let spec = generation.spec.clone().unwrap_or_default();
    json!({
        "id": generation.id,
        "request_id": (!generation.request_id.is_empty()).then_some(&generation.request_id),
        "batch": generation.batch.as_ref().map(batch),
        "state": words::state(generation.state()),
        "method": words::method(generation.method()),
        "model": spec.model,
        "prompt": spec.prompt,
        "negative_prompt": spec.negative_prompt,
        "width": spec.width,
        "height": spec.height,
        "frames": spec.frames,
        "fps": spec.fps,
        "seed": spec.seed,
        "flow": words::flow(spec.flow()),
        "schedule": words::schedule(spec.schedule()),
        "steps": spec.steps,
        "stages": spec.stages,
        "sigmas": listed(&spec.sigmas),
        "refine_sigmas": listed(&spec.refine_sigmas),
        "loras": spec.loras.iter().map(lora).collect::<Vec<_>>(),
        "created": time(generation.created.as_ref()),
        "started": time(generation.started.as_ref()),
        "ended": time(generation.ended.as_ref()),
        "queue_position": generation.queue_position,
        "progress": generation.progress.as_ref().map(progress),
        "last_event": generation.last_event,
        "resumptions": generation.resumptions,
        "predicted": generation.predicted.as_ref().map(resources),
        "measured": generation.measured.as_ref().map(resources),
        "mark": generation.mark.as_ref().map(mark),
        "first_frame": generation.first_frame.as_ref().map(fidelity),
        "last_frame": generation.last_frame.as_ref().map(fidelity),
        "outputs": generation.outputs.iter().map(output).collect::<Vec<_>>(),
        "outputs_expire": time(generation.outputs_expire.as_ref()),
        "failure": generation.failure.as_ref().map(failure),
    })
}

fn batch(batch: &Batch) -> Value {
    json!({ "id": batch.id, "index": batch.index, "size": batch.size })
}

fn lora(lora: &LoraUse) -> Value {
    json!({ "name": lora.name, "strength": lora.strength, "stage_2_strength": lora.stage_2_strength })
}

fn progress(progress: &Progress) -> Value {
    json!({
        "stage": words::stage(progress.stage()),
        "step": progress.step,
        "steps": progress.steps,
        "seconds_left": progress.seconds_left,
    })
}

fn resources(resources: &Resources) -> Value {
    let stages = resources.stages.iter().map(|stage| (words::stage(stage.stage()), json!(stage.seconds)));
    json!({
        "peak_memory_bytes": resources.peak_memory_bytes,
        "seconds": resources.seconds,
        "stages": stages.collect::<Map<_, _>>(),
        "counted": resources.counted,
    })
}

/// The keys are those of the MP4's metadata, as far as they are there.
fn mark(mark: &UsageMark) -> Value {
    json!({
        "usage_class": words::usage_class(mark.usage_class()),
        "credits_charged": mark.credits_charged,
        "method": words::method(mark.method()),
        "model": mark.model,
        "model_version": mark.model_version,
        "weights": mark.weights.as_ref().map(|weights| json!({
            "header_sha256": weights.header_sha256,
            "file_sha256": (!weights.file_sha256.is_empty()).then_some(&weights.file_sha256),
            "total_bytes": weights.total_bytes,
        })),
        "frames_sha256": mark.frames_sha256,
        "engine": mark.engine,
        "seed": mark.seed,
        "sigmas": listed(&mark.sigmas),
        "refine_sigmas": listed(&mark.refine_sigmas),
        "loras": mark.loras,
        "flow": words::flow(mark.flow()),
        "products": mark.products,
        "node": mark.node_id,
        "testing": mark.testing,
        "time": time(mark.time.as_ref()),
    })
}

fn fidelity(fidelity: &Fidelity) -> Value {
    json!({ "psnr_db": fidelity.psnr_db, "ssim": fidelity.ssim })
}

fn output(file: &OutputFile) -> Value {
    json!({
        "output": words::output(file.output()),
        "file_name": file.file_name,
        "content_type": file.content_type,
        "bytes": file.total_bytes,
        "sha256": file.sha256,
    })
}

fn failure(failure: &Failure) -> Value {
    json!({
        "reason": words::failure(failure.reason()),
        "message": failure.message,
        "retryable": failure.retryable,
    })
}

fn queued(queued: &Queued) -> Value {
    json!({ "position": queued.position, "seconds_left": queued.seconds_left })
}

/// One line of `watch --json`. Previews are left out: `preview_bytes` says that there was one.
pub(crate) fn news(id: &str, news: &News) -> Value {
    match news {
        News::Event(news) => event(news),
        News::Place(place) => json!({ "generation": id, "event": "place", "queued": queued(place) }),
    }
}

fn event(event: &GenerationEvent) -> Value {
    let (name, key, what) = match &event.event {
        Some(Event::Queued(it)) => ("queued", "queued", queued(it)),
        Some(Event::Running(running)) => ("running", "resumed", json!(running.resumed)),
        Some(Event::Progress(it)) => ("progress", "progress", progress(it)),
        Some(Event::Done(done)) => ("done", "done", done.generation.as_ref().map_or(Value::Null, generation)),
        Some(Event::Failed(failed)) => ("failed", "failure", failed.failure.as_ref().map_or(Value::Null, failure)),
        Some(Event::Cancelled(_)) => ("cancelled", "cancelled", json!(true)),
        Some(Event::Cancelling(_)) => ("cancelling", "cancelling", json!(true)),
        None => ("unknown", "unknown", Value::Null),
    };
    let mut line = json!({
        "number": event.number,
        "generation": event.generation_id,
        "time": time(event.time.as_ref()),
        "event": name,
    });
    line[key] = what;
    if !event.preview_png.is_empty() {
        line["preview_bytes"] = json!(event.preview_png.len());
    }
    line
}

pub(crate) fn eligibility(answer: &CheckEligibilityResponse) -> Value {
    let grounds = answer.grounds.iter().map(|ground| {
        json!({
            "reason": words::reason(ground.reason()),
            "why": ground.why,
            "remedy": ground.remedy,
            "grpc_code": ground.grpc_code,
        })
    });
    let violations = answer.violations.iter().map(|violation| {
        json!({ "field": violation.field, "description": violation.description, "nearest": violation.nearest })
    });
    json!({
        "verdict": words::verdict(answer.verdict()),
        "sentence": answer.sentence,
        "reasons": grounds.collect::<Vec<_>>(),
        "method": (answer.method != 0).then(|| words::method(answer.method())),
        "model": (!answer.model.is_empty()).then_some(&answer.model),
        "violations": violations.collect::<Vec<_>>(),
        "prompt_tokens": answer.prompt_tokens.map(tokens),
        "negative_prompt_tokens": answer.negative_prompt_tokens.map(tokens),
        "estimate": answer.estimate.as_ref().map(|estimate| json!({
            "resources": estimate.resources.as_ref().map(resources),
            "available_memory_bytes": estimate.available_memory_bytes,
            "fits": estimate.fits,
            "largest": estimate.largest.as_ref().map(|shape| json!({
                "width": shape.width, "height": shape.height, "frames": shape.frames,
            })),
            "wait_seconds": estimate.wait_seconds,
            "limit_seconds": estimate.limit_seconds,
        })),
    })
}

fn tokens(count: TokenCount) -> Value {
    json!({ "tokens": count.tokens, "most": count.most })
}

/// What is wrong with the fields of a request, whoever found it; `None` where the error is another.
fn violations(error: &anyhow::Error) -> Option<Value> {
    let object = |field: &str, description: String, nearest: &str| json!({ "field": field, "description": description, "nearest": nearest });
    let found: Vec<_> = match (error.downcast_ref::<FieldErrors>(), error.downcast_ref::<Fault>()) {
        (Some(fields), _) => {
            let fields = fields.iter();
            let nearest = |of: &Option<String>| of.clone().unwrap_or_default();
            fields.map(|of| object(of.field, format!("{} {}", of.value, of.rule), &nearest(&of.nearest))).collect()
        }
        (None, Some(fault)) => {
            let violations = fault.violations.iter();
            violations.map(|of| object(&of.field, of.description.clone(), &of.nearest)).collect()
        }
        (None, None) => vec![],
    };
    (!found.is_empty()).then(|| json!({ "violations": found }))
}

/// Prints them where a command was asked for JSON, and passes the error on.
pub(crate) fn with_violations<T>(result: anyhow::Result<T>, json: bool) -> anyhow::Result<T> {
    result.inspect_err(|error| {
        if let Some(violations) = violations(error).filter(|_| json) {
            println!("{violations}");
        }
    })
}

fn rules(rules: &ModelRules) -> Value {
    json!({
        "frame_step": rules.frame_step, "side_step": rules.side_step, "most_frames": rules.most_frames,
        "largest_side": rules.largest_side, "trained_seconds": rules.trained_seconds,
        "beyond_trained_length": rules.beyond_trained_length, "blocks": rules.blocks,
    })
}

pub(crate) fn node(node: &Node) -> Value {
    let models = node.models.iter().map(|model| {
        json!({
            "name": model.name, "aliases": model.aliases, "family": model.family, "version": model.version,
            "licence": model.licence, "description": model.description, "loaded": model.loaded,
            "default": model.default, "two_stages": model.two_stages, "rules": model.rules.as_ref().map(rules),
            "loras": model.loras.iter().map(lora).collect::<Vec<_>>(),
        })
    });
    let (device, memory) = (node.device.clone().unwrap_or_default(), node.memory.unwrap_or_default());
    let (queue, limits) = (node.queue.unwrap_or_default(), node.limits.unwrap_or_default());
    let policy = node.policy.clone().unwrap_or_default();
    json!({
        "id": node.id,
        "version": node.version,
        "started": time(node.started.as_ref()),
        "state": words::node_state(node.state()),
        "device": { "kind": device.kind, "name": device.name, "dtype": device.dtype, "threads": device.threads },
        "memory": {
            "total_bytes": memory.total_bytes, "available_bytes": memory.available_bytes,
            "resident_bytes": memory.resident_bytes, "resident_weight_bytes": memory.resident_weight_bytes,
        },
        "queue": {
            "queued": queue.queued, "running": queue.running, "capacity": queue.capacity,
            "own_queued": queue.own_queued, "own_capacity": queue.own_capacity, "wait_seconds": queue.wait_seconds,
        },
        "models": models.collect::<Vec<_>>(),
        "limits": {
            "message_bytes": limits.message_bytes, "image_bytes": limits.image_bytes,
            "image_pixels": limits.image_pixels, "prompt_bytes": limits.prompt_bytes,
            "requests_per_second": limits.requests_per_second, "concurrent_streams": limits.concurrent_streams,
            "output_seconds": limits.output_seconds, "storage_bytes": limits.storage_bytes,
            "calls_per_second": limits.calls_per_second,
        },
        "policy": { "plans": policy.plans, "external_models": policy.external_models },
        "client": node.client,
        "testing": node.testing.as_ref().map(|testing| json!({ "faults": testing.faults, "names": testing.names })),
    })
}
