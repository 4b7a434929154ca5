//! The node's own facts into messages: its models and its limits.
//!
//! Must not know generations.

use super::{count, flow, lora, schedule};
use crate::{ServerConfig, app::ServedModel};
use ltx_policy::WeightFingerprint;
use ltx_proto::v1;
use ltx_types::{Flow, LoraUse, ModelRules, Schedule};

/// A model.
pub(crate) fn model(served: &ServedModel) -> v1::Model {
    let &ServedModel { ref card, rules, loaded, default } = served;
    let manifest = &card.manifest;
    let defaults = card.defaults();
    let distilled = rules.filter(|_| defaults.schedule == Schedule::Distilled);
    let of_flow = defaults.flow.and_then(Flow::steps).map(|[first, _]| first);
    let fixed = distilled.and_then(|rules| rules.distilled_steps).or(of_flow);
    v1::Model {
        name: manifest.name.clone(),
        aliases: manifest.aliases.clone(),
        family: manifest.family.clone(),
        version: manifest.version.clone(),
        licence: manifest.licence.clone(),
        description: manifest.description.clone(),
        loaded,
        default,
        defaults: Some(v1::GenerationSpec {
            negative_prompt: Some(defaults.negative_prompt.clone()),
            width: Some(count(defaults.width)),
            height: Some(count(defaults.height)),
            frames: Some(count(defaults.frames)),
            fps: Some(defaults.fps),
            flow: defaults.flow.map_or(v1::Flow::Unspecified, flow).into(),
            schedule: schedule(defaults.schedule).into(),
            steps: Some(count(fixed.unwrap_or(defaults.steps))),
            stages: Some(u32::from(defaults.stages.count())),
            guidance: of_flow.is_none().then(|| v1::Guidance {
                cfg_scale: Some(defaults.guidance.cfg_scale),
                stg_scale: Some(defaults.guidance.stg_scale),
                rescale_scale: Some(defaults.guidance.rescale_scale),
                stg_blocks: defaults.guidance.stg_blocks.iter().copied().map(count).collect(),
            }),
            image_crf: defaults.image_crf.or(rules.and_then(|rules| rules.image_crf)),
            model: manifest.name.clone(),
            ..v1::GenerationSpec::default()
        }),
        two_stages: rules.and_then(|rules| rules.two_stages).unwrap_or_else(|| card.has_upscaler()),
        rules: rules.as_ref().map(self::rules),
        weights: card.weights.as_ref().map(weights),
        loras: manifest.loras_by_name().map(|(name, strengths)| lora(&LoraUse::listed(name, strengths))).collect(),
    }
}

fn rules(of: &ModelRules) -> v1::ModelRules {
    let sizes = &of.sizes;
    v1::ModelRules {
        frame_step: count(sizes.frame_step),
        side_step: count(sizes.side_step),
        most_frames: count(sizes.most_frames),
        largest_side: count(sizes.largest_side),
        trained_seconds: of.trained_seconds,
        beyond_trained_length: of.beyond_trained_length,
        blocks: of.blocks.map(count),
    }
}

fn weights(of: &WeightFingerprint) -> v1::WeightFingerprint {
    v1::WeightFingerprint {
        header_sha256: of.header_sha256.clone(),
        file_sha256: of.file_sha256.clone().unwrap_or_default(),
        total_bytes: of.total_bytes,
    }
}

/// What a node allows.
pub(crate) fn limits(config: &ServerConfig, image_pixels: u64) -> v1::Limits {
    let kept = &config.jobs.retention;
    v1::Limits {
        message_bytes: config.limits.message_bytes.get() as u64,
        image_bytes: config.jobs.limits.image_bytes.get(),
        image_pixels,
        prompt_bytes: count(config.limits.prompt_bytes.get()),
        requests_per_second: config.jobs.limits.requests_per_second.get(),
        concurrent_streams: count(config.limits.streams_per_client.get()),
        output_seconds: kept.outputs_for.as_secs(),
        calls_per_second: config.limits.calls_per_second.get(),
        outputs: config.jobs.limits.outputs_at_once() as u32,
        storage_bytes: kept.outputs_bytes.get().saturating_add(kept.uploads_bytes.get()),
    }
}
