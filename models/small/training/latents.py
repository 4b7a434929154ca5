"""Freezes an encoder and turns a range of seeds into latents, once, for the transformer's and the upscaler's training.

    latents.py freeze --state /opt/train/vae                       # rounds the encoder to bf16, measures the statistics
    latents.py encode --first 20000000 --count 3000 --part 0 --parts 2

Files go to /opt/train/latents. Training seeds begin at 20,000,000; the VAE's own clips were below.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

import data
from images import round_trip
from vae import VideoVae


def planar(pixels):
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(3, 0, 1, 2).float() / 127.5 - 1


@torch.no_grad()
def freeze(a):
    if a.from_small:
        from export import load_vae
        torch.save(load_vae(a.from_small).state_dict(), a.out)
        return
    saved = torch.load(Path(a.state) / "last.pt", weights_only=False)
    vae = VideoVae()
    vae.load_state_dict(saved["averaged"])
    for p in vae.encoder.parameters():
        p.copy_(p.bfloat16().float())
    total, squares, count = 0.0, 0.0, 0
    for seed in range(30_000_000, 30_000_160, 4):
        z = vae.encoder(torch.stack([planar(data.render(data.draw(seed + i))[0]) for i in range(4)])).double()
        total, squares = total + z.sum((0, 2, 3, 4)), squares + z.square().sum((0, 2, 3, 4))
        count += z[:, 0].numel()
    mean = total / count
    std = (squares / count - mean.square()).clamp(min=1e-8).sqrt()
    vae.mean.copy_(mean.float().bfloat16().float()), vae.std.copy_(std.float().bfloat16().float())
    print("std of the channels: min", float(std.min()), "median", float(std.median()), "max", float(std.max()))
    torch.save(vae.state_dict(), a.out)


@torch.no_grad()
def encode_clips(vae, seeds, size=data.SIZE):
    """Clips' latents, and those of their first and last frames as images: compressed, and (the last) not."""
    rendered = [data.render(data.draw(seed), size)[0] for seed in seeds]
    clip = vae.encode(torch.stack([planar(pixels) for pixels in rendered]))
    picture = lambda frames: torch.stack([planar(frame[None]) for frame in frames])
    first = picture([round_trip(pixels[0]) for pixels in rendered])
    last = picture([round_trip(pixels[-1]) for pixels in rendered])
    clean = picture([pixels[-1] for pixels in rendered])
    return clip, *vae.encode(torch.cat([first, last, clean])).chunk(3)


@torch.no_grad()
def encode(a):
    torch.set_num_threads(1)
    vae = VideoVae()
    vae.load_state_dict(torch.load(a.out))
    folder = Path(a.folder)
    folder.mkdir(parents=True, exist_ok=True)
    seeds = list(range(a.first + a.part, a.first + a.count, a.parts))
    for begin in range(0, len(seeds), 50):
        some = seeds[begin:begin + 50]
        encoded = [encode_clips(vae, some[i:i + 5], a.size) for i in range(0, len(some), 5)]
        value = {"seeds": some, "size": a.size}
        value |= {name: torch.cat(column).half() for name, column in zip(("clip", "first", "last", "clean"), zip(*encoded))}
        torch.save(value, folder / f"{a.size}-{some[0]}.part")
        (folder / f"{a.size}-{some[0]}.part").rename(folder / f"{a.size}-{some[0]}.pt")
        print(begin + len(some), "of", len(seeds), flush=True)


def read(folder, size=data.SIZE):
    """All encoded clips of a size."""
    parts = [torch.load(p) for p in sorted(Path(folder).glob(f"{size}-*.pt"))]
    whole = {name: torch.cat([p[name] for p in parts]) for name in ("clip", "first", "last", "clean")}
    return [s for p in parts for s in p["seeds"]], whole


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("what", choices=("freeze", "encode"))
    p.add_argument("--state", default="/opt/train/vae")
    p.add_argument("--out", default="/opt/train/frozen.pt")
    p.add_argument("--from-small", help="a folder as models/small, whose VAE is taken as it is")
    p.add_argument("--folder", default="/opt/train/latents")
    p.add_argument("--first", type=int, default=20_000_000)
    p.add_argument("--count", type=int, default=3000)
    p.add_argument("--part", type=int, default=0)
    p.add_argument("--parts", type=int, default=1)
    p.add_argument("--size", type=int, default=data.SIZE)
    a = p.parse_args()
    freeze(a) if a.what == "freeze" else encode(a)
