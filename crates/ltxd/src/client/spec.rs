//! What a client asks a node for: a generation as flags, who asks, and its images, the large ones uploaded before.
//!
//! Must not know policy, nor what is legal; the node says so.

use super::{
    Node,
    fault::{Fault, Violation},
};
use crate::generation_flags::GenerationFlags;
use anyhow::{Context, Result};
use clap::Arg;
use ltx_proto::v1::{
    Agent, AudioSpec, Caller, CheckEligibilityRequest, GenerationSpec, Image, StartEndImages, UploadHeader,
    UploadImageRequest, Verdict, VideoInput, generation_spec::Images, image::Source, upload_image_request::Part,
    video_input::Source as VideoSource,
};
use std::path::Path;

/// Images up to this many bytes travel in the request; larger ones before it.
const INLINE_BYTES: usize = 1 << 20;
/// Bytes of an upload's chunk.
const CHUNK_BYTES: usize = 256 << 10;

/// A generation on a node, and who asks for it.
#[derive(clap::Args)]
#[command(mut_args(on_a_node))]
pub(crate) struct SpecFlags {
    #[command(flatten)]
    generation: GenerationFlags,
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

/// How the flags of a generation differ where a node makes it.
fn on_a_node(flag: Arg) -> Arg {
    match flag.get_id().as_str() {
        "end_image" => flag.requires("image"),
        "prompt" => flag.default_value(""),
        // Shown behind --fps.
        "seed" => flag.help("Seeds the noise; without it the node draws one and says it").display_order(7),
        _ => flag,
    }
}

impl SpecFlags {
    /// The spec without image bytes, for a verdict.
    pub(crate) fn without_images(&self) -> GenerationSpec {
        let empty = |strength| Image { source: Some(Source::Data(Vec::new().into())), strength };
        let flags = &self.generation;
        let start = flags.image.as_ref().map(|_| empty(flags.strength));
        let end = flags.end_image.as_ref().map(|_| empty(flags.end_strength));
        self.spec(start, end)
    }

    /// The spec with its images, the large ones uploaded. Where the node takes one of those for no image, it is asked what else is
    /// wrong, so that all is told at once.
    pub(crate) async fn with_images(&self, node: &Node) -> Result<GenerationSpec> {
        let flags = &self.generation;
        let fields = match flags.end_image {
            None => ["image", "image"],
            Some(_) => ["start_end_images.start", "start_end_images.end"],
        };
        let mut wrong = Vec::new();
        let start = image(node, flags.image.as_deref(), flags.strength).await;
        let start = or_violations(start, fields[0], &mut wrong)?;
        let end = image(node, flags.end_image.as_deref(), flags.end_strength).await;
        let end = or_violations(end, fields[1], &mut wrong)?;
        if wrong.is_empty() {
            return Ok(self.spec(start, end));
        }
        let request = CheckEligibilityRequest { spec: Some(self.without_images()) };
        let answer = node.policy().check_eligibility(request).await.map_err(Fault::from)?.into_inner();
        // Policy is asked before an image is looked at; the node says itself what it refuses.
        if answer.verdict() == Verdict::Refused {
            return Ok(self.without_images());
        }
        let others = answer.violations.into_iter().map(|found| Violation {
            field: found.field,
            description: found.description,
            nearest: found.nearest,
        });
        Err(Fault::of_fields(others.chain(wrong).collect()).into())
    }

    fn spec(&self, start: Option<Image>, end: Option<Image>) -> GenerationSpec {
        let images = match (start, end) {
            (start, Some(end)) => Some(Images::StartEndImages(StartEndImages { start, end: Some(end) })),
            (start, None) => start.map(Images::Image),
        };
        GenerationSpec {
            images,
            model: self.model.clone(),
            caller: Some(self.caller()),
            audio: self.audio.then(|| AudioSpec { track: true, ..AudioSpec::default() }),
            video_input: self.video.clone().map(|uri| VideoInput { source: Some(VideoSource::Uri(uri)) }),
            ..self.generation.spec()
        }
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

/// An image; or none, and what the node says of it is added to `wrong` under the image's own field.
///
/// # Errors
/// It was stopped by something else.
fn or_violations(image: Result<Option<Image>>, field: &str, wrong: &mut Vec<Violation>) -> Result<Option<Image>> {
    match image.map_err(anyhow::Error::downcast::<Fault>) {
        Ok(image) => Ok(image),
        Err(Ok(fault)) if !fault.violations.is_empty() => {
            wrong.extend(fault.violations.into_iter().map(|found| Violation { field: field.to_owned(), ..found }));
            Ok(None)
        }
        Err(Ok(fault)) => Err(fault.into()),
        Err(Err(error)) => Err(error),
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
