//! Comparing what was computed with what the reference computed.
//!
//! Must not know how either came about.

use super::case::Tolerance;
use candle_core::{DType, Tensor};
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

/// `‖found − expected‖ / ‖expected‖` in f64. Two zero tensors differ by 0.
///
/// # Errors
/// The shapes differ, or a value is not finite; told in words.
pub fn relative_l2(found: &Tensor, expected: &Tensor) -> Result<f64, String> {
    if found.dims() != expected.dims() {
        return Err(format!("shape {:?}, expected {:?}", found.dims(), expected.dims()));
    }
    let values = |t: &Tensor| {
        t.to_dtype(DType::F64).and_then(|t| t.flatten_all()?.to_vec1::<f64>()).map_err(|error| error.to_string())
    };
    let (found, expected) = (values(found)?, values(expected)?);
    if !found.iter().chain(&expected).all(|v| v.is_finite()) {
        return Err("a value is not finite".to_owned());
    }
    let difference: f64 = found.iter().zip(&expected).map(|(f, e)| (f - e).powi(2)).sum();
    let norm: f64 = expected.iter().map(|e| e * e).sum();
    Ok(match (difference, norm) {
        (0.0, _) => 0.0,
        (_, 0.0) => f64::INFINITY,
        _ => (difference / norm).sqrt(),
    })
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
        let verdict =
            real_rows(name, value, found).and_then(|value| relative_l2(&value, &real_rows(name, expected, found)?));
        let (error, problem) = match verdict {
            Ok(error) => (error, None),
            Err(problem) => (f64::INFINITY, Some(problem)),
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

/// Outputs of single layers, as opposed to results of a stage.
fn is_layer(name: &str) -> bool {
    ["block", "patchify_out", "adaln", "embedded_timestep", "rope", "gemma_hidden_states"]
        .iter()
        .any(|mark| name.contains(mark))
}

/// Padded rows of hidden states and features mean nothing: only rows whose mask is 1 are compared.
fn real_rows(name: &str, tensor: &Tensor, found: &BTreeMap<String, Tensor>) -> Result<Tensor, String> {
    let Some((prompt, what)) = name.rsplit_once('.') else { return Ok(tensor.clone()) };
    if !matches!(what, "gemma_hidden_states" | "video_features") {
        return Ok(tensor.clone());
    }
    let rows = |mask: &Tensor| -> candle_core::Result<Tensor> {
        let mask = mask.flatten_all()?.to_vec1::<i64>()?;
        let real: Vec<u32> = (0u32..).zip(&mask).filter(|(_, mask)| **mask == 1).map(|(row, _)| row).collect();
        let count = real.len();
        tensor.contiguous()?.index_select(&Tensor::from_vec(real, count, tensor.device())?, 1)
    };
    match found.get(&format!("{prompt}.attention_mask")) {
        Some(mask) => rows(mask).map_err(|error| error.to_string()),
        None => Err("no attention mask".to_owned()),
    }
}
