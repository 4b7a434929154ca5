//! A block with the values of every family, against the plain formula on the same random weights: rows of AdaLN, the table of
//! the context with and without the sigma, gates, biases of the feed-forward.
//!
//! Must not know kernels: the formula is candle's operations alone.

use super::*;
use candle_core::{D, DType, Device};
use candle_nn::ops::{sigmoid, softmax_last_dim};
use ltx_nn::{Compute, TokenIndex, Weights, relative_l2};
use serde_json::json;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

const TOKENS: usize = 5;
const CONTEXT: usize = 7;
const HEADS: usize = 2;
const DIM: usize = 32;
const EPS: f64 = 1e-6;

fn random(shape: &[usize]) -> Result<Tensor> {
    Ok(Tensor::randn(0f32, 0.5f32, shape, &Device::Cpu)?)
}

/// Draws what it is asked for, and remembers it.
#[derive(Default)]
struct Drawn(Mutex<BTreeMap<String, Tensor>>);

impl Weights for Drawn {
    fn tensor(&self, key: &str, shape: &[usize], _: &Compute) -> Result<Tensor> {
        let tensor = random(shape)?;
        self.0.lock().unwrap().insert(key.to_owned(), tensor.clone());
        Ok(tensor)
    }
    fn rows(&self, key: &str, _: [usize; 2], _: &[u32], _: &Compute) -> Result<Tensor> {
        Err(NnError::unsupported("rows", key, "none"))
    }
    fn check(&self, _: &str, _: &[usize]) -> Result<()> {
        Ok(())
    }
}

fn config(values: serde_json::Value) -> TransformerConfig {
    let mut section = json!({
        "_class_name": "AVTransformer3DModel", "activation_fn": "gelu-approximate", "qk_norm": "rms_norm",
        "standardization_norm": "rms_norm", "rope_type": "split", "use_middle_indices_grid": true,
        "causal_temporal_positioning": true, "num_layers": 1, "num_attention_heads": HEADS,
        "attention_head_dim": DIM / HEADS, "in_channels": 4, "out_channels": 4, "cross_attention_dim": DIM,
        "norm_eps": EPS, "positional_embedding_theta": 10_000.0, "positional_embedding_max_pos": [20, 2048, 2048],
        "timestep_scale_multiplier": 1000,
    });
    section.as_object_mut().unwrap().extend(values.as_object().unwrap().clone());
    TransformerConfig::from_json(&section).unwrap()
}

/// The formula of a block.
struct Formula<'a> {
    weights: &'a BTreeMap<String, Tensor>,
    config: &'a TransformerConfig,
    rope: &'a RopeTable,
}

impl Formula<'_> {
    fn linear(&self, name: &str, x: &Tensor) -> Result<Tensor> {
        let y = x.broadcast_matmul(&self.weights[&format!("{name}.weight")].t()?)?;
        Ok(match self.weights.get(&format!("{name}.bias")) {
            Some(bias) => y.broadcast_add(bias)?,
            None => y,
        })
    }

    fn normed(x: &Tensor) -> Result<Tensor> {
        let scale = (x.sqr()?.mean_keepdim(D::Minus1)? + EPS)?.sqrt()?;
        Ok(x.broadcast_div(&scale)?)
    }

    fn attention(&self, name: &str, x: &Tensor, context: &Tensor, rotate: bool) -> Result<Tensor> {
        let normed = |part: &str, y: &Tensor| -> Result<Tensor> {
            let weight = &self.weights[&format!("{name}.{part}_norm.weight")];
            let y = Self::normed(&self.linear(&format!("{name}.to_{part}"), y)?)?.broadcast_mul(weight)?;
            if rotate { self.rope.apply(&y, HEADS) } else { Ok(y) }
        };
        let heads = |y: Tensor| -> Result<Tensor> {
            let tokens = y.dim(1)?;
            Ok(y.reshape((1, tokens, HEADS, DIM / HEADS))?.transpose(1, 2)?.contiguous()?)
        };
        let (q, k) = (heads(normed("q", x)?)?, heads(normed("k", context)?)?);
        let v = heads(self.linear(&format!("{name}.to_v"), context)?)?;
        let scores = (q.matmul(&k.transpose(2, 3)?.contiguous()?)? / ((DIM / HEADS) as f64).sqrt())?;
        let mut out = softmax_last_dim(&scores)?.matmul(&v)?.transpose(1, 2)?;
        if self.config.apply_gated_attention {
            let gate = (sigmoid(&self.linear(&format!("{name}.to_gate_logits"), x)?)? * 2.0)?;
            out = out.broadcast_mul(&gate.unsqueeze(3)?)?;
        }
        self.linear(&format!("{name}.to_out.0"), &out.reshape((1, x.dim(1)?, DIM))?)
    }

    /// `rows [T, rows, DIM]`: of every token, without the block's table; `prompt [2, DIM]` likewise.
    fn block(&self, x: &Tensor, rows: &Tensor, prompt: Option<&Tensor>, context: &Tensor) -> Result<Tensor> {
        let rows = rows.broadcast_add(&self.weights["scale_shift_table"].unsqueeze(0)?)?;
        let row = |i: usize| Ok::<_, NnError>(rows.narrow(1, i, 1)?.squeeze(1)?.unsqueeze(0)?);
        let shifted = |x: &Tensor, first: usize| -> Result<Tensor> {
            Ok(((Self::normed(x)? * (row(first + 1)? + 1.0)?)? + row(first)?)?)
        };
        let input = shifted(x, 0)?;
        let x = (x + (self.attention("attn1", &input, &input, true)? * row(2)?)?)?;
        let x = match self.weights.get("prompt_scale_shift_table") {
            Some(table) => {
                let by = prompt.map_or_else(|| Ok(table.clone()), |prompt| prompt + table)?;
                let context =
                    context.broadcast_mul(&(by.narrow(0, 1, 1)? + 1.0)?)?.broadcast_add(&by.narrow(0, 0, 1)?)?;
                (&x + (self.attention("attn2", &shifted(&x, 6)?, &context, false)? * row(8)?)?)?
            }
            None => (&x + self.attention("attn2", &Self::normed(&x)?, context, false)?)?,
        };
        let inside = self.linear("ff.net.0.proj", &shifted(&x, 3)?)?.gelu()?;
        Ok((&x + (self.linear("ff.net.2", &inside)? * row(5)?)?)?)
    }
}

#[test]
fn a_block_obeys_the_values_of_every_family() -> Result<()> {
    let adaln = "cross_attention_adaln";
    for (values, rows, of_sigma) in [
        (json!({ adaln: true, "apply_gated_attention": true }), 9, true),
        (json!({ adaln: false, "apply_gated_attention": false }), 6, false),
        (json!({}), 6, false),
        (json!({ adaln: false, "apply_gated_attention": true, "ff_bias": false }), 6, false),
        (json!({ adaln: true, "ff_bias": false, "use_prompt_adaln_single": false }), 9, false),
    ] {
        let config = config(values);
        assert_eq!((config.adaln_rows(), config.prompt_adaln()), (rows, of_sigma));
        let source = Arc::new(Drawn::default());
        let block = Block::load(&Vb::new(source.clone(), Compute::cpu_f32()), &config)?;
        let weights = source.0.lock().unwrap().clone();
        assert_eq!(weights.contains_key("attn1.to_gate_logits.weight"), config.apply_gated_attention);
        assert_eq!(weights.contains_key("ff.net.2.bias"), config.ff_bias);
        assert_eq!(weights.contains_key("prompt_scale_shift_table"), config.cross_attention_adaln);

        let (x, context) = (random(&[1, TOKENS, DIM])?, random(&[1, CONTEXT, DIM])?);
        let (values, prompt) = (random(&[2, rows, DIM])?, random(&[2, DIM])?);
        let index = TokenIndex::new(vec![1, 0, 0, 1, 0], &Device::Cpu)?;
        let angles: Vec<f32> = (0..TOKENS * DIM / 2).map(|i| i as f32 * 0.1).collect();
        let shared = Shared {
            modulation: Modulation::new(&values, Some(index.clone()))?,
            prompt: of_sigma.then(|| Modulation::new(&prompt.unsqueeze(0)?, None)).transpose()?,
            context: context.clone(),
            rope: RopeTable::from_angles(&angles, (TOKENS, HEADS, DIM / HEADS / 2), &Compute::cpu_f32())?,
        };
        let found = block.forward(&x, &shared, false, &Taps::off())?;
        let formula = Formula { weights: &weights, config: &config, rope: &shared.rope };
        let expected = formula.block(&x, &index.spread(&values)?, of_sigma.then_some(&prompt), &context)?;
        let error = relative_l2(&found, &expected).unwrap();
        assert!(error < 1e-5, "{rows} rows, of sigma {of_sigma}: {error:e}");
        assert_eq!(found.dtype(), DType::F32);
    }
    Ok(())
}
