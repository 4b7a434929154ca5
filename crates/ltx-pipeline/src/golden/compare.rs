//! Comparing what was computed with what the reference computed.
//!
//! Must not know how either came about.

use super::case::Tolerance;
use candle_core::Tensor;
use ltx_nn::{CompareError, relative_l2};
use std::collections::BTreeMap;

/// One tensor's verdict.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// The golden's name.
    pub name: String,
    /// `‖found − expected‖ / ‖expected‖`; infinite for a wrong shape, a value that is not finite, or an absent tensor.
    pub error: f64,
    /// What is allowed.
    pub tolerance: f64,
    /// Why the error is infinite, where it is.
    pub problem: Option<String>,
}

impl Comparison {
    /// Whether the error is within the tolerance.
    pub fn passes(&self) -> bool {
        self.error <= self.tolerance
    }
}

/// Compares every tensor that both hold, and reports every one that a case must hold and either lacks.
pub(super) fn compare_all(
    found: &BTreeMap<String, Tensor>,
    expected: &BTreeMap<String, Tensor>,
    required: &[String],
    tolerance: Tolerance,
) -> Vec<Comparison> {
    let mut comparisons = Vec::new();
    for (name, expected) in expected {
        let Some(value) = found.get(name) else { continue };
        let tolerance = if is_layer(name) { tolerance.layer } else { tolerance.stage };
        let verdict = compare(name, value, expected, found);
        let (error, problem) = match verdict {
            Ok(error) => (error, None),
            Err(problem) => (f64::INFINITY, Some(problem.to_string())),
        };
        comparisons.push(Comparison { name: name.clone(), error, tolerance, problem });
    }
    for name in required {
        let lacks = [(found.contains_key(name), "not computed"), (expected.contains_key(name), "absent from the case")];
        for (_, problem) in lacks.into_iter().filter(|(present, _)| !present) {
            let (error, problem) = (f64::INFINITY, Some(problem.to_owned()));
            comparisons.push(Comparison { name: name.clone(), error, tolerance: 0.0, problem });
        }
    }
    comparisons
}

fn compare(
    name: &str,
    value: &Tensor,
    expected: &Tensor,
    found: &BTreeMap<String, Tensor>,
) -> Result<f64, CompareError> {
    relative_l2(&real_rows(name, value, found)?, &real_rows(name, expected, found)?)
}

/// Outputs of single layers, as opposed to results of a stage.
fn is_layer(name: &str) -> bool {
    ["block", "patchify_out", "adaln", "embedded_timestep", "rope", "gemma_hidden_states"]
        .iter()
        .any(|mark| name.contains(mark))
}

/// Padded rows of hidden states and features mean nothing: only rows whose mask is 1 are compared.
fn real_rows(name: &str, tensor: &Tensor, found: &BTreeMap<String, Tensor>) -> candle_core::Result<Tensor> {
    let Some((prompt, kind @ ("gemma_hidden_states" | "video_features" | "video_context"))) = name.rsplit_once('.')
    else {
        return Ok(tensor.clone());
    };
    let Some(mask) = found.get(&format!("{prompt}.attention_mask")) else {
        return Err(candle_core::Error::msg("no attention mask says which rows count"));
    };
    let mask = mask.flatten_all()?.to_vec1::<i64>()?;
    // A connector fills the slots in front of a prompt; what is behind one stays padding.
    if kind == "video_context" && (mask.first() != Some(&1) || tensor.dim(1)? != mask.len()) {
        return Ok(tensor.clone());
    }
    let real: Vec<u32> = (0u32..).zip(&mask).filter(|(_, mask)| **mask == 1).map(|(row, _)| row).collect();
    let count = real.len();
    tensor.contiguous()?.index_select(&Tensor::from_vec(real, count, tensor.device())?, 1)
}
