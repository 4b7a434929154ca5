//! The rates of products: a matrix of each form with many rows and with few, so that what a product costs by the operation and
//! by the value of its matrix are told apart.
//!
//! Must not know which layers have such matrices.

use super::{RateMeter, rate, solved};
use crate::{Result, work::Recipe};
use candle_core::{DType, Device, Tensor};
use ltx_nn::{
    Compute, Linear, NnError, Vb, Weights,
    matrix::{Packed, Stored, StoredKind},
};
use ltx_types::Unit;
use parking_lot::Mutex;
use std::sync::Arc;

/// Sides of a matrix.
const SIDE: usize = 1024;
const SIDE_ON_GPU: usize = 4096;
/// Rows of the two products.
const ROWS: [usize; 2] = [192, 12];
const ROWS_ON_GPU: [usize; 2] = [4096, 64];
/// Sides and rows of a product so small that beginning it is what takes time.
const LEAST: usize = 32;

/// A matrix of one kind under every name, made once; its values decide no time.
struct Constant {
    kind: StoredKind,
    made: Mutex<Option<Stored>>,
}

impl Constant {
    fn of(kind: StoredKind) -> Self {
        Self { kind, made: Mutex::default() }
    }
}

impl Weights for Constant {
    fn tensor(&self, _: &str, shape: &[usize], compute: &Compute) -> ltx_nn::Result<Tensor> {
        Ok(Tensor::full(0.01f32, shape, &compute.device)?.to_dtype(compute.dtype)?)
    }

    fn matrix(&self, key: &str, shape: [usize; 2], compute: &Compute) -> ltx_nn::Result<Stored> {
        let [outputs, inputs] = shape;
        let mut made = self.made.lock();
        if let Some(made) = &*made {
            return Ok(made.clone());
        }
        let stored = match self.kind {
            StoredKind::Packed(packing) => {
                let bytes = packing.bytes(outputs * inputs);
                let bytes =
                    bytes.ok_or_else(|| NnError::unsupported("a matrix", format!("{packing:?}"), "whole blocks"))?;
                Ok(Stored::packed(Packed::new(vec![0; bytes], packing, shape)?))
            }
            StoredKind::Floats(dtype) => {
                Stored::floats(Tensor::full(0.01f32, (outputs, inputs), &Device::Cpu)?.to_dtype(dtype)?)
            }
            StoredKind::ShapeAlone => Stored::floats(self.tensor(key, &shape, compute)?),
        }?;
        Ok(made.insert(stored).clone())
    }

    fn rows(&self, key: &str, _: [usize; 2], _: &[u32], _: &Compute) -> ltx_nn::Result<Tensor> {
        Err(NnError::unsupported("rows", key, "none"))
    }

    fn check(&self, _: &str, _: &[usize]) -> ltx_nn::Result<()> {
        Ok(())
    }
}

impl RateMeter {
    pub(super) fn matrix(&self, form: &str, recipe: &Recipe) -> Result<Vec<(Unit, f64)>> {
        let Recipe { kind, usage, arithmetic } = *recipe;
        let compute = Compute { dtype: arithmetic.dtype, eight_bit: arithmetic.eight_bit, ..self.compute.clone() };
        let (side, rows) = if arithmetic.on_gpu { (SIDE_ON_GPU, ROWS_ON_GPU) } else { (SIDE, ROWS) };
        let values = (side * side) as f64;
        let vb = Vb::new(Arc::new(Constant::of(kind)), compute.clone()).used(usage);
        let load = || Linear::load_with(&vb, side, side, false);
        let layer = load()?;
        let laid_out = self.seconds(|| Ok(load().map(drop)?))?;
        let taken = |rows: usize| {
            let x = input(rows, side, &compute)?;
            let seconds = self.seconds(|| Ok(layer.forward(&x).map(drop)?))?;
            Ok::<_, crate::PipelineError>(([2.0 * rows as f64 * values, values], seconds))
        };
        let [operation, value] = solved(taken(rows[0])?, taken(rows[1])?);
        Ok(vec![
            (Unit::Product(form.to_owned()), rate(operation)),
            (Unit::Matrix(form.to_owned()), rate(value)),
            (Unit::Layout(form.to_owned()), values / laid_out.max(1e-9)),
        ])
    }

    /// What beginning an operator takes: handing it to the threads, or to the GPU.
    pub(super) fn calls(&self) -> Result<Vec<(Unit, f64)>> {
        const CALLS: usize = 32;
        let compute = self.compute.exact();
        let vb = Vb::new(Arc::new(Constant::of(StoredKind::Floats(DType::F32))), compute.clone());
        let (layer, x) = (Linear::load_with(&vb, LEAST, LEAST, false)?, input(LEAST, LEAST, &compute)?);
        let seconds = self.seconds(|| {
            for _ in 0..CALLS {
                layer.forward(&x)?;
            }
            Ok(())
        })?;
        Ok(vec![(Unit::Call, CALLS as f64 / seconds.max(1e-9))])
    }
}

/// `[1, rows, width]` of any values.
fn input(rows: usize, width: usize, compute: &Compute) -> Result<Tensor> {
    Ok(Tensor::full(0.5f32, (1, rows, width), &compute.device)?.to_dtype(compute.dtype)?)
}
