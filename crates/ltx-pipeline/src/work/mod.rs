//! What every stage of a request has to do, counted from the architecture and the sizes alone: operations by the form that
//! matrices are kept in, attention, convolutions, what is read. Beside the functions that are counted stand the counts of parts
//! (`work` in `ltx-model`), as their memory does.
//!
//! Must not know rates, or what a run has taken.

mod products;

pub(crate) use products::Recipe;

use crate::{
    Engine, PlanShape,
    decode::tile_lengths,
    opened::TextFiles,
    plan::{Fit, Rule},
};
use ltx_engine::StageSteps;
use ltx_model::{
    footprint::is_streamed,
    part::Module,
    t5::{T5_TOKENS, T5Encoder},
    text_encoder::{Connector, ConnectorConfig, FeatureProjection, TextEncoder},
    transformer::{PassShape, Transformer},
    upsampler::Upsampler,
    video_vae::{ClipShape, DiffusionConfig, VideoDecoder, VideoEncoder, diffusion::Decoded},
};
use ltx_nn::{
    EightBitProducts,
    matrix::{Arithmetic, Use},
};
use ltx_types::{
    ConditioningMode, Generation, Guidance, LatentShape, Part, Phase, PixelShape, SamplingStage, Stage, StageWork,
    Stages, Unit, Work,
};
use ltx_weights::Loras;
use products::Products;
use std::collections::BTreeMap;

/// Times that a decoded value is read or written until it is a byte of a frame: out of its tile, weighted, joined, rounded.
const PIXEL_MOVES: u64 = 10;

impl Engine {
    /// What every stage of a request has to do, in order; `shape` has the sizes of the same request. Parts that stay in memory
    /// between generations are read as well, unless they are `loaded`.
    pub fn work(&self, request: &Generation, shape: &PlanShape, loaded: bool) -> Vec<StageWork> {
        let (fit, _) = self.fitted(shape);
        let counting = Counting { engine: self, request, shape, fit, loaded };
        let mut stages = Vec::new();
        let mut add = |stage, phases: Vec<Phase>| {
            let phases = phases.into_iter().filter(|phase| phase.times > 0).collect();
            stages.push(StageWork { stage, phases });
        };
        if shape.encodes {
            add(Stage::TextEncoding, counting.text());
        }
        add(Stage::ImageEncoding, counting.images());
        add(Stage::Denoising, counting.sampling(SamplingStage::First));
        if request.stages == Stages::Two {
            add(Stage::Upsampling, counting.upsampling());
            add(Stage::Refining, counting.sampling(SamplingStage::Second));
        }
        add(Stage::Decoding, counting.decoding());
        stages
    }

    /// A matrix of every form that the model's products go through, by the form's name.
    pub(crate) fn recipes(&self, shape: &PlanShape) -> BTreeMap<String, Recipe> {
        let (fit, _) = self.fitted(shape);
        let mut recipes = BTreeMap::new();
        for stage in SamplingStage::ALL {
            let blocks = self.transformer_products((&fit, stage), |_| 1);
            recipes.extend(blocks.recipes);
            recipes.extend(self.connector_products((&fit, stage), 1).recipes);
        }
        recipes.extend(self.projection_products(&fit, 1).recipes);
        recipes.extend(self.language_products(1).recipes);
        if self.architecture().vae.diffusion().is_some() {
            recipes.extend(self.decoder_products(&fit, |_| 1).recipes);
        }
        recipes
    }

    fn rule<'a>(&'a self, fit: &'a Fit, stage: SamplingStage, eight_bit: EightBitProducts) -> Rule<'a> {
        let arithmetic = Arithmetic::of(&self.options.compute);
        let arithmetic = Arithmetic { eight_bit, on_gpu: self.placement.is_gpu(), ..arithmetic };
        Rule { arithmetic, loras: &self.ltx.loras, stage, wear: &fit.wear }
    }

    /// The transformer's matrices, each with as many rows as `rows` says of its key behind the prefix.
    fn transformer_products(&self, (fit, stage): (&Fit, SamplingStage), rows: impl Fn(&str) -> u64) -> Products {
        let [exact, rounded] =
            [EightBitProducts::Never, self.options.compute.eight_bit].map(|eight_bit| self.rule(fit, stage, eight_bit));
        let all = self.architecture().transformer.num_layers;
        let prefix = format!("{}.", Transformer::PREFIX);
        let mut products = Products::default();
        for tensor in self.ltx.tensors.footprints(&prefix).filter(|tensor| !tensor.key.starts_with(Connector::MARK)) {
            let key = &tensor.key[prefix.len()..];
            let block = tensor.key.strip_prefix(Transformer::MARK).and_then(|key| key.split_once('.')?.0.parse().ok());
            let (rule, usage) = match block {
                Some(block) if is_streamed(block, (all, fit.held.count)) => (rounded, Use::Streamed),
                Some(_) => (rounded, fit.held.usage),
                None => (exact, Use::Stays),
            };
            products.add(rule, tensor, (usage, rows(key)), block.is_some());
        }
        products
    }

    fn connector_products(&self, (fit, stage): (&Fit, SamplingStage), rows: u64) -> Products {
        let usage = if self.text_stays(fit) { Use::Stays } else { Use::Streamed };
        let mut products = Products::default();
        for tensor in self.ltx.tensors.footprints(Connector::MARK) {
            products.add(self.rule(fit, stage, EightBitProducts::Never), tensor, (usage, rows), true);
        }
        products
    }

    fn projection_products(&self, fit: &Fit, rows: u64) -> Products {
        let usage = if self.text_stays(fit) { Use::Once } else { Use::Streamed };
        let mut products = Products::default();
        for tensor in self.ltx.tensors.footprints(FeatureProjection::MARK) {
            products.add(self.rule(fit, SamplingStage::First, EightBitProducts::Never), tensor, (usage, rows), true);
        }
        products
    }

    fn language_products(&self, rows: u64) -> Products {
        let stack = self.text.stack();
        let wear = Default::default();
        let compute =
            self.options.compute.exact_unless_packed().with_dtype(self.text.compute_dtype(self.options.compute.dtype));
        let arithmetic = Arithmetic { on_gpu: self.placement.is_gpu(), ..Arithmetic::of(&compute) };
        let rule = Rule { arithmetic, loras: &Loras::default(), stage: SamplingStage::First, wear: &wear };
        let mut products = Products::default();
        for tensor in self.text.tensors().footprints(&stack.keys) {
            let rows = if tensor.key.ends_with(T5Encoder::DISTANCES) { 0 } else { rows };
            products.add(rule, tensor, (Use::Streamed, rows), true);
        }
        products
    }

    /// The matrices of a decoder that draws pixels, each with as many rows as `rows` says of its key behind the prefix.
    fn decoder_products(&self, fit: &Fit, rows: impl Fn(&str) -> u64) -> Products {
        let rule = self.rule(fit, SamplingStage::First, EightBitProducts::Never).of_drawing();
        let mut products = Products::default();
        for tensor in self.ltx.tensors.footprints(VideoDecoder::MARK) {
            products.add(rule, tensor, (Use::Stays, rows(&tensor.key[VideoDecoder::MARK.len()..])), false);
        }
        products
    }

    fn text_stays(&self, fit: &Fit) -> bool {
        TextEncoder::STAYS.into_iter().all(|part| fit.stays(part))
    }
}

/// A request as it is counted.
struct Counting<'a> {
    engine: &'a Engine,
    request: &'a Generation,
    shape: &'a PlanShape,
    fit: Fit,
    loaded: bool,
}

impl Counting<'_> {
    /// Whether a part has to be read.
    fn loads(&self, part: Part) -> bool {
        !(self.loaded && self.fit.stays(part))
    }

    fn text(&self) -> Vec<Phase> {
        let (engine, fit) = (self.engine, &self.fit);
        let prompts = || self.shape.prompts.iter().map(|tokens| *tokens as u64);
        if let TextFiles::T5(text) = &engine.text {
            let prompts = || prompts().map(|tokens| tokens.min(T5_TOKENS as u64));
            let beside = prompts().fold(Work::default(), |all, tokens| all.plus(&text.config.prompt_work(tokens)));
            return vec![streaming(&engine.language_products(1), prompts().collect(), beside)];
        }
        let TextFiles::Gemma(text) = &engine.text else { return Vec::new() };
        let beside = prompts().fold(Work::default(), |all, tokens| all.plus(&text.config.prompt_work(tokens)));
        let language = streaming(&engine.language_products(1), prompts().collect(), beside);
        let projection = engine.projection_products(fit, 1);
        let connector = engine.connector_products((fit, SamplingStage::First), ConnectorConfig::SLOTS);
        let mut work = Work::default();
        for tokens in prompts() {
            work = work.plus(&engine.projection_products(fit, tokens).work).plus(&connector.work);
        }
        let blocks = engine.architecture().text.as_ref().map(|text| text.connector.prompt_work());
        work = work.plus(&blocks.unwrap_or_default().times(self.shape.prompts.len() as u64));
        let loads = self.loads(FeatureProjection::PART);
        let beside = if loads { projection.read() + connector.read() } else { 0 };
        let laid_out = if loads { projection.layout.plus(&connector.layout) } else { Work::default() };
        vec![language, Phase { times: 1, work: work.plus(&laid_out), beside }]
    }

    fn images(&self) -> Vec<Phase> {
        let vae = &self.engine.architecture().vae;
        let sizes = match self.request.stages {
            Stages::One => vec![self.request.pixels],
            Stages::Two => vec![self.request.pixels.first_stage(Stages::Two), self.request.pixels],
        };
        let mut phases = vec![self.loading(VideoEncoder::PART, VideoEncoder::MARK)];
        for PixelShape { width, height } in sizes {
            let clip = ClipShape { frames: 1, height: height as u64, width: width as u64 };
            let work = vae.encoder_work(clip).unwrap_or_default();
            phases.push(Phase { times: self.shape.images as u64, work, beside: 0 });
        }
        phases
    }

    /// Reading a half of the VAE, whose convolutions are packed and whose matrices are laid out.
    fn loading(&self, part: Part, keys: &str) -> Phase {
        if !self.loads(part) {
            return Phase::default();
        }
        let mut products = Products::default();
        let rule = self.engine.rule(&self.fit, SamplingStage::First, EightBitProducts::Never);
        self.engine.ltx.tensors.footprints(keys).for_each(|tensor| products.add(rule, tensor, (Use::Stays, 0), false));
        if part == VideoDecoder::PART && self.engine.architecture().vae.diffusion().is_some() {
            products = self.engine.decoder_products(&self.fit, |_| 0);
        }
        Phase { times: 1, work: products.layout.and(Unit::Read, products.read_whole), beside: 0 }
    }

    fn sampling(&self, stage: SamplingStage) -> Vec<Phase> {
        let (engine, request, fit) = (self.engine, self.request, &self.fit);
        let config = &engine.architecture().transformer;
        let pixels =
            if stage == SamplingStage::First { request.pixels.first_stage(request.stages) } else { request.pixels };
        let steps = StageSteps::evaluations(request);
        let evaluations = if stage == SamplingStage::First { steps.denoising } else { steps.refining };
        let (tokens, timesteps) = self.sequence(pixels);
        // Where the text encoder's states come as they are, they are as many as the prompt has tokens.
        let slots = |prompt: usize| match &engine.text {
            TextFiles::Gemma(_) => ConnectorConfig::SLOTS,
            TextFiles::T5(_) => self.shape.prompts.get(prompt).map_or(0, |tokens| (*tokens).min(T5_TOKENS)) as u64,
        };
        let pass = |prompt: usize, skips: &[usize]| {
            let pass = PassShape { tokens, context: slots(prompt), timesteps, skips };
            let products = engine.transformer_products((fit, stage), |key| config.rows_of(key, pass));
            products.work.plus(&config.pass_work(pass))
        };
        let evaluation = |guidance: Option<&Guidance>| {
            let mut evaluation = pass(0, &[]);
            if guidance.is_some_and(Guidance::uses_cfg) {
                evaluation = evaluation.plus(&pass(1, &[]));
            }
            if let Some(guidance) = guidance.filter(|guidance| guidance.uses_stg()) {
                evaluation = evaluation.plus(&pass(0, &guidance.stg_blocks));
            }
            evaluation
        };

        let weights = engine.transformer_products((fit, stage), |_| 0);
        let anew = stage == SamplingStage::Second && engine.is_dressed_anew(ltx_weights::LoraHalf::Video, &fit.wear);
        let loads = if stage == SamplingStage::First { self.loads(Transformer::PART) } else { anew };
        let mut once = config.stage_work(tokens);
        let mut held = 0;
        if loads {
            once = once.plus(&weights.layout).and(Unit::Read, weights.read_whole);
            held = weights.held;
        }
        let mut phases = vec![Phase { times: 1, work: once, beside: 0 }];
        for steps in request.guided_steps(stage, evaluations) {
            let work = evaluation(steps.guidance.as_ref());
            let (streamed, first) = (steps.passes() as u64 * weights.streamed, u64::from(phases.len() == 1));
            if first == 1 {
                phases.push(Phase { times: 1, work: work.clone(), beside: held + streamed });
            }
            phases.push(Phase { times: (steps.count as u64).saturating_sub(first), work, beside: streamed });
        }
        phases
    }

    /// Tokens of a stage's sequence, appended ones included, and how many timesteps they have.
    fn sequence(&self, pixels: PixelShape) -> (u64, u64) {
        let request = self.request;
        let latent = LatentShape::of(pixels, request.frames, self.engine.architecture().vae.scale());
        let replaces = |frame: usize| frame == 0 && request.conditioning == ConditioningMode::ReplaceFirst;
        let appended = request.images.iter().filter(|image| !replaces(image.frame_index)).count();
        // Those of the plan, where the request has none.
        let appended = if request.images.is_empty() { self.shape.images.saturating_sub(1) } else { appended };
        let mut kept: Vec<u32> =
            request.images.iter().map(|image| ((1.0 - image.strength.get()) as f32).to_bits()).collect();
        kept.push(1f32.to_bits());
        kept.sort_unstable();
        kept.dedup();
        ((latent.tokens() + appended * latent.frame_tokens()) as u64, kept.len() as u64)
    }

    fn upsampling(&self) -> Vec<Phase> {
        let Some(upscaler) = self.engine.upscaler_config() else { return Vec::new() };
        let latent = self.clip(self.request.pixels.first_stage(Stages::Two));
        let mut phases = vec![Phase { times: 1, work: upscaler.work(latent), beside: 0 }];
        if self.loads(Upsampler::PART) {
            let mut products = Products::default();
            let rule = self.engine.rule(&self.fit, SamplingStage::First, EightBitProducts::Never);
            let tensors = self.engine.upscaler_tensors();
            let each = tensors.iter().flat_map(|set| set.footprints(Upsampler::MARK));
            each.for_each(|tensor| products.add(rule, tensor, (Use::Stays, 0), false));
            phases.push(Phase { times: 1, work: products.layout.and(Unit::Read, products.read_whole), beside: 0 });
        }
        phases
    }

    fn decoding(&self) -> Vec<Phase> {
        let (vae, request) = (&self.engine.architecture().vae, self.request);
        let latent = LatentShape::of(request.pixels, request.frames, vae.scale());
        let [frames, rows, columns] = tile_lengths(vae, &self.fit.tiles, latent);
        let mut phases = vec![self.loading(VideoDecoder::PART, VideoDecoder::MARK)];
        let mut tiles = Vec::new();
        for frames in &frames {
            for rows in &rows {
                tiles.extend(columns.iter().map(|columns| [*frames, *rows, *columns]));
            }
        }
        let ending = rows.len() * columns.len();
        let volume = |of: &[usize; 3]| of.iter().map(|length| *length as u64).product::<u64>();
        // Pixels of a latent element, or of a cell of features.
        let each = match vae.diffusion() {
            Some(diffusion) => volume(&diffusion.cell()),
            None => volume(&[vae.scale().time, vae.scale().height, vae.scale().width]),
        };
        let values = 3 * each * tiles.iter().map(volume).sum::<u64>();
        match vae.diffusion() {
            Some(diffusion) => phases.push(self.drawing(diffusion, &Decoded { latent, tiles, ending })),
            None => phases.extend(tiles.into_iter().map(|[frames, height, width]| {
                let tile = ClipShape { frames: frames as u64, height: height as u64, width: width as u64 };
                Phase { times: 1, work: vae.decoder_work(tile).unwrap_or_default(), beside: 0 }
            })),
        }
        let pixels = (request.pixels.width * request.pixels.height * request.frames.get()) as u64;
        let work = Work::of(Unit::Value, PIXEL_MOVES * values).and(Unit::Pixel, pixels);
        phases.push(Phase { times: 1, work, beside: 0 });
        phases
    }

    /// A decoder that draws pixels, which is made of matrices.
    fn drawing(&self, diffusion: &DiffusionConfig, decoded: &Decoded) -> Phase {
        let products = self.engine.decoder_products(&self.fit, |key| diffusion.rows_of(key, decoded));
        Phase { times: 1, work: products.work.plus(&diffusion.work(decoded)), beside: 0 }
    }

    fn clip(&self, pixels: PixelShape) -> ClipShape {
        let latent = LatentShape::of(pixels, self.request.frames, self.engine.architecture().vae.scale());
        ClipShape { frames: latent.frames as u64, height: latent.height as u64, width: latent.width as u64 }
    }
}

/// Layers that are read while prompts of so many tokens go through them; `one` has the products with a row each.
fn streaming(one: &Products, prompts: Vec<u64>, beside: Work) -> Phase {
    let products = prompts.into_iter().map(|tokens| one.of_rows(tokens));
    let work = products.fold(beside, |all, products| all.plus(&products));
    Phase { times: 1, work: work.plus(&one.layout), beside: one.read() }
}
