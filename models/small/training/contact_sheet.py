"""A contact sheet of held-out clips made by `ltxd`: left the image given, then five frames of the clip, right the end image
where one was given; the prompt beneath.

    contact_sheet.py --out sheet.png [--count 10] [--first 0]      # left column: start image only; right column: both images
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import data
from evaluate import HERE, through_ltxd

SHOWN = (0, 4, 8, 12, 16)
TILE, GAP, WORDS, APART = 80, 3, 20, 12
CELL = 7 * (TILE + GAP) + 2 * APART
PAPER, INK, FRAME = (250, 250, 248), (40, 40, 40), (120, 120, 120)


def small(pixels):
    """A tile of it; the last two bits go, so that the file stays small."""
    tile = np.asarray(Image.fromarray(pixels).resize((TILE, TILE), Image.Resampling.LANCZOS)).astype(np.int32)
    return Image.fromarray(np.clip((tile + 2) // 4 * 4, 0, 255).astype(np.uint8))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", default="sheet.png", type=Path)
    p.add_argument("--count", type=int, default=10)
    p.add_argument("--first", type=int, default=0, help="the first held-out clip")
    p.add_argument("--ltxd", default=HERE.parents[2] / "target/release/ltxd")
    p.add_argument("--model", default="ltx-2.3-small")
    p.add_argument("--models-dir", default=HERE.parents[1])
    a = p.parse_args()
    rows = (a.count + 1) // 2
    sheet = Image.new("RGB", (2 * CELL + APART + 3 * GAP + 4, rows * (TILE + WORDS + 2 * GAP) + WORDS + GAP), PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)

    def given(pixels, left, top):
        pen.rectangle((left - 2, top - 2, left + TILE + 1, top + TILE + 1), outline=FRAME)
        sheet.paste(small(pixels), (left, top))

    for column, heading in enumerate(("image and prompt", "start image, end image and prompt")):
        pen.text((column * (CELL + APART) + GAP + 2, GAP), heading, fill=INK, font=font)
    for i in range(a.count):
        clip = data.draw(data.HELD_OUT + a.first + i)
        truth, _ = data.render(clip)
        frames = through_ltxd(a, truth[0], truth[-1] if i % 2 else None, clip.caption, i)
        left, top = i % 2 * (CELL + APART) + GAP + 2, i // 2 * (TILE + WORDS + 2 * GAP) + WORDS + 2 * GAP
        given(truth[0], left, top)
        for at, frame in enumerate(SHOWN):
            sheet.paste(small(frames[frame]), (left + (1 + at) * (TILE + GAP) + APART, top))
        if i % 2:
            given(truth[-1], left + 6 * (TILE + GAP) + 2 * APART, top)
        pen.text((left, top + TILE + 3), clip.caption, fill=INK, font=font)
    sheet.save(a.out, optimize=True)


if __name__ == "__main__":
    main()
