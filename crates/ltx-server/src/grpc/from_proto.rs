//! Messages into what the domain asks for. With `to_proto` the only file that knows the wire's shapes.
//!
//! Must not know policy's verdicts or statuses. Nothing is refused here: what is wrong with a field is collected, because
//! policy is judged first.

mod fields;
mod listing;

pub(crate) use listing::listing;

use crate::app::{Given, Order, Request, Rules, Specification};
use fields::{length, unknown};
use ltx_jobs::{GenerationId, GivenImage, OutputKind};
use ltx_policy::{Agent, Ask, Audio};
use ltx_proto::v1;
use ltx_types::{
    ConditioningMode, Faults, FieldError, Flow, FramePosition, ImageInput, ImageSource, LoraUse, Outputs, Overrides,
    Schedule, Seed, Stages, Strength,
};
use prost::Message;
use sha2::{Digest, Sha256};

/// The most transformer blocks a request may name.
const STG_BLOCKS: usize = 256;

impl Specification for v1::GenerationSpec {
    fn model(&self) -> &str {
        &self.model
    }

    fn read(&self, rules: &Rules<'_>) -> Request {
        request(self, rules)
    }
}

/// What a client orders.
pub(crate) fn order(request: v1::CreateGenerationRequest) -> Order<v1::GenerationSpec> {
    let v1::CreateGenerationRequest { request_id, spec, seeds, count } = request;
    let spec = spec.unwrap_or_default();
    let outputs = Outputs::new(&seeds, count as usize, spec.seed);
    let mut body = Sha256::new_with_prefix(spec.encode_to_vec());
    if !matches!(outputs, Ok(Outputs::One)) {
        body.update(v1::CreateGenerationRequest { seeds, count, ..Default::default() }.encode_to_vec());
    }
    Order { request_id, spec, outputs, body_sha256: format!("{:x}", body.finalize()), faults: None, trace: None }
}

/// Reads a spec. Its faults come in the order of its fields, those of stages and guidance last.
fn request(spec: &v1::GenerationSpec, rules: &Rules<'_>) -> Request {
    let mut faults = Faults::default();
    let ask = ask(spec, &mut faults);
    let schedule = schedule(spec.schedule, &mut faults);
    let flow = flow(spec.flow, &mut faults);
    let mut images = Images { rules, inputs: Vec::new(), given: Vec::new(), faults: &mut faults };
    images.read(spec);
    let Images { inputs, given, .. } = images;
    let conditioning = conditioning(spec.conditioning, &mut faults);
    let mut last = Faults::default();
    let guidance = spec.guidance.as_ref();
    let said = Overrides {
        negative_prompt: spec.negative_prompt.clone(),
        conditioning,
        width: size(spec.width),
        height: size(spec.height),
        frames: size(spec.frames),
        fps: spec.fps,
        seed: last.keep_as("seed", spec.seed.map_or_else(Seed::drawn, |seed| Ok(Seed(seed)))),
        flow,
        schedule,
        steps: size(spec.steps),
        stages: stages(spec.stages, &mut last),
        cfg_scale: guidance.and_then(|guidance| guidance.cfg_scale),
        stg_scale: guidance.and_then(|guidance| guidance.stg_scale),
        rescale_scale: guidance.and_then(|guidance| guidance.rescale_scale),
        stg_blocks: guidance.and_then(|guidance| stg_blocks(guidance, &mut last)),
        image_crf: spec.image_crf,
        sigmas: sigmas(&spec.sigmas),
        refine_sigmas: sigmas(&spec.refine_sigmas),
        beyond_trained_length: spec.beyond_trained_length,
        loras: loras(&spec.loras, &mut last),
    };
    let mut draft = rules.defaults.fill(said, spec.prompt.clone(), inputs);
    // What would be read is known only where it is known what runs.
    let (schedule, stages) = (faults.has("schedule") || faults.has("flow"), last.has("stages"));
    let of_two = ["refine_sigmas", "loras"];
    draft.faults.retain(|fault| !(schedule || stages && of_two.contains(&fault.field)));
    draft.steps_said = draft.steps_said.filter(|_| !schedule);
    length(&mut faults, "prompt", &draft.prompt, rules.prompt_bytes);
    length(&mut faults, "negative_prompt", &draft.negative_prompt, rules.prompt_bytes);
    faults.append(last);
    Request { ask, draft, images: given, faults: faults.into() }
}

/// What a request for one of policy's excluded operations asks.
pub(crate) fn operation(model: &str, caller: Option<&v1::Caller>, audio: Option<&v1::AudioSpec>) -> Ask {
    let spec = v1::GenerationSpec {
        model: model.to_owned(),
        caller: caller.cloned(),
        audio: audio.cloned(),
        ..v1::GenerationSpec::default()
    };
    ask(&spec, &mut Faults::default())
}

fn ask(spec: &v1::GenerationSpec, faults: &mut Faults) -> Ask {
    let said = |text: &str| Some(text.to_owned()).filter(|text| !text.trim().is_empty());
    let caller = spec.caller.as_ref();
    let agent = caller.map_or(0, |caller| caller.agent);
    let agent = match v1::Agent::try_from(agent) {
        Ok(v1::Agent::Unspecified) => None,
        Ok(v1::Agent::Agent1) => Some(Agent::Agent1),
        Ok(v1::Agent::Agent2) => Some(Agent::Agent2),
        Err(_) => {
            faults.add(unknown("caller.agent", agent));
            None
        }
    };
    Ask {
        agent,
        credits_low: caller.and_then(|caller| caller.credits_low),
        plan: caller.and_then(|caller| said(&caller.plan)),
        model: said(&spec.model),
        audio: spec.audio.as_ref().map(audio).unwrap_or_default(),
        video_input: spec.video_input.is_some(),
        element_edit: spec.element_edit.is_some(),
    }
}

fn audio(spec: &v1::AudioSpec) -> Vec<Audio> {
    let asked = [
        (spec.track, Audio::Track),
        (!spec.sound_effects.is_empty(), Audio::SoundEffects),
        (!spec.background_music.is_empty(), Audio::BackgroundMusic),
        (!spec.input.is_empty(), Audio::Input),
    ];
    asked.into_iter().filter_map(|(asked, audio)| asked.then_some(audio)).collect()
}

/// The images of a request as they are read.
struct Images<'a, 'r> {
    rules: &'a Rules<'r>,
    inputs: Vec<ImageInput>,
    given: Vec<Given>,
    faults: &'a mut Faults,
}

/// How the fields of an image are called.
struct Names {
    image: &'static str,
    data: &'static str,
    upload_id: &'static str,
    strength: &'static str,
}

macro_rules! names {
    ($path:literal) => {
        Names {
            image: $path,
            data: concat!($path, ".data"),
            upload_id: concat!($path, ".upload_id"),
            strength: concat!($path, ".strength"),
        }
    };
}

const IMAGE: Names = names!("image");
const START: Names = names!("start_end_images.start");
const END: Names = names!("start_end_images.end");

impl Images<'_, '_> {
    fn read(&mut self, spec: &v1::GenerationSpec) {
        use v1::generation_spec::Images;
        match &spec.images {
            None => {}
            Some(Images::Image(image)) => self.take(image, FramePosition::First, &IMAGE),
            Some(Images::StartEndImages(both)) => {
                let ends = [(&both.start, FramePosition::First, &START), (&both.end, FramePosition::Last, &END)];
                for (image, position, names) in ends {
                    match image {
                        Some(image) => self.take(image, position, names),
                        None => self.faults.add(FieldError::new(names.image, "nothing", "is not an image")),
                    }
                }
            }
        }
        // Whatever frame they ask for, they are beyond the two methods; two of them are enough to see it.
        for _ in spec.more_images.iter().take(2) {
            self.inputs.push(ImageInput {
                source: ImageSource::Bytes([].into()),
                position: FramePosition::Index(usize::MAX),
                strength: Strength::FULL,
            });
            self.given.push(Given { field: "more_images", upload: None });
        }
    }

    fn take(&mut self, image: &v1::Image, position: FramePosition, names: &Names) {
        use v1::image::Source;
        let mut upload = None;
        let mut bytes: &[u8] = &[];
        match &image.source {
            Some(Source::Data(data)) => bytes = data,
            Some(Source::UploadId(id)) => match id.parse() {
                Ok(id) => upload = Some(id),
                Err(FieldError { value, rule, .. }) => self.faults.add(FieldError::new(names.upload_id, value, rule)),
            },
            None => {}
        }
        if self.rules.images {
            self.check_source(image, names);
        } else {
            bytes = &[];
        }
        let strength = self.faults.keep_as(names.strength, Strength::new(image.strength.unwrap_or(1.0)));
        let source = ImageSource::Bytes(bytes.into());
        self.inputs.push(ImageInput { source, position, strength: strength.unwrap_or(Strength::FULL) });
        self.given.push(Given { field: names.image, upload });
    }

    fn check_source(&mut self, image: &v1::Image, names: &Names) {
        use v1::image::Source;
        let most = self.rules.image_bytes;
        match &image.source {
            Some(Source::UploadId(_)) => {}
            Some(Source::Data(data)) if (1..=most).contains(&(data.len() as u64)) => {}
            Some(Source::Data(data)) => {
                let rule = format!("bytes: an image has 1 to {most}");
                self.faults
                    .add(FieldError::new(names.data, data.len(), rule).nearest(most.min(data.len().max(1) as u64)));
            }
            None => self.faults.add(FieldError::new(names.image, "nothing", "is neither data nor an upload_id")),
        }
    }
}

fn schedule(value: i32, faults: &mut Faults) -> Option<Schedule> {
    match v1::Schedule::try_from(value) {
        Ok(v1::Schedule::Unspecified) => None,
        Ok(v1::Schedule::Distilled) => Some(Schedule::Distilled),
        Ok(v1::Schedule::Guided) => Some(Schedule::Guided),
        Err(_) => {
            faults.add(unknown("schedule", value));
            None
        }
    }
}

fn flow(value: i32, faults: &mut Faults) -> Option<Flow> {
    match v1::Flow::try_from(value) {
        Ok(v1::Flow::Unspecified) => None,
        Ok(v1::Flow::Distilled) => Some(Flow::Distilled),
        Ok(v1::Flow::Dev) => Some(Flow::Dev),
        Ok(v1::Flow::Hq) => Some(Flow::Hq),
        Ok(v1::Flow::MultiScale) => Some(Flow::MultiScale),
        Err(_) => {
            faults.add(unknown("flow", value));
            None
        }
    }
}

fn conditioning(value: i32, faults: &mut Faults) -> Option<ConditioningMode> {
    match v1::Conditioning::try_from(value) {
        Ok(v1::Conditioning::Unspecified) => None,
        Ok(v1::Conditioning::ReplaceFirst) => Some(ConditioningMode::ReplaceFirst),
        Ok(v1::Conditioning::AppendAll) => Some(ConditioningMode::AppendAll),
        Err(_) => {
            faults.add(unknown("conditioning", value));
            None
        }
    }
}

fn stages(value: Option<u32>, faults: &mut Faults) -> Option<Stages> {
    let count = value?;
    let stages = Stages::try_from(u8::try_from(count).unwrap_or(u8::MAX));
    faults.keep_as("stages", stages.map_err(|error| FieldError { value: count.to_string(), ..error }))
}

/// A list of sigmas; an empty one is none.
fn sigmas(list: &[f64]) -> Option<Vec<f64>> {
    (!list.is_empty()).then(|| list.to_vec())
}

/// The blocks that are named; none is the model's own.
fn stg_blocks(guidance: &v1::Guidance, faults: &mut Faults) -> Option<Vec<usize>> {
    let blocks = &guidance.stg_blocks;
    if blocks.len() > STG_BLOCKS {
        let rule = format!("blocks are more than {STG_BLOCKS}");
        faults.add(FieldError::new("guidance.stg_blocks", blocks.len(), rule).nearest(STG_BLOCKS));
    }
    let named: Vec<_> = blocks.iter().take(STG_BLOCKS).map(|&block| block as usize).collect();
    (!named.is_empty()).then_some(named)
}

/// LoRAs by name, as many as a request may name.
fn loras(spec: &[v1::LoraUse], faults: &mut Faults) -> Vec<LoraUse> {
    let read = |lora: &v1::LoraUse| LoraUse {
        name: lora.name.clone(),
        strength: lora.strength.map(|strength| strength as f32),
        stage_2_strength: lora.stage_2_strength.map(|strength| strength as f32),
    };
    if spec.len() > LoraUse::MOST {
        faults.add(LoraUse::too_many(spec.len()));
    }
    spec.iter().take(LoraUse::MOST).map(read).collect()
}

fn size(value: Option<u32>) -> Option<usize> {
    value.map(|value| value as usize)
}

/// A generation's id.
///
/// # Errors
/// It is none.
pub(crate) fn generation_id(text: &str) -> Result<GenerationId, FieldError> {
    text.parse().map_err(|error| FieldError { field: "id", ..error })
}

/// Which of the images that were given.
///
/// # Errors
/// There is no such image.
pub(crate) fn given_image(value: i32) -> Result<GivenImage, FieldError> {
    match v1::GivenImage::try_from(value) {
        Ok(v1::GivenImage::Unspecified | v1::GivenImage::Start) => Ok(GivenImage::Start),
        Ok(v1::GivenImage::End) => Ok(GivenImage::End),
        Err(_) => Err(unknown("image", value)),
    }
}

/// Which file.
///
/// # Errors
/// There is no such kind.
pub(crate) fn output(value: i32) -> Result<OutputKind, FieldError> {
    match v1::Output::try_from(value) {
        Ok(v1::Output::Unspecified | v1::Output::Mp4) => Ok(OutputKind::Video),
        Ok(v1::Output::Poster) => Ok(OutputKind::Poster),
        Ok(v1::Output::Sidecar) => Ok(OutputKind::Sidecar),
        Err(_) => Err(unknown("output", value)),
    }
}
