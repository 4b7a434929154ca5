"""A ring of rendered training clips: a few new ones with every step, drawn again with flips and swapped colours."""

import numpy as np
import torch

import data
from images import round_trip


class Pool:
    def __init__(self, capacity, first_seed, stride=1):
        self.capacity, self.seed, self.stride = capacity, first_seed, stride
        self.clips = []

    def add(self):
        """Renders the next seed's clip; keeps two of its frames as the engine would see them as images."""
        assert self.seed < data.HELD_OUT
        pixels, masks = data.render(data.draw(self.seed))
        entry = (pixels, masks, round_trip(pixels[0]), round_trip(pixels[-1]))
        if len(self.clips) < self.capacity:
            self.clips.append(entry)
        else:
            self.clips[(self.seed // self.stride) % self.capacity] = entry
        self.seed += self.stride

    def batch(self, rng, count, size, degrade, frames=17):
        """Inputs, targets [B, 3, 17, size, size] in -1..1 and weights' masks [B, 1, 17, size, size].

        size 64 is a crop or the half-size picture. With probability `degrade` the input's first frame is a compressed one.
        """
        inputs, targets, masks = [], [], []
        for _ in range(count):
            pixels, mask, first, last = self.clips[rng.integers(len(self.clips))]
            if rng.random() < 0.5:
                pixels, mask, first = pixels[::-1], mask[::-1], last
            if frames < len(pixels):
                if frames > 1:
                    start = rng.integers(len(pixels) - frames + 1)
                    first = first if start == 0 else pixels[start]
                    pixels, mask = pixels[start:start + frames], mask[start:start + frames]
                else:
                    pixels, mask = pixels[:1], mask[:1]
            x = torch.from_numpy(pixels.copy()).permute(3, 0, 1, 2).float() / 127.5 - 1
            m = torch.from_numpy(mask.copy())[None].float() / 255
            i = x
            if rng.random() < degrade:
                i = x.clone()
                i[:, 0] = torch.from_numpy(first).permute(2, 0, 1).float() / 127.5 - 1
            stack = torch.cat([i, x, m])
            if size < data.SIZE:
                if rng.random() < 0.5:
                    stack = torch.nn.functional.avg_pool2d(stack, data.SIZE // size)
                else:
                    inside = np.argwhere(mask[rng.integers(len(mask))] > 127)
                    row, column = inside[rng.integers(len(inside))] if len(inside) else (size // 2, size // 2)
                    top = int(np.clip(row - rng.integers(8, size - 8), 0, data.SIZE - size))
                    left = int(np.clip(column - rng.integers(8, size - 8), 0, data.SIZE - size))
                    stack = stack[:, :, top:top + size, left:left + size]
            flip = [axis for axis in (2, 3) if rng.random() < 0.5]
            stack = stack.flip(flip) if flip else stack
            if rng.random() < 0.5:
                stack = stack.transpose(2, 3)
            if rng.random() < 0.5:
                order = torch.from_numpy(rng.permutation(3))
                stack = torch.cat([stack[:3][order], stack[3:6][order], stack[6:]])
            inputs.append(stack[:3]), targets.append(stack[3:6]), masks.append(stack[6:])
        return torch.stack(inputs), torch.stack(targets), torch.stack(masks)
