"""Attention and feed-forward as LTX blocks have them, and the split rotary embedding. Names are the file's keys."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F


def rms(x, eps=1e-6):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)


class RmsNorm(nn.Module):
    def __init__(self, width, plus_one=False):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width) if plus_one else torch.ones(width))
        self.plus_one = plus_one

    def forward(self, x):
        return rms(x) * (1 + self.weight if self.plus_one else self.weight)


def fractional_rope(positions, maxima, theta, width, heads):
    """Positions [axes, tokens] -> cos, sin [tokens, heads, head_dim / 2]. The grid is float64, the angles float32."""
    axes = len(maxima)
    count = width // (2 * axes)
    grid = theta ** torch.linspace(0, 1, count, dtype=torch.float64) * (math.pi / 2)
    stretched = torch.stack([positions[i].float() / m * 2 - 1 for i, m in enumerate(maxima)], -1)
    angles = (grid.float()[None, :, None] * stretched[:, None, :]).flatten(1)
    angles = F.pad(angles, (width // 2 - angles.shape[1], 0))
    angles = angles.reshape(len(angles), heads, width // heads // 2)
    return angles.cos(), angles.sin()


def rotate(x, rope):
    """x [B, T, heads, head_dim]: the halves of every head rotate against each other."""
    cos, sin = rope
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def attend(q, k, v, bias=None, scale=None):
    """Attention over [B, heads, T, head_dim]. For training written out: on short sequences the backward pass of torch's
    own kernel takes a third of a CPU's step."""
    if not torch.is_grad_enabled():
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=scale)
    scores = (q @ k.transpose(-1, -2)).float() * (q.shape[-1] ** -0.5 if scale is None else scale)
    if bias is not None:
        scores = scores.masked_fill(~bias, -math.inf) if bias.dtype == torch.bool else scores + bias
    return torch.softmax(scores, -1).to(v.dtype) @ v


class GatedAttention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width) for _ in range(3))
        self.q_norm, self.k_norm = RmsNorm(width), RmsNorm(width)
        self.to_gate_logits = nn.Linear(width, heads)
        self.to_out = nn.ModuleList([nn.Linear(width, width)])
        nn.init.zeros_(self.to_gate_logits.weight), nn.init.zeros_(self.to_gate_logits.bias)

    def split(self, x):
        return x.reshape(*x.shape[:2], self.heads, -1)

    def forward(self, x, context=None, rope=None, bias=None, skip=False):
        """`bias` [B, 1, 1, S] is added to the scores; `skip` passes the values through (STG)."""
        source = x if context is None else context
        v = self.split(self.to_v(source))
        if not skip:
            q, k = self.split(self.q_norm(self.to_q(x))), self.split(self.k_norm(self.to_k(source)))
            if rope is not None:
                q, k = rotate(q, rope), rotate(k, rope)
            q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
            v = attend(q, k, v, bias).transpose(1, 2)
        gate = 2 * torch.sigmoid(self.to_gate_logits(x))
        return self.to_out[0]((v * gate[..., None]).flatten(2))


class FeedForward(nn.Module):
    """The keys are net.0.proj and net.2."""

    def __init__(self, width):
        super().__init__()
        first = nn.Module()
        first.proj = nn.Linear(width, 4 * width)
        self.net = nn.ModuleList([first, nn.Identity(), nn.Linear(4 * width, width)])

    def forward(self, x):
        return self.net[2](F.gelu(self.net[0].proj(x), approximate="tanh"))
