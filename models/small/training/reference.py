"""One generation in Python with the shipped weights: what `ltxd generate` does, from the same seed."""

from pathlib import Path

import numpy as np
import torch

import data
from export import CHECKPOINT, UPSCALER, load_text, load_transformer, load_upscaler, load_vae
from images import round_trip
from tokenizer import PromptTokenizer
from transformer import REFINING, Layout


class Reference:
    def __init__(self, folder):
        folder = Path(folder)
        self.vae = load_vae(folder)
        self.transformer = load_transformer(folder / CHECKPOINT)
        self.text = load_text(folder / CHECKPOINT, folder / "gemma")
        self.tokenizer = PromptTokenizer.read(folder / "gemma" / "tokenizer.json")
        self.upscaler = load_upscaler(folder / UPSCALER)

    @torch.no_grad()
    def generate(self, first, last, prompt, seed=0, append_all=False, crf=33):
        """first, last: [H, W, 3] uint8 (last may be None) -> frames [17, H, W, 3] uint8."""
        encode = lambda picture: self.vae.encode(
            torch.from_numpy(round_trip(picture, crf) if crf else picture).permute(2, 0, 1)[None, :, None].float() / 127.5 - 1)
        context, _ = self.text([self.tokenizer(prompt)])
        height, width = first.shape[0] // 32, first.shape[1] // 32
        base = torch.zeros(1, self.vae.mean.numel(), (data.FRAMES + 7) // 8, height, width)
        keyframes = [(0, encode(first))] if append_all else []
        if last is not None:
            keyframes.append((data.FRAMES - 1, encode(last)))
        layout = Layout(base, None if append_all else encode(first), keyframes)
        noise = torch.randn(1, layout.mask.shape[1], base.shape[1], generator=torch.Generator().manual_seed(seed))
        latent = layout.sample(self.transformer, context, None, noise)
        pixels = self.vae.decode(latent)[0].permute(1, 2, 3, 0)
        return ((pixels + 1) * 127.5).round().clamp(0, 255).byte().numpy()
