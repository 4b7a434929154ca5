"""Trains text encoder, connector and transformer together, by flow matching on encoded clips.

    train_transformer.py --minutes 40 [--whole-text] [--resume-from models/small]

Kinds of conditioning, drawn for every clip: the first frame replaced; the first replaced and the last appended; both
appended; the last alone appended. The loss covers the tokens that the sampler decides.
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
import torch.nn.functional as F

import config
import data
import latents
from attention import fractional_rope
from muon import Muon
from pace import Pace
from text import TextEncoder
from tokenizer import build, vary
from transformer import SIGMAS, Layout, Transformer, positions, to_tokens

AVERAGE_EVERY = 5
KINDS = ("first", "first and last", "both appended", "last appended")
SHARES = (0.54, 0.37, 0.06, 0.03)


def models(vocabulary):
    text = TextEncoder(config.gemma(vocabulary)["text_config"], config.TRANSFORMER)
    return text, Transformer(config.TRANSFORMER)


def optimizer_of(both, rate):
    """Muon for the matrices of the blocks; AdamW for embeddings, first and last layers, tables, gates and biases."""
    matrices, rest = [], []
    for name, p in both.named_parameters():
        inner = p.ndim == 2 and any(part in name for part in ("attn", "ff.", "mlp.", "aggregate"))
        inner = inner and "to_gate" not in name
        matrices.append((p, 1)) if inner else rest.append(p)
    return Muon(matrices, rest, rate, decay=0.02, scale=3.0, steps=3)


def draw_sigma(rng, count):
    """Most from the distilled schedule's own levels, the rest from anywhere."""
    listed = rng.choice(SIGMAS[:-1], size=count, p=[0.22, 0.04, 0.04, 0.04, 0.06, 0.2, 0.2, 0.2])
    return np.where(rng.random(count) < 0.7, listed, rng.uniform(0.02, 1.0, count)).astype(np.float32)


def layout_of(kind, whole, index, images):
    """Clean tokens, mask and positions of a batch of one kind. `images` names which first and last images are used."""
    clip = whole["clip"][index].float()
    b, c, f, h, w = clip.shape
    first, last = whole["first"][index].float(), whole[images][index].float()
    clean, mask = to_tokens(clip), torch.ones(b, f * h * w)
    keyframes = []
    if kind in ("first", "first and last"):
        clean = torch.cat([to_tokens(first), clean[:, h * w:]], 1)
        mask[:, : h * w] = 0
    if kind == "both appended":
        keyframes.append((0, first))
    if kind != "first":
        keyframes.append((data.FRAMES - 1, last))
    if keyframes:
        clean = torch.cat([clean] + [to_tokens(latent) for _, latent in keyframes], 1)
        mask = torch.cat([mask, torch.zeros(b, h * w * len(keyframes))], 1)
    return clean, mask, positions(f, h, w, [frame for frame, _ in keyframes])


def through_block(block, x, rows, mask, prompt_rows, context, bias, rope):
    """rows: at sigma [B, 1, 9, D] and at 0 [1, 1, 9, D]; a token has the one or the other, as its mask says."""
    rows = rows[1] + mask[:, :, None, None] * (rows[0] - rows[1])
    return block(x, rows, prompt_rows, context, bias, rope)


COMPILED = torch.compile(through_block, dynamic=False)
COMPILED_FOR = (48, 64)  # tokens; the rare rest runs uncompiled


def velocity_of(transformer, tokens, mask, sigma, context, bias, where):
    """`Transformer.forward` for timesteps that are 0 or sigma: the same numbers, less memory moved."""
    t = transformer
    rope = fractional_rope(where, t.maxima, t.theta, t.width, t.heads)
    rows, embedded = t.adaln_single(torch.cat([sigma, sigma.new_zeros(1)])[:, None] * 1000)
    rows, embedded = rows.unflatten(-1, (9, -1)).float(), embedded.float()
    prompt_rows = t.prompt_adaln_single(sigma[:, None] * 1000)[0].reshape(len(tokens), 1, 2, -1)
    x = t.patchify_proj(tokens).float()
    step = COMPILED if tokens.shape[1] in COMPILED_FOR and torch.is_grad_enabled() else through_block
    for block in t.transformer_blocks:
        x = step(block, x, (rows[:-1], rows[-1:]), mask, prompt_rows, context, bias, rope)
    embedded = embedded[-1:] + mask[..., None] * (embedded[:-1] - embedded[-1:])
    shift, scale = (t.scale_shift_table + embedded[:, :, None]).unbind(2)
    return t.proj_out(F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift)


def loss_of(text, transformer, tokenizer, whole, captions, rng, batch, few):
    kind = rng.choice(KINDS, p=SHARES)
    index = torch.from_numpy(rng.integers(len(captions), size=batch))
    prompts = [tokenizer(vary(captions[i], rng) if rng.random() > 0.08 else "") for i in index.tolist()]
    context, bias = text(prompts, few=few, least=24)
    clean, mask, where = layout_of(kind, whole, index, "last" if rng.random() < 0.7 else "clean")
    sigma = torch.from_numpy(draw_sigma(rng, batch))
    noise = torch.randn_like(clean)
    timesteps = mask * sigma[:, None]
    noisy = clean + timesteps[..., None] * (noise - clean)
    velocity = velocity_of(transformer, noisy, mask, sigma, context, bias, where).float()
    # A velocity error times sigma is an error of the clean tokens; the square root lies between the two measures.
    error = (velocity - (noise - clean)).square().mean(-1) * mask
    return error.sum() / mask.sum()


@torch.no_grad()
def evaluate(text, transformer, tokenizer, whole, captions):
    """Relative squared error of sampled latents, frames 1 on, for one and for two images; and with the prompt blanked."""
    whole, captions = {k: v[:12] for k, v in whole.items()}, captions[:12]
    count = len(captions)
    clip, first, last = (whole[k].float() for k in ("clip", "first", "last"))
    b, c, f, h, w = clip.shape
    results = []
    for prompts, keyframes in ((captions, []), (captions, [(data.FRAMES - 1, last)]), ([""] * count, [])):
        context, bias = text([tokenizer(p) for p in prompts], few=True)
        layout = Layout(torch.zeros_like(clip), first, keyframes)
        noise = torch.randn(b, layout.mask.shape[1], c, generator=torch.Generator().manual_seed(1))
        out = layout.sample(transformer, context, bias, noise)
        results.append(float((out - clip)[:, :, 1:].square().mean() / clip[:, :, 1:].var()))
    return results


def clips_of(folder):
    """Latents and captions to train on, and the held-out ones."""
    seeds, whole = latents.read(folder)
    held = torch.tensor([seed >= data.HELD_OUT for seed in seeds])
    captions = lambda wanted: [data.draw(s).caption for s, h in zip(seeds, held.tolist()) if h == wanted]
    part = lambda wanted: {k: v[held == wanted] for k, v in whole.items()}
    return part(False), captions(False), part(True), captions(True)


def main(rank, a):
    torch.set_num_threads(1)
    torch.manual_seed(7)
    if a.world > 1:
        os.setsid()  # its own scheduling group, so that each process gets a core's fair share
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(a.port))
        dist.init_process_group("gloo", rank=rank, world_size=a.world)
    state = Path(a.state)
    state.mkdir(parents=True, exist_ok=True)
    tokenizer = build()
    text, transformer = models(tokenizer.size)
    if a.resume_from:
        from export import checkpoint_of, load_text, load_transformer
        text = load_text(checkpoint_of(a.resume_from), Path(a.resume_from) / "gemma")
        transformer = load_transformer(checkpoint_of(a.resume_from))
    both = torch.nn.ModuleList([text, transformer])
    averaged, step, seconds = copy.deepcopy(both), 0, 0.0
    optimizer = optimizer_of(both, a.rate)
    if (state / "last.pt").exists():
        saved = torch.load(state / "last.pt", weights_only=False)
        both.load_state_dict(saved["both"]), averaged.load_state_dict(saved["averaged"])
        optimizer.load_state_dict(saved["optimizer"])
        step, seconds = saved["step"], saved["seconds"]
    torch.manual_seed(1000 * rank + a.run + step)
    rng = np.random.default_rng([rank, a.run, step])
    parameters = list(both.parameters())
    train, train_captions, test, test_captions = clips_of(a.latents)
    print(len(train_captions), "clips to train on,", len(test_captions), "held out;",
          sum(p.numel() for p in both.parameters()), "parameters", flush=True)
    began, saved_at, shown, pace, here = time.time(), time.time(), [], Pace(a.minutes), 0
    while True:
        spent = pace.step()
        if a.world > 1 and step % AVERAGE_EVERY == 0:
            clock = torch.tensor([spent])
            dist.broadcast(clock, 0)
            flat = torch.nn.utils.parameters_to_vector(parameters).detach()
            dist.all_reduce(flat)
            torch.nn.utils.vector_to_parameters(flat / a.world, parameters)
            spent = float(clock)
        ended = spent >= 1 and step % AVERAGE_EVERY == 0
        here += 1
        rate = a.rate * min(1, here / 40) * (a.floor + (1 - a.floor) * 0.5 * (1 + math.cos(math.pi * min(spent, 1))))
        optimizer.set_rate(rate)
        with torch.autocast("cpu", torch.bfloat16, enabled=not a.f32):
            loss = loss_of(text, transformer, tokenizer, train, train_captions, rng, a.batch, not a.whole_text)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        step += 1
        shown.append(float(loss.detach()))
        keep = min(0.998, step / (step + 20))
        if rank == 0:
            with torch.no_grad():
                torch._foreach_lerp_(list(averaged.parameters()), parameters, 1 - keep)
        if rank == 0 and (time.time() - saved_at > a.save_every or ended):
            saved_at = time.time()
            errors = evaluate(*averaged, tokenizer, test, test_captions)
            torch.save({"both": both.state_dict(), "averaged": averaged.state_dict(), "optimizer": optimizer.state_dict(),
                        "step": step, "seconds": seconds + time.time() - began}, state / "new.pt")
            (state / "new.pt").rename(state / "last.pt")
            row = [step, round(seconds + time.time() - began), f"{rate:.2e}", f"{np.mean(shown):.5f}", *(f"{e:.4f}" for e in errors)]
            print(*row, flush=True)
            exists, shown = (state / "curve.csv").exists(), []
            with open(state / "curve.csv", "a") as file:
                out = csv.writer(file)
                if not exists:
                    out.writerow("step seconds rate loss error_first error_first_last error_no_prompt".split())
                out.writerow(row)
        if ended:
            break
        if step % 20 == 0 and len(train_captions) < a.clips:  # clips that were encoded meanwhile
            train, train_captions, test, test_captions = clips_of(a.latents)


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--state", default="/opt/train/transformer")
    p.add_argument("--latents", default="/opt/train/latents")
    p.add_argument("--minutes", type=float, default=40)
    p.add_argument("--clips", type=int, default=4000, help="looks for newly encoded clips until there are so many")
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--rate", type=float, default=1e-3)
    p.add_argument("--floor", type=float, default=0.02)
    p.add_argument("--run", type=int, default=1)
    p.add_argument("--world", type=int, default=1)
    p.add_argument("--port", type=int, default=29531)
    p.add_argument("--save-every", type=float, default=300)
    p.add_argument("--f32", action="store_true", help="no bf16: slower where the processor has AMX or AVX512-BF16")
    p.add_argument("--whole-text", action="store_true", help="all 1,024 slots of the context: exact, and slower")
    p.add_argument("--resume-from", help="a folder as models/small: start from its shipped weights")
    a = p.parse_args()
    if a.world > 1:
        mp.spawn(main, args=(a,), nprocs=a.world)
    else:
        main(0, a)
