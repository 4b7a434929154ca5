"""Where the shape is in a frame, and the figures of one clip. Only numpy."""

import math

import numpy as np

import data


def share_of_shape(clip, frame):
    """How much of every pixel is the shape's colour rather than the background's, 0..1."""
    back = data.backdrop(clip)
    way = clip.rgb.astype(np.float32) - back
    length = np.maximum((way * way).sum(-1), 1e-3)
    return np.clip(((frame / 255.0 - back) * way).sum(-1) / length, 0, 1)


def pieces(mask):
    """Connected pieces of a mask, largest first: lists of (rows, columns)."""
    left, found = mask.copy(), []
    while left.any():
        row, column = np.argwhere(left)[0]
        stack, rows, columns = [(row, column)], [], []
        left[row, column] = False
        while stack:
            r, c = stack.pop()
            rows.append(r), columns.append(c)
            for y, x in ((r + 1, c), (r - 1, c), (r, c + 1), (r, c - 1)):
                if 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1] and left[y, x]:
                    left[y, x] = False
                    stack.append((y, x))
        found.append((np.array(rows), np.array(columns)))
    return sorted(found, key=lambda piece: -len(piece[0]))


def track(clip, frame):
    """The middle (x, y) of the one shape in a frame, or None where there is none, or more than one.

    One shape: the largest piece has 50 to 170 % of the true area, and no other piece has 20 % of it.
    """
    area = float(data.coverage(clip, clip.start).sum())
    found = pieces(share_of_shape(clip, frame) > 0.5)
    if not found or not 0.5 * area <= len(found[0][0]) <= 1.7 * area:
        return None
    if len(found) > 1 and len(found[1][0]) >= 0.2 * area:
        return None
    rows, columns = found[0]
    return np.array([columns.mean() + 0.5, rows.mean() + 0.5])


def psnr(found, expected, mask=None):
    error = ((found.astype(np.float64) - expected) ** 2).mean(-1)
    error = error.mean() if mask is None else error[mask].mean()
    return 10 * math.log10(255**2 / max(error, 1e-2))


def moves_as_named(clip, frames):
    """One shape in the last frame, at least 8 pixels from the start, within 22.5 degrees of the named direction."""
    begin, end = track(clip, frames[0]), track(clip, frames[-1])
    if end is None:
        return False
    way = end - (clip.start if begin is None else begin)
    named = np.array(data.DIRECTIONS[clip.direction], float)
    length = np.linalg.norm(way)
    return bool(length >= 8 and way @ named / (length * np.linalg.norm(named)) >= math.cos(math.radians(22.5)))


def middle_on_the_way(clip, frames):
    """The middle frame holds one shape, 20 to 80 % of the way, at most 8 pixels off the line."""
    at = track(clip, frames[len(frames) // 2])
    if at is None:
        return False
    way = clip.end - clip.start
    length = np.linalg.norm(way)
    along, across = (at - clip.start) @ way / length, np.cross(np.append(way, 0), np.append(at - clip.start, 0))[2] / length
    return bool(0.2 <= along / length <= 0.8 and abs(across) <= 8)


def figures(clip, truth, masks, frames, has_end):
    """Every figure of one generated clip."""
    start, end = masks[0] > 127, masks[-1] > 127
    result = {"first": psnr(frames[0], truth[0]), "first_mask": psnr(frames[0], truth[0], start)}
    if has_end:
        moved = start | end
        result |= {
            "last": psnr(frames[-1], truth[-1]),
            "last_mask": psnr(frames[-1], truth[-1], end),
            "gain_over_start": psnr(frames[-1], truth[-1], moved) - psnr(truth[0], truth[-1], moved),
            "middle_on_the_way": middle_on_the_way(clip, frames),
        }
    else:
        result["moves_as_named"] = moves_as_named(clip, frames)
    return result
