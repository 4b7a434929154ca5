//! The policy table: one function a rule, each looking at one thing.
//!
//! Must not know what happens to the verdict.

use crate::{
    ask::{Agent, Ask, Audio},
    config::{NothingLoaded, PolicyConfig},
    names::Meaning,
    refusal::{Ground, Reason, Refusal},
    remedy::SAY_LTX,
};
use ltx_types::{GenerationDraft, Method};

/// The most characters of a caller's words that an answer repeats.
const SHOWN_CHARS: usize = 60;

/// What an unlimited request turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) method: Method,
    /// The manifest's name; `None` when whoever runs it chooses.
    pub(crate) model: Option<String>,
}

/// Rows 1 to 15.
pub(crate) fn judge(ask: &Ask, draft: &GenerationDraft, config: &PolicyConfig) -> Result<Verdict, Refusal> {
    let mut others = [element_editing(ask, config), audio(ask, config), low_credits(ask, config), plan(ask, config)]
        .into_iter()
        .flatten();
    match (method(ask, draft, config), model(ask, config), others.next()) {
        (Ok(method), Ok(model), None) => Ok(Verdict { method, model }),
        (Ok(_), Ok(_), Some(first)) => Err(Refusal::new(first, others)),
        (Ok(_), Err(first), other) => Err(Refusal::new(first, other.into_iter().chain(others))),
        (Err(first), model, other) => Err(Refusal::new(first, model.err().into_iter().chain(other).chain(others))),
    }
}

/// Refuses an operation that has a call of its own: its row holds whatever else does, and images are not looked at.
pub(crate) fn refuse(operation: Ground, ask: &Ask, config: &PolicyConfig) -> Refusal {
    let grounds = [
        element_editing(ask, config),
        audio(ask, config),
        model(ask, config).err(),
        low_credits(ask, config),
        plan(ask, config),
    ];
    let reason = operation.reason;
    Refusal::new(operation, grounds.into_iter().flatten().filter(|ground| ground.reason != reason))
}

/// Rows 1 to 3: one image at frame 0, or one at frame 0 and one at the last frame.
fn method(ask: &Ask, draft: &GenerationDraft, config: &PolicyConfig) -> Result<Method, Ground> {
    let mut frames: Vec<usize> = draft.images.iter().map(|image| image.frame_index).collect();
    frames.sort_unstable();
    // A clip too short for two images is the frame count's fault, which the draft's check says.
    let last = draft.frames.saturating_sub(1).max(1);
    let why = match frames[..] {
        _ if ask.video_input => "a video as an input is not one of the two unlimited methods".to_owned(),
        [0] => return Ok(Method::ImageToVideo),
        [0, end] if end == last => return Ok(Method::StartEndFrames),
        [] => "text alone is not one of the two unlimited methods".to_owned(),
        [_] => "one image must be the first frame".to_owned(),
        [_, _] => "two images must be the first and the last frame".to_owned(),
        _ => format!("{} images are more than the two unlimited methods take", frames.len()),
    };
    Err(ground(Reason::NotAnUnlimitedMethod, why, config))
}

/// Row 4.
fn element_editing(ask: &Ask, config: &PolicyConfig) -> Option<Ground> {
    ask.element_edit.then(|| element_editing_ground(config))
}

pub(crate) fn element_editing_ground(config: &PolicyConfig) -> Ground {
    let why = "editing elements inside a generated video is not supported".to_owned();
    ground(Reason::ElementEditingNotSupported, why, config)
}

/// Row 5.
fn audio(ask: &Ask, config: &PolicyConfig) -> Option<Ground> {
    (!ask.audio.is_empty()).then(|| audio_ground(&ask.audio, config))
}

pub(crate) fn audio_ground(audio: &[Audio], config: &PolicyConfig) -> Ground {
    let mut asked: Vec<_> = Vec::new();
    for label in audio.iter().map(|audio| audio.label()) {
        if !asked.contains(&label) {
            asked.push(label);
        }
    }
    let asked = if asked.is_empty() { "audio".to_owned() } else { asked.join(", ") };
    let why = format!("{asked}: audio is not covered and would deduct credits");
    ground(Reason::AudioNotCovered, why, config)
}

/// Rows 6 to 8, 10 to 12, 14 and 15.
fn model(ask: &Ask, config: &PolicyConfig) -> Result<Option<String>, Ground> {
    let Some(name) = ask.model.as_deref() else {
        if ask.agent == Some(Agent::Agent2) {
            let why = "no model was named, and Agent 2.0 runs Seedance 2.0 Fast then, which is not covered and would \
                       deduct credits";
            let remedy = format!("request LTX explicitly: {SAY_LTX}");
            return Err(Ground { reason: Reason::ExternalModelNotCovered, why: why.to_owned(), remedy, passes: false });
        }
        let none = |NothingLoaded| not_loaded("no model is loaded here yet".to_owned(), config);
        return config.default_model().map_err(none);
    };
    let known = match config.names().meaning(name) {
        Meaning::Known(known) => known,
        Meaning::External(external) => {
            let why = format!("{} is not an LTX model; it is not covered and would deduct credits", shown(external));
            return Err(ground(Reason::ExternalModelNotCovered, why, config));
        }
        Meaning::Unknown => {
            let why = format!("“{}” is not a model this node knows", shown(name));
            return Err(ground(Reason::UnknownModel, why, config));
        }
    };
    let names: Vec<_> = known.iter().map(|model| model.name()).collect();
    match names.iter().find(|name| config.is_loaded(name)) {
        Some(name) => Ok(Some((*name).to_owned())),
        None => Err(not_loaded(format!("{}: an LTX model that is not loaded here", names.join(", ")), config)),
    }
}

/// Row 15.
pub(crate) fn not_loaded(why: String, config: &PolicyConfig) -> Ground {
    ground(Reason::ModelNotLoaded, why, config)
}

/// Rows 9 to 11.
fn low_credits(ask: &Ask, config: &PolicyConfig) -> Option<Ground> {
    let low = ask.agent == Some(Agent::Agent2) && ask.credits_low == Some(true);
    let why = || "Agent 2.0 uses credits for its own work, and they are low".to_owned();
    low.then(|| ground(Reason::LowCredits, why(), config))
}

/// Row 13.
fn plan(ask: &Ask, config: &PolicyConfig) -> Option<Ground> {
    let plan = ask.plan.as_deref().filter(|plan| !config.carries_benefit(plan))?;
    let why = format!("the plan “{}” does not carry the unlimited benefit", shown(plan));
    Some(ground(Reason::PlanNotCovered, why, config))
}

/// A reason with what to do about it.
fn ground(reason: Reason, why: String, config: &PolicyConfig) -> Ground {
    let passes = reason == Reason::ModelNotLoaded && config.loaded().is_empty();
    Ground { reason, why, remedy: reason.remedy(config), passes }
}

/// A caller's words, short and without control characters.
fn shown(words: &str) -> String {
    let mut text: String = words.chars().filter(|c| !c.is_control()).take(SHOWN_CHARS).collect();
    if words.chars().nth(SHOWN_CHARS).is_some() {
        text.push('…');
    }
    text
}
