#!/usr/bin/env python3
"""Writes an LTX-2.3 checkpoint and a Gemma-3 with random weights straight as GGUF, of the real size or smaller, so that the
real size can be exercised anywhere. Nothing is quantised: the blocks themselves are drawn, which takes a minute or two for
20 GB and a few hundred megabytes of memory.

    scripts/measure/random_gguf.py [--size full|mid|small] [--type q4_k|q8_0|bf16] [--seed N] [--only ltx|gemma] DIR

It makes DIR/ltx-2.3-SIZE-TYPE.gguf (transformer, connector, text projection, video VAE; no audio) and DIR/gemma-3-SIZE-TYPE.gguf
(llama.cpp's names, the tokenizer of models/tiny in its metadata).

    full    every video key and shape of models/facts/ltx-2.3-22b.manifest.json; Gemma-3 12B
    mid     8 layers x 16 heads x 128, 2 connector layers, the VAE at half width; a Gemma-3 of 12 layers x 1280
    small   2 layers x 2 heads x 128, 1 connector layer, the VAE at an eighth; a Gemma-3 of 3 layers x 256

What keeps its precision is what `ltxd quantize` leaves alone. Weights are scaled so that a unit input gives an output of about
one, and what a block adds to the residual stream by the square root of the number of additions: activations and latents stay
finite, and frames are noise about a grey. A tensor's values follow from the seed and its name alone.

Python 3 standard library only.
"""

import argparse, array, json, math, os, random, re, struct, sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FACTS = ROOT / "models/facts"
TOKENIZER = ROOT / "models/tiny/gemma/tokenizer.json"
SIZES = {
    "full": dict(layers=48, heads=32, connector=8, narrow=1,
                 gemma=dict(vocab=262208, hidden=3840, inner=15360, layers=48, heads=16, kv=8, head=256)),
    "mid": dict(layers=8, heads=16, connector=2, narrow=2,
                gemma=dict(vocab=65536, hidden=1280, inner=5120, layers=12, heads=4, kv=2, head=256)),
    "small": dict(layers=2, heads=2, connector=1, narrow=8,
                  gemma=dict(vocab=1024, hidden=256, inner=512, layers=3, heads=2, kv=1, head=128)),
}  # fmt: skip
HEAD = 128
ALIGNMENT = 32
CHUNK = 1 << 22  # values in memory at a time
AUDIO = ("audio", "av_ca_", "a2v", "v2a", "vocoder")
# As crates/ltx-weights/src/quantize/rules.rs.
KEPT = ("vae.", "text_embedding_projection.", "patchify_proj.", "proj_out.", "adaln", "to_gate_logits.", "norm.")
# ggml: number, values in a block, bytes of a block; and the number by which a file says what most of it is.
TYPES = {"f32": (0, 1, 4, 0), "q8_0": (8, 32, 34, 7), "q4_k": (12, 256, 144, 14), "bf16": (30, 1, 2, 32)}


class Tensor:
    """A tensor's name in the file, shape (slowest dimension first), type, and its values' deviation and mean."""

    def __init__(self, name, shape, kind, deviation, mean=0.0):
        self.name, self.shape, self.kind, self.deviation, self.mean = name, shape, kind, deviation, mean
        self.values = math.prod(shape)
        _, block, size, _ = TYPES[kind]
        assert (shape or [1])[-1] % block == 0, f"{name}: rows of {shape[-1]} are not whole blocks of {kind}"
        self.bytes = self.values // block * size


# --- values ---


def halves(deviation, count, rng):
    """`count` f16 numbers about `deviation`, 64 Ki of them drawn and repeated."""
    drawn = min(count, 1 << 16)
    tile = struct.pack(f"<{drawn}e", *(deviation * rng.uniform(0.75, 1.25) for _ in range(drawn)))
    return (tile * (count // drawn + 1))[: 2 * count]


def q8_0(values, deviation, rng):
    """Blocks of an f16 scale and 32 bytes; uniform bytes have a deviation of 73.9."""
    blocks = values // 32
    data = bytearray(rng.randbytes(34 * blocks))
    scale = halves(deviation / 73.9, blocks, rng)
    data[0::34], data[1::34] = scale[0::2], scale[1::2]
    return data


Q4_SCALES = bytes(byte | 0xA0 for byte in range(256))  # the high bit of each 6-bit scale is set: 32 to 63
Q4_NIBBLES = bytes((byte & 15) * 17 for byte in range(256))


def q4_k(values, deviation, rng):
    """Blocks of two f16, eight 6-bit scales and minima, 256 nibbles: d·scale·q − dmin·minimum. Minima equal scales and dmin is
    7.5 d, so that the mean is 0; scales have a root mean square of 48.4, q − 7.5 of 4.61."""
    blocks = values // 256
    data = bytearray(rng.randbytes(144 * blocks))
    scale = halves(deviation / (48.4 * 4.61), blocks, rng)
    floats = struct.unpack(f"<{min(blocks, 1 << 16)}e", scale[: 2 * min(blocks, 1 << 16)])
    least = struct.pack(f"<{len(floats)}e", *(7.5 * d for d in floats))
    least = (least * (blocks // len(floats) + 1))[: 2 * blocks]
    data[0::144], data[1::144], data[2::144], data[3::144] = scale[0::2], scale[1::2], least[0::2], least[1::2]
    for at in range(4):
        data[4 + at :: 144] = data[8 + at :: 144] = data[4 + at :: 144].translate(Q4_SCALES)
        data[12 + at :: 144] = data[12 + at :: 144].translate(Q4_NIBBLES)
    return data


def bf16(values, deviation, rng):
    """The low byte (last bit of the exponent, mantissa) is drawn; the high byte is one of two neighbours of either sign, in the
    proportion that gives the deviation."""
    octaves = lambda k: 2.0 ** (4 * k - 254) * 2.5 * 7 / 3  # mean square where the rest of the exponent is k
    k = next(k for k in range(1, 127) if octaves(k) >= deviation**2)
    upper = round(128 * (deviation**2 - octaves(k - 1)) / (octaves(k) - octaves(k - 1)))
    half = bytes([k]) * upper + bytes([k - 1]) * (128 - upper)
    data = bytearray(rng.randbytes(2 * values))
    data[1::2] = data[1::2].translate(half + bytes(byte | 0x80 for byte in half))
    return data


def drawn(tensor, rng):
    """Values with a mean, or few of them, one by one; as f32."""
    return array.array("f", (rng.gauss(tensor.mean, tensor.deviation) for _ in range(tensor.values))).tobytes()


def data_of(tensor, seed):
    rng = random.Random(f"{seed}/{tensor.name}")
    if tensor.kind == "f32":
        yield drawn(tensor, rng)
    elif tensor.kind == "bf16" and (tensor.mean or len(tensor.shape) == 1):
        wide = drawn(tensor, rng)
        narrow = bytearray(2 * tensor.values)
        narrow[0::2], narrow[1::2] = wide[2::4], wide[3::4]
        yield narrow
    else:
        for start in range(0, tensor.values, CHUNK):
            yield globals()[tensor.kind](min(CHUNK, tensor.values - start), tensor.deviation, rng)


# --- tensors ---


def narrowed(key, shape, size):
    """The official shape at another size; None for what that size does not have."""
    block = re.search(r"transformer_blocks\.(\d+)\.", key), re.search(r"transformer_1d_blocks\.(\d+)\.", key)
    if (block[0] and int(block[0][1]) >= size["layers"]) or (block[1] and int(block[1][1]) >= size["connector"]):
        return None
    if key.startswith("vae."):
        return [{48: 48, 3: 3, 129: 128 // size["narrow"] + 1}.get(side, side // size["narrow"]) for side in shape]
    dim, gemma = size["heads"] * HEAD, size["gemma"]
    sides = {32: size["heads"], 188160: gemma["hidden"] * (gemma["layers"] + 1)}
    sides |= {4096 * rows: dim * rows for rows in (1, 2, 4, 9)}
    if "patchify_proj" in key or "proj_out" in key:
        sides[128] = 128 // size["narrow"]
    return [sides.get(side, side) for side in shape]


def spread(key, shape, size):
    """Deviation and mean of a checkpoint's tensor."""
    additions = (2 * size["layers"]) ** -0.5
    if key.endswith(("q_norm.weight", "k_norm.weight", "std-of-means")):
        return 0.1, 1.0
    if key.endswith("learnable_registers"):
        return 1.0, 0.0
    if "table" in key:
        return (0.3 if ".scale_shift_table" in key and "blocks" in key else 0.1), 0.0
    if key.endswith("mean-of-means"):
        return 0.1, 0.0
    if key.endswith(".bias"):
        return 0.02, 0.0
    gain = next((gain for part, gain in GAINS if part in key), 1.0)
    if "transformer_blocks" in key and (".to_out.0." in key or ".net.2." in key):
        gain = 3 * additions
    return gain / math.prod(shape[1:]) ** 0.5, 0.0


GAINS = (("adaln_single.linear.", 0.3), ("adaln_single.emb", 1.0), ("vae.decoder.conv_out", 0.4))


def ltx_tensors(size, kind, without=AUDIO):
    manifest = json.loads((FACTS / "ltx-2.3-22b.manifest.json").read_text())
    for key, (_, shape) in manifest.items():
        if any(part in key for part in without):
            continue
        shape = narrowed(key, shape, size)
        if shape is None:
            continue
        matrix = len(shape) == 2 and key.endswith(".weight") and not any(part in key for part in KEPT)
        yield Tensor(key, shape, kind if matrix else "bf16", *spread(key, shape, size))


def ltx_config(size):
    official = json.loads((FACTS / "ltx-2.3-22b.config.json").read_text())
    config = {part: official[part] for part in ("transformer", "vae", "scheduler")}
    latent = 128 // size["narrow"]
    config["transformer"] |= dict(
        num_layers=size["layers"], num_attention_heads=size["heads"], cross_attention_dim=size["heads"] * HEAD, in_channels=latent,
        out_channels=latent, caption_channels=size["gemma"]["hidden"], connector_num_layers=size["connector"],
        connector_num_attention_heads=size["heads"],
    )  # fmt: skip
    config["vae"] |= dict(latent_channels=latent, encoder_base_channels=latent, decoder_base_channels=latent)
    return config


def gemma_tensors(size, kind):
    g = size["gemma"]
    additions = (2 * g["layers"]) ** -0.5
    yield Tensor("token_embd.weight", [g["vocab"], g["hidden"]], "bf16", g["hidden"] ** -0.5)
    q, kv = g["heads"] * g["head"], g["kv"] * g["head"]
    for i in range(g["layers"]):
        matrix = lambda name, outputs, inputs: Tensor(f"blk.{i}.{name}.weight", [outputs, inputs], kind, inputs**-0.5)
        norm = lambda name, dim, mean=1.0: Tensor(f"blk.{i}.{name}.weight", [dim], "f32", 0.1 * mean, mean)
        yield norm("attn_norm", g["hidden"])
        yield matrix("attn_q", q, g["hidden"])
        yield matrix("attn_k", kv, g["hidden"])
        yield matrix("attn_v", kv, g["hidden"])
        yield norm("attn_q_norm", g["head"])
        yield norm("attn_k_norm", g["head"])
        yield matrix("attn_output", g["hidden"], q)
        yield norm("post_attention_norm", g["hidden"], 3 * additions)
        yield norm("ffn_norm", g["hidden"])
        yield matrix("ffn_gate", g["inner"], g["hidden"])
        yield matrix("ffn_up", g["inner"], g["hidden"])
        yield matrix("ffn_down", g["hidden"], g["inner"])
        yield norm("post_ffw_norm", g["hidden"], 3 * additions)
    yield Tensor("output_norm.weight", [g["hidden"]], "f32", 0.1, 1.0)


def gemma_metadata(size):
    """What llama.cpp's converter states, and the tokenizer as the entry that GGUF names for it."""
    g = size["gemma"]
    whole = dict(embedding_length=g["hidden"], feed_forward_length=g["inner"], block_count=g["layers"])
    whole |= {"attention.head_count": g["heads"], "attention.head_count_kv": g["kv"], "attention.key_length": g["head"]}
    whole |= {"attention.value_length": g["head"], "attention.sliding_window": 1024, "context_length": 131072}
    real = {"attention.layer_norm_rms_epsilon": 1e-6, "rope.freq_base": 1e6, "rope.scaling.factor": 8.0}
    stated = {"general.architecture": "gemma3", **{f"gemma3.{key}": value for key, value in (whole | real).items()}}
    return stated | {"gemma3.rope.scaling.type": "linear", "tokenizer.huggingface.json": TOKENIZER.read_text()}


# --- the file ---


def text(words):
    words = words.encode()
    return struct.pack("<Q", len(words)) + words


def entry(key, value):
    match value:
        case str():
            return text(key) + struct.pack("<I", 8) + text(value)
        case int():
            return text(key) + struct.pack("<II", 4, value)
        case float():
            return text(key) + struct.pack("<If", 6, value)
        case list():
            return text(key) + struct.pack(f"<IIQ{len(value)}i", 9, 5, len(value), *value)


def padded(length):
    return -length % ALIGNMENT


def header_of(metadata, tensors):
    """Tensors of five dimensions are stored with four, the slowest two as one, and their shape beside them."""
    metadata = metadata | {f"comfy.gguf.orig_shape.{t.name}": t.shape for t in tensors if len(t.shape) > 4}
    header = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    header += b"".join(entry(key, value) for key, value in metadata.items())
    offset, described = 0, []
    for tensor in tensors:
        shape = [math.prod(tensor.shape[:-3]), *tensor.shape[-3:]] if len(tensor.shape) > 4 else tensor.shape
        place = struct.pack(f"<I{len(shape)}QIQ", len(shape), *reversed(shape), TYPES[tensor.kind][0], offset)
        described.append(text(tensor.name) + place)
        offset += tensor.bytes + padded(tensor.bytes)
    header += b"".join(described)
    return header + bytes(padded(len(header)))


def write(path, metadata, tensors, seed):
    hidden = path.with_name(f".{path.name}.part")
    with hidden.open("wb") as file:
        file.write(header_of(metadata, tensors))
        for number, tensor in enumerate(tensors):
            for data in data_of(tensor, seed):
                file.write(data)
            file.write(bytes(padded(tensor.bytes)))
            if sys.stderr.isatty():
                print(f"\r{path.name}: {number + 1} of {len(tensors)} tensors", end="", file=sys.stderr, flush=True)
    os.replace(hidden, path)
    values = sum(tensor.values for tensor in tensors)
    print(f"{path}: {len(tensors)} tensors, {values} values, {path.stat().st_size} bytes", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--type", choices=[kind for kind in TYPES if kind != "f32"], default="q4_k")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=["ltx", "gemma"])
    asked = parser.parse_args()
    size, common = SIZES[asked.size], {"general.quantization_version": 2, "general.file_type": TYPES[asked.type][3]}
    asked.folder.mkdir(parents=True, exist_ok=True)
    if asked.only != "gemma":
        metadata = {"general.architecture": "ltxv", "config": json.dumps(ltx_config(size)), "model_version": "2.3.0-random"}
        file = asked.folder / f"ltx-2.3-{asked.size}-{asked.type}.gguf"
        write(file, metadata | common, list(ltx_tensors(size, asked.type)), asked.seed)
    if asked.only != "ltx":
        file = asked.folder / f"gemma-3-{asked.size}-{asked.type}.gguf"
        write(file, gemma_metadata(size) | common, list(gemma_tensors(size, asked.type)), asked.seed)


if __name__ == "__main__":
    main()
