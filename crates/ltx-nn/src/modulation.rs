//! Shifts, scales and gates of a sequence. Few distinct rows occur, so tokens name theirs instead of holding a copy.
//!
//! Must not know timesteps, or which row means what.

use crate::{
    KernelChoice, NnError, Result,
    ops::{OnCpu, Op, unmeasured},
};
use candle_core::{Device, Tensor};
use ltx_kernels::{
    CudaKernels,
    cpu::ModulationTable,
    cuda::{self, ModulationTensors},
};
use std::sync::Arc;

/// Which of a few values each token of a sequence has.
#[derive(Debug, Clone)]
pub struct TokenIndex {
    numbers: Arc<[u32]>,
    on_device: Tensor,
    values: usize,
}

impl TokenIndex {
    /// One number per token, on the device that the sequence is on.
    ///
    /// # Errors
    /// A tensor operation failed.
    pub fn new(numbers: Vec<u32>, device: &Device) -> Result<Self> {
        let values = numbers.iter().max().map_or(0, |most| *most as usize + 1);
        let on_device = Tensor::from_slice(&numbers, numbers.len(), device)?;
        Ok(Self { numbers: numbers.into(), on_device, values })
    }

    /// The value of each token, `[tokens]`, on the sequence's device.
    pub(crate) fn on_device(&self) -> &Tensor {
        &self.on_device
    }

    /// What was computed per value, per token.
    ///
    /// # Shapes
    /// `[values, ..]` → `[tokens, ..]`.
    ///
    /// # Errors
    /// A tensor operation failed.
    pub fn spread(&self, per_value: &Tensor) -> Result<Tensor> {
        Ok(per_value.contiguous()?.index_select(&self.on_device, 0)?)
    }
}

/// Rows of modulation per value, and the value of each token.
#[derive(Debug, Clone)]
pub struct Modulation {
    /// `[values, rows, D]`, contiguous.
    rows: Tensor,
    index: Option<TokenIndex>,
}

impl Modulation {
    /// From `rows [values, rows, D]`; without an index all tokens have the first value.
    ///
    /// # Errors
    /// The index names a value that there is not.
    pub fn new(rows: &Tensor, index: Option<TokenIndex>) -> Result<Self> {
        let (values, ..) = rows.dims3()?;
        let needed = index.as_ref().map_or(1, |index| index.values);
        if needed > values {
            return Err(NnError::unsupported("values of a modulation", values, format!("at least {needed}")));
        }
        Ok(Self { rows: rows.contiguous()?, index })
    }

    /// This modulation with `table [rows, D]` added to every value's rows.
    ///
    /// # Errors
    /// The table has another shape.
    pub fn plus(&self, table: &Tensor, kernels: KernelChoice) -> Result<Self> {
        Ok(Self { rows: unmeasured(&AddTable { rows: &self.rows, table }, kernels)?, index: self.index.clone() })
    }

    /// The tensors it is made of; as many, and of the same shapes, for sequences alike.
    pub fn tensors(&self) -> Vec<Tensor> {
        [&self.rows].into_iter().chain(self.index.as_ref().map(TokenIndex::on_device)).cloned().collect()
    }

    /// The modulation that other tensors make, shaped like [`Self::tensors`]' and on a GPU, where nothing but they is looked at.
    ///
    /// # Errors
    /// There are fewer.
    pub fn with_tensors(&self, tensors: &mut impl Iterator<Item = Tensor>) -> Result<Self> {
        let mut next =
            || tensors.next().ok_or_else(|| NnError::unsupported("tensors", "too few", "those of a modulation"));
        let rows = next()?;
        let index =
            self.index.clone().map(|index| Ok::<_, NnError>(TokenIndex { on_device: next()?, ..index })).transpose()?;
        Ok(Self { rows, index })
    }

    /// As a GPU's kernels read it.
    pub(crate) fn on_gpu(&self) -> ModulationTensors<'_> {
        ModulationTensors { rows: &self.rows, index: self.index.as_ref().map(TokenIndex::on_device) }
    }

    /// `[values, rows, D]`.
    pub(crate) fn rows(&self) -> &Tensor {
        &self.rows
    }

    /// As the CPU's kernels read it, `values` being those of [`Self::rows`].
    pub(crate) fn table<'a>(&'a self, values: &'a [f32]) -> Result<ModulationTable<'a>> {
        let (_, count, width) = self.rows.dims3()?;
        Ok(ModulationTable { values, count, width, index: self.index.as_ref().map(|index| &*index.numbers) })
    }

    /// One row of every token, `[1, tokens, D]`, or `[1, 1, D]` where all tokens have the first value.
    pub(crate) fn row(&self, row: usize) -> Result<Tensor> {
        let per_value = self.rows.narrow(1, row, 1)?.squeeze(1)?;
        let per_token = match &self.index {
            Some(index) => index.spread(&per_value)?,
            None => per_value.narrow(0, 0, 1)?,
        };
        Ok(per_token.unsqueeze(0)?)
    }

    /// Fails unless tokens of `x [B, T, D]` have the rows that are asked for.
    pub(crate) fn check(&self, x: &Tensor, asked: &[usize]) -> Result<()> {
        let ((_, tokens, width), (_, rows, own)) = (x.dims3()?, self.rows.dims3()?);
        let fits = self.index.as_ref().is_none_or(|index| index.numbers.len() == tokens);
        if fits && width == own && asked.iter().all(|row| *row < rows) {
            return Ok(());
        }
        let found = format!("{:?} of {:?} tokens", self.rows.dims(), self.index.as_ref().map(|i| i.numbers.len()));
        Err(NnError::unsupported("modulation", found, format!("rows {asked:?} for {:?}", x.dims())))
    }
}

/// Rows `[values, rows, D]`, with a table `[rows, D]` added to each value's.
struct AddTable<'a> {
    rows: &'a Tensor,
    table: &'a Tensor,
}

impl Op<2> for AddTable<'_> {
    const NAME: &'static str = "modulation table";
    const ON_CPU: OnCpu<Self, 2> = OnCpu::Formula;

    fn inputs(&self) -> [&Tensor; 2] {
        [self.rows, self.table]
    }

    fn cuda(&self, _: CudaKernels) -> candle_core::Result<Option<Tensor>> {
        cuda::add_table(self.rows, self.table)
    }

    fn formula(&self) -> Result<Tensor> {
        Ok(self.rows.broadcast_add(&self.table.unsqueeze(0)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_find_their_rows() -> Result<()> {
        let rows = Tensor::arange(0f32, 12f32, &Device::Cpu)?.reshape((2, 3, 2))?;
        let index = TokenIndex::new(vec![1, 0, 1], &Device::Cpu)?;
        let by = Modulation::new(&rows, Some(index.clone()))?;
        assert_eq!(by.row(2)?.to_vec3::<f32>()?, [[[10.0, 11.0], [4.0, 5.0], [10.0, 11.0]]]);
        let table = Tensor::new(&[[100f32, 0.0], [0.0, 0.0], [0.0, 7.0]], &Device::Cpu)?;
        assert_eq!(
            by.plus(&table, KernelChoice::fastest())?.row(0)?.to_vec3::<f32>()?,
            [[[106.0, 7.0], [100.0, 1.0], [106.0, 7.0]]]
        );
        assert_eq!(Modulation::new(&rows, None)?.row(1)?.to_vec3::<f32>()?, [[[2.0, 3.0]]]);

        assert!(Modulation::new(&rows.narrow(0, 0, 1)?, Some(index)).is_err(), "there is no second value");
        let x = Tensor::zeros((1, 3, 2), candle_core::DType::F32, &Device::Cpu)?;
        assert!(by.check(&x, &[2]).is_ok() && by.check(&x, &[3]).is_err());
        assert!(by.check(&x.narrow(1, 0, 2)?, &[0]).is_err() && by.check(&x.narrow(2, 0, 1)?, &[0]).is_err());
        Ok(())
    }
}
