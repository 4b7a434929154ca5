//! Gemma-3 with all its hidden states. Source: Gemma Team, “Gemma 3 Technical Report” (2025) and the public
//! `transformers` implementation.
//!
//! Only real tokens are computed: the reference pads in front and masks the pads, so a prompt of n tokens sits at
//! positions 1024−n..1023 and nothing else reaches it. Layers are read one at a time, each while the one before computes, and
//! dropped after use: one pass over the file serves every prompt of a request, and memory holds two layers.
//!
//! Must not know what the states are used for.

use super::{GemmaConfig, MAX_TOKENS, tokenizer::TokenIds};
use crate::{layers::Layers, part::Module};
use candle_core::Tensor;
use ltx_nn::{AttentionShape, Compute, KernelChoice, Linear, Mask, Result, RmsNorm, RopeTable, Vb, attention};
use ltx_types::Part;

/// A Gemma-3 language model on disk.
pub struct Gemma {
    vb: Vb,
    config: GemmaConfig,
    layers: Layers<Layer>,
    norm: RmsNorm,
}

impl Module for Gemma {
    const PART: Part = Part::LanguageModel;
    const MARK: &'static str = "";
    type Config = GemmaConfig;

    /// Checks every layer's keys and shapes; `vb` stands at one of [`Self::PREFIXES`].
    fn load(vb: &Vb, config: &GemmaConfig) -> Result<Self> {
        vb.check("embed_tokens.weight", [config.vocab_size, config.hidden_size])?;
        for layer in 0..config.num_hidden_layers {
            Layer::check(&vb.pp("layers").pp(layer.to_string()), config)?;
        }
        let norm = RmsNorm::load_plus_one(&vb.pp("norm"), config.hidden_size, config.rms_norm_eps)?;
        let layers = {
            let (count, config) = (config.num_hidden_layers, config.clone());
            let load = move |vb: &Vb, i| Layer::load(vb, &config, config.is_global(i));
            // Its products are exact, also where the transformer's are in 8 bits.
            Layers::new(vb.exact().pp("layers"), (count, 0), load)
        };
        Ok(Self { vb: vb.clone(), config: config.clone(), layers, norm })
    }
}

impl Gemma {
    /// Key prefixes, without their dots, under which published Gemma-3 folders keep the language model.
    pub const PREFIXES: [&'static str; 3] = ["language_model.model", "model.language_model", "model"];

    /// The configuration it was loaded with.
    pub fn config(&self) -> &GemmaConfig {
        &self.config
    }

    /// Runs the prompts and hands every hidden state, as soon as it exists, to `each(prompt, state, tensor)`. State 0 is
    /// the scaled embedding, the last comes after the final norm. `before_layer` may stop the pass.
    ///
    /// # Shapes
    /// States are `[1, tokens of the prompt, hidden_size]`.
    ///
    /// # Errors
    /// A token is outside the vocabulary; `each` or `before_layer` failed.
    pub fn hidden_states<E: From<ltx_nn::NnError>>(
        &self,
        prompts: &[TokenIds],
        before_layer: impl FnMut(usize) -> Result<(), E>,
        mut each: impl FnMut(usize, usize, Tensor) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut states = Vec::with_capacity(prompts.len());
        for (number, prompt) in prompts.iter().enumerate() {
            let state = self.embed(prompt)?;
            each(number, 0, state.clone())?;
            states.push(state);
        }
        let ropes = self.ropes(prompts)?;
        let last = self.config.num_hidden_layers;
        self.layers.for_each(before_layer, |i, layer| {
            let global = usize::from(self.config.is_global(i));
            for (number, state) in states.iter_mut().enumerate() {
                *state = layer.forward(state, &ropes[number][global])?;
                let shown = if i + 1 == last { self.norm.forward(state)? } else { state.clone() };
                each(number, i + 1, shown)?;
            }
            Ok(())
        })
    }

    /// `embedding · √hidden_size`, the factor rounded to the compute dtype.
    fn embed(&self, prompt: &TokenIds) -> Result<Tensor> {
        let shape = [self.config.vocab_size, self.config.hidden_size];
        let rows = self.vb.rows("embed_tokens.weight", shape, prompt.ids())?;
        let factor = Tensor::new((self.config.hidden_size as f32).sqrt(), rows.device())?.to_dtype(rows.dtype())?;
        Ok(rows.broadcast_mul(&factor)?.unsqueeze(0)?)
    }

    /// RoPE tables of every prompt: `[sliding, global]`.
    fn ropes(&self, prompts: &[TokenIds]) -> Result<Vec<[RopeTable; 2]>> {
        let table = |tokens: usize, global: bool| rope(&self.config, tokens, global, self.vb.compute());
        let tables = |prompt: &TokenIds| Ok([table(prompt.ids().len(), false)?, table(prompt.ids().len(), true)?]);
        prompts.iter().map(tables).collect()
    }
}

fn rope(config: &GemmaConfig, tokens: usize, global: bool, compute: &Compute) -> Result<RopeTable> {
    let (theta, factor) = config.rope(global);
    let dim = config.head_dim;
    let inverse = |i: usize| 1.0 / (theta as f32).powf((2 * i) as f32 / dim as f32) / factor as f32;
    let frequencies: Vec<f32> = (0..dim / 2).map(inverse).collect();
    let positions = MAX_TOKENS - tokens..MAX_TOKENS;
    let angles: Vec<f32> = positions.flat_map(|p| frequencies.iter().map(move |f| p as f32 * f)).collect();
    RopeTable::from_angles(&angles, (tokens, 1, dim / 2), compute)
}

/// One decoder layer.
struct Layer {
    input_layernorm: RmsNorm,
    post_attention_layernorm: RmsNorm,
    pre_feedforward_layernorm: RmsNorm,
    post_feedforward_layernorm: RmsNorm,
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    o_proj: Linear,
    q_norm: RmsNorm,
    k_norm: RmsNorm,
    gate_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
    shape: AttentionShape,
    head_dim: usize,
    kernels: KernelChoice,
}

impl Layer {
    /// Names and shapes of a layer's tensors.
    fn tensors(config: &GemmaConfig) -> [(&'static str, Vec<usize>); 13] {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let (q, kv) = (config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim);
        [
            ("input_layernorm.weight", vec![hidden]),
            ("post_attention_layernorm.weight", vec![hidden]),
            ("pre_feedforward_layernorm.weight", vec![hidden]),
            ("post_feedforward_layernorm.weight", vec![hidden]),
            ("self_attn.q_proj.weight", vec![q, hidden]),
            ("self_attn.k_proj.weight", vec![kv, hidden]),
            ("self_attn.v_proj.weight", vec![kv, hidden]),
            ("self_attn.o_proj.weight", vec![hidden, q]),
            ("self_attn.q_norm.weight", vec![config.head_dim]),
            ("self_attn.k_norm.weight", vec![config.head_dim]),
            ("mlp.gate_proj.weight", vec![inner, hidden]),
            ("mlp.up_proj.weight", vec![inner, hidden]),
            ("mlp.down_proj.weight", vec![hidden, inner]),
        ]
    }

    fn check(vb: &Vb, config: &GemmaConfig) -> Result<()> {
        Self::tensors(config).into_iter().try_for_each(|(name, shape)| vb.check(name, shape))
    }

    fn load(vb: &Vb, config: &GemmaConfig, global: bool) -> Result<Self> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let (q, kv) = (config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim);
        let norm = |name: &str, dim: usize| RmsNorm::load_plus_one(&vb.pp(name), dim, config.rms_norm_eps);
        let linear = |name: &str, inputs, outputs| Linear::load_with(&vb.pp(name), inputs, outputs, false);
        let window = if global { MAX_TOKENS } else { config.sliding_window };
        Ok(Self {
            input_layernorm: norm("input_layernorm", hidden)?,
            post_attention_layernorm: norm("post_attention_layernorm", hidden)?,
            pre_feedforward_layernorm: norm("pre_feedforward_layernorm", hidden)?,
            post_feedforward_layernorm: norm("post_feedforward_layernorm", hidden)?,
            q_proj: linear("self_attn.q_proj", hidden, q)?,
            k_proj: linear("self_attn.k_proj", hidden, kv)?,
            v_proj: linear("self_attn.v_proj", hidden, kv)?,
            o_proj: linear("self_attn.o_proj", q, hidden)?,
            q_norm: norm("self_attn.q_norm", config.head_dim)?,
            k_norm: norm("self_attn.k_norm", config.head_dim)?,
            gate_proj: linear("mlp.gate_proj", hidden, inner)?,
            up_proj: linear("mlp.up_proj", hidden, inner)?,
            down_proj: linear("mlp.down_proj", inner, hidden)?,
            shape: AttentionShape {
                heads: config.num_attention_heads,
                kv_heads: config.num_key_value_heads,
                scale: config.query_pre_attn_scalar.powf(-0.5),
                mask: Mask::Causal { window },
            },
            head_dim: config.head_dim,
            kernels: vb.compute().kernels,
        })
    }

    fn forward(&self, x: &Tensor, rope: &RopeTable) -> Result<Tensor> {
        let y = self.attend(&self.input_layernorm.forward(x)?, rope)?;
        let x = (x + self.post_attention_layernorm.forward(&y)?)?;
        let y = self.pre_feedforward_layernorm.forward(&x)?;
        let gated = self.gate_proj.gelu_times(&y, &self.up_proj.forward(&y)?)?;
        let y = self.down_proj.forward(&gated)?;
        Ok((x + self.post_feedforward_layernorm.forward(&y)?)?)
    }

    fn attend(&self, x: &Tensor, rope: &RopeTable) -> Result<Tensor> {
        let rotated = |projection: &Linear, norm: &RmsNorm, heads: usize| {
            let y = projection.forward(x)?;
            let (b, t, inner) = y.dims3()?;
            let y = norm.forward(&y.reshape((b, t, heads, self.head_dim))?)?.reshape((b, t, inner))?;
            rope.apply(&y, heads)
        };
        let q = rotated(&self.q_proj, &self.q_norm, self.shape.heads)?;
        let k = rotated(&self.k_proj, &self.k_norm, self.shape.kv_heads)?;
        self.o_proj.forward(&attention(&q, &k, &self.v_proj.forward(x)?, &self.shape, self.kernels)?)
    }
}
