"""Trains the x2 latent upscaler on pairs of latents of the same clips at 64 and at 128 pixels.

    latents.py encode --size 64 --first 20000000 --count 1000      # the small ones; the large ones are there already
    train_upscaler.py --minutes 6
"""

import argparse
import copy
import csv
import math
import os
import time
from pathlib import Path

import numpy as np
import torch

import config
import data
import latents
from upscaler import Upscaler
from vae import VideoVae


def pairs(folder):
    """(small, large) normalised latents of the seeds that exist at both sizes; and which are held out."""
    small_seeds, small = latents.read(folder, 64)
    large_seeds, large = latents.read(folder, 128)
    where = {seed: i for i, seed in enumerate(large_seeds)}
    both = [(i, where[s]) for i, s in enumerate(small_seeds) if s in where]
    held = torch.tensor([small_seeds[i] >= data.HELD_OUT for i, _ in both])
    i, j = (torch.tensor(c) for c in zip(*both))
    return small["clip"][i].float(), large["clip"][j].float(), held


def main(a):
    torch.set_num_threads(1)
    torch.manual_seed(a.run)
    if os.getpgrp() != os.getpid():
        os.setsid()
    vae = VideoVae()
    vae.load_state_dict(torch.load(a.frozen))
    small, large, held = pairs(a.latents)
    x, y = vae.unnormalize(small[~held]), vae.unnormalize(large[~held])
    test = vae.unnormalize(small[held]), large[held]
    state = Path(a.state)
    state.mkdir(parents=True, exist_ok=True)
    model = Upscaler(config.UPSCALER)
    if a.resume_from:
        from export import UPSCALER, load_upscaler
        model = load_upscaler(Path(a.resume_from) / UPSCALER)
    averaged, step = copy.deepcopy(model), 0
    optimizer = torch.optim.AdamW(model.parameters(), lr=a.rate, betas=(0.9, 0.98), weight_decay=0.01)
    if (state / "last.pt").exists():
        saved = torch.load(state / "last.pt", weights_only=False)
        model.load_state_dict(saved["model"]), averaged.load_state_dict(saved["averaged"])
        optimizer.load_state_dict(saved["optimizer"])
        step = saved["step"]
    rng, began, saved_at, shown = np.random.default_rng([a.run, step]), time.time(), time.time(), []
    print(len(x), "pairs,", len(test[0]), "held out", flush=True)
    while True:
        spent = (time.time() - began) / 60 / a.minutes
        for group in optimizer.param_groups:
            group["lr"] = a.rate * min(1, (step + 1) / 50) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(spent, 1))))
        index = torch.from_numpy(rng.integers(len(x), size=a.batch))
        # Stage 1 hands over what it sampled, not what was encoded: a little noise stands for that.
        given = x[index] + 0.1 * vae.std.view(1, -1, 1, 1, 1) * torch.randn_like(x[index])
        loss = (vae.normalize(model(given)) - vae.normalize(y[index])).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        shown.append(float(loss.detach()))
        with torch.no_grad():
            torch._foreach_lerp_(list(averaged.parameters()), list(model.parameters()), 1 - min(0.995, step / (step + 20)))
        if time.time() - saved_at > a.save_every or spent >= 1:
            saved_at = time.time()
            with torch.no_grad():
                error = float((vae.normalize(averaged(test[0])) - test[1]).square().mean())
            torch.save({"model": model.state_dict(), "averaged": averaged.state_dict(), "optimizer": optimizer.state_dict(),
                        "step": step}, state / "last.pt")
            exists = (state / "curve.csv").exists()
            with open(state / "curve.csv", "a") as file:
                out = csv.writer(file)
                if not exists:
                    out.writerow("step minutes loss held_out_error".split())
                out.writerow([step, f"{(time.time() - began) / 60:.1f}", f"{np.mean(shown):.4f}", f"{error:.4f}"])
            print(step, np.mean(shown), error, flush=True)
            shown = []
        if spent >= 1:
            break


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--state", default="/opt/train/upscaler")
    p.add_argument("--latents", default="/opt/train/latents")
    p.add_argument("--frozen", default="/opt/train/frozen.pt")
    p.add_argument("--minutes", type=float, default=6)
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--rate", type=float, default=2e-3)
    p.add_argument("--run", type=int, default=1)
    p.add_argument("--save-every", type=float, default=60)
    p.add_argument("--resume-from")
    main(p.parse_args())
