#!/usr/bin/env python3
"""Writes a model with random weights for scripts/bench: an LTX-2.3 checkpoint in the official layout (video parts only), a
Gemma-3 folder and a case (ltx-golden/1, without tensors). Needs numpy.

    random_models.py {mid,full,small,deep,22b,22b-large,22b-fp8} DIR

mid    LTX-2.3's structure, 8 layers x 16 heads x 128, the VAE at half width, 64 latent channels (the reference's encoder is as
       wide as the latent), a Gemma-3-1B-shaped text encoder, 2 connector layers; 384x256, 25 frames
full   the real widths (32 heads x 128, the real VAE, 128 latent channels), 2 layers, 1 connector layer, the same text encoder;
       256x256, 9 frames
small  a few megabytes, to try the harness; deep: the same with 8 layers of twice the width, to stream
22b    the real model and Gemma-3 12B, 768x512, 121 frames; the files are headers and a hole, for sides that draw the weights
       themselves (scripts/bench --gpu); 22b-large: the same at 1216x704; 22b-fp8: as 22b,
       the matrices of the blocks in 8-bit floats
"""

import json, struct, sys, zlib
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "models/facts/ltx-2.3-22b.config.json"
TOKENIZER = ROOT / "models/tiny/gemma"
SIGMAS = [1.0, 0.99375, 0.9875, 0.98125, 0.975, 0.909375, 0.725, 0.421875, 0.0]
GEMMA_12B = dict(vocab=262208, hidden=3840, inner=15360, layers=48, heads=16, kv=8, head=256)
GEMMA_1B = dict(vocab=262144, hidden=1152, inner=6912, layers=26, heads=4, kv=1, head=256)
KINDS = {
    "mid": dict(layers=8, heads=16, head=128, latent=64, connector=2, gemma=GEMMA_1B, size=(384, 256, 25)),
    "full": dict(layers=2, heads=32, head=128, latent=128, connector=1, gemma=GEMMA_1B, size=(256, 256, 9)),
    "22b": dict(layers=48, heads=32, head=128, latent=128, connector=8, gemma=GEMMA_12B, size=(768, 512, 121), hole=True),
    "22b-large": dict(layers=48, heads=32, head=128, latent=128, connector=8, gemma=GEMMA_12B, size=(1216, 704, 121), hole=True),
    "22b-fp8": dict(layers=48, heads=32, head=128, latent=128, connector=8, gemma=GEMMA_12B, size=(768, 512, 121), hole=True, fp8=True),
    "deep": dict(layers=8, heads=4, head=64, latent=16, connector=1, size=(64, 64, 9),
                 gemma=dict(vocab=600, hidden=64, inner=128, layers=3, heads=4, kv=1, head=32)),
    "small": dict(layers=2, heads=2, head=64, latent=16, connector=1, size=(64, 64, 9),
                  gemma=dict(vocab=600, hidden=64, inner=128, layers=3, heads=4, kv=1, head=32)),
}  # fmt: skip


class Tensors(dict):
    """Names to (shape, deviation, mean)."""

    def linear(self, name, inputs, outputs, bias=True, gain=1.0):
        self[f"{name}.weight"] = ((outputs, inputs), gain / inputs**0.5, 0.0)
        if bias:
            self[f"{name}.bias"] = ((outputs,), 0.02, 0.0)

    def conv(self, name, inputs, outputs, gain=1.0):
        self[f"{name}.conv.weight"] = ((outputs, inputs, 3, 3, 3), gain / (27 * inputs) ** 0.5, 0.0)
        self[f"{name}.conv.bias"] = ((outputs,), 0.02, 0.0)

    def attention(self, name, dim, heads):
        for part in ("to_q", "to_k", "to_v", "to_out.0"):
            self.linear(f"{name}.{part}", dim, dim)
        self.linear(f"{name}.to_gate_logits", dim, heads)
        for part in ("q_norm", "k_norm"):
            self[f"{name}.{part}.weight"] = ((dim,), 0.1, 1.0)

    def feed_forward(self, name, dim):
        self.linear(f"{name}.net.0.proj", dim, 4 * dim)
        self.linear(f"{name}.net.2", 4 * dim, dim)

    def adaln(self, name, dim, rows):
        self.linear(f"{name}.emb.timestep_embedder.linear_1", 256, dim)
        self.linear(f"{name}.emb.timestep_embedder.linear_2", dim, dim)
        self.linear(f"{name}.linear", dim, rows * dim, gain=0.3)


def transformer(kind, tensors):
    dim, heads, latent = kind["heads"] * kind["head"], kind["heads"], kind["latent"]
    root = "model.diffusion_model"
    tensors.linear(f"{root}.patchify_proj", latent, dim)
    tensors.linear(f"{root}.proj_out", dim, latent)
    tensors.adaln(f"{root}.adaln_single", dim, 9)
    tensors.adaln(f"{root}.prompt_adaln_single", dim, 2)
    tensors[f"{root}.scale_shift_table"] = ((2, dim), 0.1, 0.0)
    for i in range(kind["layers"]):
        block = f"{root}.transformer_blocks.{i}"
        tensors.attention(f"{block}.attn1", dim, heads)
        tensors.attention(f"{block}.attn2", dim, heads)
        tensors.feed_forward(f"{block}.ff", dim)
        tensors[f"{block}.scale_shift_table"] = ((9, dim), 0.3, 0.0)
        tensors[f"{block}.prompt_scale_shift_table"] = ((2, dim), 0.1, 0.0)
    connector = f"{root}.video_embeddings_connector"
    tensors[f"{connector}.learnable_registers"] = ((128, dim), 1.0, 0.0)
    for i in range(kind["connector"]):
        block = f"{connector}.transformer_1d_blocks.{i}"
        tensors.attention(f"{block}.attn1", dim, heads)
        tensors.feed_forward(f"{block}.ff", dim)
    gemma = kind["gemma"]
    tensors.linear("text_embedding_projection.video_aggregate_embed", gemma["hidden"] * (gemma["layers"] + 1), dim)


def vae(config, tensors):
    latent, folded = config["latent_channels"], 3 * config["patch_size"] ** 2
    strides = {"space": 4, "time": 2, "all": 8}
    channels = config["encoder_base_channels"]
    tensors.conv("vae.encoder.conv_in", folded, channels)
    for i, (name, fields) in enumerate(config["encoder_blocks"]):
        block = f"vae.encoder.down_blocks.{i}"
        if name == "res_x":
            residual(tensors, block, channels, fields["num_layers"])
        else:
            outputs = channels * fields["multiplier"]
            tensors.conv(f"{block}.conv", channels, outputs // strides[name.split("_")[1]])
            channels = outputs
    tensors.conv("vae.encoder.conv_out", channels, latent + 1)
    channels = config["decoder_base_channels"]
    for name, fields in config["decoder_blocks"]:
        channels *= fields["multiplier"] if name != "res_x" else 1
    tensors.conv("vae.decoder.conv_in", latent, channels)
    for i, (name, fields) in enumerate(reversed(config["decoder_blocks"])):
        block = f"vae.decoder.up_blocks.{i}"
        if name == "res_x":
            residual(tensors, block, channels, fields["num_layers"])
        else:
            outputs = channels // fields["multiplier"]
            tensors.conv(f"{block}.conv", channels, outputs * strides[name.split("_")[1]])
            channels = outputs
    tensors.conv("vae.decoder.conv_out", channels, folded, gain=0.4)
    tensors["vae.per_channel_statistics.mean-of-means"] = ((latent,), 0.1, 0.0)
    tensors["vae.per_channel_statistics.std-of-means"] = ((latent,), 0.1, 1.0)


def residual(tensors, block, channels, layers):
    for i in range(layers):
        for conv in ("conv1", "conv2"):
            tensors.conv(f"{block}.res_blocks.{i}.{conv}", channels, channels)


def gemma(g, tensors):
    root = "language_model.model"
    tensors[f"{root}.embed_tokens.weight"] = ((g["vocab"], g["hidden"]), g["hidden"] ** -0.5, 0.0)
    tensors[f"{root}.norm.weight"] = ((g["hidden"],), 0.1, 0.0)
    for i in range(g["layers"]):
        layer = f"{root}.layers.{i}"
        for name in ("input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm"):
            tensors[f"{layer}.{name}.weight"] = ((g["hidden"],), 0.1, 0.0)
        for name in ("q_norm", "k_norm"):
            tensors[f"{layer}.self_attn.{name}.weight"] = ((g["head"],), 0.1, 0.0)
        q, kv = g["heads"] * g["head"], g["kv"] * g["head"]
        for name, inputs, outputs in (("q_proj", g["hidden"], q), ("k_proj", g["hidden"], kv), ("v_proj", g["hidden"], kv), ("o_proj", q, g["hidden"])):
            tensors.linear(f"{layer}.self_attn.{name}", inputs, outputs, bias=False)
        for name, inputs, outputs in (("gate_proj", g["hidden"], g["inner"]), ("up_proj", g["hidden"], g["inner"]), ("down_proj", g["inner"], g["hidden"])):
            tensors.linear(f"{layer}.mlp.{name}", inputs, outputs, bias=False)


def write(path, tensors, metadata, random, hole=False, fp8=False):
    """A safetensors file in BF16, as the official ones; a slice of 16 Mi values in memory at a time. With `fp8`, which only a hole
    may have, the matrices of the transformer's blocks are F8_E4M3."""
    header, end = {"__metadata__": metadata}, 0
    for name, (shape, _, _) in tensors.items():
        eight = fp8 and len(shape) == 2 and ".transformer_blocks." in name and name.endswith(".weight")
        begin, end = end, end + (1 if eight else 2) * int(np.prod(shape))
        header[name] = {"dtype": "F8_E4M3" if eight else "BF16", "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        if hole:
            file.truncate(8 + len(text) + end)
            return
        for shape, deviation, mean in tensors.values():
            left = int(np.prod(shape))
            while left:
                count = min(left, 1 << 24)
                values = random.standard_normal(count, dtype=np.float32)
                values *= np.float32(deviation)
                values += np.float32(mean)
                (values.view(np.uint32) >> np.uint32(16)).astype(np.uint16).tofile(file)
                left -= count


def png(path, width, height, random):
    """Smooth random colours: any picture will do."""
    grid = random.uniform(40, 215, (height // 32 + 2, width // 32 + 2, 3))
    y, x = np.mgrid[0:height, 0:width] / 32
    (i, j), (u, v) = (y.astype(int), x.astype(int)), ((y % 1)[..., None], (x % 1)[..., None])
    mix = (grid[i, j] * (1 - u) + grid[i + 1, j] * u) * (1 - v) + (grid[i, j + 1] * (1 - u) + grid[i + 1, j + 1] * u) * v
    rows = b"".join(b"\0" + row.tobytes() for row in mix.astype(np.uint8))
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def make(name, folder):
    """Makes the model unless it is there; returns the case's folder."""
    kind, folder = KINDS[name], Path(folder)
    if (folder / "case.json").exists():
        return folder
    (folder / "gemma").mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(20231)
    official = json.loads(CONFIG.read_text())
    config = {part: official[part] for part in ("transformer", "vae", "scheduler")}
    dim, g = kind["heads"] * kind["head"], kind["gemma"]
    config["transformer"].update(
        num_layers=kind["layers"], num_attention_heads=kind["heads"], attention_head_dim=kind["head"], cross_attention_dim=dim,
        in_channels=kind["latent"], out_channels=kind["latent"], caption_channels=g["hidden"],
        connector_num_layers=kind["connector"], connector_num_attention_heads=kind["heads"],
        connector_attention_head_dim=kind["head"],
    )  # fmt: skip
    config["vae"].update(latent_channels=kind["latent"], encoder_base_channels=kind["latent"], decoder_base_channels=kind["latent"])
    tensors = Tensors()
    transformer(kind, tensors)
    vae(config["vae"], tensors)
    metadata = {"format": "pt", "model_version": "2.3.0", "config": json.dumps(config)}
    write(folder / "model.safetensors", tensors, metadata, random, kind.get("hole", False), kind.get("fp8", False))
    tensors = Tensors()
    gemma(g, tensors)
    write(folder / "gemma/model.safetensors", tensors, {"format": "pt"}, random, kind.get("hole", False))
    text = {
        "model_type": "gemma3_text", "vocab_size": g["vocab"], "hidden_size": g["hidden"], "intermediate_size": g["inner"],
        "num_hidden_layers": g["layers"], "num_attention_heads": g["heads"], "num_key_value_heads": g["kv"],
        "head_dim": g["head"], "hidden_activation": "gelu_pytorch_tanh", "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "rope_local_base_freq": 10000.0, "query_pre_attn_scalar": g["head"],
        "sliding_window": 512, "sliding_window_pattern": 6, "attention_bias": False, "pad_token_id": 0, "eos_token_id": 1,
        "bos_token_id": 2,
    }  # fmt: skip
    (folder / "gemma/config.json").write_text(json.dumps({"model_type": "gemma3", "text_config": text}, indent=1))
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (folder / "gemma" / file).write_bytes((TOKENIZER / file).read_bytes())
    width, height, frames = kind["size"]
    png(folder / "start.png", width, height, random)
    case = {
        "format": "ltx-golden/1", "name": name, "checkpoint": "model.safetensors", "text_encoder": "gemma",
        "spatial_upscaler": None, "method": "image_to_video", "conditioning": "replace_first", "prompt": "a",
        "negative_prompt": None, "width": width, "height": height, "num_frames": frames, "frame_rate": 24.0, "seed": 7,
        "image_crf": 0, "images": [{"file": "start.png", "frame_index": 0, "strength": 1.0}], "guidance": None,
        "stage1_sigmas": SIGMAS, "stage2_sigmas": None, "tolerance": {"layer": 1e-4, "stage": 1e-3},
    }  # fmt: skip
    (folder / "case.json").write_text(json.dumps(case, indent=1))
    return folder


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in KINDS:
        sys.exit(__doc__)
    print(make(sys.argv[1], sys.argv[2]))
