"""Puts what has been trained so far into models/small: the averaged weights, rounded to bf16.

    export_small.py --out .. [--work /opt/train]

Of each part the latest state in the work folder is taken; a part that has none yet is exported as it was drawn.
"""

import argparse
from pathlib import Path

import torch

import config
from export import export
from text import TextEncoder
from tokenizer import build
from transformer import Transformer
from upscaler import Upscaler
from vae import VideoVae


def assemble(work):
    torch.manual_seed(7)
    tokenizer = build()
    vae, upscaler = VideoVae(), Upscaler(config.UPSCALER)
    text = TextEncoder(config.gemma(tokenizer.size)["text_config"], config.TRANSFORMER)
    transformer = Transformer(config.TRANSFORMER)
    load = lambda path: torch.load(path, weights_only=False) if path.exists() else None
    if (frozen := load(work / "frozen.pt")) is not None:
        vae.load_state_dict(frozen)
    elif (saved := load(work / "vae/last.pt")) is not None:
        vae.load_state_dict(saved["averaged"])
    if (saved := load(work / "decoder/last.pt")) is not None:
        part = {n.removeprefix("decoder."): t for n, t in saved["averaged"].items() if n.startswith("decoder.")}
        vae.decoder.load_state_dict(part)
    if (saved := load(work / "transformer/last.pt")) is not None:
        torch.nn.ModuleList([text, transformer]).load_state_dict(saved["averaged"])
    if (saved := load(work / "upscaler/last.pt")) is not None:
        upscaler.load_state_dict(saved["averaged"])
    return vae, text, transformer, upscaler, tokenizer


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--out", default="..", type=Path)
    p.add_argument("--work", default="/opt/train", type=Path)
    a = p.parse_args()
    export(a.out, *assemble(a.work))
    sizes = {str(f.relative_to(a.out)): f.stat().st_size for f in sorted(a.out.rglob("*")) if f.is_file()}
    print(sizes, sum(sizes.values()) / 2**20, "MiB")
