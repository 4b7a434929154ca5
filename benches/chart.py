#!/usr/bin/env python3
"""Draws a chart for every machine of benches/runs that compared ltxd with PyTorch or with stable-diffusion.cpp: ltxd's share of the
other's time by model and stage, of its faster kind where a run has several, from the newest run that has it, with the line at which both
are level. SVG, light and dark.

    scripts/bench --chart          writes docs/charts/<machine>.svg

Python 3 standard library.
"""

import json, statistics
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ORDER = ["text", "text_64", "text_1000", "image", "step", "sampling", "decoding", "clip", "whole", "whole_64", "whole_1000"]
NAMES = {
    "text": "text", "text_64": "text of 64 tokens", "text_1000": "text of 1,000 tokens", "image": "image encoding", "step": "a step", "sampling": "all steps",
    "decoding": "decoding", "clip": "the whole clip", "whole": "all of it", "whole_64": "all of it, 64 tokens", "whole_1000": "all of it, 1,000 tokens",
}  # fmt: skip
LEFT, WIDTH, RIGHT, BAR, GAP, TOP = 250, 360, 230, 16, 8, 58
STYLE = """
    text { font: 12px system-ui, sans-serif; fill: #24292f } .head { font-size: 15px; font-weight: 600 } .quiet { fill: #57606a }
    .bar { fill: #0969da } .level { stroke: #cf222e; stroke-width: 1.5 } .ground { fill: #ffffff }
    @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .quiet { fill: #9198a1 } .bar { fill: #4493f8 } .level { stroke: #f85149 } .ground { fill: #0d1117 } }
"""


def compared(run):
    """A run's rows as (model, row, ours, theirs, whose), seconds; none of a run without another side or of one thread beside two."""
    others = [side for side in run.get("peak_bytes", {}) if not side.startswith("ltxd")]
    if not others or "ltxd" not in run["peak_bytes"]:
        return
    for row, times in run["seconds"].items():
        middle = {side: statistics.median(times[side]) for side in others + ["ltxd"] if times.get(side)}
        theirs = [(seconds, side) for side, seconds in middle.items() if side != "ltxd"]
        if "ltxd" in middle and theirs:
            seconds, side = min(theirs)
            yield run["model"], row, middle["ltxd"], seconds, side


def newest(folder):
    """(model, row) -> (day, ours, theirs, whose) of the newest run with all of the machine's threads."""
    runs = [json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))]
    runs = [run for run in runs if isinstance(run, dict) and run.get("seconds")]
    last = lambda run: run["date"] if isinstance(run["date"], str) else max(run["date"])
    found = {}
    for run in sorted(runs, key=last):
        if run.get("threads") in (None, run.get("machine", {}).get("cores")):
            for model, row, *rest in compared(run):
                found[model, row] = (last(run)[:10], *rest)
    return found


def drawn(machine, rows):
    """The chart of a machine's rows."""
    ordered = sorted(rows.items(), key=lambda item: (item[0][0], ORDER.index(item[0][1]) if item[0][1] in ORDER else len(ORDER)))
    most = max(1.1, max(ours / theirs for _, (_, ours, theirs, _) in ordered) * 1.05)
    x = lambda share: LEFT + WIDTH * share / most
    height = TOP + len(ordered) * (BAR + GAP) + 34
    sound = "; sd.cpp is stable-diffusion.cpp, which computes audio as well" if any(side.startswith("sd.cpp") for *_, side in rows.values()) else ""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + RIGHT}" height="{height}" role="img" viewBox="0 0 {LEFT + WIDTH + RIGHT} {height}">',
        f"<title>ltxd's share of others' time on {escape(machine)}</title><style>{STYLE}</style>",
        '<rect class="ground" width="100%" height="100%"/>',
        f'<text class="head" x="12" y="24">{escape(machine)}: ltxd\'s share of others\' time</text>',
        f'<text class="quiet" x="12" y="43">shorter is faster; at the line both take as long{sound}</text>',
    ]
    for at, ((model, row), (day, ours, theirs, side)) in enumerate(ordered):
        y = TOP + at * (BAR + GAP)
        share = ours / theirs
        said = f"{share:.2f}: {ours:.3g} s, {side} {theirs:.3g} s"
        parts += [
            f'<text x="{LEFT - 10}" y="{y + 12}" text-anchor="end">{escape(model)}: {escape(NAMES.get(row, row))}</text>',
            f'<rect class="bar" x="{LEFT}" y="{y}" width="{x(share) - LEFT:.1f}" height="{BAR}"><title>{escape(said)}, {day}</title></rect>',
            f'<text x="{x(max(share, 1)) + 8:.1f}" y="{y + 12}">{escape(said)}</text>',
        ]
    bottom = TOP + len(ordered) * (BAR + GAP)
    days = sorted({day for day, *_ in rows.values()})
    parts += [
        f'<line class="level" x1="{x(1):.1f}" x2="{x(1):.1f}" y1="{TOP - 6}" y2="{bottom}"/>',
        f'<text class="quiet" x="12" y="{bottom + 22}">measured {" and ".join(dict.fromkeys((days[0], days[-1])))}; medians; benches/runs/{escape(machine)}</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def main():
    folder = ROOT / "docs/charts"
    folder.mkdir(exist_ok=True)
    for machine in sorted((ROOT / "benches/runs").iterdir()):
        if rows := newest(machine):
            (folder / f"{machine.name}.svg").write_text(drawn(machine.name, rows))
            print(f"bench: wrote {folder / machine.name}.svg, {len(rows)} rows")


if __name__ == "__main__":
    main()
