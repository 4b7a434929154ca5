//! What is known of a generation, and how many are asked for at once.
//!
//! Must not know how it is stored or sent.

use crate::{Batch, ClientId, Failure, Fidelity, GenerationId, RunFaults, State, TraceContext, estimate::Forecast};
use ltx_policy::StoredRequest;
use ltx_types::{FieldError, Method, Stage};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// One generation, as it stands.
#[derive(Debug, Clone)]
pub struct GenerationRecord {
    /// Its name.
    pub id: GenerationId,
    /// Whose it is.
    pub client: ClientId,
    /// The name its client gave the request, if any.
    pub request_id: Option<String>,
    /// Its place among those that its request asked for, where these were several.
    pub batch: Option<Batch>,
    /// What was asked. The images' paths are the SHA-256 digests of their bytes.
    pub request: StoredRequest,
    /// The method it was admitted under.
    pub method: Method,
    /// The model it runs on, by its manifest's name.
    pub model: String,
    /// What was predicted before it was queued.
    pub predicted: Prediction,
    /// Where it stands.
    pub state: State,
    /// Generations that would run before it; only while it is queued.
    pub position: Option<usize>,
    /// Seconds until it would begin; only while it is queued and everything before it can be estimated.
    pub wait_seconds: Option<f64>,
    /// Whether its client asked to stop it.
    pub cancel_requested: bool,
    /// How often it was started.
    pub attempts: u32,
    /// The number of its newest event.
    pub last_event: u64,
    /// When it was accepted, in milliseconds since 1970 by the node's clock.
    pub created_ms: i64,
    /// When it was started first.
    pub started_ms: Option<i64>,
    /// When it ended.
    pub ended_ms: Option<i64>,
    /// Why it failed; only then.
    pub failure: Option<Failure>,
    /// What came of it; only when it is done.
    pub outcome: Option<Finished>,
    /// Whether its outputs are still kept.
    pub outputs_kept: bool,
    /// The context of its request, where that is traced; not told in lists.
    pub trace: Option<TraceContext>,
    /// What its run meets on purpose on a node for tests, where that was asked for.
    pub faults: Option<RunFaults>,
    /// Its place among all generations of the node.
    pub(crate) sequence: i64,
}

impl GenerationRecord {
    /// Where a listing by this filter goes on that has shown this generation last.
    pub fn page_token(&self, filter: &Filter) -> PageToken {
        PageToken::behind(self.sequence, filter)
    }
}

/// What a generation will take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Bytes of memory at the worst moment.
    pub peak_bytes: u64,
    /// Seconds on the device; absent while the node knows neither rates of its machine nor a run like it.
    pub seconds: Option<f64>,
    /// The same by stage; empty then.
    #[serde(default)]
    pub stages: Vec<StageTime>,
    /// Whether seconds of a stage follow from counted operations alone: no run of this model and schedule has corrected them.
    #[serde(default)]
    pub counted: bool,
}

impl Prediction {
    /// Of its peak and, where this node knows them, its seconds.
    pub(crate) fn of(peak_bytes: u64, forecast: Option<&Forecast>) -> Self {
        let stages = forecast.map(|forecast| forecast.stages().to_vec()).unwrap_or_default();
        let counted = forecast.is_some_and(Forecast::is_counted);
        Self { peak_bytes, seconds: forecast.map(Forecast::total), stages, counted }
    }
}

/// What came of a generation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finished {
    /// Frames of the clip.
    pub frames: usize,
    /// SHA-256 of the frames: RGB8, in order.
    pub frames_sha256: String,
    /// SHA-256 of the final latent.
    pub latent_sha256: String,
    /// The mark, as it stands in the sidecar.
    pub mark: serde_json::Value,
    /// The files.
    pub files: Vec<OutputFile>,
    /// How well the first frame keeps the start image.
    pub first_frame: Option<Fidelity>,
    /// How well the last frame keeps the end image, where there was one.
    pub last_frame: Option<Fidelity>,
    /// The most memory this process held while it ran, in bytes.
    pub measured_peak_bytes: Option<u64>,
    /// Seconds from start to complete outputs, of the last attempt.
    pub measured_seconds: f64,
    /// Seconds by stage, of the last attempt.
    pub stages: Vec<StageTime>,
    /// Whether it went on from a saved latent.
    pub resumed: bool,
}

/// Seconds spent in a stage.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StageTime {
    /// The stage.
    pub stage: Stage,
    /// Seconds.
    pub seconds: f64,
}

/// The three files of a finished generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputKind {
    /// The clip.
    Video,
    /// The first frame.
    Poster,
    /// The mark, digests and sizes.
    Sidecar,
}

impl OutputKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Video, Self::Poster, Self::Sidecar];

    /// A word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Video => "video",
            Self::Poster => "poster",
            Self::Sidecar => "sidecar",
        }
    }

    /// The file's name in the generation's folder.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Video => "video.mp4",
            Self::Poster => "poster.png",
            Self::Sidecar => "generation.json",
        }
    }

    /// The file's media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Video => "video/mp4",
            Self::Poster => "image/png",
            Self::Sidecar => "application/json",
        }
    }
}

/// One file of a finished generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputFile {
    /// Which.
    pub kind: OutputKind,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its bytes.
    pub sha256: String,
}

/// Which generations to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only these states; empty for all.
    pub states: Vec<State>,
    /// Only this method.
    pub method: Option<Method>,
    /// Only those accepted at this time or later, in milliseconds since 1970.
    pub from_ms: Option<i64>,
    /// Only those accepted before this time.
    pub before_ms: Option<i64>,
    /// Only those of this model, by its manifest's name.
    pub model: Option<String>,
    /// Only those whose prompt contains this; upper and lower case of A to Z are the same.
    pub text: Option<String>,
    /// Only those of the request whose first generation is this one, where it asked for several.
    pub batch: Option<GenerationId>,
}

impl Filter {
    /// What tells this filter from another; the order of the states does not.
    fn mark(&self) -> u32 {
        let wanted = State::ALL.map(|state| self.states.is_empty() || self.states.contains(&state));
        let Self { method, from_ms, before_ms, model, text, batch, .. } = self;
        let batch = batch.map(|batch| format!(" {batch}")).unwrap_or_default();
        let words = format!("{wanted:?} {method:?} {from_ms:?} {before_ms:?} {model:?} {text:?}{batch}");
        let digest = Sha256::digest(words);
        u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
    }
}

/// Where a listing goes on. Clients hand it back unread; it belongs to the filter it was given for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageToken {
    before: i64,
    filter: u32,
}

impl PageToken {
    /// Behind a generation of this sequence.
    pub(crate) fn behind(sequence: i64, filter: &Filter) -> Self {
        Self { before: sequence, filter: filter.mark() }
    }

    /// The sequence it stands behind.
    ///
    /// # Errors
    /// `Field`: it was given for another filter.
    pub(crate) fn sequence(self, filter: &Filter) -> crate::Result<i64> {
        if self.filter == filter.mark() {
            return Ok(self.before);
        }
        Err(FieldError::new("page_token", self, "was given for another filter").into())
    }
}

impl std::fmt::Display for PageToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:x}-{:08x}", self.before, self.filter)
    }
}

impl std::str::FromStr for PageToken {
    type Err = FieldError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let short = text.chars().take(40).collect::<String>();
        let parts = text.split_once('-').and_then(|(before, filter)| {
            let before = i64::from_str_radix(before, 16).ok().filter(|before| *before > 0)?;
            Some(Self { before, filter: u32::from_str_radix(filter, 16).ok()? })
        });
        parts.ok_or_else(|| FieldError::new("page_token", short, "was not given by this node"))
    }
}

/// One page of a client's generations, newest first.
#[derive(Debug, Clone)]
pub struct Page {
    /// The generations.
    pub records: Vec<GenerationRecord>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<PageToken>,
}
