#!/usr/bin/env python3
"""Draws the demo's two pictures, a lake at sunrise: scripts/demo-pictures/{start,end}.jpg.

Procedural, so that nobody's photograph is in the repository. Needs Pillow and numpy; the pictures are committed, so the
demo itself needs neither. In the end picture the sun is higher, the boat has moved and the heron is in the air.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

W, H, HORIZON = 960, 640, 372
OUT = Path(__file__).resolve().parent / "demo-pictures"


def smooth_noise(rng, shape, octaves=5, persistence=0.55):
    """Value noise in 0..1: coarse grids, enlarged and summed."""
    total, weight = np.zeros(shape, np.float32), 0.0
    for octave in range(octaves):
        cells = 3 * 2**octave
        grid = Image.fromarray((rng.random((cells, cells * 2)) * 255).astype(np.uint8))
        layer = np.asarray(grid.resize((shape[1], shape[0]), Image.BICUBIC), np.float32) / 255
        total += layer * persistence**octave
        weight += persistence**octave
    return total / weight


def mix(a, b, t):
    return a + (b - a) * t[..., None]


def sky(rng, sun, warmth):
    y, x = np.mgrid[0:H, 0:W].astype(np.float32)
    t = np.clip(y / HORIZON, 0, 1)
    top, middle, low = (np.array(c, np.float32) for c in ((52, 84, 140), (196, 158, 168), (255, 196, 128)))
    top = top + warmth * np.array((26, 34, 30), np.float32)
    picture = np.where(t[..., None] < 0.6, mix(top, middle, t / 0.6), mix(middle, low, np.clip((t - 0.6) / 0.4, 0, 1)))
    distance = np.hypot(x - sun[0], (y - sun[1]) * 1.15)
    clouds = smooth_noise(rng, (H, W), 6)
    streaks = np.asarray(Image.fromarray((clouds * 255).astype(np.uint8)).resize((W * 3, H)).crop((W, 0, 2 * W, H)), np.float32) / 255
    cover = np.clip((streaks - 0.44) * 4.0, 0, 1) * np.clip(1.15 - t, 0, 1) * 0.75
    lit = mix(np.array((212, 178, 190), np.float32), np.array((255, 222, 176), np.float32), np.exp(-distance / 300))
    picture = mix(picture, lit, cover)
    picture = picture + np.exp(-distance / 150)[..., None] * np.array((120, 88, 40), np.float32)
    disc = np.clip((34 - np.hypot(x - sun[0], y - sun[1])) / 2, 0, 1)
    return mix(picture, np.array((255, 246, 214), np.float32), disc)


def ridge(rng, base, height, roughness):
    """Height of a skyline for every column."""
    x = np.arange(W)
    line = np.zeros(W)
    for octave in range(1, 8):
        line += np.sin(x * octave * 2 * np.pi / W * rng.uniform(0.7, 1.4) + rng.uniform(0, 6.28)) / octave**roughness
    line = (line - line.min()) / (line.max() - line.min())
    return base - height * line


def hills(rng, picture, sun):
    y, x = np.mgrid[0:H, 0:W].astype(np.float32)
    far, near = np.array((148, 132, 160), np.float32), np.array((38, 52, 62), np.float32)
    for index, (base, height, roughness) in enumerate([(368, 130, 1.2), (372, 86, 1.1), (376, 46, 0.9)]):
        line = ridge(rng, base, height, roughness)
        if index == 2:  # trees: a ragged edge
            line = line - np.abs(np.repeat(rng.normal(0, 5, W // 3 + 1), 3)[:W])
        colour = far + (near - far) * (index / 2)
        glow = np.exp(-np.hypot(x - sun[0], y - sun[1]) / 220) * (1 - index / 3)
        haze = np.clip((y - line[None, :]) / 110, 0, 1) * (0.5 - 0.2 * index)
        layer = colour + glow[..., None] * np.array((90, 60, 26), np.float32) + haze[..., None] * np.array((70, 56, 50), np.float32)
        layer = layer * (0.94 + 0.12 * smooth_noise(rng, (H, W), 6))[..., None]
        picture = mix(picture, layer, np.clip(y - line[None, :], 0, 1))
    return picture


def lake(rng, picture, sun):
    """Mirrors what is above the horizon, with ripples that grow towards the viewer."""
    y, x = np.mgrid[HORIZON:H, 0:W].astype(np.float32)
    depth = (y - HORIZON) / (H - HORIZON)
    wave = smooth_noise(rng, (H - HORIZON, W), 6) - 0.5
    lines = np.sin((y - HORIZON) ** 0.82 * 2.2 + wave * 9)
    source_y = np.clip(HORIZON - 2 - (y - HORIZON) * 1.25 + lines * (1 + 9 * depth), 0, HORIZON - 2).astype(int)
    source_x = np.clip(x + wave * 26 * depth + lines * 3 * depth, 0, W - 1).astype(int)
    water = picture[source_y, source_x] * (0.86 - 0.22 * depth)[..., None] + np.array((2, 8, 16), np.float32)
    path = np.exp(-(((x - sun[0] - wave * 50) / (22 + 90 * depth)) ** 2)) * np.clip(lines + 0.35, 0, 1)
    water = water + path[..., None] * np.array((150, 112, 60), np.float32)
    picture = picture.copy()
    picture[HORIZON:] = water
    mist = np.exp(-(((np.arange(H) - HORIZON) / 16.0) ** 2))[:, None] * (0.35 + 0.4 * smooth_noise(rng, (H, W), 4))
    return mix(picture, np.array((250, 216, 190), np.float32), mist)


def boat(draw, x, y, scale):
    ink, water = (30, 28, 36, 255), (24, 24, 34, 110)
    p = lambda *points: [(x + px * scale, y + py * scale) for px, py in points]
    draw.polygon(p((-46, 0), (46, 0), (36, 12), (-36, 12)), fill=ink)
    draw.line(p((0, 0), (0, -74)), fill=ink, width=max(1, int(3 * scale)))
    draw.polygon(p((3, -72), (3, -8), (38, -8)), fill=(236, 214, 190, 255))
    draw.polygon(p((-3, -62), (-3, -8), (-24, -8)), fill=(214, 184, 166, 255))
    draw.polygon(p((-42, 15), (42, 15), (24, 28), (-24, 28)), fill=water)
    draw.polygon(p((-2, 30), (26, 30), (4, 70)), fill=(226, 204, 186, 60))


def heron_standing(draw, x, y, s):
    ink = (26, 28, 36, 255)
    p = lambda *points: [(x + px * s, y + py * s) for px, py in points]
    draw.line(p((-3, 0), (-2, 52)), fill=ink, width=int(3 * s))
    draw.line(p((7, 0), (8, 52)), fill=ink, width=int(3 * s))
    draw.polygon(p((-34, 8), (-20, -12), (4, -24), (18, -16), (14, 0), (0, 8), (-16, 10)), fill=ink)
    draw.line(p((12, -16), (22, -34), (14, -52), (20, -68)), fill=ink, width=int(6 * s), joint="curve")
    draw.polygon(p((14, -74), (24, -74), (52, -66), (24, -64), (15, -66)), fill=ink)


def heron_flying(draw, x, y, s):
    ink = (28, 30, 40, 255)
    p = lambda *points: [(x + px * s, y + py * s) for px, py in points]
    draw.polygon(p((-30, 2), (0, -8), (26, -6), (30, 0), (6, 8)), fill=ink)
    draw.polygon(p((-6, -4), (-34, -58), (-58, -74), (-30, -26), (12, -2)), fill=ink)
    draw.polygon(p((0, -4), (10, -54), (36, -82), (34, -44), (18, -2)), fill=ink)
    draw.line(p((26, -4), (38, -12), (34, -20)), fill=ink, width=int(5 * s), joint="curve")
    draw.polygon(p((30, -24), (42, -22), (62, -16), (38, -16)), fill=ink)
    draw.line(p((-28, 2), (-66, 10)), fill=ink, width=int(3 * s))


def reeds(draw, rng, left, right):
    for _ in range(90):
        x, tall, lean = rng.uniform(left, right), rng.uniform(40, 130), rng.uniform(-16, 22)
        points = [(x, H), (x + lean * 0.4, H - tall * 0.6), (x + lean, H - tall)]
        draw.line([(px * 3, py * 3) for px, py in points], fill=(22, 26, 28, 255), width=int(rng.integers(4, 10)))


def picture(sun, warmth, boat_at, flying):
    rng = np.random.default_rng(23)  # the same lake both times
    scene = lake(rng, hills(rng, sky(rng, sun, warmth), sun), sun)
    scene = scene + warmth * 14
    image = Image.fromarray(np.clip(scene, 0, 255).astype(np.uint8)).convert("RGBA")
    layer = Image.new("RGBA", (W * 3, H * 3), (0, 0, 0, 0))  # drawn large, then reduced: smooth edges
    draw = ImageDraw.Draw(layer)
    x, y, scale = boat_at
    boat(draw, x * 3, y * 3, scale * 3)
    reeds(draw, np.random.default_rng(5), -10, 150)
    reeds(draw, np.random.default_rng(6), 850, W + 10)
    if flying:
        heron_flying(draw, 470 * 3, 236 * 3, 3.6)
    else:
        heron_standing(draw, 232 * 3, 536 * 3, 3.6)
    layer = layer.resize((W, H), Image.LANCZOS).filter(ImageFilter.GaussianBlur(0.4))
    image = Image.alpha_composite(image, layer).convert("RGB")
    grain = np.random.default_rng(9).normal(0, 2.0, (H, W, 1))
    y, x = np.mgrid[0:H, 0:W]
    vignette = 1 - 0.22 * (((x - W / 2) / (W / 2)) ** 2 + ((y - H / 2) / (H / 2)) ** 2)[..., None] / 2
    return Image.fromarray(np.clip(np.asarray(image) * vignette + grain, 0, 255).astype(np.uint8))


def main():
    OUT.mkdir(exist_ok=True)
    start = picture((530, 296), 0.0, (330, 408, 0.72), flying=False)
    end = picture((650, 176), 1.0, (520, 414, 0.8), flying=True)
    for name, image in (("start", start), ("end", end)):
        path = OUT / f"{name}.jpg"
        image.save(path, quality=72, optimize=True)
        print(path, path.stat().st_size)


main()
