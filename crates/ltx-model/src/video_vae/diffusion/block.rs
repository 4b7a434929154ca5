//! A block: attention to the neighbourhood, then a gated perceptron, both added to what they are given.
//!
//! Must not know where a block stands.

use super::{
    config::Stage,
    frames::Frames,
    modulation::{ATTENTION, PERCEPTRON, WHOLE, modulation},
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
    by: Modulation,
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
    /// Reads a block; `stated [7, channels]` holds the rows of a timestep that it is told.
    pub(super) fn load(vb: &Vb, stage: Stage, stated: Option<&Tensor>) -> Result<Self> {
        let Stage { channels, head_dim, .. } = stage;
        let norm = |name: &str| vb.pp(name).tensor("weight", [channels]);
        let (attention, perceptron) = (vb.pp("attn"), vb.pp("mlp"));
        let of_head = |name: &str| attention.pp(name).tensor("weight", [head_dim]);
        let wide = |name: &str| Linear::load_with(&perceptron.pp(name), channels, stage.hidden(), false);
        Ok(Self {
            stage,
            by: modulation([&norm("norm1")?, &norm("norm2")?], stated)?,
            qkv: Linear::load(&attention.pp("qkv"), channels, 3 * channels)?,
            proj: Linear::load(&attention.pp("proj"), channels, channels)?,
            norms: [of_head("q_norm")?, of_head("k_norm")?],
            gate: wide("w_gate")?,
            up: wide("w_up")?,
            down: Linear::load_with(&perceptron.pp("w_down"), stage.hidden(), channels, false)?,
            kernels: vb.compute().kernels,
        })
    }

    /// Replaces every frame by what the block makes of it. `before_frame` may stop it.
    ///
    /// A frame is replaced once the last that it sees has given its keys and values: those that follow see it as it was.
    pub(super) fn forward<E: From<NnError>>(
        &self,
        x: &mut Frames,
        sides: Sides,
        before_frame: &mut impl FnMut() -> Result<(), E>,
    ) -> Result<(), E> {
        let shape = self.stage.attention(x.clip(), sides);
        let [queries, keys] = &self.norms;
        let mut attention = NeighbourhoodAttention::new(shape, [queries, keys], self.kernels)?;
        for frame in 0..x.frames.len() {
            before_frame()?;
            while let Some(wanted) = attention.wanted() {
                attention.put(&self.project(&x.frames[wanted])?)?;
            }
            x.frames[frame] = self.frame(&x.frames[frame], &attention.answer()?)?;
        }
        Ok(())
    }

    /// Queries, keys and values of a frame, `[rows · columns, 3 · channels]`.
    fn project(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.qkv.forward(&self.normed(x, ATTENTION)?)?.squeeze(0)?)
    }

    fn normed(&self, x: &Tensor, rows: ShiftScale) -> Result<Tensor> {
        rms_norm_modulate(x, &self.by, rows, EPS, self.kernels)
    }

    /// A frame with its answers and what the perceptron adds.
    fn frame(&self, x: &Tensor, answers: &Tensor) -> Result<Tensor> {
        let answers = self.proj.forward(&answers.unsqueeze(0)?)?;
        let x = gated_residual(x, &answers, &self.by, WHOLE, self.kernels)?;
        let (positions, most) = (x.dim(1)?, piece(self.stage.hidden()));
        if positions <= most {
            return self.perceptron(&x);
        }
        let pieces = (0..positions).step_by(most);
        let pieces = pieces.map(|first| self.perceptron(&x.narrow(1, first, most.min(positions - first))?));
        Ok(Tensor::cat(&pieces.collect::<Result<Vec<_>>>()?, 1)?)
    }

    fn perceptron(&self, x: &Tensor) -> Result<Tensor> {
        let y = self.normed(x, PERCEPTRON)?;
        let inner = silu_times(&self.gate.forward(&y)?, &self.up.forward(&y)?, self.kernels)?;
        gated_residual(x, &self.down.forward(&inner)?, &self.by, WHOLE, self.kernels)
    }
}

/// Positions whose inner layer of so many values is computed at a time.
pub(super) fn piece(hidden: usize) -> usize {
    (INNER / hidden.max(1)).max(1)
}
