//! A generation as flags, for every command that takes one: `generate` here, `submit` and `check` on a node.
//!
//! Must not know which values are legal or what the model's own are; each command says how its flags differ.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use ltx_proto::v1;
use ltx_types::{ConditioningMode, FieldError, Flow, LoraUse, Overrides, Schedule, Seed, Stages};
use std::path::PathBuf;

#[derive(clap::Args)]
pub(crate) struct GenerationFlags {
    /// The image the clip starts on (PNG, JPEG or WebP).
    #[arg(long, value_name = "FILE")]
    pub(crate) image: Option<PathBuf>,
    /// The image the clip ends on.
    #[arg(long, value_name = "FILE")]
    pub(crate) end_image: Option<PathBuf>,
    /// What the clip shows.
    #[arg(long, value_name = "TEXT")]
    pub(crate) prompt: Option<String>,
    /// What guidance steers away from. Refused where nothing reads it: distilled schedule, or a guidance scale of 1.
    #[arg(long, value_name = "TEXT")]
    negative_prompt: Option<String>,
    /// Pixels across: a multiple of 32, of 64 with two stages.
    #[arg(long, value_name = "PIXELS")]
    width: Option<u32>,
    /// Pixels down: a multiple of 32, of 64 with two stages.
    #[arg(long, value_name = "PIXELS")]
    height: Option<u32>,
    /// Frames: 8k+1, and at least 9 with an end image.
    #[arg(long, value_name = "N")]
    frames: Option<u32>,
    /// Frames per second, 1 to 120.
    #[arg(long, value_name = "RATE")]
    fps: Option<f64>,
    /// The authors' flow by name, with their stages, size and other defaults; the model's own by default. distilled is two stages at
    /// 1536x1024, dev one at 768x512; with --stages each has the other's size. hq is two stages by the second-order sampler res_2s, with
    /// the distilled LoRA in both. multi_scale is the two guided passes of LTX-Video 0.9.8 13B dev.
    #[arg(long, value_parser = flows())]
    pub(crate) flow: Option<Flow>,
    /// Sampling schedule; the model's own by default.
    #[arg(long, value_parser = schedules())]
    pub(crate) schedule: Option<Schedule>,
    /// 1 samples at full size; 2 samples at half size, upscales the latent and refines.
    #[arg(long, value_name = "N")]
    stages: Option<u32>,
    /// Steps of the guided schedule. The distilled one takes eight: another number is refused.
    #[arg(long, value_name = "N")]
    steps: Option<u32>,
    /// A schedule of one's own: noise levels instead of the named schedule's, such as 1,0.9,0.5,0. They lie within (0, 1], fall
    /// strictly and end at 0, at most 1000 steps.
    #[arg(long, value_name = "SIGMAS", value_delimiter = ',')]
    sigmas: Option<Vec<f64>>,
    /// The same for the second of two stages.
    #[arg(long, value_name = "SIGMAS", value_delimiter = ',')]
    refine_sigmas: Option<Vec<f64>>,
    /// Classifier-free guidance scale; 1 switches it off.
    #[arg(long, value_name = "SCALE")]
    guidance_scale: Option<f64>,
    /// Spatio-temporal guidance scale; 0 switches it off.
    #[arg(long, value_name = "SCALE")]
    stg_scale: Option<f64>,
    /// Share by which guidance is pulled back to the conditional deviation, 0 to 1.
    #[arg(long, value_name = "SHARE")]
    guidance_rescale: Option<f64>,
    /// Blocks whose self-attention the perturbed pass skips.
    #[arg(long, value_name = "BLOCKS", value_delimiter = ',')]
    stg_blocks: Option<Vec<u32>>,
    /// What happens to the start image: it replaces the first latent frame, or is appended like the end image.
    #[arg(long, value_parser = conditionings())]
    conditioning: Option<ConditioningMode>,
    /// How firmly the start image is held, 0 to 1; 1 by default.
    #[arg(long, value_name = "SHARE")]
    pub(crate) strength: Option<f64>,
    /// How firmly the end image is held, 0 to 1; 1 by default.
    #[arg(long, value_name = "SHARE", requires = "end_image")]
    pub(crate) end_strength: Option<f64>,
    /// H.264 round trip of the images, 0 (off) to 51.
    #[arg(long, value_name = "CRF")]
    image_crf: Option<u32>,
    /// Ask for a clip longer than those that the model was trained on.
    #[arg(long)]
    beyond_trained_length: bool,
    /// Seeds the noise.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// A LoRA that the model lists by this name (see `ltxd models`), and how strongly it counts, -100 to 100: as listed if not said;
    /// two numbers are its strengths in the first and in the second stage. Can be given more than once.
    #[arg(long = "use-lora", value_name = "NAME[=STRENGTH[,STRENGTH]]", value_parser = crate::lora::named)]
    use_loras: Vec<LoraUse>,
}

fn schedules() -> impl TypedValueParser<Value = Schedule> {
    PossibleValuesParser::new(["distilled", "guided"]).map(|name| match name.as_str() {
        "distilled" => Schedule::Distilled,
        _ => Schedule::Guided,
    })
}

fn flows() -> impl TypedValueParser<Value = Flow> {
    PossibleValuesParser::new(Flow::ALL.map(Flow::as_str)).try_map(|name| Flow::named(&name))
}

fn conditionings() -> impl TypedValueParser<Value = ConditioningMode> {
    PossibleValuesParser::new(["replace_first", "append_all"]).map(|name| match name.as_str() {
        "append_all" => ConditioningMode::AppendAll,
        _ => ConditioningMode::ReplaceFirst,
    })
}

fn wire(lora: &LoraUse) -> v1::LoraUse {
    let LoraUse { name, strength, stage_2_strength } = lora;
    let said = |strength: Option<f32>| strength.map(f64::from);
    v1::LoraUse { name: name.clone(), strength: said(*strength), stage_2_strength: said(*stage_2_strength) }
}

impl GenerationFlags {
    /// What the flags say beside prompt and images. Stages that are neither 1 nor 2 are added to the faults.
    pub(crate) fn overrides(&self, faults: &mut Vec<FieldError>) -> Overrides {
        let whole = |value: Option<u32>| value.map(|value| value as usize);
        let stages = |count: u32| {
            let stages = Stages::try_from(u8::try_from(count).unwrap_or(u8::MAX));
            stages.map_err(|error| FieldError { value: count.to_string(), ..error })
        };
        let blocks = |blocks: &Vec<u32>| blocks.iter().map(|&block| block as usize).collect();
        let stages = self.stages.map(stages).transpose().map_err(|error| faults.push(error));
        Overrides {
            negative_prompt: self.negative_prompt.clone(),
            conditioning: self.conditioning,
            width: whole(self.width),
            height: whole(self.height),
            frames: whole(self.frames),
            fps: self.fps,
            seed: self.seed.map(Seed),
            flow: self.flow,
            schedule: self.schedule,
            steps: whole(self.steps),
            stages: stages.ok().flatten(),
            cfg_scale: self.guidance_scale,
            stg_scale: self.stg_scale,
            rescale_scale: self.guidance_rescale,
            stg_blocks: self.stg_blocks.as_ref().map(blocks),
            image_crf: self.image_crf,
            sigmas: self.sigmas.clone(),
            refine_sigmas: self.refine_sigmas.clone(),
            beyond_trained_length: self.beyond_trained_length,
            loras: self.use_loras.clone(),
        }
    }

    /// The spec of a generation on a node, without images and without who asks. Values are passed on as they are: what is legal
    /// is for the node to say.
    pub(crate) fn spec(&self) -> v1::GenerationSpec {
        let guidance = v1::Guidance {
            cfg_scale: self.guidance_scale,
            stg_scale: self.stg_scale,
            rescale_scale: self.guidance_rescale,
            stg_blocks: self.stg_blocks.clone().unwrap_or_default(),
        };
        let schedule = self.schedule.map_or(v1::Schedule::Unspecified, |schedule| match schedule {
            Schedule::Distilled => v1::Schedule::Distilled,
            Schedule::Guided => v1::Schedule::Guided,
        });
        let flow = self.flow.map_or(v1::Flow::Unspecified, |flow| match flow {
            Flow::Distilled => v1::Flow::Distilled,
            Flow::Dev => v1::Flow::Dev,
            Flow::Hq => v1::Flow::Hq,
            Flow::MultiScale => v1::Flow::MultiScale,
        });
        let conditioning = self.conditioning.map_or(v1::Conditioning::Unspecified, |conditioning| match conditioning {
            ConditioningMode::ReplaceFirst => v1::Conditioning::ReplaceFirst,
            ConditioningMode::AppendAll => v1::Conditioning::AppendAll,
        });
        v1::GenerationSpec {
            prompt: self.prompt.clone().unwrap_or_default(),
            negative_prompt: self.negative_prompt.clone(),
            width: self.width,
            height: self.height,
            frames: self.frames,
            fps: self.fps,
            seed: self.seed,
            flow: flow.into(),
            schedule: schedule.into(),
            steps: self.steps,
            stages: self.stages,
            guidance: (guidance != v1::Guidance::default()).then_some(guidance),
            conditioning: conditioning.into(),
            image_crf: self.image_crf,
            sigmas: self.sigmas.clone().unwrap_or_default(),
            refine_sigmas: self.refine_sigmas.clone().unwrap_or_default(),
            beyond_trained_length: self.beyond_trained_length,
            loras: self.use_loras.iter().map(wire).collect(),
            ..v1::GenerationSpec::default()
        }
    }
}
