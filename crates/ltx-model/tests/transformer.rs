//! Every recorded output of the transformer's blocks against the reference, fed with the reference's own inputs.

use candle_core::{DType, Device, IndexOp, Tensor};
use ltx_model::{
    config::section,
    part::Module,
    transformer::{BlockSkips, HeldBlocks, TokenTimesteps, Transformer, TransformerConfig, TransformerInput},
};
use ltx_nn::{NnError, RopeTable, Taps, matrix::Use};
use ltx_testkit::{LAYER, assert_close, checkpoint, goldens};
use std::collections::HashMap;

fn transformer() -> Transformer {
    let (file, weights) = checkpoint();
    let config = TransformerConfig::from_json(section(&file.config().unwrap(), "transformer").unwrap()).unwrap();
    Transformer::load(&weights, &config).unwrap()
}

/// Middles of the recorded positions `[1, 3, T, 2]`.
fn rope(transformer: &Transformer, positions: &Tensor) -> RopeTable {
    let middles: Vec<Vec<f32>> = positions.mean(3).unwrap().i(0).unwrap().to_vec2().unwrap();
    transformer.rope(&middles.try_into().unwrap()).unwrap()
}

/// One pass of the case's first step; `row` is its place in the recorded batch.
fn check_pass(goldens: &HashMap<String, Tensor>, stage: &str, row: usize, (context, skips): (&str, &[usize])) {
    let transformer = transformer();
    let golden = |name: &str| goldens[&format!("{stage}.{name}")].clone();
    let timesteps: Vec<f32> = golden("model_timesteps.step0").i(row).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    let sigma = golden("model_sigma.step0").i(row).unwrap().to_scalar::<f32>().unwrap();
    let taps = Taps::on();
    let input = TransformerInput {
        tokens: &golden("latent_in.step0"),
        timesteps: &TokenTimesteps::new(&timesteps, &Device::Cpu).unwrap(),
        sigma,
        context: &goldens[context],
        rope: &rope(&transformer, &golden("positions")),
        first_frame: 0,
        skips: BlockSkips(skips),
    };
    let velocity = transformer.forward(&input, &taps.within(""), |_| Ok::<_, NnError>(())).unwrap();
    let row_of = |t: Tensor| t.narrow(0, row, 1).unwrap();
    let found = taps.into_tensors().unwrap();
    for name in [
        "patchify_out",
        "adaln",
        "embedded_timestep",
        "prompt_adaln",
        "block0_attn1_out",
        "block0_attn2_out",
        "block0_ff_out",
        "block0_out",
        "block1_out",
        "block2_out",
    ] {
        assert_close(name, &found[name], &row_of(golden(&format!("{name}.step0"))), LAYER);
    }
    assert_close("velocity", &velocity, &row_of(golden("velocity.step0")), LAYER);
}

#[test]
fn blocks_with_keyframes_conditional() {
    check_pass(&goldens("kf_guided/tensors.safetensors"), "stage1", 0, ("text.pos.video_context", &[]));
}

#[test]
fn blocks_with_keyframes_unconditional() {
    check_pass(&goldens("kf_guided/tensors.safetensors"), "stage1", 1, ("text.neg.video_context", &[]));
}

#[test]
fn blocks_with_a_skipped_self_attention() {
    check_pass(&goldens("kf_guided/tensors.safetensors"), "stage1", 2, ("text.pos.video_context", &[1]));
}

#[test]
fn blocks_of_both_stages() {
    let goldens = goldens("kf_two_stage/tensors.safetensors");
    for stage in ["stage1", "stage2"] {
        check_pass(&goldens, stage, 0, ("text.pos.video_context", &[]));
    }
}

#[test]
fn streamed_blocks_give_the_same_bits_however_many_are_held() {
    let goldens = goldens("kf_guided/tensors.safetensors");
    let golden = |name: &str| goldens[&format!("stage1.{name}")].clone();
    let timesteps: Vec<f32> = golden("model_timesteps.step0").i(0).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    let velocity = |transformer: &Transformer| {
        let input = TransformerInput {
            tokens: &golden("latent_in.step0"),
            timesteps: &TokenTimesteps::new(&timesteps, &Device::Cpu).unwrap(),
            sigma: 1.0,
            context: &goldens["text.pos.video_context"],
            rope: &rope(transformer, &golden("positions")),
            first_frame: 0,
            skips: BlockSkips::NONE,
        };
        let velocity = transformer.forward(&input, &Taps::off(), |_| Ok::<_, NnError>(())).unwrap();
        velocity.flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    let whole = transformer();
    let expected = velocity(&whole);
    for count in 0..=whole.config().num_layers {
        for usage in [Use::Stays, Use::Compact] {
            let (weights, held) = (checkpoint().1, HeldBlocks { count, usage });
            let streamed = Transformer::open(&weights, whole.config(), held).unwrap();
            for pass in 0..2 {
                assert!(velocity(&streamed) == expected, "{held:?}, pass {pass}");
            }
        }
    }
}

#[test]
fn rope_tables_equal_the_reference() {
    let goldens = goldens("kf_guided/tensors.safetensors");
    let (cos, sin) = rope(&transformer(), &goldens["stage1.positions"]).per_head().unwrap();
    for (name, found) in [("cos", cos), ("sin", sin)] {
        assert_close(name, &found, &goldens[&format!("stage1.rope_{name}")].i(0..1).unwrap(), LAYER);
    }
}

#[test]
fn timesteps_spread_like_a_full_table() {
    let per_token = [0.5f32, 0.0, 0.5, 0.25];
    let timesteps = TokenTimesteps::new(&per_token, &Device::Cpu).unwrap();
    assert_eq!(timesteps.values(), [0.5, 0.0, 0.25]);
    let values = Tensor::new(timesteps.values(), &Device::Cpu).unwrap().reshape((3, 1)).unwrap();
    let spread = timesteps.spread(&values).unwrap().flatten_all().unwrap().to_dtype(DType::F32).unwrap();
    assert_eq!(spread.to_vec1::<f32>().unwrap(), per_token);
}
