"""Compares this folder's Python with the goldens of the reference (tiny checkpoint): relative L2 error of every stage.

    check_reference.py [--goldens /work/shared/goldens]
"""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import load_file

from export import load_text, load_transformer, load_upscaler, load_vae
from transformer import Layout, positions, to_tokens


def error(found, expected):
    return float((found - expected).norm() / expected.norm())


@torch.no_grad()
def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--goldens", default="/work/shared/goldens", type=Path)
    a = p.parse_args()
    tiny = a.goldens / "ltx23-tiny"
    checkpoint = tiny / "ltx-2.3-tiny-dev.safetensors"
    vae, transformer, text = load_vae(checkpoint), load_transformer(checkpoint), load_text(checkpoint, tiny / "gemma")
    worst = 0.0
    for case in ("i2v_distilled", "combined_distilled"):
        t = load_file(a.goldens / case / "tensors.safetensors")
        request = json.loads((a.goldens / case / "case.json").read_text())
        ids = t["text.pos.input_ids"][0][t["text.pos.attention_mask"][0] == 1].tolist()
        context, _ = text([ids])
        latents = [vae.encode(t[f"stage1.image{i}.pixels"]) for i in range(len(request["images"]))]
        final = t["stage1.final_latent"]
        keyframes = [(im["frame_index"], latents[i]) for i, im in enumerate(request["images"]) if im["frame_index"]]
        layout = Layout(torch.zeros_like(final), latents[0], keyframes)
        sampled = layout.sample(transformer, context, None, t["stage1.noise_tokens"])
        middles = t["stage1.positions"][0].mean(-1)
        results = {
            "context": error(context, t["text.pos.video_context"]),
            "image latent": error(latents[0], t["stage1.image0.latent"]),
            "positions": error(layout.positions, middles),
            "sampled latent": error(sampled, final),
            "decoded": error(vae.decode(final), t["decoded_raw"]) if "decoded_raw" in t else 0.0,
        }
        worst = max(worst, *results.values())
        print(case, {k: f"{v:.1e}" for k, v in results.items()})
    t = load_file(a.goldens / "kf_two_stage" / "tensors.safetensors")
    upscaler = load_upscaler(tiny / "ltx-2.3-tiny-spatial-upscaler-x2.safetensors")
    up = vae.normalize(upscaler(vae.unnormalize(t["stage1.final_latent"])))
    print("upscaled", f"{error(up, t['stage2.upsampled_latent']):.1e}")
    worst = max(worst, error(up, t["stage2.upsampled_latent"]))
    raise SystemExit(worst > 1e-3)


if __name__ == "__main__":
    main()
