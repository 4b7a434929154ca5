#!/usr/bin/env python3
"""Times `ltxd generate` and stable-diffusion.cpp's sd-cli in turn, on the same files with random weights (models.py), one start image to
one short clip; writes benches/runs/<machine>/<date>-sdcpp-<format>.{json,md} and draws the charts anew.

    scripts/bench --sdcpp BUILD           BUILD is what `benches/against_sdcpp/build SOURCE BUILD` made
    scripts/bench --sdcpp --quick         the harness alone, seconds: ltxd on the tiny model, and a kept log of sd-cli; writes nothing

    --type NAME                    q8_0, q4_k or bf16; may be repeated; all three by default
    --layers N                     of the transformer, at the real widths (6)
    --size WxHxF                   256x256x9
    --steps N                      4
    --rounds N                     2; there is no round to warm up, but the files are read once before
    --threads N                    of both sides (2)
    --f32                          ltxd with products in f32 beside it
    --alone A,B                    of sd-cli's builds, default and llamafile, these
    --ltxd FILE                    target/release/ltxd
    --dir FOLDER                   where the models are made, one format after the other (target/bench/sdcpp)
    --delete                       each format's files when its runs are done
    --tag NAME, --note TEXT        for the record

Every run is a process of its own, from reading the files to the written clip; the record is written after every round. A stage's time is
what each program says itself, peak memory and CPU time what the system says of its process. Frames are not compared: the sides
draw other noise. Python 3 standard library.
"""

import argparse, json, os, re, statistics, subprocess, sys, tempfile, time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE.parent), str(HERE)]

import models, records

ROWS = ("text", "image", "step", "decoding", "whole")
PROMPT = "A heron takes off from a calm lake at sunrise while the camera slowly pushes in, mist drifts between the reeds and the water is still."
PICTURE = ROOT / "scripts/demo-pictures/start.jpg"
MEANING = """Seconds: median (least–most). A ratio is ltxd's over the better build's of stable-diffusion.cpp. A stage includes reading its
weights, on both sides; a step is all of denoising by the number of steps; the whole is the process from start to end.

What differs:
- sd-cli computes the audio stream, its attention to and from the video, and the connectors of both in every step: at 256x256x9 1.9 times the
  products of the video stream alone, which is all that a step of ltxd is. It has no audio, and its connector runs once, as part of text.
- sd-cli runs Gemma over 1,024 tokens, whatever the prompt's length; ltxd over the prompt's own, which are 48 here (in the small vocabulary of
  the file; sd-cli has Gemma's whole one in itself).
- ltxd multiplies 8 bits by 8 bits where weights are packed (`--dtype auto`), as ggml does, and bf16 weights in AMX's tiles where the
  processor has them; `ltxd f32` multiplies packed weights in f32.
- sd-cli writes MJPEG in an AVI; ltxd encodes H.264 and signs the clip."""


def told_by_ltxd(said, steps):
    """Rows of `ltxd generate --json`."""
    seconds = json.loads(said)["seconds"]
    return {"text": seconds["text"], "image": seconds["images"], "step": seconds["denoising"] / steps, "decoding": seconds["decoding"]}


# sd-cli's lines; some count milliseconds.
LINES = {
    "text": r"get_learned_condition completed, taking ([\d.]+) ?(m?s)",
    "image": r"encode_first_stage completed, taking ([\d.]+) ?(m?s)",
    "step": r"sampling completed, taking ([\d.]+) ?(m?s)",
    "decoding": r"decode_first_stage completed, taking ([\d.]+) ?(m?s)",
}


def told_by_sdcpp(said, steps):
    """Rows of what sd-cli logs; the last line of each kind counts, as an outer stage ends after an inner one."""
    rows = {}
    for row, line in LINES.items():
        found = re.findall(line, said)
        if not found:
            sys.exit(f"bench: sd-cli does not say what {row} took: is it another version? It said at last: {said[-600:]}")
        number, unit = found[-1]
        rows[row] = float(number) / (1000 if unit == "ms" else 1)
    rows["step"] /= steps
    return rows


class Side:
    """A program, how it is called, and how its stages are read."""

    def __init__(self, name, command, told):
        self.name, self.command, self.told = name, [str(word) for word in command], told

    def run(self, clip, options):
        """Rows, peak bytes and CPU seconds of one run."""
        environment = {**os.environ, "RAYON_NUM_THREADS": str(options.threads), "OMP_NUM_THREADS": str(options.threads)}
        with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
            began = time.monotonic()
            process = subprocess.Popen([*self.command, str(clip)], stdout=output, stderr=errors, env=environment)
            _, status, usage = os.wait4(process.pid, 0)
            whole = time.monotonic() - began
            process.returncode = os.waitstatus_to_exitcode(status)
            output.seek(0), errors.seek(0)
            said = output.read()
            if process.returncode or not clip.exists() or not clip.stat().st_size:
                sys.exit(f"bench: {self.name} failed ({process.returncode}): {errors.read()[-2000:]}{said[-2000:]}")
        clip.unlink()
        return {**self.told(said, options.steps), "whole": whole}, usage.ru_maxrss * 1024, usage.ru_utime + usage.ru_stime


def sides_of(files, options):
    width, height, frames = options.size
    sigmas = ",".join(f"{1 - step / options.steps:g}" for step in range(options.steps + 1))
    shape = [f"--width={width}", f"--height={height}"]
    ours = [options.ltxd, "generate", "--model", files[0], "--text-encoder", files[1], "--schedule", "distilled", f"--sigmas={sigmas}"]
    ours += ["--prompt", PROMPT, *shape, f"--frames={frames}", "--fps=24", "--image", PICTURE, "--image-crf=0", "--seed=7", "--no-cache", "--json"]
    sides = [Side("ltxd", [*ours, "--out"], told_by_ltxd)]
    if options.f32:
        sides.append(Side("ltxd f32", [*ours, "--dtype=f32", "--out"], told_by_ltxd))
    for build in options.builds:
        theirs = [options.build / build / "bin/sd-cli", "-M", "vid_gen", "-m", files[0], "--llm", files[1], "-p", PROMPT, *shape]
        theirs += [f"--video-frames={frames}", "--fps=24", "-i", PICTURE, "--strength=1", "--cfg-scale=1", "--sampling-method=euler"]
        theirs += [f"--steps={options.steps}", f"--sigmas={sigmas}", "--seed=7", f"--threads={options.threads}", "-v", "-o"]
        # Long options take their value as the next word there.
        theirs = [part for word in map(str, theirs) for part in (word.split("=", 1) if word.startswith("--") else [word])]
        sides.append(Side("sd.cpp" if build == "default" else f"sd.cpp {build}", theirs, told_by_sdcpp))
    return sides


def empty(sides):
    return {
        "seconds": {row: {side.name: [] for side in sides} for row in ROWS},
        "cpu_seconds": {"whole": {side.name: [] for side in sides}}, "peak_bytes": {side.name: 0 for side in sides},
    }  # fmt: skip


def add_round(run, sides, turn, options):
    """Every side once, in an order that changes from round to round."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for side in sides[turn % len(sides) :] + sides[: turn % len(sides)]:
            rows, peak, cpu = side.run(Path(folder) / ("clip.mp4" if side.name.startswith("ltxd") else "clip.avi"), options)
            print(f"  {side.name}: " + ", ".join(f"{row} {rows[row]:.2f} s" for row in ROWS) + f", {peak / 1e9:.2f} GB", flush=True)
            for row in ROWS:
                run["seconds"][row][side.name].append(rows[row])
            run["cpu_seconds"]["whole"][side.name].append(cpu)
            run["peak_bytes"][side.name] = max(peak, run["peak_bytes"][side.name])


def table(model, run):
    """A Markdown table: seconds of every side, and the ratio of each of ltxd's to the better of the others."""
    sides = list(run["peak_bytes"])
    ours, others = [side for side in sides if side.startswith("ltxd")], [side for side in sides if not side.startswith("ltxd")]
    lines = [f"| {model} | " + " | ".join([*sides, *(f"ratio of {side}" for side in ours if others)]) + " |"]
    lines.append("|---" * lines[0].count(" | ") + "|---|")

    def line(name, numbers, said):
        best = min((numbers[side] for side in others), default=None)
        lines.append(f"| {name} | " + " | ".join([*(said(side) for side in sides), *(f"{numbers[side] / best:.2f}" for side in ours if others)]) + " |")

    timed = {**run["seconds"], "CPU time of all": run["cpu_seconds"]["whole"]}
    for row, times in timed.items():
        line(row, {side: statistics.median(times[side]) for side in sides}, lambda side: records.spread(times[side]))
    line("peak memory, GB", run["peak_bytes"], lambda side: f"{run['peak_bytes'][side] / 1e9:.2f}")
    return "\n".join(lines)


def versions(options):
    found = records.versions_of([options.ltxd])
    for build in options.builds:
        found[f"stable-diffusion.cpp, {build}"] = (options.build / build / "version").read_text().strip()
    return found


def quick(options):
    """Both readers and the table, without sd-cli: its part is a log that it wrote."""
    options.size, options.builds, options.f32, options.rounds = (64, 64, 9), [], True, 1
    files = ROOT / "models/tiny/ltx-2.3-tiny-dev.safetensors", ROOT / "models/tiny/gemma"
    sides = sides_of(files, options)
    run = empty(sides)
    add_round(run, sides, 0, options)
    rows = told_by_sdcpp((HERE / "sd-cli.log").read_text(), 1)
    expected = json.loads((HERE / "sd-cli.json").read_text())
    if rows != expected:
        sys.exit(f"bench: read {rows} from sd-cli.log, which says {expected}")
    for row in ROWS:
        run["seconds"][row]["sd.cpp"] = [rows.get(row, 60.0)]
    run["cpu_seconds"]["whole"]["sd.cpp"], run["peak_bytes"]["sd.cpp"] = [100.0], 10**10
    print(f"\n{table('tiny', run)}\n\nbench: the column of sd.cpp is a kept log of another model: nothing is compared here")


def compare(model, kind, sides, options):
    """All rounds of a format. The record is written after each, so that a run that is broken off leaves the rounds that it had."""
    run, before, rounds = empty(sides), os.getloadavg(), options.rounds
    print(f"{model}:", flush=True)
    for turn in range(rounds):
        add_round(run, sides, turn, options)
        found, options.rounds = table(model, run), turn + 1
        print(f"\n{found}\n", flush=True)
        about = records.about(model, options, versions(options), [before, os.getloadavg()])
        records.write({**about, "size": "x".join(map(str, options.size)), "steps": options.steps}, run, MEANING, found, ["sdcpp", kind, options.tag])
    options.rounds = rounds


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("build", type=Path, nargs="?")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--type", action="append", choices=models.KINDS)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--inner", type=int, default=1024)
    parser.add_argument("--size", type=lambda text: tuple(int(side) for side in text.split("x")), default=(256, 256, 9))
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--f32", action="store_true")
    parser.add_argument("--alone", type=lambda text: text.split(","), default=["default", "llamafile"], dest="builds")
    parser.add_argument("--ltxd", type=Path, default=Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release/ltxd")
    parser.add_argument("--dir", type=Path, default=ROOT / "target/bench/sdcpp")
    parser.add_argument("--delete", action="store_true")
    parser.add_argument("--tag")
    parser.add_argument("--note", default="")
    options = parser.parse_args()
    if options.quick:
        return quick(options)
    if not options.build or not all((options.build / build / "bin/sd-cli").exists() for build in options.builds):
        sys.exit(f"bench: {options.build or '--sdcpp'} has no build of stable-diffusion.cpp: benches/against_sdcpp/build SOURCE BUILD makes one")
    for kind in options.type or models.KINDS:
        files = models.make(options.dir, kind, options.layers, inner=options.inner)
        for file in files:
            with file.open("rb") as read:
                while read.read(1 << 24):
                    pass
        compare(f"{options.layers} layers, {kind.upper()}", kind, sides_of(files, options), options)
        if options.delete:
            for file in files:
                file.unlink()


if __name__ == "__main__":
    main()
