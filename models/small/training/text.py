"""Prompt to context: a small Gemma-3, the projection of all its states, and the connector.

The engine works on 1,024 slots: the prompt's tokens, then registers, over and over. Where the connector has no effect
between slots (its output projections are zero), slots that hold the same register are equal, and the cross-attention may
see each register once, with the logarithm of its count added to the score. `few_slots` does that; it is exact then.
"""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from attention import attend, FeedForward, GatedAttention, RmsNorm, fractional_rope, rms, rotate

SLOTS = 1024
PAD, BOS = 0, 2


class GemmaAttention(nn.Module):
    def __init__(self, c):
        super().__init__()
        width, heads, kv, d = (c[k] for k in ("hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim"))
        self.q_proj, self.o_proj = nn.Linear(width, heads * d, bias=False), nn.Linear(heads * d, width, bias=False)
        self.k_proj, self.v_proj = nn.Linear(width, kv * d, bias=False), nn.Linear(width, kv * d, bias=False)
        self.q_norm, self.k_norm = RmsNorm(d, True), RmsNorm(d, True)
        self.heads, self.kv, self.d, self.scale = heads, kv, d, c["query_pre_attn_scalar"] ** -0.5

    def forward(self, x, rope, mask):
        b, t, _ = x.shape
        q = rotate(self.q_norm(self.q_proj(x).reshape(b, t, self.heads, self.d)), rope).transpose(1, 2)
        k = rotate(self.k_norm(self.k_proj(x).reshape(b, t, self.kv, self.d)), rope).transpose(1, 2)
        v = self.v_proj(x).reshape(b, t, self.kv, self.d).transpose(1, 2)
        k, v = (y.repeat_interleave(self.heads // self.kv, 1) for y in (k, v))
        y = attend(q, k, v, mask, self.scale)
        return self.o_proj(y.transpose(1, 2).flatten(2))


class GemmaMlp(nn.Module):
    def __init__(self, width, inner):
        super().__init__()
        self.gate_proj, self.up_proj = nn.Linear(width, inner, bias=False), nn.Linear(width, inner, bias=False)
        self.down_proj = nn.Linear(inner, width, bias=False)

    def forward(self, x):
        return self.down_proj(F.gelu(self.gate_proj(x), approximate="tanh") * self.up_proj(x))


class GemmaLayer(nn.Module):
    def __init__(self, c):
        super().__init__()
        width = c["hidden_size"]
        self.self_attn, self.mlp = GemmaAttention(c), GemmaMlp(width, c["intermediate_size"])
        self.input_layernorm, self.post_attention_layernorm = RmsNorm(width, True), RmsNorm(width, True)
        self.pre_feedforward_layernorm, self.post_feedforward_layernorm = RmsNorm(width, True), RmsNorm(width, True)

    def forward(self, x, rope, mask):
        x = x + self.post_attention_layernorm(self.self_attn(self.input_layernorm(x), rope, mask))
        return x + self.post_feedforward_layernorm(self.mlp(self.pre_feedforward_layernorm(x)))


class Gemma(nn.Module):
    """All hidden states. Prompts are padded in front and sit at the end of the 1,024 positions."""

    def __init__(self, config):
        super().__init__()
        self.c = c = config
        self.embed_tokens = nn.Embedding(c["vocab_size"], c["hidden_size"])
        nn.init.normal_(self.embed_tokens.weight, std=c["hidden_size"] ** -0.5)
        self.layers = nn.ModuleList(GemmaLayer(c) for _ in range(c["num_hidden_layers"]))
        self.norm = RmsNorm(c["hidden_size"], True)

    def rope(self, tokens, layer):
        c = self.c
        whole = (layer + 1) % c["sliding_window_pattern"] == 0
        theta = c["rope_theta"] if whole else c["rope_local_base_freq"]
        factor = (c.get("rope_scaling") or {"factor": 1.0})["factor"] if whole else 1.0
        inverse = 1 / theta ** (torch.arange(0, c["head_dim"], 2).float() / c["head_dim"]) / factor
        angles = torch.arange(SLOTS - tokens, SLOTS).float()[:, None, None] * inverse
        return angles.cos(), angles.sin()

    def forward(self, ids):
        """ids [B, T], PAD in front -> states [B, T, H, L + 1]."""
        t = ids.shape[1]
        real = ids != PAD
        mask = torch.ones(t, t, dtype=torch.bool).tril()[None, None] & real[:, None, None, :]
        mask = mask | torch.eye(t, dtype=torch.bool)  # a pad sees itself, so that nothing is divided by zero
        x = self.embed_tokens(ids) * self.c["hidden_size"] ** 0.5
        states = [x]
        for i, layer in enumerate(self.layers):
            x = layer(x, self.rope(t, i), mask)
            states.append(self.norm(x) if i + 1 == len(self.layers) else x)
        return torch.stack(states, -1)


class ConnectorBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.attn1, self.ff = GatedAttention(width, heads), FeedForward(width)
        for last in (self.attn1.to_out[0], self.ff.net[2]):
            nn.init.zeros_(last.weight), nn.init.zeros_(last.bias)

    def forward(self, x, rope):
        x = x + self.attn1(rms(x), rope=rope)
        return x + self.ff(rms(x))


class Connector(nn.Module):
    def __init__(self, c):
        super().__init__()
        heads = c["connector_num_attention_heads"]
        self.width, self.heads = heads * c["connector_attention_head_dim"], heads
        self.maximum = c["connector_positional_embedding_max_pos"]
        self.learnable_registers = nn.Parameter(0.5 * torch.randn(c["connector_num_learnable_registers"], self.width))
        self.transformer_1d_blocks = nn.ModuleList(
            ConnectorBlock(self.width, heads) for _ in range(c["connector_num_layers"]))

    def forward(self, features, lengths):
        """features [B, T, D], real tokens in front, lengths [B] -> [B, 1024, D]."""
        b, t, d = features.shape
        slot = torch.arange(SLOTS)
        filling = self.learnable_registers[slot % len(self.learnable_registers)]
        x = torch.where((slot[None] < lengths[:, None])[..., None], F.pad(features, (0, 0, 0, SLOTS - t)), filling)
        rope = fractional_rope(slot[None].float(), self.maximum, 10000.0, self.width, self.heads)
        for block in self.transformer_1d_blocks:
            x = block(x, rope)
        return rms(x)

    def few_slots(self, features, lengths):
        """The same, every register once: [B, T + R, D], and the bias of the scores [B, 1, 1, T + R]."""
        b, t, d = features.shape
        count = len(self.learnable_registers)
        x = torch.cat([features, self.learnable_registers.expand(b, -1, -1)], 1)
        for block in self.transformer_1d_blocks:  # only what acts on one slot alone
            x = x + block.ff(rms(x))
        slot = torch.arange(SLOTS)
        times = torch.stack([(slot[n:] % count).bincount(minlength=count) for n in lengths.tolist()])
        real = torch.arange(t)[None] < lengths[:, None]
        bias = torch.cat([torch.where(real, 0.0, -math.inf), times.float().log()], 1)
        return rms(x), bias[:, None, None]


class TextEncoder(nn.Module):
    def __init__(self, gemma_config, transformer_config):
        super().__init__()
        self.gemma = Gemma(gemma_config)
        self.connector = Connector(transformer_config)
        states = gemma_config["num_hidden_layers"] + 1
        self.video_aggregate_embed = nn.Linear(gemma_config["hidden_size"] * states, self.connector.width)
        self.rescale = (self.connector.width / gemma_config["hidden_size"]) ** 0.5

    def features(self, prompts, least=0):
        """Lists of token ids -> features [B, T, D] with the real tokens in front, and lengths [B]. T is `least` or more."""
        longest = max(least, *map(len, prompts))
        ids = torch.tensor([[PAD] * (longest - len(p)) + list(p) for p in prompts])
        states = self.gemma(ids)
        states = states * torch.rsqrt(states.square().mean(2, keepdim=True) + 1e-6)
        features = self.video_aggregate_embed(states.flatten(2) * self.rescale)
        features = torch.stack([torch.roll(f, len(p) - longest, 0) for f, p in zip(features, prompts)])
        return features, torch.tensor([len(p) for p in prompts])

    def forward(self, prompts, few=False, least=0):
        """The context and the bias of its scores (None for the whole 1,024 slots)."""
        features, lengths = self.features(prompts, least)
        if few:
            return self.connector.few_slots(features, lengths)
        return self.connector(features, lengths), None
