//! How far one tensor is from another.
//!
//! Must not know which of them is the reference.

use candle_core::{DType, Tensor};

/// Two tensors that cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// They have different shapes.
    #[error("shape {found:?}, expected {expected:?}")]
    Shape {
        /// The shape found.
        found: Vec<usize>,
        /// The shape expected.
        expected: Vec<usize>,
    },
    /// One of them holds a value that is not finite.
    #[error("a value is not finite")]
    NotFinite,
    /// A tensor cannot be read.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// `‖found − expected‖ / ‖expected‖` in f64. Equal tensors differ by 0, zero tensors included.
///
/// # Errors
/// The shapes differ, or a value is not finite.
pub fn relative_l2(found: &Tensor, expected: &Tensor) -> Result<f64, CompareError> {
    if found.dims() != expected.dims() {
        return Err(CompareError::Shape { found: found.dims().to_vec(), expected: expected.dims().to_vec() });
    }
    let values = |t: &Tensor| t.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
    let (found, expected) = (values(found)?, values(expected)?);
    if !found.iter().chain(&expected).all(|v| v.is_finite()) {
        return Err(CompareError::NotFinite);
    }
    let difference: f64 = found.iter().zip(&expected).map(|(f, e)| (f - e).powi(2)).sum();
    let norm: f64 = expected.iter().map(|e| e * e).sum();
    Ok(match (difference, norm) {
        (0.0, _) => 0.0,
        (_, 0.0) => f64::INFINITY,
        _ => (difference / norm).sqrt(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn measures_what_it_says() {
        let tensor = |values: &[f32]| Tensor::new(values, &Device::Cpu).unwrap();
        let found = |a: &[f32], b: &[f32]| relative_l2(&tensor(a), &tensor(b));
        assert_eq!(found(&[3.0, 4.0], &[3.0, 4.0]).unwrap(), 0.0);
        assert_eq!(found(&[3.0, 5.0], &[3.0, 4.0]).unwrap(), 0.2);
        assert_eq!(found(&[0.0], &[0.0]).unwrap(), 0.0);
        assert_eq!(found(&[1.0], &[0.0]).unwrap(), f64::INFINITY);
        assert!(matches!(found(&[1.0], &[1.0, 2.0]), Err(CompareError::Shape { .. })));
        assert!(matches!(found(&[f32::NAN], &[1.0]), Err(CompareError::NotFinite)));
    }
}
