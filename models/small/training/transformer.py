"""The diffusion transformer, video stream only, and the token layout around it. Names are the file's keys."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from attention import FeedForward, GatedAttention, fractional_rope, rms

SIGMAS = (1.0, 0.99375, 0.9875, 0.98125, 0.975, 0.909375, 0.725, 0.421875, 0.0)  # the distilled schedule
REFINING = (0.909375, 0.725, 0.421875, 0.0)
RATE = 24.0


class TimestepEmbedder(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.linear_1, self.linear_2 = nn.Linear(256, width), nn.Linear(width, width)

    def forward(self, t):
        """t, 0..1000. Cosines first."""
        frequency = torch.exp(torch.arange(128) * (-math.log(10000.0) / 128))
        angle = t[..., None].float() * frequency
        return self.linear_2(F.silu(self.linear_1(torch.cat([angle.cos(), angle.sin()], -1))))


class AdaLnSingle(nn.Module):
    def __init__(self, width, rows):
        super().__init__()
        self.emb = nn.Module()
        self.emb.timestep_embedder = TimestepEmbedder(width)
        self.linear = nn.Linear(width, rows * width)
        nn.init.zeros_(self.linear.weight), nn.init.zeros_(self.linear.bias)

    def forward(self, t):
        embedded = self.emb.timestep_embedder(t)
        return self.linear(F.silu(embedded)), embedded


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.attn1, self.attn2, self.ff = GatedAttention(width, heads), GatedAttention(width, heads), FeedForward(width)
        table = torch.zeros(9, width)
        table[2] = table[5] = table[8] = 0.3  # gates: a little open from the start
        self.scale_shift_table = nn.Parameter(table)
        self.prompt_scale_shift_table = nn.Parameter(torch.zeros(2, width))

    def forward(self, x, rows, prompt_rows, context, bias, rope, skip=False):
        """rows [B, T, 9, D]; prompt_rows [B, 1, 2, D]."""
        rows = (rows + self.scale_shift_table).unbind(2)
        shift, scale, gate = rows[0:3]
        x = x + gate * self.attn1(rms(x) * (1 + scale) + shift, rope=rope, skip=skip)
        shift, scale, gate = rows[6:9]
        prompt_shift, prompt_scale = (prompt_rows + self.prompt_scale_shift_table).unbind(2)
        modulated = context * (1 + prompt_scale) + prompt_shift
        x = x + gate * self.attn2(rms(x) * (1 + scale) + shift, context=modulated, bias=bias)
        shift, scale, gate = rows[3:6]
        return x + gate * self.ff(rms(x) * (1 + scale) + shift)


class Transformer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.heads, self.width = c["num_attention_heads"], c["num_attention_heads"] * c["attention_head_dim"]
        self.maxima, self.theta = c["positional_embedding_max_pos"], c["positional_embedding_theta"]
        self.patchify_proj = nn.Linear(c["in_channels"], self.width)
        self.adaln_single, self.prompt_adaln_single = AdaLnSingle(self.width, 9), AdaLnSingle(self.width, 2)
        self.transformer_blocks = nn.ModuleList(Block(self.width, self.heads) for _ in range(c["num_layers"]))
        self.scale_shift_table = nn.Parameter(torch.zeros(2, self.width))
        self.proj_out = nn.Linear(self.width, c["out_channels"])
        nn.init.zeros_(self.proj_out.weight), nn.init.zeros_(self.proj_out.bias)

    def modulation(self, timesteps):
        """Rows [B, T, 9, D] and embeddings [B, T, D], computed once per distinct timestep."""
        distinct, which = timesteps.unique(return_inverse=True)
        rows, embedded = self.adaln_single(distinct * 1000)
        return rows[which].unflatten(-1, (9, -1)), embedded[which]

    def forward(self, tokens, timesteps, sigma, context, bias, positions, skips=()):
        """Velocities. tokens [B, T, C]; timesteps [B, T] = mask x sigma; sigma [B]; positions [3, T]."""
        rope = fractional_rope(positions, self.maxima, self.theta, self.width, self.heads)
        rows, embedded = self.modulation(timesteps)
        prompt_rows = self.prompt_adaln_single(sigma[:, None] * 1000)[0].reshape(len(tokens), 1, 2, -1)
        x = self.patchify_proj(tokens)
        for i, block in enumerate(self.transformer_blocks):
            x = block(x, rows, prompt_rows, context, bias, rope, i in skips)
        shift, scale = (self.scale_shift_table + embedded[:, :, None]).unbind(2)
        return self.proj_out(F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift)


def positions(frames, height, width, keyframes=(), rate=RATE):
    """Middles of every token's range, [3, T]: seconds, pixels, pixels. Keyframes are appended, each one frame long."""
    spans = [(max(0, 8 * k - 7), 8 * k + 1) for k in range(frames)] + [(k, k + 1) for k in keyframes]
    times = torch.tensor([(torch.tensor(a / rate) + torch.tensor(b / rate)) / 2 for a, b in spans])
    grid = torch.meshgrid(times, torch.arange(height) * 32.0 + 16, torch.arange(width) * 32.0 + 16, indexing="ij")
    return torch.stack([g.flatten() for g in grid])


def to_tokens(latent):
    return latent.flatten(2).transpose(1, 2)


def to_latent(tokens, frames, height, width):
    return tokens.transpose(1, 2).reshape(len(tokens), -1, frames, height, width)


class Layout:
    """A stage's tokens: clean values, mask (1 where the sampler decides), positions."""

    def __init__(self, base, first=None, keyframes=()):
        """base [B, C, F, H, W]; first: a latent frame that replaces frame 0; keyframes: (frame, latent) to append."""
        b, c, f, h, w = base.shape
        self.shape, self.count = (f, h, w), f * h * w
        clean, mask = to_tokens(base), torch.ones(b, self.count)
        noised = [clean]
        if first is not None:
            clean = torch.cat([to_tokens(first), clean[:, h * w:]], 1)
            mask[:, : h * w] = 0
        parts = [clean] + [to_tokens(latent) for _, latent in keyframes]
        self.clean = torch.cat(parts, 1)
        self.base = torch.cat(noised + [torch.zeros_like(p) for p in parts[1:]], 1)
        self.mask = torch.cat([mask, torch.zeros(b, h * w * len(keyframes))], 1)
        self.positions = positions(f, h, w, [frame for frame, _ in keyframes])

    def sample(self, transformer, context, bias, noise, sigmas=SIGMAS):
        """Euler steps from the noise of the whole sequence; returns the clip's latent."""
        mask = self.mask[..., None]
        x = noise - (noise - self.base) * (1 - sigmas[0])
        x = x * mask + self.clean * (1 - mask)
        for now, after in zip(sigmas, sigmas[1:]):
            sigma = torch.full((len(x),), now)
            velocity = transformer(x, self.mask * now, sigma, context, bias, self.positions)
            denoised = (x - velocity * mask * now) * mask + self.clean * (1 - mask)
            x = x + (x - denoised) / now * (after - now)
        return to_latent(x[:, : self.count], *self.shape)
