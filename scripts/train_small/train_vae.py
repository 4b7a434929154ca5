"""Trains the VAE. Resumable: the state folder holds everything; the learning rate follows the minutes that were given.

    train_vae.py --state /opt/train/vae --minutes 30 --size 64 --batch 6 [--world 2] [--decoder-only]

With --world 2 two processes train on one core each and average their weights every few steps.
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
import torch.distributed as dist
import torch.multiprocessing as mp

import data
from muon import Muon
from pool import Pool
from vae import VideoVae

AVERAGE_EVERY = 5


def psnr(error):
    return -10 * math.log10(max(float(error), 1e-10))


def held_out(count, size=data.SIZE):
    """Clips never trained on, [B, 3, 17, H, W] and masks."""
    clips = [data.render(data.draw(data.HELD_OUT + 1000 + i)) for i in range(count)]
    x = torch.stack([torch.from_numpy(p).permute(3, 0, 1, 2).float() / 127.5 - 1 for p, _ in clips])
    m = torch.stack([torch.from_numpy(m)[None].float() / 255 for _, m in clips])
    return x, m


@torch.no_grad()
def evaluate(vae, x, m):
    """PSNR over everything, and inside the masks."""
    y = torch.cat([vae.decoder(vae.encoder(x[i:i + 3])) for i in range(0, len(x), 3)]).clamp(-1, 1)
    error = ((x - y) / 2).square().mean(1, keepdim=True)
    inside = (m > 0.5).float()
    return psnr(error.mean()), psnr((error * inside).sum() / inside.sum())


def optimizer_of(vae, rate):
    """Muon for the convolutions inside, AdamW for the first and last ones and the biases."""
    matrices, rest = [], []
    for name, p in vae.named_parameters():
        inner = p.ndim == 5 and ".conv_out." not in name and name != "encoder.conv_in.conv.weight"
        folded = 1
        if inner and "up_blocks" in name and "res_blocks" not in name:
            folded = vae.decoder.up_blocks[int(name.split(".")[2])].copies
        matrices.append((p, folded)) if inner else rest.append(p)
    return Muon(matrices, rest, rate)


# Brightness and two kinds of colour, orthonormal; colour counts double, as it is learnt last.
OPPONENT = torch.tensor([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / torch.tensor([[3], [2], [6]]).sqrt()
OPPONENT = OPPONENT * torch.tensor([[1.0], [2.0], [2.0]])


def loss_of(vae, inputs, targets, masks, rng, decoder_only):
    with torch.set_grad_enabled(not decoder_only):
        z = vae.encoder(inputs)
    noise = 0.1 * rng.random()
    y = vae.decoder(z + noise * z.detach().std() * torch.randn_like(z))
    error = torch.einsum("oc,bcfhw->bofhw", OPPONENT, y - targets)
    weight = 1 + 4 * masks
    loss = ((error.abs() + 2 * error.square()) * weight).mean() / weight.mean()
    return loss + 1e-4 * z.square().mean()


def work(rank, a):
    torch.set_num_threads(1)
    torch.manual_seed(1000 * rank + a.run)
    rng = np.random.default_rng([rank, a.run])
    if a.world > 1:
        os.setsid()  # its own scheduling group, so that each process gets a core's fair share
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(a.port))
        dist.init_process_group("gloo", rank=rank, world_size=a.world)
    state = Path(a.state)
    state.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(7)
    vae = VideoVae()
    averaged, step, seconds = copy.deepcopy(vae), 0, 0.0
    if a.resume_from:
        from export import load_vae
        vae = load_vae(a.resume_from)
        averaged = copy.deepcopy(vae)
    optimizer = optimizer_of(vae, a.rate)
    if (state / "last.pt").exists():
        saved = torch.load(state / "last.pt", weights_only=False)
        vae.load_state_dict(saved["vae"]), averaged.load_state_dict(saved["averaged"])
        if "muon" in saved["optimizer"]:
            optimizer.load_state_dict(saved["optimizer"])
        step, seconds = saved["step"], saved["seconds"]
    torch.manual_seed(1000 * rank + a.run + step)
    if a.decoder_only:  # the encoder that the latents were made with
        frozen = torch.load(a.frozen)
        vae.encoder.load_state_dict({n[8:]: t for n, t in frozen.items() if n.startswith("encoder.")})
        averaged.encoder.load_state_dict(vae.encoder.state_dict())
        if step == 0:
            vae.load_state_dict(frozen), averaged.load_state_dict(frozen)
        vae.encoder.requires_grad_(False)
    parameters = [p for p in vae.parameters() if p.requires_grad]
    pool = Pool(400, first_seed=a.run * 10_000_000 + rank, stride=a.world)
    while len(pool.clips) < 12:
        pool.add()
    x, m = held_out(6)
    began, saved_at, shown = time.time(), time.time(), []
    while True:
        spent = (time.time() - began) / 60 / a.minutes
        if a.world > 1 and step % AVERAGE_EVERY == 0:
            clock = torch.tensor([spent])
            dist.broadcast(clock, 0)
            flat = torch.nn.utils.parameters_to_vector(parameters).detach()
            dist.all_reduce(flat)
            torch.nn.utils.vector_to_parameters(flat / a.world, parameters)
            spent = float(clock)
        if spent >= 1 and step % AVERAGE_EVERY == 0:
            break
        rate = a.rate * min(1, (spent * a.minutes + 0.02) / 0.7) * (a.floor + (1 - a.floor) * 0.5 * (1 + math.cos(math.pi * min(spent, 1))))
        optimizer.set_rate(rate)
        pool.add()
        size = a.size if rng.random() >= a.other_share else (192 - a.size)
        count = a.batch if size == a.size else (a.batch * a.size ** 2 // size ** 2 or 1)
        frames = 1 if rng.random() < a.pictures else (17 if rng.random() < a.long else 9)
        count = count * a.pictures_batch if frames == 1 else count
        inputs, targets, masks = pool.batch(rng, count, size, degrade=0.4, frames=frames)
        loss = loss_of(vae, inputs, targets, masks, rng, a.decoder_only)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        step += 1
        shown.append(float(loss.detach()))
        if rank == 0:
            keep = min(0.997, step / (step + 20))
            with torch.no_grad():
                for kept, now in zip(averaged.parameters(), vae.parameters()):
                    kept.lerp_(now, 1 - keep)
        if rank == 0 and time.time() - saved_at > a.save_every:
            saved_at = time.time()
            report(state, a, vae, averaged, optimizer, step, seconds + time.time() - began, shown, rate, x, m)
            shown = []
    if rank == 0:
        report(state, a, vae, averaged, optimizer, step, seconds + time.time() - began, shown, rate, x, m)


def report(state, a, vae, averaged, optimizer, step, seconds, shown, rate, x, m):
    now, kept = evaluate(averaged, x[:, :, :1], m[:, :, :1]), evaluate(averaged, x, m)
    whole = {"vae": vae.state_dict(), "averaged": averaged.state_dict(), "optimizer": optimizer.state_dict(),
             "step": step, "seconds": seconds}
    torch.save(whole, state / "new.pt")
    (state / "new.pt").rename(state / "last.pt")
    row = [step, round(seconds), a.size, f"{rate:.2e}", f"{np.mean(shown) if shown else 0:.5f}"]
    row += [f"{v:.2f}" for v in (*now, *kept)]
    print(*row, flush=True)
    exists = (state / "curve.csv").exists()
    with open(state / "curve.csv", "a") as file:
        out = csv.writer(file)
        if not exists:
            out.writerow("step seconds size rate loss picture_psnr picture_psnr_mask clip_psnr clip_psnr_mask".split())
        out.writerow(row)


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--state", default="/opt/train/vae")
    p.add_argument("--minutes", type=float, default=30)
    p.add_argument("--size", type=int, default=128, help="64 or 128")
    p.add_argument("--other-share", type=float, default=0.15, help="share of steps at the other size")
    p.add_argument("--batch", type=int, default=2, help="at least 2: torch is slow on a batch of one")
    p.add_argument("--pictures", type=float, default=0.1, help="share of steps on single pictures: they are cheap, and what the engine encodes")
    p.add_argument("--pictures-batch", type=int, default=4, help="pictures in place of one clip")
    p.add_argument("--long", type=float, default=0.3, help="share of 17 frames among the clips; the others have 9")
    p.add_argument("--rate", type=float, default=2e-3)
    p.add_argument("--floor", type=float, default=0.05, help="the last rate as a share of the first")
    p.add_argument("--world", type=int, default=1)
    p.add_argument("--port", type=int, default=29511)
    p.add_argument("--run", type=int, default=1, help="number of this run: other clips, other noise")
    p.add_argument("--save-every", type=float, default=120)
    p.add_argument("--decoder-only", action="store_true", help="the encoder of --frozen stays as it is")
    p.add_argument("--frozen", default="/opt/train/frozen.pt")
    p.add_argument("--resume-from", help="a folder as models/small: start from its shipped weights")
    a = p.parse_args()
    if a.world > 1:
        mp.spawn(work, args=(a,), nprocs=a.world)
    else:
        work(0, a)
