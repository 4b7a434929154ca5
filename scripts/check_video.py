#!/usr/bin/env python3
"""Asks ffprobe what a video is, prints it, and fails where it differs from what was asked.

    scripts/check_video.py FILE.mp4 --width N --height N --frames N --fps N --method METHOD [--summary JSON]

JSON is what `ltxd generate --json` printed; its memory and times are printed too. Python 3 standard library only.
"""

import argparse, json, subprocess, sys
from fractions import Fraction
from pathlib import Path


def probe(file):
    command = ["ffprobe", "-v", "error", "-count_frames", "-show_streams", "-show_format", "-of", "json", str(file)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def summary_of(path):
    """The summary is one JSON object: the whole output, or its last line."""
    text = path.read_text().strip()
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return json.loads(text.splitlines()[-1])


def compact(value):
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {compact(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(compact(entry) for entry in value) + "]"
    return str(value)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    for name in ("width", "height", "frames"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--fps", type=Fraction, required=True)
    parser.add_argument("--method", required=True)
    parser.add_argument("--summary", type=Path)
    asked = parser.parse_args()

    seen = probe(asked.file)
    video = next((s for s in seen["streams"] if s["codec_type"] == "video"), {})
    tags = {key.lower(): value for key, value in seen["format"].get("tags", {}).items()}
    rows = [
        ("streams", ["video"], [s["codec_type"] for s in seen["streams"]]),
        ("codec", "h264", video.get("codec_name")),
        ("pixels", "yuv420p", video.get("pix_fmt")),
        ("colour", "bt709", video.get("color_space")),
        ("size", f"{asked.width}x{asked.height}", f"{video.get('width')}x{video.get('height')}"),
        ("frames", asked.frames, int(video.get("nb_read_frames", 0))),
        ("rate", asked.fps, Fraction(video.get("r_frame_rate", "0"))),
        ("usage_class", "UNLIMITED", tags.get("usage_class")),
        ("credits_charged", "0", tags.get("credits_charged")),
        ("method", asked.method, tags.get("method")),
    ]
    wrong = 0
    print(f"  {asked.file}, {asked.file.stat().st_size} bytes")
    for name, wanted, found in rows:
        same = wanted == found
        wrong += not same
        print(f"  {name:16} asked {wanted!s:20} found {found!s:20} {'' if same else '<-- DIFFERS'}".rstrip())
    mark = {key: tags[key] for key in ("model", "model_version", "seed", "node", "engine") if key in tags}
    print(f"  also marked      {compact(mark)}")
    if asked.summary:
        summary = summary_of(asked.summary)
        if "peak_rss_bytes" in summary:
            print(f"  peak memory      {summary['peak_rss_bytes'] / 2**20:.0f} MiB")
        print(f"  summary          {compact(summary)}")
    if wrong:
        sys.exit(f"{asked.file}: {wrong} of {len(rows)} differ from what was asked")


main()
