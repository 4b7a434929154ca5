//! What policy looks at beside the images of the draft: who asks, for what, and with which model.
//!
//! Must not know how the request arrived. The prompt is not here: it is never parsed for intent.

use serde::{Deserialize, Serialize};

/// The agent that speaks for the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Agent {
    /// Agent 1.0: LTX is its default video model, and its own work uses no credits.
    Agent1,
    /// Agent 2.0: Seedance 2.0 Fast is its default video model, and its own work uses credits.
    Agent2,
}

/// Sound that a request asks for. None of it is covered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audio {
    /// Any audio track in the output.
    Track,
    /// Sound effects.
    SoundEffects,
    /// Background music.
    BackgroundMusic,
    /// Audio as an input.
    Input,
}

impl Audio {
    /// A word or two for people.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Track => "an audio track",
            Self::SoundEffects => "sound effects",
            Self::BackgroundMusic => "background music",
            Self::Input => "audio as an input",
        }
    }
}

/// What policy is asked. It is stored with an accepted request, so that the request can be judged again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ask {
    /// The agent that speaks for the user; `None` is a direct client.
    pub agent: Option<Agent>,
    /// Whether the user's credits are low; `None` when nobody said.
    pub credits_low: Option<bool>,
    /// The user's plan; `None` when nobody said.
    pub plan: Option<String>,
    /// The model named in the request; `None` is the default: the agent's, or the node's.
    pub model: Option<String>,
    /// Sound that was asked for; empty for none.
    pub audio: Vec<Audio>,
    /// Whether a video was given as an input.
    pub video_input: bool,
    /// Whether elements inside a generated video are to be edited.
    pub element_edit: bool,
}
