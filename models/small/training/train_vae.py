"""Trains the VAE. Resumable: the state folder holds everything; the learning rate follows the minutes that were given.

    train_vae.py --state /opt/train/vae --minutes 30 [--world 2] [--decoder-only]

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
from pace import Pace
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


# Brightness and two kinds of colour, orthonormal; colour counts `--chroma` times, as it is learnt last.
OPPONENT = torch.tensor([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / torch.tensor([[3], [2], [6]]).sqrt()


def loss_of(vae, inputs, targets, masks, rng, a):
    """Convolutions in bf16 (master weights, gradients of weights and the loss are f32)."""
    with torch.autocast("cpu", torch.bfloat16, enabled=not a.f32):
        with torch.set_grad_enabled(not a.decoder_only):
            z = vae.encoder(inputs)
        noise = a.noise * rng.random()
        y = vae.decoder(z + noise * z.detach().std() * torch.randn_like(z)).float()
    colours = OPPONENT * torch.tensor([[1.0], [a.chroma], [a.chroma]])
    error = torch.einsum("oc,bcfhw->bofhw", colours, y - targets)
    near = torch.nn.functional.max_pool3d(masks, (1, 7, 7), stride=1, padding=(0, 3, 3))  # both sides of the edge
    weight = 1 + near + 4 * masks
    loss = ((error.abs() + a.square * error.square()) * weight).mean() / weight.mean()
    return loss + 1e-4 * z.float().square().mean()


def parts_of(rng, a):
    """What one step sees: pictures, which are cheap and what the engine encodes, and clips. (frames, count, size) each."""
    if rng.random() < a.pictures:
        yield 1, a.pictures_batch, data.SIZE
    size = data.SIZE if rng.random() >= a.other_share else data.SIZE // 2
    frames = 17 if rng.random() < a.long else 9
    yield frames, a.batch * (1 if frames == 17 else 2) * (data.SIZE // size) ** 2, size


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
    began, saved_at, shown, pace, here = time.time(), time.time(), ([], []), Pace(a.minutes), 0
    while True:
        spent = pace.step()
        if a.world > 1 and step % AVERAGE_EVERY == 0:
            clock = torch.tensor([spent])
            dist.broadcast(clock, 0)
            flat = torch.nn.utils.parameters_to_vector(parameters).detach()
            dist.all_reduce(flat)
            torch.nn.utils.vector_to_parameters(flat / a.world, parameters)
            spent = float(clock)
        if spent >= 1 and step % AVERAGE_EVERY == 0:
            break
        here += 1
        rate = a.rate * min(1, here / 60) * (a.floor + (1 - a.floor) * 0.5 * (1 + math.cos(math.pi * min(spent, 1))))
        optimizer.set_rate(rate)
        pool.add()
        optimizer.zero_grad()
        for frames, count, size in parts_of(rng, a):
            inputs, targets, masks = pool.batch(rng, count, size, degrade=a.degrade, frames=frames)
            loss = loss_of(vae, inputs, targets, masks, rng, a)
            loss.backward()
            shown[frames > 1].append(float(loss.detach()))
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        step += 1
        if rank == 0:
            keep = min(0.998, step / (step + 20))
            with torch.no_grad():
                for kept, now in zip(averaged.parameters(), vae.parameters()):
                    kept.lerp_(now, 1 - keep)
        if rank == 0 and time.time() - saved_at > a.save_every:
            saved_at = time.time()
            report(state, a, vae, averaged, optimizer, step, seconds + time.time() - began, shown, rate, x, m)
            shown = [], []
    if rank == 0:
        report(state, a, vae, averaged, optimizer, step, seconds + time.time() - began, shown, rate, x, m)


def report(state, a, vae, averaged, optimizer, step, seconds, shown, rate, x, m):
    now, kept = evaluate(averaged, x[:, :, :1], m[:, :, :1]), evaluate(averaged, x, m)
    whole = {"vae": vae.state_dict(), "averaged": averaged.state_dict(), "optimizer": optimizer.state_dict(),
             "step": step, "seconds": seconds}
    torch.save(whole, state / "new.pt")
    (state / "new.pt").rename(state / "last.pt")
    losses = [np.mean(s) if s else 0 for s in shown]
    row = [step, round(seconds), data.SIZE, f"{rate:.2e}", f"{losses[1]:.5f}"]
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
    p.add_argument("--other-share", type=float, default=0.1, help="share of steps whose clips have half the size")
    p.add_argument("--batch", type=int, default=2, help="clips of 17 frames, or twice as many of 9; at least 2: torch is slow on one")
    p.add_argument("--pictures", type=float, default=1.0, help="share of steps that see single pictures beside clips")
    p.add_argument("--pictures-batch", type=int, default=16)
    p.add_argument("--long", type=float, default=0.5, help="share of 17 frames among the clips; the others have 9")
    p.add_argument("--degrade", type=float, default=0.6, help="share of clips whose first frame went through H.264")
    p.add_argument("--noise", type=float, default=0.1, help="most noise on latents, as a share of their deviation")
    p.add_argument("--chroma", type=float, default=1.4)
    p.add_argument("--square", type=float, default=2.0, help="weight of the squared error beside the absolute one")
    p.add_argument("--f32", action="store_true", help="no bf16: slower where the processor has AMX or AVX512-BF16")
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
