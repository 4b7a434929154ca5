#!/usr/bin/env python3
"""Writes a model with random weights for scripts/bench: a checkpoint in the official layout (video parts only), a text encoder
and a case (ltx-golden/1, without tensors). Needs numpy.

    random_models.py {mid,mid-2.5,mid-2,mid-0.9,full,small,deep,22b,22b-large,22b-fp8} DIR

mid    LTX-2.3's structure, 8 layers x 16 heads x 128, the VAE at half width, 64 latent channels (the reference's encoder is as
       wide as the latent), a Gemma-3-1B-shaped text encoder, 2 connector layers; 384x256, 25 frames
mid-2.5, mid-2, mid-0.9
       the same sizes in the structure of the other families: LTX-2.5 in its three files with a Gemma 4 of 24 layers, LTX-2 (19B), and
       LTX-Video 0.9.8 with 32 heads x 64 and a T5 v1.1 of 12 layers x 2048
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
CONFIGS = {
    "2.3": ROOT / "models/facts/ltx-2.3-22b.config.json", "2.5": ROOT / "models/facts/ltx-2.5-22b.config.json",
    "2": ROOT / "models/facts/ltx-2-19b.config.json",
}  # fmt: skip
VERSIONS = {"2.3": "2.3.0", "2.5": "2.5.0", "2": "2.0.0", "0.9.8": "0.9.8"}
TOKENIZER, TOKENIZER_T5 = ROOT / "models/tiny/gemma", ROOT / "models/ltxv-tiny/tokenizer"
SIGMAS_POINTS = [1.0, 0.9937, 0.9875, 0.9812, 0.975, 0.9094, 0.725, 0.0]
SIGMAS = [1.0, 0.99375, 0.9875, 0.98125, 0.975, 0.909375, 0.725, 0.421875, 0.0]
GEMMA_12B = dict(vocab=262208, hidden=3840, inner=15360, layers=48, heads=16, kv=8, head=256)
GEMMA_1B = dict(vocab=262144, hidden=1152, inner=6912, layers=26, heads=4, kv=1, head=256)
GEMMA_4 = dict(vocab=262144, hidden=1152, inner=6912, layers=24, heads=4, kv=1, head=256, wide=512)
GEMMA_VERSION = "gemma4-12b-ltx-v1"
T5 = dict(vocab=32128, hidden=2048, inner=5120, layers=12, heads=32, head=64)
KINDS = {
    "mid-2.5": dict(family="2.5", layers=8, heads=16, head=128, latent=64, connector=2, gemma=GEMMA_4, size=(384, 256, 25)),
    "mid-2": dict(family="2", layers=8, heads=16, head=128, latent=64, connector=2, gemma=GEMMA_1B, size=(384, 256, 25)),
    "mid-0.9": dict(family="0.9.8", layers=8, heads=32, head=64, latent=64, t5=T5, size=(384, 256, 25)),
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

    def attention(self, name, dim, heads, gated=True, context=None):
        for part in ("to_q", "to_k", "to_v", "to_out.0"):
            self.linear(f"{name}.{part}", context or dim if part in ("to_k", "to_v") else dim, dim)
        if gated:
            self.linear(f"{name}.to_gate_logits", dim, heads)
        for part in ("q_norm", "k_norm"):
            self[f"{name}.{part}.weight"] = ((dim,), 0.1, 1.0)

    def feed_forward(self, name, dim, bias=True):
        self.linear(f"{name}.net.0.proj", dim, 4 * dim, bias)
        self.linear(f"{name}.net.2", 4 * dim, dim, bias)

    def adaln(self, name, dim, rows):
        self.linear(f"{name}.emb.timestep_embedder.linear_1", 256, dim)
        self.linear(f"{name}.emb.timestep_embedder.linear_2", dim, dim)
        self.linear(f"{name}.linear", dim, rows * dim, gain=0.3)


def transformer(config, text, tensors):
    """The transformer of a configuration, and where it has them the connector and the projection of `text` values a token."""
    dim, heads, latent = config["num_attention_heads"] * config["attention_head_dim"], config["num_attention_heads"], config["in_channels"]
    gated, rows = config.get("apply_gated_attention", False), 9 if config.get("cross_attention_adaln") else 6
    root = "model.diffusion_model"
    tensors.linear(f"{root}.patchify_proj", latent, dim)
    tensors.linear(f"{root}.proj_out", dim, latent)
    tensors.adaln(f"{root}.adaln_single", dim, rows)
    if rows == 9:
        tensors.adaln(f"{root}.prompt_adaln_single", dim, 2)
    if not config.get("caption_proj_before_connector"):
        tensors.linear(f"{root}.caption_projection.linear_1", config["caption_channels"], dim)
        tensors.linear(f"{root}.caption_projection.linear_2", dim, dim)
    if config.get("use_keyframes_abs_pos_embedding"):
        tensors[f"{root}.keyframes_abs_pos_embedding"] = ((1, dim), 0.1, 0.0)
    tensors[f"{root}.scale_shift_table"] = ((2, dim), 0.1, 0.0)
    for i in range(config["num_layers"]):
        block = f"{root}.transformer_blocks.{i}"
        tensors.attention(f"{block}.attn1", dim, heads, gated)
        tensors.attention(f"{block}.attn2", dim, heads, gated)
        tensors.feed_forward(f"{block}.ff", dim, config.get("ff_bias", True))
        tensors[f"{block}.scale_shift_table"] = ((rows, dim), 0.3, 0.0)
        if rows == 9:
            tensors[f"{block}.prompt_scale_shift_table"] = ((2, dim), 0.1, 0.0)
    if not config.get("use_embeddings_connector"):
        return
    connector = f"{root}.video_embeddings_connector"
    heads = config["connector_num_attention_heads"]
    dim = heads * config["connector_attention_head_dim"]
    tensors[f"{connector}.learnable_registers"] = ((128, dim), 1.0, 0.0)
    for i in range(config["connector_num_layers"]):
        block = f"{connector}.transformer_1d_blocks.{i}"
        tensors.attention(f"{block}.attn1", dim, heads, config.get("connector_apply_gated_attention", False))
        tensors.feed_forward(f"{block}.ff", dim)
    if config.get("caption_proj_before_connector"):
        tensors.linear("text_embedding_projection.video_aggregate_embed", text, dim)
    else:
        tensors.linear("text_embedding_projection.aggregate_embed", text, dim, bias=False)


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
            residual(tensors, block, channels, fields["num_layers"], config["timestep_conditioning"])
        else:
            outputs = channels // fields["multiplier"]
            tensors.conv(f"{block}.conv", channels, outputs * strides[name.split("_")[1]])
            channels = outputs
    if config["timestep_conditioning"]:
        embedder(tensors, "vae.decoder.last_time_embedder", 2 * channels)
        tensors["vae.decoder.last_scale_shift_table"] = ((2, channels), 0.1, 0.0)
        tensors["vae.decoder.timestep_scale_multiplier"] = ((), 0.0, 1000.0)
    tensors.conv("vae.decoder.conv_out", channels, folded, gain=0.4)
    tensors["vae.per_channel_statistics.mean-of-means"] = ((latent,), 0.1, 0.0)
    tensors["vae.per_channel_statistics.std-of-means"] = ((latent,), 0.1, 1.0)


def residual(tensors, block, channels, layers, told=False):
    for i in range(layers):
        for conv in ("conv1", "conv2"):
            tensors.conv(f"{block}.res_blocks.{i}.{conv}", channels, channels)
        if told:
            tensors[f"{block}.res_blocks.{i}.scale_shift_table"] = ((4, channels), 0.1, 0.0)
    if told:
        embedder(tensors, f"{block}.time_embedder", 4 * channels)


def embedder(tensors, name, width):
    tensors.linear(f"{name}.timestep_embedder.linear_1", 256, width)
    tensors.linear(f"{name}.timestep_embedder.linear_2", width, width, gain=0.3)


def gemma(g, tensors):
    """Gemma 3, or with `wide` Gemma 4, whose every sixth layer has heads of that width and one projection for keys and values."""
    four = "wide" in g
    root = "model" if four else "language_model.model"
    norm = 1.0 if four else 0.0
    tensors[f"{root}.embed_tokens.weight"] = ((g["vocab"], g["hidden"]), g["hidden"] ** -0.5, 0.0)
    tensors[f"{root}.norm.weight"] = ((g["hidden"],), 0.1, norm)
    for i in range(g["layers"]):
        layer, full = f"{root}.layers.{i}", four and i % 6 == 5
        head = g["wide"] if full else g["head"]
        for name in ("input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm"):
            tensors[f"{layer}.{name}.weight"] = ((g["hidden"],), 0.1, norm)
        for name in ("q_norm", "k_norm"):
            tensors[f"{layer}.self_attn.{name}.weight"] = ((head,), 0.1 * head ** (-0.25 * norm), norm * head**-0.25)
        q, kv = g["heads"] * head, g["kv"] * head
        parts = [("q_proj", g["hidden"], q), ("k_proj", g["hidden"], kv), ("v_proj", g["hidden"], kv), ("o_proj", q, g["hidden"])]
        for name, inputs, outputs in parts:
            if not (full and name == "v_proj"):
                tensors.linear(f"{layer}.self_attn.{name}", inputs, outputs, bias=False)
        for name, inputs, outputs in (("gate_proj", g["hidden"], g["inner"]), ("up_proj", g["hidden"], g["inner"]), ("down_proj", g["inner"], g["hidden"])):
            tensors.linear(f"{layer}.mlp.{name}", inputs, outputs, bias=False)
        if four:
            tensors[f"{layer}.layer_scalar"] = ((1,), 0.1, 1.0)


def gemma_4_config(g):
    text = {
        "model_type": "gemma4_unified_text", "vocab_size": g["vocab"], "hidden_size": g["hidden"], "intermediate_size": g["inner"],
        "num_hidden_layers": g["layers"], "num_attention_heads": g["heads"], "num_key_value_heads": g["kv"], "head_dim": g["head"],
        "global_head_dim": g["wide"], "num_global_key_value_heads": g["kv"], "attention_k_eq_v": True,
        "layer_types": ["full_attention" if i % 6 == 5 else "sliding_attention" for i in range(g["layers"])], "sliding_window": 512,
        "use_bidirectional_attention": "vision", "rms_norm_eps": 1e-6, "hidden_activation": "gelu_pytorch_tanh",
        "max_position_embeddings": 262144, "final_logit_softcapping": 30.0, "num_kv_shared_layers": 0, "use_double_wide_mlp": False,
        "rope_parameters": {
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
            "full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 1000000.0},
        },
        "attention_bias": False, "tie_word_embeddings": True, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2,
    }  # fmt: skip
    return {"model_type": "gemma4_unified", "gemma_version": GEMMA_VERSION, "tie_word_embeddings": True, "text_config": text}


def gemma_3_config(g):
    text = {
        "model_type": "gemma3_text", "vocab_size": g["vocab"], "hidden_size": g["hidden"], "intermediate_size": g["inner"],
        "num_hidden_layers": g["layers"], "num_attention_heads": g["heads"], "num_key_value_heads": g["kv"],
        "head_dim": g["head"], "hidden_activation": "gelu_pytorch_tanh", "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "rope_local_base_freq": 10000.0, "query_pre_attn_scalar": g["head"],
        "sliding_window": 512, "sliding_window_pattern": 6, "attention_bias": False, "pad_token_id": 0, "eos_token_id": 1,
        "bos_token_id": 2,
    }  # fmt: skip
    return {"model_type": "gemma3", "text_config": text}


def t5(t, tensors):
    attention = t["heads"] * t["head"]
    tensors["shared.weight"] = ((t["vocab"], t["hidden"]), 1.0, 0.0)
    for i in range(t["layers"]):
        layer = f"encoder.block.{i}.layer"
        # Scores are not scaled by the width of a head.
        tensors.linear(f"{layer}.0.SelfAttention.q", t["hidden"], attention, bias=False, gain=t["head"] ** -0.5)
        tensors.linear(f"{layer}.0.SelfAttention.k", t["hidden"], attention, bias=False)
        tensors.linear(f"{layer}.0.SelfAttention.v", t["hidden"], attention, bias=False)
        tensors.linear(f"{layer}.0.SelfAttention.o", attention, t["hidden"], bias=False)
        tensors.linear(f"{layer}.1.DenseReluDense.wi_0", t["hidden"], t["inner"], bias=False)
        tensors.linear(f"{layer}.1.DenseReluDense.wi_1", t["hidden"], t["inner"], bias=False)
        tensors.linear(f"{layer}.1.DenseReluDense.wo", t["inner"], t["hidden"], bias=False)
        for part in (0, 1):
            tensors[f"{layer}.{part}.layer_norm.weight"] = ((t["hidden"],), 0.1, 1.0)
    tensors["encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"] = ((32, t["heads"]), 0.5, 0.0)
    tensors["encoder.final_layer_norm.weight"] = ((t["hidden"],), 0.1, 1.0)


def t5_config(t):
    return {
        "model_type": "t5", "feed_forward_proj": "gated-gelu", "d_model": t["hidden"], "d_kv": t["head"], "d_ff": t["inner"],
        "num_layers": t["layers"], "num_heads": t["heads"], "vocab_size": t["vocab"],
    }  # fmt: skip


def points_config():
    """LTX-Video 0.9.8 2B's, whose file is not among the facts."""
    transformer = dict(
        _class_name="Transformer3DModel", activation_fn="gelu-approximate", attention_bias=True, causal_temporal_positioning=True,
        norm_elementwise_affine=False, norm_eps=1e-6, positional_embedding_max_pos=[20, 2048, 2048], positional_embedding_theta=10000.0,
        positional_embedding_type="rope", qk_norm="rms_norm", standardization_norm="rms_norm", timestep_scale_multiplier=1000,
    )  # fmt: skip
    res, down = (lambda n: ["res_x", {"num_layers": n}]), (lambda kind: [f"compress_{kind}_res", {"multiplier": 2}])
    up = ["compress_all", {"multiplier": 2, "residual": True}]
    vae = dict(
        _class_name="CausalVideoAutoencoder", dims=3, in_channels=3, out_channels=3, patch_size=4, norm_layer="pixel_norm", latent_log_var="uniform",
        use_quant_conv=False, causal_decoder=False, timestep_conditioning=True, spatial_padding_mode="zeros",
        encoder_blocks=[res(4), down("space"), res(6), down("time"), res(6), down("all"), res(2), down("all"), res(2)],
        decoder_blocks=[res(5), up, res(5), up, res(5), up, res(5)],
    )  # fmt: skip
    return {"transformer": transformer, "vae": vae}


def write(path, tensors, metadata, random, hole=False, fp8=False, files={}):
    """A safetensors file in BF16, as the official ones; a slice of 16 Mi values in memory at a time. With `fp8`, which only a hole
    may have, the matrices of the transformer's blocks are F8_E4M3. `files` are put in as bytes."""
    header, end = {"__metadata__": metadata}, 0
    for name, (shape, _, _) in tensors.items():
        eight = fp8 and len(shape) == 2 and ".transformer_blocks." in name and name.endswith(".weight")
        begin, end = end, end + (1 if eight else 2) * int(np.prod(shape))
        header[name] = {"dtype": "F8_E4M3" if eight else "BF16", "shape": list(shape), "data_offsets": [begin, end]}
    for name, contents in files.items():
        begin, end = end, end + len(contents)
        header[name] = {"dtype": "U8", "shape": [len(contents)], "data_offsets": [begin, end]}
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
        file.write(b"".join(files.values()))


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
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(20231)
    family, hole = kind.get("family", "2.3"), kind.get("hole", False)
    official = json.loads(CONFIGS[family].read_text()) if family in CONFIGS else points_config()
    config = {part: official[part] for part in ("transformer", "vae", "scheduler") if part in official}
    dim, text = kind["heads"] * kind["head"], kind.get("gemma") or kind["t5"]
    config["transformer"].update(
        num_layers=kind["layers"], num_attention_heads=kind["heads"], attention_head_dim=kind["head"], cross_attention_dim=dim,
        in_channels=kind["latent"], out_channels=kind["latent"], caption_channels=text["hidden"],
    )  # fmt: skip
    if "connector" in kind:
        # Before the caption projection of LTX-2 a connector is as wide as the text encoder.
        width = dim if config["transformer"].get("caption_proj_before_connector") else text["hidden"]
        config["transformer"].update(
            connector_num_layers=kind["connector"], connector_num_attention_heads=width // kind["head"], connector_attention_head_dim=kind["head"],
        )  # fmt: skip
    config["vae"].update(latent_channels=kind["latent"], encoder_base_channels=kind["latent"], decoder_base_channels=kind["latent"])
    tensors, metadata = Tensors(), {"format": "pt", "model_version": VERSIONS[family]}
    transformer(config["transformer"], text["hidden"] * (text["layers"] + 1), tensors)
    components, beside = [], {}
    if family == "2.5":
        metadata["gemma_source_checkpoint"] = json.dumps({"ltx_version": VERSIONS[family], "gemma_version": GEMMA_VERSION})
        beside = Tensors({key: tensors.pop(key) for key in list(tensors) if key.startswith("text_embedding_projection.")})
        component = Tensors()
        vae(config["vae"], component)
        component = {key.removeprefix("vae."): value for key, value in component.items()}
        write(folder / "vae.safetensors", component, {**metadata, "config": json.dumps({"vae": config.pop("vae")})}, random)
        components = ["vae.safetensors"]
    else:
        vae(config["vae"], tensors)
    write(folder / "model.safetensors", tensors, {**metadata, "config": json.dumps(config)}, random, hole, kind.get("fp8", False))
    encoder = text_encoder(kind, folder, beside, random)
    width, height, frames = kind["size"]
    png(folder / "start.png", width, height, random)
    case = {
        "format": "ltx-golden/1", "name": name, "checkpoint": "model.safetensors", "components": components, "text_encoder": encoder,
        "spatial_upscaler": None, "method": "image_to_video", "conditioning": "replace_first", "prompt": "a",
        "negative_prompt": None, "width": width, "height": height, "num_frames": frames, "frame_rate": 24.0, "seed": 7,
        "image_crf": 0, "images": [{"file": "start.png", "frame_index": 0, "strength": 1.0}], "guidance": None,
        "stage1_sigmas": SIGMAS, "stage2_sigmas": None, "tolerance": {"layer": 1e-4, "stage": 1e-3},
    }  # fmt: skip
    if "t5" in kind:
        case.update(family="ltxv-0.9", stage1_sigmas=SIGMAS_POINTS)
    (folder / "case.json").write_text(json.dumps(case, indent=1))
    return folder


def text_encoder(kind, folder, projection, random):
    """Writes the text encoder and says how the case names it: a folder, or the one file of a Gemma 4 with LTX's projection."""
    tensors, hole = Tensors(), kind.get("hole", False)
    if "t5" in kind:
        config, tokenizer, name = t5_config(kind["t5"]), TOKENIZER_T5, "t5"
        t5(kind["t5"], tensors)
    else:
        g, name, tokenizer = kind["gemma"], "gemma", TOKENIZER
        gemma(g, tensors)
        if "wide" in g:
            metadata = {"format": "pt", "gemma_config": json.dumps(gemma_4_config(g))}
            files = {"tokenizer_json": (tokenizer / "tokenizer.json").read_bytes()}
            write(folder / "gemma4.safetensors", tensors | projection, metadata, random, files=files)
            return "gemma4.safetensors"
        config = gemma_3_config(g)
    (folder / name).mkdir(exist_ok=True)
    write(folder / name / "model.safetensors", tensors, {"format": "pt"}, random, hole)
    (folder / name / "config.json").write_text(json.dumps(config, indent=1))
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name / file).write_bytes((tokenizer / file).read_bytes())
    return name


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in KINDS:
        sys.exit(__doc__)
    print(make(sys.argv[1], sys.argv[2]))
