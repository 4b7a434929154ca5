"""The spoilt images, checkpoints and text encoders that scripts/check-bad-input feeds to ltxd; not run by itself.

Each is made from the tiny model of the repository or from a demo picture, changed in one thing.
"""

import json, shutil, struct, zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / "models"
CHECKPOINT = MODELS / "tiny/ltx-2.3-tiny-dev.safetensors"
UPSCALER = MODELS / "tiny/ltx-2.3-tiny-spatial-upscaler-x2.safetensors"
GEMMA = MODELS / "tiny/gemma"
PICTURES = ROOT / "scripts/demo-pictures"
CASE = ROOT / "crates/ltx-testkit/data/i2v_distilled/case.json"  # 17 frames

KEY = "model.diffusion_model.transformer_blocks.1.attn1.to_q.weight"
TARGET = "transformer_blocks.1.attn1.to_q"
RENAMED = KEY.replace("to_q", "to_queries")


def png(width, height):
    """A PNG whose header promises width x height pixels and whose data holds hardly any."""
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(64))) + chunk(b"IEND", b"")


def spoilt(file, change):
    """A safetensors file after `change(metadata, {key: [dtype, shape, bytes]})`."""
    blob = file.read_bytes()
    (size,) = struct.unpack("<Q", blob[:8])
    header = json.loads(blob[8 : 8 + size])
    metadata = header.pop("__metadata__")
    data = blob[8 + size :]
    tensors = {key: [e["dtype"], e["shape"], data[slice(*e["data_offsets"])]] for key, e in header.items()}
    change(metadata, tensors)
    header, offset = {"__metadata__": metadata}, 0
    for key, (dtype, shape, part) in tensors.items():
        header[key] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(part)]}
        offset += len(part)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(part for _, _, part in tensors.values())


def without_section(name):
    def change(metadata, _):
        config = json.loads(metadata["config"])
        del config[name]
        metadata["config"] = json.dumps(config)

    return change


def rename(_, tensors):
    tensors[RENAMED] = tensors.pop(KEY)


def drop(_, tensors):
    del tensors[KEY]


def stored_as(dtype, width):
    """One weight in another dtype, of its own shape: what an fp8 or quantised checkpoint would hold."""

    def change(_, tensors):
        _, shape, data = tensors[KEY]
        tensors[KEY] = [dtype, shape, data[: len(data) * width // 2]]

    return change


def scaled_but_one(metadata, tensors):
    """The file says that fp8 weights are scaled, and one is not."""
    stored_as("F8_E4M3", 1)(metadata, tensors)
    tensors["scaled_fp8"] = ["F8_E4M3", [1], bytes(1)]


def without_vae(_, tensors):
    for key in [key for key in tensors if key.startswith("vae.")]:
        del tensors[key]


def lora(target, down, up):
    """A LoRA file with one pair of these shapes for `target`, all zeros."""
    header, at = {}, 0
    for role, shape in (("A", down), ("B", up)):
        size = 2 * shape[0] * shape[1]
        header[f"diffusion_model.{target}.lora_{role}.weight"] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(at)


def no_config(metadata, _):
    del metadata["config"]


def files_in(folder):
    """Writes every spoilt file and folder; -> {name: path}"""
    checkpoint, jpeg = CHECKPOINT.read_bytes(), (PICTURES / "start.jpg").read_bytes()
    files = {
        "text.png": b"this is not a picture\n",
        "empty.png": b"",
        "huge.png": png(10_000, 10_000),
        "hollow.png": png(64, 64),
        "cut.jpg": jpeg[: len(jpeg) // 2],
        "picture.gif": b"GIF89a" + bytes(64),
        "text.safetensors": b"this is not a checkpoint, only a text file that is long enough to be read as one\n",
        "empty.safetensors": b"",
        "header-only.safetensors": checkpoint[:4096],
        "short.safetensors": checkpoint[:-4096],
        "long.safetensors": checkpoint + bytes(64),
        "renamed.safetensors": spoilt(CHECKPOINT, rename),
        "dropped.safetensors": spoilt(CHECKPOINT, drop),
        "fp8.safetensors": spoilt(CHECKPOINT, stored_as("F8_E5M2", 1)),
        "fp8-scale.safetensors": spoilt(CHECKPOINT, scaled_but_one),
        "part.safetensors": spoilt(CHECKPOINT, without_vae),
        "text.gguf": b"this is not a checkpoint, only a text file that is named like one\n",
        "int.safetensors": spoilt(CHECKPOINT, stored_as("I16", 2)),
        "lora.safetensors": lora(TARGET, [2, 64], [64, 2]),
        "lora-bent.safetensors": lora(TARGET, [2, 65], [64, 2]),
        "lora-lost.safetensors": lora("transformer_blocks.99.attn1.to_q", [2, 64], [64, 2]),
        "no-config.safetensors": spoilt(CHECKPOINT, no_config),
        "no-vae.safetensors": spoilt(CHECKPOINT, without_section("vae")),
        "no-transformer.safetensors": spoilt(CHECKPOINT, without_section("transformer")),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)

    def gemma(name, change):
        shutil.copytree(GEMMA, folder / name)
        change(folder / name)
        return name

    def case(name, text):
        (folder / name).mkdir()
        (folder / name / "case.json").write_text(text)
        return name

    outside, other = json.loads(CASE.read_text()), json.loads(CASE.read_text())
    outside["images"][0]["frame_index"] = 17
    other["format"] = "ltx-golden/9"
    index = {"metadata": {}, "weight_map": {"model.embed_tokens.weight": "model-00002-of-00002.safetensors"}}
    folders = [
        gemma("gemma-config", lambda at: (at / "config.json").write_text("this is not JSON")),
        gemma("gemma-other", lambda at: (at / "config.json").write_text('{"model_type": "llama"}')),
        gemma("gemma-no-config", lambda at: (at / "config.json").unlink()),
        gemma("gemma-no-tokenizer", lambda at: (at / "tokenizer.json").unlink()),
        gemma("gemma-tokenizer", lambda at: (at / "tokenizer.json").write_text("{}")),
        gemma("gemma-shard", lambda at: (at / "model.safetensors.index.json").write_text(json.dumps(index))),
        gemma("gemma-no-weights", lambda at: (at / "model.safetensors").unlink()),
        gemma("manifests", lambda at: [entry.unlink() for entry in at.iterdir()]),
        gemma("no-manifests", lambda at: [entry.unlink() for entry in at.iterdir()]),
        gemma("broken-manifest", lambda at: (at / "broken.toml").write_text("name = 1\n")),
        case("case-text", "this is not JSON"),
        case("case-format", json.dumps(other)),
        case("case-index", json.dumps(outside)),
    ]
    shutil.copy(MODELS / "ltx-2.3-dev.toml", folder / "manifests")  # of a model whose files nobody put beside it
    return {name: str(folder / name) for name in [*files, *folders]}
