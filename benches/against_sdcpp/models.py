#!/usr/bin/env python3
"""Writes an LTX-2.3 checkpoint and a Gemma-3 with random weights as GGUF that ltxd and stable-diffusion.cpp both load.

    benches/against_sdcpp/models.py [--type q8_0|q4_k|bf16] [--layers 6] [--connector 1] [--inner 1024] DIR

The widths are the real ones: 32 heads x 128, the whole video VAE, Gemma-3's 48 layers of 3840 with 16 and 8 heads, and its whole
vocabulary. These are fixed over there, as is a projection of 49 states of 3840. The numbers of transformer and connector layers are chosen,
and the width of Gemma's feed-forward is small, so that it all fits into a few gigabytes.

What it adds to scripts/measure/random_gguf.py, which draws the values: the audio stream's tensors (without its VAE and vocoder), without
which stable-diffusion.cpp does not load a model, and F32 for the tables and registers, which it adds to F32 without a conversion.
"""

import argparse, json, sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts/measure"))

import random_gguf

SOUND = ("audio_vae.", "vocoder.")
KINDS = ("q8_0", "q4_k", "bf16")


def size_of(layers, connector, inner):
    gemma = {**random_gguf.SIZES["full"]["gemma"], "inner": inner}
    return dict(layers=layers, heads=32, connector=connector, narrow=1, gemma=gemma)


def checkpoint(size, kind):
    for tensor in random_gguf.ltx_tensors(size, kind, without=SOUND):
        if "table" in tensor.name or tensor.name.endswith("learnable_registers"):
            tensor = random_gguf.Tensor(tensor.name, tensor.shape, "f32", tensor.deviation, tensor.mean)
        yield tensor


def make(folder, kind, layers=6, connector=1, inner=1024, seed=0):
    """Writes the two files unless they are there; returns their paths."""
    size = size_of(layers, connector, inner)
    name = f"{layers}-{connector}-{inner}-{kind}.gguf"
    files = folder / f"ltx-2.3-{name}", folder / f"gemma-3-{name}"
    common = {"general.quantization_version": 2, "general.file_type": random_gguf.TYPES[kind][3]}
    about = {"general.architecture": "ltxv", "config": json.dumps(random_gguf.ltx_config(size)), "model_version": "2.3.0-random"}
    folder.mkdir(parents=True, exist_ok=True)
    if not files[0].exists():
        random_gguf.write(files[0], about | common, list(checkpoint(size, kind)), seed)
    if not files[1].exists():
        random_gguf.write(files[1], random_gguf.gemma_metadata(size) | common, list(random_gguf.gemma_tensors(size, kind)), seed)
    return files


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--type", choices=KINDS, default="q8_0")
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--connector", type=int, default=1)
    parser.add_argument("--inner", type=int, default=1024)
    asked = parser.parse_args()
    make(asked.folder, asked.type, asked.layers, asked.connector, asked.inner)
