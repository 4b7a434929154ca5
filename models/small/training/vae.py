"""The video VAE: 32 x 32 x 8 pixels per latent element, causal encoder, symmetric decoder.

Module and parameter names are the keys of the official file. The file's order of patch channels is (c, column, row).
"""

import torch
import torch.nn as nn
import torch.nn.functional as F

CONFIG = {
    "_class_name": "CausalVideoAutoencoder",
    "dims": 3,
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 128,
    "encoder_blocks": [
        ["res_x", {"num_layers": 1}],
        ["compress_space_res", {"multiplier": 2}],
        ["res_x", {"num_layers": 1}],
        ["compress_time_res", {"multiplier": 1}],
        ["res_x", {"num_layers": 1}],
        ["compress_all_res", {"multiplier": 2}],
        ["res_x", {"num_layers": 2}],
        ["compress_all_res", {"multiplier": 2}],
        ["res_x", {"num_layers": 1}],
    ],
    "decoder_blocks": [
        ["res_x", {"num_layers": 1}],
        ["compress_space", {"multiplier": 2}],
        ["res_x", {"num_layers": 1}],
        ["compress_time", {"multiplier": 1}],
        ["res_x", {"num_layers": 2}],
        ["compress_all", {"multiplier": 2}],
        ["res_x", {"num_layers": 2}],
        ["compress_all", {"multiplier": 2}],
        ["res_x", {"num_layers": 1}],
    ],
    "scaling_factor": 1.0,
    "norm_layer": "pixel_norm",
    "patch_size": 4,
    "latent_log_var": "uniform",
    "use_quant_conv": False,
    "causal_decoder": False,
    "timestep_conditioning": False,
    "normalize_latent_channels": False,
    "encoder_base_channels": 16,
    "decoder_base_channels": 16,
    "spatial_padding_mode": "zeros",
}
STRIDES = {"compress_space": (1, 2, 2), "compress_time": (2, 1, 1), "compress_all": (2, 2, 2)}


class Conv(nn.Module):
    """3x3x3; time is padded with copies of the first frame (and of the last, if not causal), space with zeros."""

    def __init__(self, inputs, outputs, causal):
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, 3, padding=(0, 1, 1))
        self.causal = causal
        nn.init.normal_(self.conv.weight, std=(27 * inputs) ** -0.5)
        nn.init.zeros_(self.conv.bias)

    def forward(self, x):
        first = x[:, :, :1]
        if x.shape[2] == 1:  # all three frames that a kernel sees are the same one
            return F.conv2d(x[:, :, 0], self.conv.weight.sum(2), self.conv.bias, padding=1)[:, :, None]
        x = torch.cat([first, first, x] if self.causal else [first, x, x[:, :, -1:]], 2)
        return self.conv(x)


def norm_silu(x):
    return F.silu(x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8))


class ResBlock(nn.Module):
    def __init__(self, channels, causal):
        super().__init__()
        self.conv1, self.conv2 = Conv(channels, channels, causal), Conv(channels, channels, causal)
        nn.init.normal_(self.conv2.conv.weight, std=1e-3)

    def forward(self, x):
        return x + self.conv2(norm_silu(self.conv1(norm_silu(x))))


class ResBlocks(nn.Module):
    def __init__(self, channels, layers, causal):
        super().__init__()
        self.res_blocks = nn.ModuleList(ResBlock(channels, causal) for _ in range(layers))

    def forward(self, x):
        for block in self.res_blocks:
            x = block(x)
        return x


def fold(x, stride):
    """Space and time to channels, ordered (c, time, row, column)."""
    b, c, f, h, w = x.shape
    t, r, k = stride
    x = x.reshape(b, c, f // t, t, h // r, r, w // k, k).permute(0, 1, 3, 5, 7, 2, 4, 6)
    return x.reshape(b, c * t * r * k, f // t, h // r, w // k)


def unfold(x, stride):
    b, c, f, h, w = x.shape
    t, r, k = stride
    x = x.reshape(b, c // (t * r * k), t, r, k, f, h, w).permute(0, 1, 5, 2, 6, 3, 7, 4)
    return x.reshape(b, c // (t * r * k), f * t, h * r, w * k)


class Down(nn.Module):
    """Fold behind a convolution, plus a skip that averages groups of folded channels."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        folded = stride[0] * stride[1] * stride[2]
        self.conv = Conv(inputs, outputs // folded, True)
        self.outputs, self.stride = outputs, stride

    def forward(self, x):
        if self.stride[0] == 2:
            x = torch.cat([x[:, :, :1], x], 2)
        skip = fold(x, self.stride)
        skip = skip.reshape(skip.shape[0], self.outputs, -1, *skip.shape[2:]).mean(2)
        return fold(self.conv(x), self.stride) + skip


class Up(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        copies = stride[0] * stride[1] * stride[2]
        self.conv = Conv(inputs, outputs * copies, False)
        self.stride, self.copies = stride, copies
        with torch.no_grad():  # begins as a repetition of every element, so that the picture's mean gets through at once
            first = nn.init.orthogonal_(torch.empty(outputs, inputs))
            self.conv.conv.weight.mul_(0.3)
            self.conv.conv.weight[:, :, 1, 1, 1] += first.repeat_interleave(copies, 0)

    def forward(self, x):
        x = unfold(self.conv(x), self.stride)
        return x[:, :, 1:] if self.stride[0] == 2 else x


class Encoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        patch, channels = config["patch_size"], config["encoder_base_channels"]
        self.patch, self.latent = patch, config["latent_channels"]
        self.conv_in = Conv(3 * patch * patch, channels, True)
        self.down_blocks = nn.ModuleList()
        for name, fields in config["encoder_blocks"]:
            if name == "res_x":
                self.down_blocks.append(ResBlocks(channels, fields["num_layers"], True))
            else:
                outputs = channels * fields["multiplier"]
                self.down_blocks.append(Down(channels, outputs, STRIDES[name.removesuffix("_res")]))
                channels = outputs
        self.conv_out = Conv(channels, self.latent + 1, True)  # one more: the log-variance, not used

    def forward(self, pixels):
        b, c, f, h, w = pixels.shape
        p = self.patch
        x = pixels.reshape(b, c, f, h // p, p, w // p, p).permute(0, 1, 6, 4, 2, 3, 5)
        x = self.conv_in(x.reshape(b, c * p * p, f, h // p, w // p))
        for block in self.down_blocks:
            x = block(x)
        return self.conv_out(norm_silu(x))[:, : self.latent]


class Decoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.patch, channels = config["patch_size"], config["decoder_base_channels"]
        for name, fields in config["decoder_blocks"]:
            channels *= fields.get("multiplier", 1)
        self.conv_in = Conv(config["latent_channels"], channels, False)
        self.up_blocks = nn.ModuleList()
        for name, fields in reversed(config["decoder_blocks"]):
            if name == "res_x":
                self.up_blocks.append(ResBlocks(channels, fields["num_layers"], False))
            else:
                outputs = channels // fields["multiplier"]
                self.up_blocks.append(Up(channels, outputs, STRIDES[name]))
                channels = outputs
        self.conv_out = Conv(channels, 3 * self.patch * self.patch, False)

    def forward(self, latent):
        x = self.conv_in(latent)
        for block in self.up_blocks:
            x = block(x)
        x = self.conv_out(norm_silu(x))
        b, c, f, h, w = x.shape
        p = self.patch
        x = x.reshape(b, c // (p * p), p, p, f, h, w).permute(0, 1, 4, 5, 3, 6, 2)
        return x.reshape(b, c // (p * p), f, h * p, w * p)


class VideoVae(nn.Module):
    """Pixels are [B, 3, 8k+1, H, W] in -1..1; latents [B, 128, k+1, H/32, W/32]."""

    def __init__(self, config=CONFIG):
        super().__init__()
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        self.register_buffer("mean", torch.zeros(config["latent_channels"]))
        self.register_buffer("std", torch.ones(config["latent_channels"]))

    def normalize(self, raw):
        view = (1, -1, 1, 1, 1)
        return (raw - self.mean.view(view)) / self.std.view(view)

    def unnormalize(self, latent):
        view = (1, -1, 1, 1, 1)
        return latent * self.std.view(view) + self.mean.view(view)

    def encode(self, pixels):
        return self.normalize(self.encoder(pixels))

    def decode(self, latent):
        return self.decoder(self.unnormalize(latent))
