//! The distilled LoRA that some flows need: whether a model has it, and whether it counts where it has to.
//!
//! Must not know files; the model's are listed for it.

use crate::{FieldError, Flow, LoraChoice, LoraStrengths, LoraUse, SamplingStage};
use serde::{Deserialize, Serialize};

/// What a LoRA is to its model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoraRole {
    /// It makes dev weights sample as distilled ones do.
    Distilled,
}

/// In which stages a model's files have the distilled LoRA. Where a file is listed in that role, no other one is taken for it; where
/// none is, nobody can tell LoRAs apart, and any that counts may be it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DistilledLora {
    /// Whether it counts in each stage without being named by the request.
    always: [bool; 2],
    /// Whether it may be one that the request names.
    by_name: bool,
}

impl DistilledLora {
    /// Among the files of a model.
    pub fn among(loras: &[LoraChoice]) -> Self {
        let has_role = loras.iter().any(|lora| lora.role == Some(LoraRole::Distilled));
        let may_be = |lora: &&LoraChoice| !has_role || lora.role == Some(LoraRole::Distilled);
        let counts =
            |stage| loras.iter().filter(may_be).any(|lora| lora.name.is_none() && lora.strengths.at(stage) != 0.0);
        Self { always: SamplingStage::ALL.map(counts), by_name: !has_role }
    }

    /// The fault of a request of the flow `hq`, which needs it in both stages. Without `named` strengths a LoRA counts.
    pub fn lacking(self, flow: Option<Flow>, named: &[LoraUse]) -> Option<FieldError> {
        if flow != Some(Flow::Hq) {
            return None;
        }
        let listed = LoraStrengths::both(1.0);
        let is_named = |stage| self.by_name && named.iter().any(|lora| lora.strengths(listed).at(stage) != 0.0);
        let stages = SamplingStage::ALL.into_iter().zip(self.always);
        let (stage, _) = stages.into_iter().find(|(stage, always)| !always && !is_named(*stage))?;
        let stage = if stage == SamplingStage::First { "first" } else { "second" };
        let rule = format!(
            "needs the distilled LoRA in both stages, and in the {stage} one none counts; ask for a model that lists it \
             (role = \"distilled\" in its manifest), such as ltx-2.3-hq, or name its file beside a path, --lora FILE=0.25,0.5"
        );
        Some(FieldError::new("flow", Flow::Hq, rule).nearest(Flow::Dev))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lora(role: Option<LoraRole>, first: f32, second: f32) -> LoraChoice {
        LoraChoice { role, ..LoraChoice::at("x.safetensors", LoraStrengths { first, second }) }
    }

    fn lacks(loras: &[LoraChoice], named: &[LoraUse]) -> Option<&'static str> {
        let fault = DistilledLora::among(loras).lacking(Some(Flow::Hq), named)?;
        Some(if fault.rule.contains("in the first one") { "first" } else { "second" })
    }

    #[test]
    fn hq_needs_the_distilled_lora_in_both_stages() {
        const DISTILLED: Option<LoraRole> = Some(LoraRole::Distilled);
        assert_eq!(lacks(&[], &[]), Some("first"));
        assert_eq!(lacks(&[lora(DISTILLED, 0.25, 0.5)], &[]), None);
        assert_eq!(lacks(&[lora(DISTILLED, 0.0, 1.0)], &[]), Some("first"), "as dev has it");
        assert_eq!(lacks(&[lora(DISTILLED, 0.25, 0.0)], &[]), Some("second"));
        // Another LoRA is none.
        let beside = [lora(DISTILLED, 0.0, 1.0), lora(None, 1.0, 1.0)];
        assert_eq!(lacks(&beside, &[]), Some("first"));
        // Nobody can tell.
        assert_eq!(lacks(&[lora(None, 1.0, 1.0)], &[]), None);
        assert!(DistilledLora::among(&[]).lacking(Some(Flow::Dev), &[]).is_none());
        assert!(DistilledLora::among(&[]).lacking(None, &[]).is_none());
    }

    #[test]
    fn a_lora_that_a_request_names_counts_where_no_file_has_the_role() {
        let listed = LoraChoice { name: Some("camera".into()), ..lora(None, 1.0, 1.0) };
        let named = |first, second| [LoraUse::listed("camera", LoraStrengths { first, second })];
        assert_eq!(lacks(std::slice::from_ref(&listed), &[]), Some("first"));
        assert_eq!(lacks(std::slice::from_ref(&listed), &named(0.25, 0.5)), None);
        assert_eq!(lacks(std::slice::from_ref(&listed), &named(0.25, 0.0)), Some("second"));
        let both = [listed, lora(Some(LoraRole::Distilled), 0.0, 1.0)];
        assert_eq!(lacks(&both, &named(1.0, 1.0)), Some("first"));
    }
}
