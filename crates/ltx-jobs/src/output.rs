//! The three files of a generation: written beside their place, and there all at once.
//!
//! Must not know the queue or the database. Every file carries the mark; without one no writer can be made.

use crate::{
    Fidelity, GenerationId, GenerationRecord, JobsError, OutputFile, OutputKind, Result, RunFaults,
    folder::write_atomically, ports::Blobs,
};
use ltx_engine::Outcome;
use ltx_files::Durable;
use ltx_media::{FrameWriter, MediaError, Mp4Writer, Seal, crf_round_trip, encode_png, open_image, to_pixels};
use ltx_policy::{Admitted, UsageMark};
use ltx_provenance::{ClipSeal, Credentials, Input};
use ltx_types::{Generation, ImageCondition};
use parking_lot::Mutex;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

/// First and last frame as they went by.
#[derive(Debug, Default)]
struct Ends {
    first: Vec<u8>,
    last: Vec<u8>,
}

/// Passes frames on to the MP4 and keeps the first and the last.
struct Tee {
    mp4: Box<dyn FrameWriter>,
    ends: Arc<Mutex<Ends>>,
}

impl FrameWriter for Tee {
    fn write(&mut self, rgb: &[u8]) -> Result<(), MediaError> {
        self.mp4.write(rgb)?;
        let mut ends = self.ends.lock();
        if ends.first.is_empty() {
            ends.first.extend_from_slice(rgb);
        }
        ends.last.clear();
        ends.last.extend_from_slice(rgb);
        Ok(())
    }

    fn finish(self: Box<Self>, mark: &UsageMark) -> Result<(), MediaError> {
        self.mp4.finish(mark)
    }
}

/// Outputs that are being written. Dropped before they are published, they are removed.
pub(crate) struct Outputs {
    id: GenerationId,
    blobs: Arc<dyn Blobs>,
    partial: PathBuf,
    ends: Arc<Mutex<Ends>>,
    seal: Option<Arc<ClipSeal>>,
    published: bool,
}

impl Outputs {
    /// Makes the hidden folder (what an earlier attempt left is removed) and the writer of its MP4.
    ///
    /// # Errors
    /// `File`, `StorageFull`, `Media` when the MP4 cannot be begun.
    pub(crate) fn begin(
        blobs: &Arc<dyn Blobs>,
        id: GenerationId,
        request: &Generation,
        credentials: Option<&Arc<Credentials>>,
    ) -> Result<(Self, Box<dyn FrameWriter>)> {
        let partial = blobs.begin_outputs(id)?;
        let ends = Arc::new(Mutex::new(Ends::default()));
        let mut outputs = Self { id, blobs: Arc::clone(blobs), partial, ends, seal: None, published: false };
        let mp4 = outputs.path(OutputKind::Video);
        if let Some(credentials) = credentials {
            let inputs = Input::of(request).map_err(|source| outputs.seal_error(source.into()))?;
            outputs.seal = Some(Arc::new(ClipSeal::new(Arc::clone(credentials), inputs)));
        }
        let seal = outputs.seal.clone().map(|seal| seal as Arc<dyn Seal>);
        let mp4 = Box::new(Mp4Writer::create(&mp4, request.pixels, request.rate)?.sealed_by(seal));
        let tee = Tee { mp4, ends: Arc::clone(&outputs.ends) };
        Ok((outputs, Box::new(tee)))
    }

    /// Writes poster and sidecar beside the finished MP4 and gives the folder its name.
    ///
    /// # Errors
    /// `File`, `StorageFull`, `Media` when the poster cannot be encoded.
    pub(crate) fn publish(mut self, what: &Story<'_>) -> Result<Published> {
        let Generation { pixels, .. } = *what.admitted.request();
        let poster = {
            let first = &self.ends.lock().first;
            let png = encode_png(first, pixels, what.mark)?;
            match &self.seal {
                None => png,
                Some(seal) => seal.png(png, first, what.mark).map_err(|source| self.seal_error(source))?,
            }
        };
        self.write(OutputKind::Poster, &poster)?;
        let files = [self.file(OutputKind::Video)?, self.file(OutputKind::Poster)?];
        let (first_frame, last_frame) = self.fidelity(what.admitted.request());
        let mark = serde_json::to_value(what.mark).map_err(|_| JobsError::Corrupt { what: "mark" })?;
        let sealed = self.seal.as_ref().and_then(|seal| seal.sealed());
        let mut sidecar = what.sidecar(self.id, &mark, &files, (first_frame, last_frame));
        sidecar["provenance"] = json!(sealed);
        self.write(OutputKind::Sidecar, format!("{sidecar:#}\n").as_bytes())?;
        let files = files.into_iter().chain([self.file(OutputKind::Sidecar)?]).collect();
        self.blobs.publish_outputs(self.id)?;
        self.published = true;
        Ok(Published { mark, files, first_frame, last_frame })
    }

    fn seal_error(&self, source: ltx_media::SealError) -> JobsError {
        MediaError::Seal { path: self.partial.clone(), source }.into()
    }

    fn path(&self, kind: OutputKind) -> PathBuf {
        self.partial.join(kind.file_name())
    }

    fn write(&self, kind: OutputKind, bytes: &[u8]) -> Result<()> {
        let path = self.path(kind);
        write_atomically(&path, &[bytes], Durable::Bytes).map_err(JobsError::file(path))
    }

    fn file(&self, kind: OutputKind) -> Result<OutputFile> {
        let path = self.path(kind);
        let (bytes, sha256) = digest_of(&path).map_err(JobsError::file(path))?;
        Ok(OutputFile { kind, bytes, sha256 })
    }

    /// Start image against the first frame, end image against the last.
    fn fidelity(&self, request: &Generation) -> (Option<Fidelity>, Option<Fidelity>) {
        let ends = self.ends.lock();
        let of = |frame_index: usize, frame: &[u8]| {
            let image = request.images.iter().find(|image| image.frame_index == frame_index)?;
            // The engine has opened it already; if it is gone since, there is nothing to compare with.
            let prepared = prepared(image, request).ok()?;
            Fidelity::of(request.pixels, frame, &prepared)
        };
        let last = (request.frames.last() > 0).then(|| of(request.frames.last(), &ends.last)).flatten();
        (of(0, &ends.first), last)
    }
}

impl Drop for Outputs {
    fn drop(&mut self) {
        if !self.published {
            // Swept at the next start otherwise.
            let _ = self.blobs.discard_outputs(self.id);
        }
    }
}

/// What [`Outputs::publish`] made.
pub(crate) struct Published {
    pub(crate) mark: Value,
    pub(crate) files: Vec<OutputFile>,
    pub(crate) first_frame: Option<Fidelity>,
    pub(crate) last_frame: Option<Fidelity>,
}

/// What the sidecar tells beside the mark.
pub(crate) struct Story<'a> {
    pub(crate) record: &'a GenerationRecord,
    pub(crate) mark: &'a UsageMark,
    pub(crate) admitted: &'a Admitted<Generation>,
    pub(crate) outcome: &'a Outcome,
    pub(crate) measured_peak_bytes: Option<u64>,
    pub(crate) measured_seconds: f64,
    pub(crate) finished_ms: i64,
    /// What it met on a node for tests.
    pub(crate) faults: Option<RunFaults>,
}

impl Story<'_> {
    fn sidecar(
        &self,
        id: GenerationId,
        mark: &Value,
        files: &[OutputFile],
        (first_frame, last_frame): (Option<Fidelity>, Option<Fidelity>),
    ) -> Value {
        let Self { record, outcome, .. } = self;
        let Generation { pixels, frames, rate, flow, schedule, stages, .. } = self.admitted.request();
        let mut told = json!({
            "generation": id,
            "mark": mark,
            "created_unix_ms": record.created_ms,
            "finished_unix_ms": self.finished_ms,
            "request": self.request(),
            "width": pixels.width,
            "height": pixels.height,
            "frames": frames.get(),
            "fps": rate.to_string(),
            "flow": flow,
            "schedule": schedule,
            "stages": stages.count(),
            "frames_sha256": outcome.frames_sha256,
            "latent_sha256": outcome.latent_sha256,
            "files": files.iter().map(|file| json!({
                "name": file.kind.file_name(), "bytes": file.bytes, "sha256": file.sha256,
            })).collect::<Vec<_>>(),
            "fidelity": { "first_frame": first_frame, "last_frame": last_frame },
            "memory_bytes": { "predicted": record.predicted.peak_bytes, "measured": self.measured_peak_bytes },
            "seconds": {
                "predicted": record.predicted.seconds,
                "measured": self.measured_seconds,
                "stages": outcome.seconds,
            },
        });
        if let Some(faults) = &self.faults {
            told["testing"] = json!(faults.words());
        }
        told
    }

    /// What was asked for beyond the shape and the mark; images stand without their pixels.
    fn request(&self) -> Value {
        let Generation { prompt, negative_prompt, images, conditioning, steps, guidance, image_crf, .. } =
            self.admitted.request();
        let Generation { sigmas, refine_sigmas, loras, .. } = self.admitted.request();
        let image = |image: &ImageCondition| json!({ "frame": image.frame_index, "strength": image.strength.get() });
        let mut told = json!({
            "prompt": prompt,
            "negative_prompt": negative_prompt,
            "images": images.iter().map(image).collect::<Vec<_>>(),
            "conditioning": conditioning,
            "steps": steps,
            "guidance": guidance,
            "image_crf": image_crf.get(),
            "sigmas": sigmas,
            "refine_sigmas": refine_sigmas,
        });
        if !loras.is_empty() {
            told["loras"] = json!(loras);
        }
        told
    }
}

/// The image as the model saw it, in 8 bits.
fn prepared(condition: &ImageCondition, request: &Generation) -> Result<Vec<u8>, MediaError> {
    let mut image = open_image(&condition.source)?;
    if let Some(crf) = request.image_crf.get() {
        image = crf_round_trip(&image, crf)?;
    }
    let planar = to_pixels(&image, request.pixels);
    let plane = request.pixels.width * request.pixels.height;
    let byte = |value: f32| ((value + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8;
    Ok((0..plane).flat_map(|i| [0, 1, 2].map(|channel| byte(planar[channel * plane + i]))).collect())
}

/// Size and SHA-256 of a file.
pub(crate) fn digest_of(path: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let (mut digest, mut bytes) = (Sha256::new(), 0);
    let mut chunk = vec![0; 1 << 16];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok((bytes, format!("{:x}", digest.finalize()))),
            count => {
                digest.update(&chunk[..count]);
                bytes += count as u64;
            }
        }
    }
}
