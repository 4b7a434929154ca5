//! The encoder on disk. Layers are read one at a time, each while the one before computes, and let go after use: one pass serves
//! every prompt of a request. Only real tokens are computed: the reference pads behind them and masks the pads.
//!
//! Must not know what the states are used for.

use super::{T5Config, bias::bias};
use crate::{layers::Layers, part::Module, text_encoder::TokenIds};
use candle_core::{D, DType, Tensor};
use ltx_nn::{Linear, NnError, Result, RmsNorm, Vb};
use ltx_types::Part;

/// T5's encoder.
pub struct T5Encoder {
    vb: Vb,
    config: T5Config,
    /// `[buckets, heads]`, f32.
    distances: Tensor,
    layers: Layers<Layer>,
    norm: RmsNorm,
}

impl Module for T5Encoder {
    const PART: Part = Part::LanguageModel;
    const MARK: &'static str = "encoder.block.";
    type Config = T5Config;

    /// Checks every layer's keys and shapes.
    fn load(vb: &Vb, config: &T5Config) -> Result<Self> {
        let block = vb.pp("encoder").pp("block");
        vb.check(Self::EMBEDDING, [config.vocab_size, config.d_model])?;
        for layer in 0..config.num_layers {
            Layer::check(&block.pp(layer.to_string()), config)?;
        }
        let distances = block.pp("0").pp("layer").pp("0").pp("SelfAttention").with_dtype(DType::F32);
        let shape = [config.relative_attention_num_buckets, config.num_heads];
        let distances = distances.tensor(Self::DISTANCES, shape)?;
        let norm = RmsNorm::load(&vb.pp("encoder").pp("final_layer_norm"), config.d_model, config.layer_norm_epsilon)?;
        let layers = {
            let (count, config) = (config.num_layers, config.clone());
            Layers::new(block.exact_unless_packed(), (count, 0), move |vb, _| Layer::load(vb, &config))
        };
        Ok(Self { vb: vb.clone(), config: config.clone(), distances, layers, norm })
    }
}

impl T5Encoder {
    /// The key of the embedding.
    pub const EMBEDDING: &'static str = "shared.weight";
    /// The last words of the key of what distances add to scores: a table, looked up and never multiplied.
    pub const DISTANCES: &'static str = "relative_attention_bias.weight";

    /// The states behind the last norm, of all prompts in one pass over the layers. `before_layer` is told each layer's number and
    /// may stop the work.
    ///
    /// # Shapes
    /// One `[1, tokens of the prompt, d_model]`, f32, per prompt.
    ///
    /// # Errors
    /// A token is outside the vocabulary; a layer cannot be loaded; `before_layer` failed.
    pub fn encode<E: From<NnError>>(
        &self,
        prompts: &[TokenIds],
        before_layer: impl FnMut(usize) -> Result<(), E>,
    ) -> Result<Vec<Tensor>, E> {
        let shape = [self.config.vocab_size, self.config.d_model];
        let embed = |prompt: &TokenIds| {
            let state = self.vb.rows(Self::EMBEDDING, shape, prompt.ids())?.unsqueeze(0)?;
            Ok::<_, NnError>((state, bias(&self.config, &self.distances, prompt.ids().len())?))
        };
        let mut states = prompts.iter().map(embed).collect::<Result<Vec<_>>>()?;
        self.layers.for_each(before_layer, |_, layer| {
            for (state, bias) in &mut states {
                *state = layer.forward(state, bias)?;
            }
            Ok::<_, E>(())
        })?;
        let finished = |(state, _): &(Tensor, Tensor)| Ok(self.norm.forward(state)?.to_dtype(DType::F32)?);
        Ok(states.iter().map(finished).collect::<Result<_>>()?)
    }

    /// Layers of a pass.
    pub fn layers(&self) -> usize {
        self.config.num_layers
    }
}

/// One layer.
struct Layer {
    attention_norm: RmsNorm,
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    norm: RmsNorm,
    wi_0: Linear,
    wi_1: Linear,
    wo: Linear,
    heads: usize,
}

impl Layer {
    /// Names and shapes of a layer's tensors.
    fn tensors(config: &T5Config) -> [(&'static str, Vec<usize>); 9] {
        let (width, attention, inner) = (config.d_model, config.inner(), config.d_ff);
        [
            ("layer.0.layer_norm.weight", vec![width]),
            ("layer.0.SelfAttention.q.weight", vec![attention, width]),
            ("layer.0.SelfAttention.k.weight", vec![attention, width]),
            ("layer.0.SelfAttention.v.weight", vec![attention, width]),
            ("layer.0.SelfAttention.o.weight", vec![width, attention]),
            ("layer.1.layer_norm.weight", vec![width]),
            ("layer.1.DenseReluDense.wi_0.weight", vec![inner, width]),
            ("layer.1.DenseReluDense.wi_1.weight", vec![inner, width]),
            ("layer.1.DenseReluDense.wo.weight", vec![width, inner]),
        ]
    }

    fn check(vb: &Vb, config: &T5Config) -> Result<()> {
        Self::tensors(config).into_iter().try_for_each(|(name, shape)| vb.check(name, shape))
    }

    fn load(vb: &Vb, config: &T5Config) -> Result<Self> {
        let (width, attention, inner) = (config.d_model, config.inner(), config.d_ff);
        let linear = |name: &str, inputs, outputs| Linear::load_with(&vb.pp(name), inputs, outputs, false);
        let norm = |name: &str| RmsNorm::load(&vb.pp(name), width, config.layer_norm_epsilon);
        Ok(Self {
            attention_norm: norm("layer.0.layer_norm")?,
            q: linear("layer.0.SelfAttention.q", width, attention)?,
            k: linear("layer.0.SelfAttention.k", width, attention)?,
            v: linear("layer.0.SelfAttention.v", width, attention)?,
            o: linear("layer.0.SelfAttention.o", attention, width)?,
            norm: norm("layer.1.layer_norm")?,
            wi_0: linear("layer.1.DenseReluDense.wi_0", width, inner)?,
            wi_1: linear("layer.1.DenseReluDense.wi_1", width, inner)?,
            wo: linear("layer.1.DenseReluDense.wo", inner, width)?,
            heads: config.num_heads,
        })
    }

    fn forward(&self, x: &Tensor, bias: &Tensor) -> Result<Tensor> {
        let x = (x + self.attend(&self.attention_norm.forward(x)?, bias)?)?;
        let y = self.norm.forward(&x)?;
        let gated = self.wi_0.gelu_times(&y, &self.wi_1.forward(&y)?)?;
        Ok((&x + self.wo.forward(&gated)?)?)
    }

    /// Attention with the distances' summands; scores are not scaled.
    fn attend(&self, x: &Tensor, bias: &Tensor) -> Result<Tensor> {
        let heads = |projection: &Linear| -> Result<Tensor> {
            let y = projection.forward(x)?;
            let (b, t, inner) = y.dims3()?;
            Ok(y.reshape((b, t, self.heads, inner / self.heads))?.transpose(1, 2)?.contiguous()?)
        };
        let (q, k, v) = (heads(&self.q)?, heads(&self.k)?, heads(&self.v)?);
        let scores = q.matmul(&k.transpose(D::Minus2, D::Minus1)?)?.to_dtype(DType::F32)?.broadcast_add(bias)?;
        let weights = candle_nn::ops::softmax_last_dim(&scores)?.to_dtype(v.dtype())?;
        self.o.forward(&weights.matmul(&v)?.transpose(1, 2)?.flatten_from(2)?)
    }
}
