"""A contact sheet of held-out clips made by `ltxd`: one clip a row, five of its frames, the prompt beneath.

    contact_sheet.py --out sheet.png [--count 10] [--first 0]      # even rows: start image only; odd rows: both images
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

import data
from evaluate import HERE, through_ltxd

SHOWN = (0, 4, 8, 12, 16)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", default="sheet.png", type=Path)
    p.add_argument("--count", type=int, default=10)
    p.add_argument("--first", type=int, default=0, help="the first held-out clip")
    p.add_argument("--ltxd", default=HERE.parents[1] / "target/release/ltxd")
    p.add_argument("--model", default="ltx-2.3-small")
    p.add_argument("--models-dir", default=HERE.parents[1] / "models")
    a = p.parse_args()
    gap, text = 4, 18
    width = len(SHOWN) * (data.SIZE + gap) + gap
    sheet = Image.new("RGB", (2 * width, (a.count + 1) // 2 * (data.SIZE + text + gap) + gap), (250, 250, 250))
    pen = ImageDraw.Draw(sheet)
    for i in range(a.count):
        clip = data.draw(data.HELD_OUT + a.first + i)
        truth, _ = data.render(clip)
        frames = through_ltxd(a, truth[0], truth[-1] if i % 2 else None, clip.caption, i)
        left, top = i % 2 * width + gap, i // 2 * (data.SIZE + text + gap) + gap
        for column, frame in enumerate(SHOWN):
            sheet.paste(Image.fromarray(frames[frame]), (left + column * (data.SIZE + gap), top))
        images = "start and end image" if i % 2 else "start image"
        pen.text((left, top + data.SIZE + 3), f"{clip.caption}  [{images}]", fill=(40, 40, 40))
    sheet.save(a.out)


if __name__ == "__main__":
    main()
