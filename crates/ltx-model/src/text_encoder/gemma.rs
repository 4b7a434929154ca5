//! Gemma with all its hidden states; generations differ in values of the configuration. Source: Gemma Team, “Gemma 3 Technical
//! Report” (2025) and the public `transformers` implementations of Gemma 3 and of Gemma 4 (unified).
//!
//! Only real tokens are computed: the reference pads in front and masks the pads, so a prompt of n tokens sits at
//! positions 1024−n..1023 and nothing else reaches it. Layers are read one at a time, each while the one before computes, and
//! dropped after use: one pass over the file serves every prompt of a request, and memory holds two layers.
//!
//! Must not know what the states are used for.

use super::{AttentionSizes, GemmaConfig, MAX_TOKENS, Rope, tokenizer::TokenIds};
use crate::{layers::Layers, part::Module};
use candle_core::Tensor;
use ltx_nn::{
    AttentionShape, Compute, KernelChoice, Linear, Mask, Result, RmsNorm, RopeTable, Vb, attention, rms_norm,
};
use ltx_types::Part;

const LAYER_SCALAR: &str = "layer_scalar";

/// A Gemma language model on disk.
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
            Layer::check(&vb.pp("layers").pp(layer.to_string()), config, config.is_global(layer))?;
        }
        let norm = norm(&vb.pp("norm"), config.hidden_size, config)?;
        let layers = {
            let (count, config) = (config.num_hidden_layers, config.clone());
            let load = move |vb: &Vb, i| Layer::load(vb, &config, config.is_global(i));
            Layers::new(vb.exact_unless_packed().pp("layers"), (count, 0), load)
        };
        Ok(Self { vb: vb.clone(), config: config.clone(), layers, norm })
    }
}

impl Gemma {
    /// Key prefixes, without their dots, under which published Gemma folders keep the language model.
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

/// The table of a layer's RoPE. Pairs that do not turn have angle 0.
fn rope(config: &GemmaConfig, tokens: usize, global: bool, compute: &Compute) -> Result<RopeTable> {
    let Rope { theta, factor, share } = config.rope(global);
    let dim = config.attention(global).head_dim;
    let turning = (share * dim as f64 / 2.0) as usize;
    let inverse = |i: usize| match i < turning {
        true => 1.0 / (theta as f32).powf((2 * i) as f32 / dim as f32) / factor as f32,
        false => 0.0,
    };
    let frequencies: Vec<f32> = (0..dim / 2).map(inverse).collect();
    let positions = MAX_TOKENS - tokens..MAX_TOKENS;
    let angles: Vec<f32> = positions.flat_map(|p| frequencies.iter().map(move |f| p as f32 * f)).collect();
    RopeTable::from_angles(&angles, (tokens, 1, dim / 2), compute)
}

/// A norm with a weight, as the generation stores it.
fn norm(vb: &Vb, dim: usize, config: &GemmaConfig) -> Result<RmsNorm> {
    match config.generation.norms_add_one() {
        true => RmsNorm::load_plus_one(vb, dim, config.rms_norm_eps),
        false => RmsNorm::load(vb, dim, config.rms_norm_eps),
    }
}

/// One decoder layer.
struct Layer {
    input_layernorm: RmsNorm,
    post_attention_layernorm: RmsNorm,
    pre_feedforward_layernorm: RmsNorm,
    post_feedforward_layernorm: RmsNorm,
    q_proj: Linear,
    k_proj: Linear,
    /// Values are what `k_proj` makes, where it is not there.
    v_proj: Option<Linear>,
    o_proj: Linear,
    q_norm: RmsNorm,
    k_norm: RmsNorm,
    gate_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
    /// What the output is multiplied by.
    layer_scalar: Option<Tensor>,
    /// The epsilon of the norm of values by head, which has no weight.
    value_norm: Option<f64>,
    shape: AttentionShape,
    head_dim: usize,
    kernels: KernelChoice,
}

impl Layer {
    /// Names and shapes of a layer's tensors.
    fn tensors(config: &GemmaConfig, global: bool) -> Vec<(&'static str, Vec<usize>)> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let AttentionSizes { head_dim, key_value_heads, keys_are_values } = config.attention(global);
        let (q, kv) = (config.num_attention_heads * head_dim, key_value_heads * head_dim);
        let mut tensors = vec![
            ("input_layernorm.weight", vec![hidden]),
            ("post_attention_layernorm.weight", vec![hidden]),
            ("pre_feedforward_layernorm.weight", vec![hidden]),
            ("post_feedforward_layernorm.weight", vec![hidden]),
            ("self_attn.q_proj.weight", vec![q, hidden]),
            ("self_attn.k_proj.weight", vec![kv, hidden]),
            ("self_attn.o_proj.weight", vec![hidden, q]),
            ("self_attn.q_norm.weight", vec![head_dim]),
            ("self_attn.k_norm.weight", vec![head_dim]),
            ("mlp.gate_proj.weight", vec![inner, hidden]),
            ("mlp.up_proj.weight", vec![inner, hidden]),
            ("mlp.down_proj.weight", vec![hidden, inner]),
        ];
        if !keys_are_values {
            tensors.push(("self_attn.v_proj.weight", vec![kv, hidden]));
        }
        if config.generation.scales_layers() {
            tensors.push((LAYER_SCALAR, vec![1]));
        }
        tensors
    }

    fn check(vb: &Vb, config: &GemmaConfig, global: bool) -> Result<()> {
        Self::tensors(config, global).into_iter().try_for_each(|(name, shape)| vb.check(name, shape))
    }

    fn load(vb: &Vb, config: &GemmaConfig, global: bool) -> Result<Self> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let AttentionSizes { head_dim, key_value_heads, keys_are_values } = config.attention(global);
        let (q, kv) = (config.num_attention_heads * head_dim, key_value_heads * head_dim);
        let norm = |name: &str, dim: usize| norm(&vb.pp(name), dim, config);
        let linear = |name: &str, inputs, outputs| Linear::load_with(&vb.pp(name), inputs, outputs, false);
        let window = if global { MAX_TOKENS } else { config.sliding_window };
        let generation = config.generation;
        Ok(Self {
            input_layernorm: norm("input_layernorm", hidden)?,
            post_attention_layernorm: norm("post_attention_layernorm", hidden)?,
            pre_feedforward_layernorm: norm("pre_feedforward_layernorm", hidden)?,
            post_feedforward_layernorm: norm("post_feedforward_layernorm", hidden)?,
            q_proj: linear("self_attn.q_proj", hidden, q)?,
            k_proj: linear("self_attn.k_proj", hidden, kv)?,
            v_proj: (!keys_are_values).then(|| linear("self_attn.v_proj", hidden, kv)).transpose()?,
            o_proj: linear("self_attn.o_proj", q, hidden)?,
            q_norm: norm("self_attn.q_norm", head_dim)?,
            k_norm: norm("self_attn.k_norm", head_dim)?,
            gate_proj: linear("mlp.gate_proj", hidden, inner)?,
            up_proj: linear("mlp.up_proj", hidden, inner)?,
            down_proj: linear("mlp.down_proj", inner, hidden)?,
            layer_scalar: generation.scales_layers().then(|| vb.tensor(LAYER_SCALAR, [1])).transpose()?,
            value_norm: generation.norms_values().then_some(config.rms_norm_eps),
            shape: AttentionShape {
                heads: config.num_attention_heads,
                kv_heads: key_value_heads,
                scale: config.query_pre_attn_scalar.powf(-0.5),
                mask: Mask::Causal { window },
            },
            head_dim,
            kernels: vb.compute().kernels,
        })
    }

    fn forward(&self, x: &Tensor, rope: &RopeTable) -> Result<Tensor> {
        let y = self.attend(&self.input_layernorm.forward(x)?, rope)?;
        let x = (x + self.post_attention_layernorm.forward(&y)?)?;
        let y = self.pre_feedforward_layernorm.forward(&x)?;
        let gated = self.gate_proj.gelu_times(&y, &self.up_proj.forward(&y)?)?;
        let y = self.down_proj.forward(&gated)?;
        let x = (x + self.post_feedforward_layernorm.forward(&y)?)?;
        match &self.layer_scalar {
            Some(scalar) => Ok(x.broadcast_mul(scalar)?),
            None => Ok(x),
        }
    }

    fn attend(&self, x: &Tensor, rope: &RopeTable) -> Result<Tensor> {
        let by_head = |y: &Tensor, heads: usize, norm: &dyn Fn(&Tensor) -> Result<Tensor>| -> Result<Tensor> {
            let (b, t, inner) = y.dims3()?;
            Ok(norm(&y.reshape((b, t, heads, self.head_dim))?)?.reshape((b, t, inner))?)
        };
        let AttentionShape { heads, kv_heads, .. } = self.shape;
        let q = by_head(&self.q_proj.forward(x)?, heads, &|y| self.q_norm.forward(y))?;
        let keys = self.k_proj.forward(x)?;
        let k = by_head(&keys, kv_heads, &|y| self.k_norm.forward(y))?;
        let v = match &self.v_proj {
            Some(projection) => projection.forward(x)?,
            None => keys,
        };
        let v = match self.value_norm {
            Some(eps) => by_head(&v, kv_heads, &|y| rms_norm(y, eps, self.kernels))?,
            None => v,
        };
        let (q, k) = (rope.apply(&q, heads)?, rope.apply(&k, kv_heads)?);
        self.o_proj.forward(&attention(&q, &k, &v, &self.shape, self.kernels)?)
    }
}
