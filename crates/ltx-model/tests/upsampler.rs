//! Every block of the latent upsampler against the reference.

use ltx_model::{
    config::section,
    part::Module,
    upsampler::{Upsampler, UpsamplerConfig},
    video_vae::{LatentStatistics, VideoVaeConfig},
};
use ltx_nn::Taps;
use ltx_testkit::{LAYER, assert_close, assert_taps, checkpoint, goldens, open, vb};

const FILE: &str = "ltx-2.3-tiny-spatial-upscaler-x2.safetensors";

#[test]
fn upsampler_blocks() {
    let goldens = goldens("vae_taps.safetensors");
    let config = UpsamplerConfig::from_json(&open(FILE).config().unwrap()).unwrap();
    let upsampler = Upsampler::load(&vb(FILE), &config).unwrap();
    let (file, weights) = checkpoint();
    let channels = VideoVaeConfig::from_json(section(&file.config().unwrap(), "vae").unwrap()).unwrap().latent_channels;
    let statistics = LatentStatistics::load(&weights.pp("vae"), channels).unwrap();

    let taps = Taps::on();
    let latent = statistics.unnormalize(&goldens["up.latent"]).unwrap();
    let out = statistics.normalize(&upsampler.forward(&latent, &taps.within("up.")).unwrap()).unwrap();
    let names = ["up.initial_conv", "up.initial_norm", "up.res0", "up.upsampler", "up.post0", "up.final_conv"];
    assert_taps(taps, &goldens, &names, LAYER);
    assert_close("up.out", &out, &goldens["up.out"], LAYER);
}
