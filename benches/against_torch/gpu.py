#!/usr/bin/env python3
"""Times ltxd and PyTorch on one GPU, stage by stage and in turn, at LTX-2.3's full size with random weights made on the device.

    scripts/bench --gpu --reference FOLDER [--python FILE] [--ltxd FILE]

    --model NAME                   22b (768x512, 121 frames), 22b-large (1216x704, 121 frames), 22b-fp8 (as 22b, blocks in 8-bit
                                   floats; --alone); may be repeated; the first two by default
    --stages A,B                   of step, sampling, decoding, clip (these four): clip is an image encoded, all steps, and frames;
                                   with --alone also text_encoding
    --rounds N                     timed rounds after one that warms up (5)
    --device NAME                  cuda:0
    --dtype NAME                   of ltxd (bf16); PyTorch's side is bf16
    --compile                      torch.compile beside eager
    --attention A,B                PyTorch with these attentions as well; without it, the one that its own code picks
    --alone                        ltxd without its other side
    --profile                      ltxd's operators by time; every operator waits for the device then, which costs time itself
    --seconds N                    begins no further round after so long (480)
    --out FOLDER                   benches/runs/<card>

Sides are processes that stay up, each with weights of its own (26 GB). ltxd's seconds are between two moments at which the device was
idle, PyTorch's between two CUDA events around the same. Outputs are not compared here, as each side draws its own weights: `scripts/gpu/gpu-check` compares.
LTXD_GRAPHS=off and LTXD_KERNELS=ampere take parts of ltxd out, to measure them.
"""

import argparse, json, os, statistics, subprocess, sys, time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# Operations of one step of the video transformer: products of 48 blocks over T tokens of width 4096, 1024 of text.
BLOCKS, WIDTH, TEXT = 48, 4096, 1024


def operations(tokens):
    """Multiplications and additions of a step: queries, keys, values and outputs of both attentions, the feed-forward, scores."""
    attend = 2 * 4 * WIDTH * WIDTH * tokens + 4 * tokens * tokens * WIDTH
    cross = 2 * 2 * WIDTH * WIDTH * (tokens + TEXT) + 4 * tokens * TEXT * WIDTH
    return BLOCKS * (attend + cross + 2 * 8 * WIDTH * WIDTH * tokens)


def environment(ltxd):
    """With the libraries that came with the binary, and CUDA's where they usually lie."""
    folders = [ltxd.resolve().parent / "lib", Path("/usr/local/cuda/lib64")]
    found = [str(folder) for folder in folders if folder.is_dir()]
    return {**os.environ, "LD_LIBRARY_PATH": ":".join([*found, *filter(None, [os.environ.get("LD_LIBRARY_PATH")])])}


class Side:
    def __init__(self, name, command, log, environment=None):
        self.name, self.bytes = name, 0
        print("bench:", name, "is", " ".join(map(str, command)), flush=True)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": log}
        self.process = subprocess.Popen([str(part) for part in command], text=True, env=environment, **pipes)

    def ask(self, **ask):
        self.process.stdin.write(json.dumps(ask) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            return None
        answer = json.loads(line)
        self.bytes = max(self.bytes, answer.get("gpu_bytes") or 0)
        return answer

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def card(device):
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.used", "--format=csv,noheader,nounits", f"--id={device.partition(':')[2] or 0}"]
    try:
        name, driver, used = subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip().split(", ")
    except (OSError, subprocess.CalledProcessError, ValueError):
        return {"name": "unknown", "driver": "unknown", "used_mib": 0}
    return {"name": name, "driver": driver, "used_mib": int(used)}


def measure(model, options, before):
    case = options.dir / model
    if subprocess.run([options.python, str(HERE / "random_models.py"), model, str(case)]).returncode:
        sys.exit("bench: the model's headers cannot be written")
    request = json.loads((case / "case.json").read_text())
    log = open(options.out / f"{model}.log", "w")
    ltxd = [options.ltxd, "bench", case, "--random-weights", "--device", options.device, "--dtype", options.dtype]
    makers = [("ltxd", ltxd)]
    torch = [options.python, HERE / "torch_gpu.py", case, "--reference", options.reference, "--device", options.device]
    if not options.alone:
        makers.append(("eager", torch))
        makers += [(f"eager, {name}", [*torch, "--attention", name]) for name in options.attention]
        if options.compile:
            makers.append(("compiled", [*torch, "--compile"]))
    began, seconds, peaks, failed = time.monotonic(), {}, {}, {}
    # What ltxd says to be in use is all that is, so it runs every stage once before the others take memory.
    ltxd = Side(*makers[0], log, environment(options.ltxd))
    for stage in ["image_encoding", *options.stages]:
        if "ltxd" not in failed and ltxd.ask(stage=stage) is None:
            failed["ltxd"] = stage
    alone = ltxd.bytes - before["used_mib"] * 2**20
    sides = [ltxd, *(Side(name, command, log) for name, command in makers[1:])]
    for stage in options.stages:
        seconds[stage] = {side.name: [] for side in sides}
        for turn in range(options.rounds + 1):
            for side in sides[turn % len(sides) :] + sides[: turn % len(sides)]:
                if side.name in failed:
                    continue
                answer = side.ask(stage=stage)
                if answer is None:
                    failed[side.name] = stage
                    print(f"bench: {side.name} ended in {stage}; see {log.name}", flush=True)
                elif turn > 0:
                    seconds[stage][side.name].append(answer["seconds"])
            if turn > 0 and time.monotonic() - began > options.seconds:
                break
        print(f"  {model} {stage}: " + "; ".join(f"{name} {statistics.median(t):.4f} s" for name, t in seconds[stage].items() if t), flush=True)
    profile = sides[0].ask(stage=options.stages[0], profile=True) if options.profile and "ltxd" not in failed else None
    for side in sides:
        peaks[side.name] = alone if side is ltxd else side.bytes
        side.end()
    tokens = ((request["num_frames"] - 1) // 8 + 1) * (request["height"] // 32) * (request["width"] // 32)
    return {"seconds": seconds, "peak_bytes": peaks, "failed": failed, "profile": profile, "tokens": tokens, "used_before_mib": before["used_mib"]}


def table(model, run):
    sides = list(run["peak_bytes"])
    others = [side for side in sides if side != "ltxd"]
    lines = [f"| {model}, {run['tokens']} tokens | " + " | ".join(sides) + " | ratio | ltxd TFLOP/s |", "|---" * (len(sides) + 3) + "|"]
    for stage, times in run["seconds"].items():
        cell = lambda t: f"{statistics.median(t):.4f} ({min(t):.4f}–{max(t):.4f})" if t else "failed"
        best = min((statistics.median(times[side]) for side in others if times[side]), default=None)
        ours = statistics.median(times["ltxd"]) if times["ltxd"] else None
        ratio = f"{ours / best:.2f}" if ours and best else "–"
        rate = f"{operations(run['tokens']) / ours / 1e12:.0f}" if ours and stage == "step" else ""
        lines.append(f"| {stage} | " + " | ".join(cell(times[side]) for side in sides) + f" | {ratio} | {rate} |")
    lines.append("| peak memory, GB | " + " | ".join(f"{run['peak_bytes'][side] / 1e9:.2f}" for side in sides) + " | | |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--model", action="append")
    parser.add_argument("--stages", default="step,sampling,decoding,clip")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--dtype", default="bf16")
    parser.add_argument("--reference", type=Path)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--ltxd", type=Path, default=ROOT / "target/cuda/ltxd")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--attention", default="")
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--seconds", type=float, default=480)
    parser.add_argument("--dir", type=Path, default=ROOT / "target/bench")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if not options.alone and options.reference is None:
        sys.exit("bench: --reference names a checkout of the LTX-2 repository; or --alone")
    options.stages = options.stages.split(",")
    options.attention = [name for name in options.attention.split(",") if name]
    about = card(options.device)
    options.out = options.out or ROOT / "benches/runs" / about["name"].lower().replace(" ", "-")
    options.out.mkdir(parents=True, exist_ok=True)
    options.dir.mkdir(parents=True, exist_ok=True)
    for model in options.model or ["22b", "22b-large"]:
        run = measure(model, options, card(options.device))
        text = table(model, run)
        print(f"\n{text}\n", flush=True)
        version = subprocess.run([options.ltxd, "--version"], capture_output=True, text=True, env=environment(options.ltxd)).stdout.strip()
        facts = {"model": model, "date": time.strftime("%Y-%m-%d %H:%M", time.gmtime()), "card": about, "dtype": options.dtype, "rounds": options.rounds, "ltxd": version}
        file = options.out / f"{time.strftime('%Y-%m-%d')}-{model}-{options.dtype}"
        file.with_suffix(".json").write_text(json.dumps({**facts, **run}, indent=1) + "\n")
        lines = [f"# {model}, {options.dtype}", "", *[f"- {key}: {value}" for key, value in facts.items()], "",
                 "Seconds: median (least–most). Ratio: ltxd's over the better PyTorch's.", "", text, ""]  # fmt: skip
        file.with_suffix(".md").write_text("\n".join(lines))
        print(f"bench: wrote {file}.md")
        if "ltxd" in run["failed"]:
            sys.exit(f"bench: ltxd ended in {run['failed']['ltxd']}")


if __name__ == "__main__":
    main()
