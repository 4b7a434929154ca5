"""Runs held-out clips through `ltxd generate` (or the Python reference) and prints the means of issue 4's figures.

    evaluate.py [--count 64] [--engine ltxd|python] [--blank-prompt | --no-end | --swap] [--json figures.json]

Held-out clips are the seeds from 1,000,000,000 on. The exit status is 1 where a target is missed.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

import data
from tracker import figures

HERE = Path(__file__).resolve().parent
TARGETS = {"image to video": {"first": 26, "first_mask": 20, "moves_as_named": 0.9},
           "start and end": {"first": 26, "first_mask": 20, "last": 24, "last_mask": 18, "gain_over_start": 6,
                             "middle_on_the_way": 0.85}}


def through_ltxd(a, first, last, prompt, seed):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        Image.fromarray(first).save(folder / "first.png")
        command = [a.ltxd, "generate", "--model", a.model, "--models-dir", a.models_dir, "--image", folder / "first.png",
                   "--prompt", prompt, "--width", "128", "--height", "128", "--frames", "17", "--seed", str(seed), "--json",
                   "--out", folder / "clip.mp4", "--frames-dir", folder / "frames"]
        if last is not None:
            Image.fromarray(last).save(folder / "last.png")
            command += ["--end-image", folder / "last.png"]
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return np.stack([np.asarray(Image.open(p).convert("RGB")) for p in sorted((folder / "frames").glob("*.png"))])


def generator(a):
    if a.engine == "python":
        from reference import Reference
        import torch
        torch.set_num_threads(1)
        reference = Reference(a.small)
        return lambda first, last, prompt, seed: reference.generate(first, last, prompt, seed)
    return lambda *request: through_ltxd(a, *request)


def one(a, generate, i):
    """Both methods' figures of the i-th held-out clip."""
    clip = data.draw(data.HELD_OUT + i)
    truth, masks = data.render(clip)
    prompt = "." if a.blank_prompt else clip.caption
    results = {}
    for name in a.methods:
        has_end = name == "start and end"
        first, last = truth[0], truth[-1] if has_end and not a.no_end else None
        if a.swap and last is not None:
            first, last = last, first
        frames = generate(first, last, prompt, i)
        results[name] = {"seed": data.HELD_OUT + i, **figures(clip, truth, masks, frames, has_end)}
    return results


def run(a):
    generate = generator(a)
    with ThreadPoolExecutor(a.jobs) as pool:
        found = list(pool.map(lambda i: one(a, generate, i), range(a.first, a.first + a.count)))
    return {name: [results[name] for results in found] for name in a.methods}


def means_of(rows):
    """Means over the clips, by method and figure."""
    return {name: {key: round(float(np.mean([r[key] for r in rows[name]])), 3) for key in TARGETS[name]} for name in rows}


def compare(means, targets):
    """Prints every mean beside its target -> the names of those that miss it."""
    missed = []
    for name, found in means.items():
        for key, least in targets[name].items():
            ok = found[key] >= least
            missed += [] if ok else [f"{name}: {key}"]
            print(f"{name:15} {key:18} {found[key]:7.2f}  target {least:5}  {'ok' if ok else 'MISSED'}", flush=True)
    return missed


def parser():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--count", type=int, default=64)
    p.add_argument("--engine", choices=("ltxd", "python"), default="ltxd")
    p.add_argument("--ltxd", default=HERE.parents[2] / "target/release/ltxd")
    p.add_argument("--model", default="ltx-2.3-small")
    p.add_argument("--models-dir", default=HERE.parents[1])
    p.add_argument("--small", default=HERE.parent, help="the files, for the Python reference")
    p.add_argument("--blank-prompt", action="store_true")
    p.add_argument("--no-end", action="store_true")
    p.add_argument("--swap", action="store_true", help="the end image first, the start image last")
    p.add_argument("--first", type=int, default=0, help="the first held-out clip")
    p.add_argument("--jobs", type=int, default=1, help="clips at the same time")
    p.add_argument("--json", type=Path)
    p.set_defaults(methods=list(TARGETS))
    return p


def main():
    a = parser().parse_args()
    rows = run(a)
    means = means_of(rows)
    missed = compare(means, TARGETS)
    if a.json:
        a.json.write_text(json.dumps({"count": a.count, "engine": a.engine, "means": means, "clips": rows}, indent=1) + "\n")
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
