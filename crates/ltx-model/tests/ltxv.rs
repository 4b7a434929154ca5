//! LTX-Video 0.9.8 in the folders of diffusers: transformer, encoder and decoder against the reference, fed with the reference's
//! own inputs.

use candle_core::{Device, IndexOp, Tensor};
use ltx_model::{
    diffusers::official,
    part::Module,
    transformer::{BlockSkips, TokenTimesteps, Transformer, TransformerConfig, TransformerInput},
    video_vae::{ConvolutionalDecoder, LatentStatistics, VideoEncoder, VideoVaeConfig},
};
use ltx_nn::{NnError, Taps, Vb};
use ltx_testkit::{LAYER, assert_close, goldens, tiny, vb};
use serde_json::Value;
use std::{collections::HashMap, fs};

fn component(name: &str) -> (Value, Vb) {
    let folder = tiny("../ltxv-tiny").join(name);
    let config = serde_json::from_slice(&fs::read(folder.join("config.json")).unwrap()).unwrap();
    (official(config).unwrap(), vb(&format!("../ltxv-tiny/{name}/diffusion_pytorch_model.safetensors")))
}

fn transformer() -> Transformer {
    let (config, vb) = component("transformer");
    Transformer::load(&vb, &TransformerConfig::from_json(&config["transformer"]).unwrap()).unwrap()
}

fn vae<M: Module<Config = VideoVaeConfig>>() -> M {
    let (config, vb) = component("vae");
    M::load(&vb, &VideoVaeConfig::from_json(&config["vae"]).unwrap()).unwrap()
}

/// The text states of a prompt, without the slots that the mask leaves out.
fn context(goldens: &HashMap<String, Tensor>, prompt: &str) -> Tensor {
    let mask = goldens[&format!("text.{prompt}.attention_mask")].flatten_all().unwrap().to_vec1::<i64>().unwrap();
    let real = mask.iter().filter(|mask| **mask == 1).count();
    goldens[&format!("text.{prompt}.video_context")].narrow(1, 0, real).unwrap().contiguous().unwrap()
}

#[test]
fn velocities_of_every_step_equal_the_reference() {
    for (case, prompts) in [("i2v_distilled", &["pos"][..]), ("first_last_cfg", &["neg", "pos"])] {
        let (goldens, transformer) = (goldens(&format!("ltxv09/{case}/tensors.safetensors")), transformer());
        let positions: Vec<Vec<f32>> = goldens["stage1.positions"].i(0).unwrap().to_vec2().unwrap();
        let rope = transformer.rope(&positions.try_into().unwrap()).unwrap();
        let (cos, sin) = rope.per_head().unwrap();
        assert_close("cos", &cos, &goldens["stage1.rope_cos"], LAYER);
        assert_close("sin", &sin, &goldens["stage1.rope_sin"], LAYER);
        for step in 0..5 {
            let golden = |name: &str| goldens[&format!("stage1.{name}.step{step}")].clone();
            let timesteps: Vec<f32> = golden("model_timesteps").flatten_all().unwrap().to_vec1().unwrap();
            for (row, prompt) in prompts.iter().enumerate() {
                let input = TransformerInput {
                    tokens: &golden("latent_in"),
                    timesteps: &TokenTimesteps::new(&timesteps, &Device::Cpu).unwrap(),
                    sigma: 1.0,
                    context: &context(&goldens, prompt),
                    rope: &rope,
                    first_frame: 0,
                    skips: BlockSkips::NONE,
                };
                let velocity = transformer.forward(&input, &Taps::off(), |_| Ok::<_, NnError>(())).unwrap();
                let expected = golden("velocity").narrow(0, row, 1).unwrap();
                assert_close(&format!("{case} {prompt} step {step}"), &velocity, &expected, LAYER);
            }
        }
    }
}

#[test]
fn latents_are_drawn_as_the_reference_draws_them() {
    let (goldens, encoder) = (goldens("ltxv09/first_last_cfg/tensors.safetensors"), vae::<VideoEncoder>());
    let (config, vb) = component("vae");
    let channels = VideoVaeConfig::from_json(&config["vae"]).unwrap().latent_channels;
    let statistics = LatentStatistics::load(&vb.pp("vae"), channels).unwrap();
    for image in 0..2 {
        let golden = |name: &str| &goldens[&format!("stage1.image{image}.{name}")];
        let posterior = encoder.posterior(golden("pixels"), &Taps::off()).unwrap();
        assert_close("mean", &posterior.mean, golden("latent_mean"), LAYER);
        assert_close("std", &posterior.std, golden("latent_std"), LAYER);
        let latent = posterior.drawn(&statistics, golden("latent_noise")).unwrap();
        assert_close("latent", &latent, golden("latent"), LAYER);
    }
}

#[test]
fn a_noised_latent_is_decoded_at_its_timestep() {
    let (goldens, decoder) = (goldens("ltxv09/first_last_cfg/tensors.safetensors"), vae::<ConvolutionalDecoder>());
    let taps = Taps::on();
    let noised =
        decoder.noised(&goldens["stage1.final_latent"], &goldens["decode.noise"], 0.025, &taps.within("decode."));
    let pixels = decoder.forward(&noised.unwrap(), &Taps::off()).unwrap();
    assert_close("input", &taps.into_tensors().unwrap()["decode.input"], &goldens["decode.input"], LAYER);
    // The goldens' pixels are kept in f16.
    assert_close("pixels", &pixels, &goldens["decoded_raw"], 1e-3);
}
