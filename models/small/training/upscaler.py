"""The x2 latent upscaler. It works on un-normalised latents. Names are the keys of its file."""

import torch.nn as nn
import torch.nn.functional as F


class ResBlock(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv3d(width, width, 3, padding=1), nn.GroupNorm(32, width)
        self.conv2, self.norm2 = nn.Conv3d(width, width, 3, padding=1), nn.GroupNorm(32, width)

    def forward(self, x):
        y = F.silu(self.norm1(self.conv1(x)))
        return F.silu(self.norm2(self.conv2(y)) + x)


class Upscaler(nn.Module):
    def __init__(self, c):
        super().__init__()
        latent, width, blocks = c["in_channels"], c["mid_channels"], c["num_blocks_per_stage"]
        self.initial_conv = nn.Conv3d(latent, width, 3, padding=1)
        self.initial_norm = nn.GroupNorm(32, width)
        self.res_blocks = nn.ModuleList(ResBlock(width) for _ in range(blocks))
        self.upsampler = nn.ModuleList([nn.Conv2d(width, 4 * width, 3, padding=1)])
        self.post_upsample_res_blocks = nn.ModuleList(ResBlock(width) for _ in range(blocks))
        self.final_conv = nn.Conv3d(width, latent, 3, padding=1)

    def forward(self, x):
        """[B, C, F, H, W] -> [B, C, F, 2H, 2W]"""
        x = F.silu(self.initial_norm(self.initial_conv(x)))
        for block in self.res_blocks:
            x = block(x)
        b, c, f, h, w = x.shape
        x = self.upsampler[0](x.transpose(1, 2).flatten(0, 1))
        x = F.pixel_shuffle(x, 2).reshape(b, f, c, 2 * h, 2 * w).transpose(1, 2)
        for block in self.post_upsample_res_blocks:
            x = block(x)
        return self.final_conv(x)
