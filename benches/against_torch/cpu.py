#!/usr/bin/env python3
"""Times ltxd and PyTorch, stage by stage and in turn, on the same random weights and the same number of threads.

    bench                          both models against PyTorch, eager; writes benches/runs/<machine>/<date>-<model>.{json,md}
    bench --quick                  the harness on the shipped model: ltxd alone, seconds; writes nothing, needs no other Python

    bench --gpu                    on a GPU, at the real size, with random weights made there: gpu.py, which has its own flags
    bench --sdcpp                  against stable-diffusion.cpp: ../against_sdcpp/run.py, which has its own flags

    --model NAME                   of random_models.py; may be repeated; mid and full by default. Of mid-2.5, mid-2 and mid-0.9, other families, the
                                   step alone: what it takes from the prompt and the image is ltxd's on both sides
    --rounds N                     timed rounds after one that warms up (3)
    --threads N                    of both sides (2)
    --reference FOLDER             a checkout of github.com/Lightricks/LTX-2; without one PyTorch is left out
    --python FILE                  a Python with torch, transformers, safetensors, tokenizers, einops, pillow (this one)
    --compile                      torch.compile beside eager
    --int8                         ltxd in 8 bits beside it; what it computes may differ more
    --stages A,B                   only these rows (what they need runs once, untimed)
    --merge FILE                   no run: joins the rows of earlier runs' .json files of one model; may be repeated
    --ltxd FILE                    a binary; may be repeated, to set a changed one against an earlier one (target/release/ltxd)
    --profile                      ltxd alone, by operator: the time of one step, one decode and both texts, and operations a second
    --dir FOLDER                   where the models are made (target/bench)
    --tag NAME                     put into the file's name, and the note of --note into the file
    --chart                        no run: draws docs/charts/<machine>.svg of what benches/runs has (../chart.py), as every run does

Every side is one process that stays up, so turns cost no loading. Parts are dropped after their stage on every side, so the
peak of resident memory is that of the largest stage. Within a round every side runs a stage before the next stage begins, in an
order that changes from round to round. Outputs are compared before anything is timed.
"""

import argparse, json, os, statistics, subprocess, sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent))

import chart, records
from records import spread

# Row, stage, tokens of the prompt.
ROWS = [
    ("text_64", "text_encoding", 64), ("text_1000", "text_encoding", 1000), ("image", "image_encoding", None),
    ("step", "step", None), ("sampling", "sampling", None), ("decoding", "decoding", None),
    ("whole_64", "whole", 64), ("whole_1000", "whole", 1000),
]  # fmt: skip
NEEDS = {"step": ["text_64", "image"], "sampling": ["text_64", "image"], "decoding": ["image"]}
# Where a step's inputs come from, in models of which PyTorch's side has the transformer alone.
GIVEN = {"context": "text_64", "image": "image"}
WORST = 2e-3
WORST_INT8 = 5e-2
QUICK = ROOT / "crates/ltx-testkit/data/i2v_distilled"
MEANING = (
    "Seconds: median (least–most). Ratio: ltxd's (the first's) over the better PyTorch's; the same of the least seconds; of the least CPU "
    "seconds, which other work on the machine moves less."
)


class Side:
    """A process that answers stages."""

    def __init__(self, name, command, threads, dumps):
        self.name, self.dump = name, dumps / f"{name.replace(' ', '-')}.safetensors"
        environment = {**os.environ, "RAYON_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        self.peak, self.cpu = 0, 0.0

    def cpu_seconds(self):
        """User's and system's time of all threads so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def ask(self, stage=None, prompt=None, dump=False, profile=False, given=None):
        ask = {key: value for key, value in (("stage", stage), ("prompt", prompt), ("given", given)) if value is not None}
        if profile:
            ask["profile"] = True
        if dump:
            ask["dump"] = str(self.dump if dump is True else dump)
        before = self.cpu_seconds()
        self.process.stdin.write(json.dumps(ask) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"bench: {self.name} ended in {stage or 'release'}")
        answer = json.loads(line)
        self.cpu = self.cpu_seconds() - before
        self.peak, self.profile = answer["peak_bytes"], answer.get("profile")
        return answer["seconds"]

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def prompt_of(tokens, python, tokenizer):
    """A prompt of so many tokens, <bos> included."""
    program = (
        "import sys; from tokenizers import Tokenizer; t = Tokenizer.from_file(sys.argv[1]); n = int(sys.argv[2])\n"
        "size = lambda text: len(t.encode(text).ids) + (t.encode(text).ids[:1] != [2])\n"
        "text, words, i = 'A', 'heron takes off while the camera slowly pushes in over a calm lake at sunrise'.split(), 0\n"
        "while size(text) < n:\n"
        "    longer = text + ' ' + words[i % len(words)]\n"
        "    text, i = (longer if size(longer) <= n else text + 'a'), i + 1\n"
        "print(text)"
    )
    found = subprocess.run([python, "-c", program, str(tokenizer), str(tokens)], capture_output=True, text=True, check=True)
    return found.stdout.strip()


def tokenizer_of(case):
    """A Gemma 4 has its own within its file: the same words."""
    beside = case / json.loads((case / "case.json").read_text())["text_encoder"] / "tokenizer.json"
    return beside if beside.exists() else ROOT / "models/tiny/gemma/tokenizer.json"


def compare(sides, python):
    """Relative L2 of every side's dump against the last side's (PyTorch eager, where there is one)."""
    if len(sides) == 1:
        return {}
    program = (
        "import sys; from safetensors.torch import load_file\n"
        "a, b = (load_file(f)['output'].double() for f in sys.argv[1:])\n"
        "print(float((a - b).norm() / b.norm()) if a.shape == b.shape else f'{list(a.shape)} {list(b.shape)}')"
    )
    errors = {}
    for side in sides[:-1]:
        run = [python, "-c", program, str(side.dump), str(sides[-1].dump)]
        found = subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()
        if found.startswith("["):
            sys.exit(f"bench: {side.name}: shapes differ: {found}")
        errors[side.name] = float(found)
    return errors


def rows_of(model, options):
    """-> the rows that are timed, and whether the model has the step alone."""
    step_alone = model in ("mid-2.5", "mid-2", "mid-0.9")
    rows = {"step"} if step_alone else {row for row, _, tokens in ROWS if not options.quick or tokens != 1000}
    wanted = set(options.stages.split(",")) if options.stages else rows
    if not wanted <= rows:
        sys.exit(f"bench: --stages: {model} has no {', '.join(sorted(wanted - rows))}; it has {', '.join(row for row, _, _ in ROWS if row in rows)}")
    return wanted, step_alone


def measure(model, options):
    wanted, step_alone = rows_of(model, options)
    case = options.dir / model if not options.quick else QUICK
    if not options.quick and subprocess.run([options.python, str(HERE / "random_models.py"), model, str(case)]).returncode:
        sys.exit("bench: the model cannot be made")
    sides = []
    for i, binary in enumerate(options.ltxd):
        name = "ltxd" if len(options.ltxd) == 1 else f"ltxd {i + 1}"
        sides.append(Side(name, [str(binary), "bench", str(case)], options.threads, options.dir))
    if options.int8:
        sides.append(Side("ltxd int8", [str(options.ltxd[0]), "bench", str(case), "--dtype", "int8"], options.threads, options.dir))
    if options.reference:
        torch = [options.python, str(HERE / "torch_cpu.py"), str(case), "--reference", str(options.reference)]
        torch += ["--threads", str(options.threads)]
        if options.compile:
            sides.append(Side("compiled", [*torch, "--compile"], options.threads, options.dir))
        sides.append(Side("eager", torch, options.threads, options.dir))
    # The quick run has only the case's own prompt, so that it needs no tokenizer here.
    counts = () if options.quick else (64,) if step_alone else (64, 1000)
    prompts = {n: prompt_of(n, options.python, tokenizer_of(case)) for n in counts}
    needed = wanted | {need for row in wanted for need in NEEDS.get(row, [])}
    seconds, cpu, errors, given = {}, {}, {}, {}
    for row, stage, tokens in ROWS:
        if row not in needed:
            continue
        prompt = prompts.get(tokens)
        if step_alone and row not in wanted:
            dumped = options.dir / f"given-{row}.safetensors"
            sides[0].ask(stage, prompt, dump=dumped)
            for side in sides:
                if side.name.startswith("ltxd"):
                    if side is not sides[0]:
                        side.ask(stage, prompt)
                    side.ask()
            given.update({name: str(dumped) for name, source in GIVEN.items() if source == row})
            continue
        if given:
            for side in sides:
                if not side.name.startswith("ltxd"):
                    side.ask(given=given)
        for side in sides:
            side.ask(stage, prompt, dump=True)
            if row not in wanted:  # Only what it computes is needed: no two sides' weights in memory at once.
                side.ask()
        errors[row] = compare(sides, options.python)
        for name, error in errors[row].items():
            print(f"  {model} {row}: {name} differs by {error:.1e}", flush=True)
            if not error < (WORST_INT8 if name.endswith("int8") else WORST):
                sys.exit(f"bench: {model} {row}: {name} computes something else")
        if row in wanted:
            times, work = {side.name: [] for side in sides}, {side.name: [] for side in sides}
            for turn in range(options.rounds):
                for side in sides[turn % len(sides) :] + sides[: turn % len(sides)]:
                    times[side.name].append(side.ask(stage, prompt))
                    work[side.name].append(side.cpu)
            seconds[row], cpu[row] = times, work
            print(f"  {model} {row}: " + "; ".join(f"{name} {statistics.median(t):.3f} s" for name, t in times.items()), flush=True)
        for side in sides:
            side.ask()
    peaks = {side.name: side.peak for side in sides}
    for side in sides:
        side.end()
    return {"seconds": seconds, "cpu_seconds": cpu, "errors": errors, "peak_bytes": peaks}


def profile(model, options):
    """A table for every row: operators by time, their share, and how many operations a second they did."""
    case = options.dir / model
    if subprocess.run([options.python, str(HERE / "random_models.py"), model, str(case)]).returncode:
        sys.exit("bench: the model cannot be made")
    side = Side("ltxd", [str(options.ltxd[0]), "bench", str(case)], options.threads, options.dir)
    tables = []
    for row, stage, tokens in ROWS:
        if row not in (options.stages or "text_64,text_1000,image,step,sampling,decoding").split(","):
            continue
        prompt = prompt_of(tokens, options.python, tokenizer_of(case)) if tokens else None
        if row != "sampling":  # There only for what follows.
            side.ask(stage, prompt)
            seconds = side.ask(stage, prompt, profile=True)
            costs = sorted(side.profile.items(), key=lambda cost: -cost[1]["seconds"])
            costs.append(("the rest", {"calls": "", "operations": 0, "seconds": seconds - sum(cost["seconds"] for _, cost in costs)}))
            lines = [f"| {row}, {seconds:.2f} s | calls | seconds | share | GFLOP/s |", "|---|---|---|---|---|"]
            for name, cost in costs:
                rate = f"{cost['operations'] / cost['seconds'] / 1e9:.0f}" if cost["operations"] else ""
                lines.append(f"| {name} | {cost['calls']} | {cost['seconds']:.3f} | {cost['seconds'] / seconds:.1%} | {rate} |")
            tables.append("\n".join(lines))
            print(f"\n{tables[-1]}", flush=True)
        else:
            side.ask(stage, prompt)
    side.end()
    return "\n\n".join(tables)


def versions(options):
    found = records.versions_of(options.ltxd)
    if options.reference:
        program = "import torch, transformers; print(torch.__version__, transformers.__version__)"
        found["torch, transformers"] = subprocess.run([options.python, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
    return found


def table(model, run):
    """A Markdown table: median (least–most) seconds, and ltxd's median over the better PyTorch's."""
    sides = list(run["peak_bytes"])
    others = [side for side in sides if not side.startswith("ltxd")] or sides[-1:]
    lines = [f"| {model} | " + " | ".join(sides) + " | ratio | by the least | by CPU time | difference |", "|---" * (len(sides) + 5) + "|"]
    for row, times in run["seconds"].items():
        ours = times[sides[0]]
        best = min((times[side] for side in others), key=statistics.median)
        ratio, least = statistics.median(ours) / statistics.median(best), min(ours) / min(min(times[side]) for side in others)
        work = {side: min(times) for side, times in run["cpu_seconds"][row].items()}
        cpu = work[sides[0]] / max(min(work[side] for side in others), 0.01)
        errors = ", ".join(f"{error:.0e}" for error in run["errors"][row].values())
        cell = lambda side: spread(times[side]) + (f" = {statistics.median(times[side]) / statistics.median(best):.2f}" if side.endswith("int8") else "")
        lines.append(f"| {row} | " + " | ".join(cell(side) for side in sides) + f" | {ratio:.2f} | {least:.2f} | {cpu:.2f} | {errors} |")
    peaks = run["peak_bytes"]
    ratio = peaks[sides[0]] / min(peaks[side] for side in others)
    lines.append("| peak memory, GB | " + " | ".join(f"{peaks[side] / 1e9:.2f}" for side in sides) + f" | {ratio:.2f} | | | |")
    return "\n".join(lines)


def merged(files):
    """One run's record of several of one model: their rows, the largest peaks, and all their circumstances."""
    runs = [json.loads(file.read_text()) for file in files]
    about, whole = {}, {"seconds": {}, "cpu_seconds": {}, "errors": {}, "peak_bytes": {}}
    for key in ("model", "threads", "machine", "versions"):
        if any(run[key] != runs[0][key] for run in runs):
            sys.exit(f"bench: the runs differ in {key}")
        about[key] = runs[0][key]
    for key in ("date", "rounds", "load_average", "note"):
        about[key] = [run[key] for run in runs]
    for run in runs:
        if both := run["seconds"].keys() & whole["seconds"].keys():
            sys.exit(f"bench: several runs have {', '.join(both)}")
        for key in ("seconds", "cpu_seconds", "errors"):
            whole[key] |= run[key]
        for side, peak in run["peak_bytes"].items():
            whole["peak_bytes"][side] = max(peak, whole["peak_bytes"].get(side, 0))
    whole["seconds"] = {row: whole["seconds"][row] for row, _, _ in ROWS if row in whole["seconds"]}
    return about, whole


def record(about, run, found, options):
    meaning = "Wall-clock seconds by operator." if options.profile else MEANING
    records.write(about, None if options.profile else run, meaning, found, [about["model"], "profile" if options.profile else None, options.tag])


def main():
    for word, script in (("--gpu", HERE / "gpu.py"), ("--sdcpp", HERE.parent / "against_sdcpp/run.py")):
        if word in sys.argv:
            os.execv(sys.executable, [sys.executable, str(script), *[said for said in sys.argv[1:] if said != word]])
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--model", action="append")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--reference", type=Path)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--int8", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--stages")
    parser.add_argument("--merge", action="append", type=Path)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--ltxd", action="append", type=Path)
    parser.add_argument("--dir", type=Path, default=ROOT / "target/bench")
    parser.add_argument("--tag")
    parser.add_argument("--note", default="")
    parser.add_argument("--chart", action="store_true")
    options = parser.parse_args()
    if options.chart:
        return chart.main()
    if options.merge:
        about, run = merged(options.merge)
        found = table(about["model"], run)
        print(f"\n{found}\n")
        return record(about, run, found, options)
    options.ltxd = options.ltxd or [Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release/ltxd"]
    options.dir.mkdir(parents=True, exist_ok=True)
    models = ["shipped"] if options.quick else options.model or ["mid", "full"]
    if options.quick:
        options.rounds, options.reference = 1, None
    for model in models:
        load = [os.getloadavg()]
        run = {"profile": profile(model, options)} if options.profile else measure(model, options)
        load.append(os.getloadavg())
        found = run["profile"] if options.profile else table(model, run)
        print("" if options.profile else f"\n{found}\n", flush=True)
        if options.quick:
            continue
        about = records.about(model, options, versions(options), load)
        record(about, run, found, options)


if __name__ == "__main__":
    main()
