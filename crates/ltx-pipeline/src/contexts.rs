//! The contexts of a generation's prompts: which it needs, by which keys they are known, those that are kept already, and the text
//! encoder for the others.
//!
//! Must not know where contexts are kept. A kept one is the same to the last bit as one that is computed.

use crate::{
    Engine, Result,
    kept::Encodes,
    opened::{T5Files, TextFiles},
    plan::Fit,
};
use candle_core::Tensor;
use ltx_engine::{Cache, CacheKey, Encodings, Run};
use ltx_model::{
    part::Module,
    text_encoder::{Connector, FeatureProjection, TokenIds},
};
use ltx_nn::Taps;
use ltx_types::{Generation, Progress, SamplingStage, Stage, Stages};
use ltx_weights::{LoraHalf, Wear};
use sha2::{Digest, Sha256};

/// What is digested first. Another number where a context's bytes, or what decides them, change for reasons that stand in no file
/// and no option below.
const KIND: &str = "ltxd text context 1";

/// Dimensions of what is kept.
const DIMENSIONS: usize = 3;

/// Which stage's context, of which of the generation's prompts.
type Place = (SamplingStage, usize);

/// The contexts of a generation, `[1, tokens, dim]` each, in the order in which they are computed.
pub(crate) struct TextContexts {
    all: Encodes<Place>,
    /// Whether the second stage has another context than the first.
    again: bool,
    /// Whether nothing is left to do for the first stage.
    over: bool,
}

impl TextContexts {
    /// Whether the text encoder is not needed.
    pub(crate) fn are_complete(&self) -> bool {
        self.all.are_complete()
    }

    /// Where they came from.
    pub(crate) fn origin(&self) -> Encodings {
        self.all.origin()
    }

    /// Of each stage: the prompt's, and the negative one's where the stage has it.
    pub(crate) fn by_stage(self) -> [Vec<Tensor>; 2] {
        let Self { all, again, over } = self;
        let all: Vec<_> = all.into_places().collect();
        let of = |wanted: Option<SamplingStage>| {
            let here = all.iter().filter(|((stage, _), _)| wanted.is_none_or(|wanted| wanted == *stage));
            here.map(|(_, context)| context.clone()).collect::<Vec<_>>()
        };
        match again && !over {
            true => SamplingStage::ALL.map(|stage| of(Some(stage))),
            false => [of(None), of(None)],
        }
    }
}

/// What of a generation decides which contexts it needs.
#[derive(Clone, Copy)]
pub(crate) struct Needing<'a> {
    pub(crate) request: &'a Generation,
    pub(crate) wear: &'a Wear,
    /// Whether its first stage is over: then nothing is encoded for that.
    pub(crate) over: bool,
}

impl Engine {
    /// The keys by which the contexts of a request are kept; none where they cannot be told from others, such as those of random
    /// weights. Reads samples of the text encoder's files the first time.
    pub fn context_keys(&self, request: &Generation) -> Vec<CacheKey> {
        let Ok(wear) = self.ltx.loras.wear(&request.loras) else { return Vec::new() };
        let texts = prompts_of(request);
        let Some(digests) = texts.iter().map(|(_, text)| self.prompts().digest(text)).collect::<Option<Vec<_>>>()
        else {
            return Vec::new();
        };
        let places = self.context_places(Needing { request, wear: &wear, over: false }, digests.len());
        let key = |(stage, prompt): Place| self.context_key(stage, &digests[prompt], &wear);
        places.into_iter().map(key).collect::<Option<_>>().unwrap_or_default()
    }

    /// Stage and prompt of every context; the negative one is the second, where a step of the stage reads it. Where LoRA files make
    /// another connector in the second stage, what it reads is encoded for it again. Of a first stage that is over nothing is.
    fn context_places(&self, needing: Needing<'_>, prompts: usize) -> Vec<Place> {
        let Needing { request, wear, over } = needing;
        let again = self.encodes_again(request, wear);
        let [first, second] = SamplingStage::ALL.map(|stage| if request.uses_cfg_in(stage) { prompts } else { 1 });
        let of = |stage, prompts| (0..prompts).map(move |prompt| (stage, prompt));
        match (over, again) {
            (true, true) => of(SamplingStage::Second, second).collect(),
            (true, false) => of(SamplingStage::First, second).collect(),
            (false, true) => of(SamplingStage::First, first).chain(of(SamplingStage::Second, second)).collect(),
            (false, false) => of(SamplingStage::First, first.max(second)).collect(),
        }
    }

    fn encodes_again(&self, request: &Generation, wear: &Wear) -> bool {
        request.stages == Stages::Two && self.is_dressed_anew(LoraHalf::Text, wear)
    }

    /// The contexts of a generation, those that are kept already in place.
    pub(crate) fn kept_contexts(&self, needing: Needing<'_>, prompts: &[TokenIds], cache: &dyn Cache) -> TextContexts {
        let places = self.context_places(needing, prompts.len());
        let key = |(stage, prompt): &Place| self.context_key(*stage, &digest_of(&prompts[*prompt]), needing.wear);
        let all = Encodes::of::<DIMENSIONS>(places, key, (cache, &self.options.compute.device));
        let again = self.encodes_again(needing.request, needing.wear);
        TextContexts { all, again, over: needing.over }
    }

    /// Computes the contexts that are not there, stage by stage, and has them kept.
    pub(crate) fn complete_contexts(
        &self,
        contexts: &mut TextContexts,
        prompts: &[TokenIds],
        (run, fit): (&Run<'_>, &Fit),
        taps: &Taps,
    ) -> Result<()> {
        let lacking: Vec<_> = contexts.all.lacking().map(|wanted| wanted.place.0).collect();
        let stages: Vec<_> = SamplingStage::ALL.into_iter().filter(|stage| lacking.contains(stage)).collect();
        let turns = stages.len();
        for (turn, stage) in stages.into_iter().enumerate() {
            let mut places: Vec<_> = contexts.all.lacking().filter(|wanted| wanted.place.0 == stage).collect();
            let texts: Vec<_> = places.iter().map(|wanted| prompts[wanted.place.1].clone()).collect();
            // What is computed again for a second stage is not in the goldens.
            let taps = if turn == 0 { prompt_taps(taps) } else { prompt_taps(&Taps::off()) };
            let taps: Vec<_> = places.iter().map(|wanted| taps[wanted.place.1].clone()).collect();
            let encoded = self.encode_in(stage, &texts, ([turn, turns], run, fit), &taps)?;
            for (wanted, context) in places.iter_mut().zip(encoded) {
                wanted.computed(context, run.cache);
            }
        }
        Ok(())
    }

    /// One context per prompt, as the first stage has them; nothing is looked up or kept.
    pub(crate) fn encode_prompts(
        &self,
        prompts: &[TokenIds],
        run: &Run<'_>,
        fit: &Fit,
        taps: &Taps,
    ) -> Result<Vec<Tensor>> {
        self.encode_in(SamplingStage::First, prompts, ([0, 1], run, fit), &prompt_taps(taps))
    }

    /// One context per prompt, as a stage has them; `turn` of `turns` encodings, for the progress.
    fn encode_in(
        &self,
        stage: SamplingStage,
        prompts: &[TokenIds],
        ([turn, turns], run, fit): ([usize; 2], &Run<'_>, &Fit),
        taps: &[Taps],
    ) -> Result<Vec<Tensor>> {
        if let TextFiles::T5(text) = &self.text {
            return self.encode_t5(text, prompts, run, taps);
        }
        let encoder = self.text_encoder(fit, stage)?;
        let total = encoder.layers();
        let report = |done| {
            let (done, total) = (turn * total + done, turns * total);
            run.progress.report(Progress { stage: Stage::TextEncoding, done, total });
        };
        let before_layer = |layer| {
            report(layer);
            run.cancel.check().map_err(crate::PipelineError::from)
        };
        let contexts = encoder.encode(prompts, before_layer, taps)?;
        report(total);
        Ok(contexts)
    }

    /// T5's states of every prompt; they are the context.
    fn encode_t5(&self, text: &T5Files, prompts: &[TokenIds], run: &Run<'_>, taps: &[Taps]) -> Result<Vec<Tensor>> {
        let encoder = self.t5(text)?;
        let total = encoder.layers();
        let report = |done| run.progress.report(Progress { stage: Stage::TextEncoding, done, total });
        let before_layer = |layer| {
            report(layer);
            run.cancel.check().map_err(crate::PipelineError::from)
        };
        let contexts = encoder.encode(prompts, before_layer)?;
        for (context, taps) in contexts.iter().zip(taps) {
            let padding = self.options.text_slots.saturating_sub(context.dim(1)?);
            taps.record("video_context", || Ok(context.pad_with_zeros(1, 0, padding)?))?;
        }
        report(total);
        Ok(contexts)
    }

    /// The key of a context: everything that decides its bytes. That is the program itself, how and where it computes, what the
    /// configuration says of the family, the weights that it is computed with, and the prompt's tokens.
    fn context_key(&self, stage: SamplingStage, tokens: &[u8; 32], wear: &Wear) -> Option<CacheKey> {
        let weights = self.text_weights.get_or_init(|| self.identify_text()).as_ref()?;
        let mut digest = Sha256::new();
        digest.update(weights);
        self.ltx.loras.identify((LoraHalf::Text, stage, wear), &mut |piece| digest.update(piece)).ok()?;
        digest.update(tokens);
        Some(CacheKey::new(digest.finalize().into()))
    }

    fn identify_text(&self) -> Option<[u8; 32]> {
        let config = match &self.text {
            TextFiles::Gemma(text) => format!("{:?}", text.config),
            TextFiles::T5(text) => format!("{:?}", text.config),
        };
        self.identify((KIND, &format!("{:?} {config}", self.architecture())), |sink| {
            self.text.tensors().identify(|_| true, sink)?;
            let own = |key: &str| key.starts_with(Connector::MARK) || key.starts_with(FeatureProjection::MARK);
            self.ltx.tensors.identify(own, sink)
        })
    }
}

/// The prompts of a request that passes read, each with its field's name.
pub(crate) fn prompts_of(request: &Generation) -> Vec<(&'static str, &str)> {
    let negative = request.uses_cfg().then_some(("negative_prompt", request.negative_prompt.as_str()));
    std::iter::once(("prompt", request.prompt.as_str())).chain(negative).collect()
}

/// The places of a prompt's and of a negative prompt's tensors in a golden case.
pub(crate) fn prompt_taps(taps: &Taps) -> [Taps; 2] {
    [taps.within("text.pos."), taps.within("text.neg.")]
}

/// SHA-256 of a prompt's tokens.
pub(crate) fn digest_of(tokens: &TokenIds) -> [u8; 32] {
    let mut digest = Sha256::new();
    tokens.ids().iter().for_each(|id| digest.update(id.to_le_bytes()));
    digest.finalize().into()
}
