//! What generations of Gemma differ in beside sizes, as values: of norms, of attention, of what a layer hands on.
//!
//! Must not know how a configuration states them.

/// A generation of Gemma whose hidden states LTX reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// Gemma 3: LTX-2 and LTX-2.3.
    Three,
    /// Gemma 4, the unified model: LTX-2.5.
    Four,
}

impl Generation {
    /// The name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Three => "Gemma-3",
            Self::Four => "Gemma-4",
        }
    }

    /// What configurations call the language model alone.
    pub(super) fn text_type(self) -> &'static str {
        match self {
            Self::Three => "gemma3_text",
            Self::Four => "gemma4_unified_text",
        }
    }

    /// What configurations call the whole model, or the language model alone.
    pub(super) fn types(self) -> [&'static str; 2] {
        match self {
            Self::Three => ["gemma3", "gemma3_text"],
            Self::Four => ["gemma4_unified", "gemma4_unified_text"],
        }
    }

    /// The generation whose configurations call a model so.
    pub(super) fn of_type(kind: &str) -> Option<Self> {
        [Self::Three, Self::Four].into_iter().find(|generation| generation.types().contains(&kind))
    }

    /// Whether norms multiply by 1 + weight, and not by the weight.
    pub fn norms_add_one(self) -> bool {
        self == Self::Three
    }

    /// Whether values are RMS-normalised by head, without a weight.
    pub fn norms_values(self) -> bool {
        self == Self::Four
    }

    /// Whether a layer's output is multiplied by a learned number.
    pub fn scales_layers(self) -> bool {
        self == Self::Four
    }
}

/// Sizes of the attention in one type of layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttentionSizes {
    /// Width of a head.
    pub head_dim: usize,
    /// Key and value heads.
    pub key_value_heads: usize,
    /// Whether one projection makes keys and values.
    pub keys_are_values: bool,
}
