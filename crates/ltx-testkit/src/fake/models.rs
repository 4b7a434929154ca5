//! A node's models with the fake behind every name.
//!
//! Must not know checkpoints.

use super::{FakeGenerator, FakeOptions, generator::context_key};
use ltx_engine::{BlocksNeed, CacheKey, DecodingNeed, Generator, MemoryPlan, PromptTokens, StageNeed, TileSizes};
use ltx_jobs::{KnownRates, LoadError, Models};
use ltx_policy::{ModelIdentity, WeightFingerprint};
use ltx_types::{Generation, ModelRules, Phase, Rates, Stage, StageWork, Unit, Work};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// The fake as `ltx-2.3-tiny`. It needs one byte of memory a pixel of the clip.
#[derive(Debug, Clone, Default)]
pub struct FakeModels {
    options: FakeOptions,
    loads: Arc<AtomicUsize>,
    pieces: Arc<AtomicUsize>,
}

impl FakeModels {
    /// The one model's name.
    pub const NAME: &'static str = "ltx-2.3-tiny";
    /// The most tokens of a prompt that it takes.
    pub const TOKENS: usize = 1024;
    /// What it says of its weights that stay in memory.
    pub const RESIDENT: u64 = 5;

    /// What it says of the requests that it can serve: as the official models do.
    pub const RULES: ModelRules =
        ModelRules { distilled_steps: Some(8), blocks: Some(48), trained_seconds: Some(20.0), ..ModelRules::LTX };

    /// Fakes that behave so.
    pub fn new(options: FakeOptions) -> Self {
        Self { options, loads: Arc::default(), pieces: Arc::default() }
    }

    /// Pieces in which its rates are measured.
    pub const PIECES: usize = 3;

    /// How many pieces of its rates were measured; clones count together.
    pub fn pieces(&self) -> usize {
        self.pieces.load(Ordering::SeqCst)
    }

    /// How often a model was loaded; clones count together.
    pub fn loads(&self) -> usize {
        self.loads.load(Ordering::SeqCst)
    }
}

impl Models for FakeModels {
    fn load(&self, _: &str) -> Result<Box<dyn Generator>, LoadError> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(FakeGenerator::new(self.options.clone())))
    }

    fn identity(&self, model: &str, _: &Generation) -> Option<ModelIdentity> {
        let version = "2.3.0-fake".to_owned();
        let header_sha256 = "fa".repeat(32);
        let weights = WeightFingerprint { header_sha256, file_sha256: None, total_bytes: 7 };
        (model == Self::NAME).then(|| ModelIdentity {
            name: model.to_owned(),
            version,
            weights,
            eight_bit: false,
            diffusion_decoder: false,
        })
    }

    fn rules(&self, _: &str) -> Option<ModelRules> {
        Some(Self::RULES)
    }

    fn plan(&self, _: &str, request: &Generation) -> Option<MemoryPlan> {
        let activations = (request.pixels.width * request.pixels.height * request.frames.get()) as u64;
        let need = StageNeed { stage: Stage::Denoising, weights: 0, resident: 0, activations };
        let blocks = BlocksNeed { held: 1, all: 1, bytes: 0, compact: false, eight_bit: false };
        let decoding = DecodingNeed { count: 1, tiles: TileSizes::default() };
        Some(MemoryPlan { gpu: false, stages: vec![need], process: 48 << 20, blocks, decoding, budget: None })
    }

    fn work(&self, _: &str, request: &Generation, _: bool) -> Option<Vec<StageWork>> {
        self.options.calls_per_second?;
        let pixels = (request.pixels.width * request.pixels.height * request.frames.get()) as u64;
        let phase = || Phase { times: 1, work: Work::of(Unit::Call, pixels), beside: 0 };
        Some(Stage::ALL.map(|stage| StageWork { stage, phases: vec![phase()] }).into())
    }

    fn rates(&self) -> Option<Arc<KnownRates>> {
        let per_second = self.options.calls_per_second?;
        let known = !self.options.unmeasured || self.pieces() >= Self::PIECES;
        let rates = Rates::default().and(Unit::Call, per_second);
        known.then(|| Arc::new(KnownRates { key: "fake".to_owned(), rates }))
    }

    fn measure_rates(&self) -> bool {
        self.pieces.fetch_add(1, Ordering::SeqCst) + 1 < Self::PIECES
    }

    fn context_keys(&self, _: &str, request: &Generation) -> Vec<CacheKey> {
        if self.options.contexts { vec![context_key(&request.prompt)] } else { Vec::new() }
    }

    /// A token a word, and one in front.
    fn prompt_tokens(&self, _: &str, prompt: &str) -> Option<PromptTokens> {
        Some(PromptTokens { count: 1 + prompt.split_whitespace().count(), most: Self::TOKENS })
    }

    fn resident_bytes(&self, _: &str) -> u64 {
        Self::RESIDENT
    }
}
