//! Flags to a `GenerationSpec`. Values are passed on as they are: what is legal is for the node to say.
//!
//! Must not know policy.

use super::{Node, fault::Fault};
use anyhow::{Context, Result};
use ltx_proto::v1::{
    Agent, AudioSpec, Caller, Conditioning, GenerationSpec, Guidance, Image, Schedule, StartEndImages, UploadHeader,
    UploadImageRequest, VideoInput, generation_spec::Images, image::Source, upload_image_request::Part,
    video_input::Source as VideoSource,
};
use std::path::{Path, PathBuf};

/// Images up to this many bytes travel in the request; larger ones before it.
const INLINE_BYTES: usize = 1 << 20;
/// Bytes of an upload's chunk.
const CHUNK_BYTES: usize = 256 << 10;

/// A generation as flags.
#[derive(clap::Args)]
pub(crate) struct SpecFlags {
    /// The image the clip starts on (PNG, JPEG or WebP).
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// The image the clip ends on.
    #[arg(long, value_name = "FILE", requires = "image")]
    end_image: Option<PathBuf>,
    /// What the clip shows.
    #[arg(long, value_name = "TEXT", default_value = "")]
    prompt: String,
    /// What guidance steers away from (guided schedule only).
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
    /// Seeds the noise; without it the node draws one and says it.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Sampling schedule; the model's own by default.
    #[arg(long, value_parser = ["distilled", "guided"])]
    schedule: Option<String>,
    /// 1 samples at full size; 2 samples at half size, upscales the latent and refines.
    #[arg(long, value_name = "N")]
    stages: Option<u32>,
    /// Steps of the guided schedule.
    #[arg(long, value_name = "N")]
    steps: Option<u32>,
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
    stg_blocks: Vec<u32>,
    /// What happens to the start image: it replaces the first latent frame, or is appended like the end image.
    #[arg(long, value_parser = ["replace_first", "append_all"])]
    conditioning: Option<String>,
    /// How firmly the start image is held, 0 to 1.
    #[arg(long, value_name = "SHARE")]
    strength: Option<f64>,
    /// How firmly the end image is held, 0 to 1.
    #[arg(long, value_name = "SHARE")]
    end_strength: Option<f64>,
    /// H.264 round trip of the images, 0 (off) to 51.
    #[arg(long, value_name = "CRF")]
    image_crf: Option<u32>,
    /// The model, by name or alias; the node's default without it.
    #[arg(long, value_name = "NAME", default_value = "")]
    model: String,
    /// The agent that speaks for the user: 1 or 2. Without it, nobody speaks for them.
    #[arg(long, value_parser = ["1", "2"])]
    agent: Option<String>,
    /// Whether the user's credits are low.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    credits_low: Option<bool>,
    /// The user's plan.
    #[arg(long, value_name = "NAME", default_value = "")]
    plan: String,
    /// Ask for an audio track, which the unlimited class does not cover.
    #[arg(long)]
    audio: bool,
    /// Give a video as the input, which the unlimited class does not cover.
    #[arg(long, value_name = "URI")]
    video: Option<String>,
}

impl SpecFlags {
    /// The spec without image bytes, for a verdict.
    pub(crate) fn without_images(&self) -> GenerationSpec {
        let empty = |strength| Image { source: Some(Source::Data(Vec::new().into())), strength };
        let start = self.image.as_ref().map(|_| empty(self.strength));
        let end = self.end_image.as_ref().map(|_| empty(self.end_strength));
        self.spec(start, end)
    }

    /// The spec with its images, the large ones uploaded.
    pub(crate) async fn with_images(&self, node: &Node) -> Result<GenerationSpec> {
        let start = image(node, self.image.as_deref(), self.strength).await?;
        let end = image(node, self.end_image.as_deref(), self.end_strength).await?;
        Ok(self.spec(start, end))
    }

    fn spec(&self, start: Option<Image>, end: Option<Image>) -> GenerationSpec {
        let images = match (start, end) {
            (start, Some(end)) => Some(Images::StartEndImages(StartEndImages { start, end: Some(end) })),
            (start, None) => start.map(Images::Image),
        };
        let schedule = match self.schedule.as_deref() {
            Some("distilled") => Schedule::Distilled,
            Some(_) => Schedule::Guided,
            None => Schedule::Unspecified,
        };
        let conditioning = match self.conditioning.as_deref() {
            Some("append_all") => Conditioning::AppendAll,
            Some(_) => Conditioning::ReplaceFirst,
            None => Conditioning::Unspecified,
        };
        GenerationSpec {
            prompt: self.prompt.clone(),
            negative_prompt: self.negative_prompt.clone(),
            images,
            width: self.width,
            height: self.height,
            frames: self.frames,
            fps: self.fps,
            seed: self.seed,
            schedule: schedule.into(),
            steps: self.steps,
            stages: self.stages,
            guidance: self.guidance(),
            conditioning: conditioning.into(),
            image_crf: self.image_crf,
            model: self.model.clone(),
            caller: Some(self.caller()),
            audio: self.audio.then(|| AudioSpec { track: true, ..AudioSpec::default() }),
            video_input: self.video.clone().map(|uri| VideoInput { source: Some(VideoSource::Uri(uri)) }),
            element_edit: None,
            more_images: Vec::new(),
        }
    }

    fn guidance(&self) -> Option<Guidance> {
        let guidance = Guidance {
            cfg_scale: self.guidance_scale,
            stg_scale: self.stg_scale,
            rescale_scale: self.guidance_rescale,
            stg_blocks: self.stg_blocks.clone(),
        };
        (guidance != Guidance::default()).then_some(guidance)
    }

    fn caller(&self) -> Caller {
        let agent = match self.agent.as_deref() {
            Some("1") => Agent::Agent1,
            Some(_) => Agent::Agent2,
            None => Agent::Unspecified,
        };
        Caller { agent: agent.into(), credits_low: self.credits_low, plan: self.plan.clone() }
    }
}

async fn image(node: &Node, file: Option<&Path>, strength: Option<f64>) -> Result<Option<Image>> {
    let Some(file) = file else { return Ok(None) };
    let bytes = std::fs::read(file).with_context(|| format!("{}: cannot be read", file.display()))?;
    let source = match bytes.len() <= INLINE_BYTES {
        true => Source::Data(bytes.into()),
        false => Source::UploadId(upload(node, bytes).await?),
    };
    Ok(Some(Image { source: Some(source), strength }))
}

async fn upload(node: &Node, bytes: Vec<u8>) -> Result<String, Fault> {
    let header = UploadHeader { total_bytes: bytes.len() as u64, sha256: String::new() };
    let header = UploadImageRequest { part: Some(Part::Header(header)) };
    let bytes = prost::bytes::Bytes::from(bytes);
    let chunks = (0..bytes.len()).step_by(CHUNK_BYTES).map(move |from| {
        let chunk = bytes.slice(from..bytes.len().min(from + CHUNK_BYTES));
        UploadImageRequest { part: Some(Part::Chunk(chunk)) }
    });
    let parts = tokio_stream::iter(std::iter::once(header).chain(chunks));
    Ok(node.uploads().upload_image(parts).await?.into_inner().upload_id)
}
