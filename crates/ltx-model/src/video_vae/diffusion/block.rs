//! A block: attention to the neighbourhood, then a gated perceptron, both added to what they are given.
//!
//! Must not know where a block stands.

use super::{
    config::Stage,
    frames::Frames,
    modulation::{ATTENTION, PERCEPTRON, STATED, WHOLE, modulation},
};
use candle_core::Tensor;
use ltx_nn::{
    KernelChoice, Linear, Modulation, NeighbourhoodAttention, NnError, Result, ShiftScale, Sides, Vb, gated_residual,
    rms_norm_modulate, silu_times,
};

/// Added to a mean square before its root is taken.
pub(super) const EPS: f64 = 1e-6;
/// Values of a perceptron's inner layer that are computed at a time.
const INNER: usize = 1 << 21;

/// The weights of one.
pub(super) struct Block {
    stage: Stage,
    /// Weights of the two norms, `[channels]`.
    outer: [Tensor; 2],
    /// What is added to the rows of a timestep that it is told, `[7, channels]`.
    table: Option<Tensor>,
    qkv: Linear,
    proj: Linear,
    /// Of queries and keys, `[head_dim]`.
    norms: [Tensor; 2],
    gate: Linear,
    up: Linear,
    down: Linear,
    kernels: KernelChoice,
}

impl Block {
    /// Reads a block that is told no timestep.
    pub(super) fn load(vb: &Vb, stage: Stage) -> Result<Self> {
        let Stage { channels, head_dim, .. } = stage;
        let norm = |name: &str| vb.pp(name).tensor("weight", [channels]);
        let (attention, perceptron) = (vb.pp("attn"), vb.pp("mlp"));
        let of_head = |name: &str| attention.pp(name).tensor("weight", [head_dim]);
        let wide = |name: &str| Linear::load_with(&perceptron.pp(name), channels, stage.hidden(), false);
        Ok(Self {
            stage,
            outer: [norm("norm1")?, norm("norm2")?],
            table: None,
            qkv: Linear::load(&attention.pp("qkv"), channels, 3 * channels)?,
            proj: Linear::load(&attention.pp("proj"), channels, channels)?,
            norms: [of_head("q_norm")?, of_head("k_norm")?],
            gate: wide("w_gate")?,
            up: wide("w_up")?,
            down: Linear::load_with(&perceptron.pp("w_down"), stage.hidden(), channels, false)?,
            kernels: vb.compute().kernels,
        })
    }

    /// Reads one that is told a timestep.
    pub(super) fn load_told(vb: &Vb, stage: Stage) -> Result<Self> {
        let table = vb.tensor("scale_shift_table", [STATED, stage.channels])?;
        Ok(Self { table: Some(table), ..Self::load(vb, stage)? })
    }

    /// What shifts and scales its values, where it is told a timestep by `rows [7, channels]`.
    fn modulation(&self, rows: Option<&Tensor>) -> Result<Modulation> {
        let [first, second] = &self.outer;
        let stated = match (rows, &self.table) {
            (Some(rows), Some(table)) => Some((rows + table)?),
            _ => None,
        };
        modulation([first, second], stated.as_ref())
    }

    /// Replaces every frame by what the block makes of it. `before_frame` may stop it.
    ///
    /// A frame is replaced once the last that it sees has given its keys and values: those that follow see it as it was.
    pub(super) fn forward<E: From<NnError>>(
        &self,
        x: &mut Frames,
        (sides, rows): (Sides, Option<&Tensor>),
        before_frame: &mut impl FnMut() -> Result<(), E>,
    ) -> Result<(), E> {
        let by = self.modulation(rows)?;
        let shape = self.stage.attention(x.clip(), sides);
        let [queries, keys] = &self.norms;
        let mut attention = NeighbourhoodAttention::new(shape, [queries, keys], self.kernels)?;
        for frame in 0..x.frames.len() {
            before_frame()?;
            while let Some(wanted) = attention.wanted() {
                attention.put(&self.project(&x.frames[wanted], &by)?)?;
            }
            x.frames[frame] = self.frame(&x.frames[frame], &attention.answer()?, &by)?;
        }
        Ok(())
    }

    /// Queries, keys and values of a frame, `[rows · columns, 3 · channels]`.
    fn project(&self, x: &Tensor, by: &Modulation) -> Result<Tensor> {
        Ok(self.qkv.forward(&self.normed(x, by, ATTENTION)?)?.squeeze(0)?)
    }

    fn normed(&self, x: &Tensor, by: &Modulation, rows: ShiftScale) -> Result<Tensor> {
        rms_norm_modulate(x, by, rows, EPS, self.kernels)
    }

    /// A frame with its answers and what the perceptron adds.
    fn frame(&self, x: &Tensor, answers: &Tensor, by: &Modulation) -> Result<Tensor> {
        let answers = self.proj.forward(&answers.unsqueeze(0)?)?;
        let x = gated_residual(x, &answers, by, WHOLE, self.kernels)?;
        let (positions, most) = (x.dim(1)?, piece(self.stage.hidden()));
        if positions <= most {
            return self.perceptron(&x, by);
        }
        let pieces = (0..positions).step_by(most);
        let pieces = pieces.map(|first| self.perceptron(&x.narrow(1, first, most.min(positions - first))?, by));
        Ok(Tensor::cat(&pieces.collect::<Result<Vec<_>>>()?, 1)?)
    }

    fn perceptron(&self, x: &Tensor, by: &Modulation) -> Result<Tensor> {
        let y = self.normed(x, by, PERCEPTRON)?;
        let inner = silu_times(&self.gate.forward(&y)?, &self.up.forward(&y)?, self.kernels)?;
        gated_residual(x, &self.down.forward(&inner)?, by, WHOLE, self.kernels)
    }
}

/// Positions whose inner layer of so many values is computed at a time.
pub(super) fn piece(hidden: usize) -> usize {
    (INNER / hidden.max(1)).max(1)
}
