#!/usr/bin/env python3
"""What a video is, by ffprobe, beside what was asked for and what its node says of it. The tests import it, the demo runs it:

    video.py FILE.mp4 --width N --height N --frames N --fps N --method METHOD --generation JSON

It prints both and fails where they differ. JSON is what `ltxd get --json` printed: its mark must be the file's; what it says of
memory, time and likeness is printed. Python 3 standard library only.
"""

import argparse, json, struct, subprocess, sys
from datetime import datetime
from fractions import Fraction
from pathlib import Path

# Where the file's own metadata has the parts of the mark; what is null is not there.
TAGS = {key: (key,) for key in ("usage_class", "credits_charged", "method", "model", "model_version", "seed", "node", "engine")}
TAGS |= {"frames_sha256": ("frames_sha256",), "time": ("time",), "weights_header_sha256": ("weights", "header_sha256")}
TAGS |= {"weights_file_sha256": ("weights", "file_sha256"), "weights_bytes": ("weights", "total_bytes")}


def said(mark, tag):
    """What the mark says under a tag, as text; None where it says nothing."""
    for key in TAGS[tag]:
        mark = (mark or {}).get(key)
    return None if mark is None else str(mark)


def same(tag, wanted, found):
    if tag == "time" and wanted and found:  # fractions of a second may end in zeros, or not
        return datetime.fromisoformat(wanted) == datetime.fromisoformat(found)
    return wanted == found


def probe(file):
    command = ["ffprobe", "-v", "error", "-count_frames", "-show_streams", "-show_format", "-of", "json", str(file)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def boxes(file):
    """Names of the MP4's top-level boxes, in order; with faststart moov comes before mdat."""
    names, at, end = [], 0, file.stat().st_size
    with file.open("rb") as opened:
        while at + 8 <= end:
            opened.seek(at)
            size, name = struct.unpack(">I4s", opened.read(8))
            if size == 1:
                (size,) = struct.unpack(">Q", opened.read(8))
            names.append(name.decode("latin-1"))
            at += size if size >= 8 else end
    return [name for name in names if name in ("moov", "mdat")]


def compared(file, shape, fps, method, mark):
    """(name, wanted, found) of all that is known of a video; `shape` is (width, height, frames), `mark` the generation's."""
    seen = probe(file)
    video = next((s for s in seen["streams"] if s["codec_type"] == "video"), {})
    tags = {key.lower(): value for key, value in seen["format"].get("tags", {}).items()}
    colour = [video.get(name) for name in ("color_space", "color_primaries", "color_transfer", "color_range")]
    width, height, frames = shape
    rows = [
        ("streams", ["video"], [s["codec_type"] for s in seen["streams"]]),
        ("codec", "h264", video.get("codec_name")),
        ("pixels", "yuv420p", video.get("pix_fmt")),
        ("colour", ["bt709", "bt709", "bt709", "tv"], colour),
        ("faststart", ["moov", "mdat"], boxes(file)),
        ("size", f"{width}x{height}", f"{video.get('width')}x{video.get('height')}"),
        ("frames", frames, int(video.get("nb_read_frames", 0))),
        ("rate", fps, Fraction(video.get("r_frame_rate", "0"))),
        ("usage_class", "UNLIMITED", tags.get("usage_class")),
        ("credits_charged", "0", tags.get("credits_charged")),
        ("method", method, tags.get("method")),
    ]
    # A node names itself in the mark, so the key differs there.
    mark = {**mark, "node": mark.get("node", mark.get("node_id"))}
    shown = [name for name, *_ in rows]
    return rows + [(tag, said(mark, tag), tags.get(tag)) for tag in TAGS if tag not in shown]


def differing(rows):
    return [row for row in rows if not same(*row)]


def node_says(generation):
    """Prints what a node tells of a generation beside what the file does."""
    measured, predicted = generation["measured"], generation["predicted"]
    stages = ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in measured["stages"].items())
    foretold = round(predicted["seconds"], 2) or "nothing yet"
    print(f"  seconds               {measured['seconds']:.2f} (predicted {foretold}): {stages}")
    peak, planned = (said["peak_memory_bytes"] / 2**20 for said in (measured, predicted))
    print(f"  peak memory           {peak:.0f} MiB (predicted {planned:.0f})")
    for name in ("first_frame", "last_frame"):
        if generation[name]:
            print(
                f"  {name:21} PSNR {generation[name]['psnr_db']:.1f} dB, SSIM {generation[name]['ssim']:.3f} against its image"
            )


def show(value):
    text = " ".join(value) if isinstance(value, list) else str(value)
    return text if len(text) < 40 else f"{text[:16]}…"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    for name in ("width", "height", "frames"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--fps", type=Fraction, required=True)
    parser.add_argument("--method", required=True)
    parser.add_argument("--generation", type=Path, required=True)
    asked = parser.parse_args()
    generation = json.loads(asked.generation.read_text())
    rows = compared(asked.file, (asked.width, asked.height, asked.frames), asked.fps, asked.method, generation["mark"])
    print(f"  {asked.file}, {asked.file.stat().st_size} bytes")
    for row in rows:
        name, wanted, found = row
        print(f"  {name:21} asked {show(wanted):24} found {show(found):24} {'' if same(*row) else '<-- DIFFERS'}".rstrip())
    node_says(generation)
    if wrong := differing(rows):
        sys.exit(f"{asked.file}: {len(wrong)} of {len(rows)} differ from what was asked")


if __name__ == "__main__":
    main()
