//! What a source of weights hands out for a matrix: its values as they are stored, and pairs of low rank beside them.
//!
//! Must not know how a matrix is multiplied, or what it becomes.

use super::{LowRank, Packed};
use crate::{Compute, NnError, Packing, Result};
use candle_core::{DType, Tensor};

/// A matrix `[outputs, inputs]` as a source hands it out.
#[derive(Debug, Clone)]
pub struct Stored {
    pub(super) shape: [usize; 2],
    pub(super) values: StoredValues,
    pub(super) pairs: Vec<LowRank>,
}

/// The values of a [`Stored`].
#[derive(Debug, Clone)]
pub(super) enum StoredValues {
    /// None: the shape alone is looked at.
    ShapeAlone,
    /// A tensor of floats, on any device.
    Floats(Tensor),
    /// Bytes on the host.
    Packed(Packed),
}

/// What the values of a matrix are stored as. A header says so, before anything is read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum StoredKind {
    /// There are no values: the shape alone is looked at.
    ShapeAlone,
    /// Floats that a source hands out as a tensor of this dtype.
    Floats(DType),
    /// Values that a source hands out as bytes: 16-bit and 8-bit floats, and quantised blocks.
    Packed(Packing),
}

/// All that the form of a matrix is decided by, beside what it is for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Description {
    /// What its values are stored as.
    pub kind: StoredKind,
    /// `[outputs, inputs]`.
    pub shape: [usize; 2],
    /// Whether pairs of low rank stay beside it.
    pub has_pairs: bool,
}

impl StoredKind {
    /// Bytes of so many values.
    pub fn bytes(self, values: usize) -> u64 {
        match self {
            Self::ShapeAlone => 0,
            Self::Floats(dtype) => (values * dtype.size_in_bytes()) as u64,
            Self::Packed(packing) => packing.bytes(values).unwrap_or(0) as u64,
        }
    }

    /// Whether pairs of low rank are added to the values when those are read: to floats they are, beside others they stay.
    pub fn merges_pairs(self) -> bool {
        match self {
            Self::ShapeAlone => false,
            Self::Floats(_) => true,
            Self::Packed(packing) => packing.is_half(),
        }
    }
}

impl Stored {
    /// A matrix of a tensor `[outputs, inputs]`.
    ///
    /// # Errors
    /// The tensor is no matrix.
    pub fn floats(tensor: Tensor) -> Result<Self> {
        let (outputs, inputs) = tensor.dims2()?;
        Ok(Self { shape: [outputs, inputs], values: StoredValues::Floats(tensor), pairs: Vec::new() })
    }

    /// A matrix of packed values.
    pub fn packed(packed: Packed) -> Self {
        Self { shape: packed.shape(), values: StoredValues::Packed(packed), pairs: Vec::new() }
    }

    /// A matrix without values, for a load that only accounts for keys and shapes.
    pub fn shape_alone(shape: [usize; 2]) -> Self {
        Self { shape, values: StoredValues::ShapeAlone, pairs: Vec::new() }
    }

    /// The matrix with pairs of low rank beside it, which every product adds to its own.
    #[must_use]
    pub fn with_pairs(mut self, pairs: Vec<LowRank>) -> Self {
        self.pairs.extend(pairs);
        self
    }

    /// What its values are stored as.
    pub fn kind(&self) -> StoredKind {
        match &self.values {
            StoredValues::ShapeAlone => StoredKind::ShapeAlone,
            StoredValues::Floats(tensor) => StoredKind::Floats(tensor.dtype()),
            StoredValues::Packed(packed) => StoredKind::Packed(packed.packing()),
        }
    }

    /// All that its form is decided by.
    pub fn describe(&self) -> Description {
        Description { kind: self.kind(), shape: self.shape, has_pairs: !self.pairs.is_empty() }
    }

    /// The values as a tensor, without what pairs of low rank add.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn tensor(&self, compute: &Compute) -> Result<Tensor> {
        self.values.tensor(self.shape, compute)
    }
}

impl StoredValues {
    /// The values as a tensor of a dtype on a device. A matrix without values becomes one zero, broadcast.
    pub(super) fn tensor(&self, shape: [usize; 2], compute: &Compute) -> Result<Tensor> {
        let Compute { device, dtype, .. } = compute;
        match self {
            Self::ShapeAlone => Ok(Tensor::zeros((), *dtype, device)?.broadcast_as(&shape)?),
            Self::Floats(tensor) => Ok(tensor.to_device(device)?.to_dtype(*dtype)?.contiguous()?),
            Self::Packed(packed) => packed.tensor(compute),
        }
    }

    /// The packed values, for forms that are made of nothing else.
    pub(super) fn packed(&self) -> Result<&Packed> {
        match self {
            Self::Packed(packed) => Ok(packed),
            Self::ShapeAlone | Self::Floats(_) => {
                Err(NnError::unsupported("the stored form of a matrix", "a tensor", "packed values"))
            }
        }
    }
}
