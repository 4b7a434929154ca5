//! Every block of the VAE's encoder and decoder against the reference.

use ltx_model::{
    config::section,
    part::Module,
    video_vae::{ConvolutionalDecoder, VideoEncoder, VideoVaeConfig},
};
use ltx_nn::Taps;
use ltx_testkit::{LAYER, assert_close, assert_taps, checkpoint, goldens};

fn config() -> VideoVaeConfig {
    let config = checkpoint().0.config().unwrap();
    VideoVaeConfig::from_json(section(&config, "vae").unwrap()).unwrap()
}

fn encode(prefix: &str) {
    let goldens = goldens("vae_taps.safetensors");
    let encoder = VideoEncoder::load(&checkpoint().1, &config()).unwrap();
    let taps = Taps::on();
    let input = &goldens[&format!("{prefix}.input")];
    let latent = encoder.forward(input, &taps.within(format!("{prefix}."))).unwrap();
    let mut names = vec![format!("{prefix}.conv_in"), format!("{prefix}.conv_out")];
    names.extend((0..9).map(|i| format!("{prefix}.down{i}")));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_taps(taps, &goldens, &names, LAYER);
    assert_close("latent", &latent, &goldens[&format!("{prefix}.latent")], LAYER);
}

#[test]
fn encoder_blocks_of_an_image() {
    encode("enc_image");
}

#[test]
fn encoder_blocks_of_a_clip() {
    encode("enc_video");
}

#[test]
fn decoder_blocks() {
    let goldens = goldens("vae_taps.safetensors");
    let decoder = ConvolutionalDecoder::load(&checkpoint().1, &config()).unwrap();
    let taps = Taps::on();
    let pixels = decoder.forward(&goldens["dec.latent"], &taps.within("dec.")).unwrap();
    let mut names = vec!["dec.conv_in".to_owned()];
    names.extend((0..9).map(|i| format!("dec.up{i}")));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_taps(taps, &goldens, &names, LAYER);
    assert_close("dec.pixels", &pixels, &goldens["dec.pixels"], LAYER);
}

#[test]
fn a_number_beside_a_block_that_counts_no_layers_is_refused() {
    let config = checkpoint().0.config().unwrap();
    let section = section(&config, "vae").unwrap();
    for list in ["encoder_blocks", "decoder_blocks"] {
        let mut changed = section.clone();
        let blocks = changed[list].as_array_mut().unwrap();
        let block = blocks.iter_mut().find(|block| block[0].as_str().unwrap().starts_with("compress_")).unwrap();
        let name = block[0].as_str().unwrap().to_owned();
        block[1] = 3.into();
        let error = VideoVaeConfig::from_json(&changed).unwrap_err().to_string();
        assert!(error.contains(&format!("vae.{list}.{name} is 3")), "{error}");
    }
}
