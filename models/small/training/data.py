"""The synthetic world, version 1: one shape moves in a straight line over a quiet background.

A clip is named by one integer seed. Seeds below HELD_OUT are for training; the 64 from HELD_OUT on are never trained on.
Everything here is numpy and is the same on every machine.
"""

from dataclasses import dataclass

import numpy as np

VERSION = 1
HELD_OUT = 1_000_000_000
SIZE = 128
FRAMES = 17

SHAPES = ("circle", "square", "triangle", "diamond")
COLOURS = {
    "red": (0.88, 0.12, 0.13),
    "orange": (0.98, 0.55, 0.08),
    "yellow": (0.98, 0.88, 0.12),
    "green": (0.10, 0.68, 0.25),
    "blue": (0.12, 0.32, 0.92),
    "purple": (0.58, 0.16, 0.78),
}
BACKGROUNDS = {
    "white": (0.95, 0.95, 0.94),
    "grey": (0.55, 0.56, 0.58),
    "black": (0.07, 0.07, 0.08),
    "navy": (0.09, 0.13, 0.33),
    "brown": (0.36, 0.25, 0.18),
    "pink": (0.96, 0.77, 0.82),
    "teal": (0.16, 0.46, 0.47),
    "cream": (0.96, 0.91, 0.76),
}
# x to the right, y down.
DIRECTIONS = {
    "to the right": (1, 0),
    "to the left": (-1, 0),
    "up": (0, -1),
    "down": (0, 1),
    "up and to the right": (1, -1),
    "up and to the left": (-1, -1),
    "down and to the right": (1, 1),
    "down and to the left": (-1, 1),
}
SIZES = {"small": (13.0, 16.0), "big": (19.0, 23.0)}  # radius in pixels of a 128-pixel picture
SPEEDS = {"slowly": (28.0, 28.0), "quickly": (52.0, 52.0)}  # pixels from the first to the last frame
VERBS = ("moves", "glides", "slides")


@dataclass
class Clip:
    """What a seed means. Lengths are in pixels of a SIZE-pixel picture."""

    shape: str
    colour: str
    rgb: np.ndarray
    size: str
    radius: float
    speed: str
    direction: str
    start: np.ndarray
    end: np.ndarray
    background: str
    corners: np.ndarray  # [2, 2, 3]: colours of the picture's corners
    verb: str

    @property
    def caption(self):
        return (f"A {self.size} {self.colour} {self.shape} {self.verb} {self.speed} {self.direction} "
                f"over a {self.background} background.")


def draw(seed):
    """Draws the description of a clip."""
    rng = np.random.default_rng([VERSION, seed])
    pick = lambda names: str(rng.choice(list(names)))
    shape, colour, size, speed = pick(SHAPES), pick(COLOURS), pick(SIZES), pick(SPEEDS)
    direction, verb = pick(DIRECTIONS), pick(VERBS)
    rgb = np.clip(np.array(COLOURS[colour]) + rng.uniform(-0.04, 0.04, 3), 0, 1)
    first, second = pick(BACKGROUNDS), pick(BACKGROUNDS)
    one = np.clip(np.array(BACKGROUNDS[first]) + rng.uniform(-0.03, 0.03, 3), 0, 1)
    if rng.random() < 0.5 or first == second:
        background, corners = f"plain {first}", np.broadcast_to(one, (2, 2, 3))
    else:
        two = np.clip(np.array(BACKGROUNDS[second]) + rng.uniform(-0.03, 0.03, 3), 0, 1)
        way = rng.integers(4)
        a, b, m = one, two, (one + two) / 2
        corners = [[[a, b], [a, b]], [[a, a], [b, b]], [[a, m], [m, b]], [[m, b], [a, m]]][way]
        background = f"{first} and {second}"
    radius = rng.uniform(*SIZES[size])
    unit = np.array(DIRECTIONS[direction], float)
    step = unit / np.linalg.norm(unit) * rng.uniform(*SPEEDS[speed])
    margin = radius + 3
    low = np.maximum(margin, margin - step)
    high = np.minimum(SIZE - margin, SIZE - margin - step)
    start = rng.uniform(low, high)
    return Clip(shape, colour, rgb, size, radius, speed, direction, start, start + step, background,
                np.array(corners), verb)


def coverage(clip, at, size=SIZE):
    """How much of every pixel the shape covers when its middle is `at`. [size, size], 0..1."""
    rows, columns, part = cover_part(clip, at, size)
    whole = np.zeros((size, size), np.float32)
    whole[rows, columns] = part
    return whole


def cover_part(clip, at, size):
    """The rows and columns that the shape can touch, and its coverage of them."""
    scale = size / SIZE
    r, cx, cy = clip.radius * scale, at[0] * scale, at[1] * scale
    span = lambda c: slice(max(0, int(c - r - 2)), max(0, min(size, int(c + r + 3))))
    rows, columns = span(cy), span(cx)
    y = np.arange(size, dtype=np.float32)[rows, None] + np.float32(0.5 - cy)
    x = np.arange(size, dtype=np.float32)[None, columns] + np.float32(0.5 - cx)
    if clip.shape == "circle":
        distance = np.sqrt(x * x + y * y) - r
    elif clip.shape == "square":
        distance = np.maximum(np.abs(x), np.abs(y)) - 0.86 * r
    elif clip.shape == "diamond":
        distance = (np.abs(x) + np.abs(y)) * 0.70710678 - 0.74 * r
    else:
        y = y - 0.2 * r
        distance = np.maximum(y, np.abs(x) * 0.8660254 - y * 0.5) - 0.6 * r
    return rows, columns, np.clip(0.5 - distance, 0, 1).astype(np.float32)


def backdrop(clip, size=SIZE):
    """The background alone, [size, size, 3]."""
    t = (np.arange(size, dtype=np.float32) + 0.5) / size
    ty, tx = t[:, None, None], t[None, :, None]
    c = clip.corners.astype(np.float32)
    return (c[0, 0] * (1 - ty) * (1 - tx) + c[0, 1] * (1 - ty) * tx + c[1, 0] * ty * (1 - tx) + c[1, 1] * ty * tx)


def render(clip, size=SIZE, frames=FRAMES):
    """Pixels [frames, size, size, 3] in 0..1 and masks [frames, size, size] in 0..1, both uint8 (0..255)."""
    back = backdrop(clip, size)
    pixels = np.broadcast_to(np.round(back * 255).astype(np.uint8), (frames, size, size, 3)).copy()
    masks = np.zeros((frames, size, size), np.uint8)
    for i in range(frames):
        t = i / (frames - 1) if frames > 1 else 0.0
        rows, columns, a = cover_part(clip, clip.start * (1 - t) + clip.end * t, size)
        blend = back[rows, columns] * (1 - a[..., None]) + clip.rgb.astype(np.float32) * a[..., None]
        pixels[i, rows, columns] = np.round(blend * 255)
        masks[i, rows, columns] = np.round(a * 255)
    return pixels, masks


def position(clip, frame, frames=FRAMES):
    """The shape's middle in a frame, pixels of a SIZE-pixel picture."""
    t = frame / (frames - 1)
    return clip.start * (1 - t) + clip.end * t
