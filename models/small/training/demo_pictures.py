"""Draws the demo's two pictures: the first and the last frame of a clip that was never trained on.

    demo_pictures.py [--seed 1000002599] [--out FOLDER]      # prints the clip's caption, which is the demo's prompt
"""

import argparse
from pathlib import Path

from PIL import Image

import data

if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seed", type=int, default=data.HELD_OUT + 2599)
    p.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[3] / "scripts/demo-pictures")
    a = p.parse_args()
    clip = data.draw(a.seed)
    pixels, _ = data.render(clip)
    for name, frame in (("shape-start", pixels[0]), ("shape-end", pixels[-1])):
        Image.fromarray(frame).save(a.out / f"{name}.png", optimize=True)
    print(clip.caption)
