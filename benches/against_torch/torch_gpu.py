#!/usr/bin/env python3
"""PyTorch's side of scripts/bench --gpu: a step, all steps, decoding and a whole clip of a case on one GPU, in bf16, with random
weights made there; a line of JSON in, a line of JSON out, as `ltxd bench --random-weights` answers them.

    torch_gpu.py CASE --reference FOLDER [--device cuda:0] [--compile] [--attention NAME]

FOLDER is a checkout of the public LTX-2 repository. The transformer without its audio modality, its attention the one that the
code itself picks, or NAME of its list (sdpa_cudnn, sdpa_flash, flash_attention_3, ...); the VAE's decoder in one piece or with its own
tiles, whichever is faster where both fit. A clip is an image encoded, all steps, and frames. Times are between two CUDA events. The
context and the image are random: what they hold does not change the work.
"""

import argparse, json, math, struct, sys, time
from pathlib import Path

arguments = argparse.ArgumentParser(usage=__doc__)
arguments.add_argument("case", type=Path)
arguments.add_argument("--reference", type=Path, required=True)
arguments.add_argument("--device", default="cuda:0")
arguments.add_argument("--compile", action="store_true")
arguments.add_argument("--attention")
arguments = arguments.parse_args()
sys.path.insert(0, str(arguments.reference / "packages/ltx-core/src"))

import torch

from ltx_core.model.transformer.attention import AttentionFunction
from ltx_core.model.transformer.modality import Modality
from ltx_core.model.transformer.model_configurator import LTXVideoOnlyModelConfigurator
from ltx_core.model.video_vae.model_configurator import VideoDecoderConfigurator, VideoEncoderConfigurator
from ltx_core.tiling import DimensionSizeConfig, TileSizeConfig

DEVICE, KIND, SLOTS = torch.device(arguments.device), torch.bfloat16, 1024
torch.set_grad_enabled(False)


def metadata(path):
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    return {**header["__metadata__"], "config": json.loads(header["__metadata__"]["config"])}


def random_weights(configurator, about):
    """A module on the device whose matrices give a unit input an output of about one."""
    with torch.device("meta"):
        module = configurator.from_metadata(about)
    module = module.to_empty(device=DEVICE).to(KIND).eval()
    for name, tensor in list(module.named_parameters()) + list(module.named_buffers()):
        if not tensor.is_floating_point():
            continue
        if tensor.dim() > 1:
            tensor.normal_(0, 1 / math.sqrt(tensor[0].numel()))
        elif name.endswith(("norm.weight", "std-of-means")):
            tensor.normal_(1, 0.05)
        else:
            tensor.normal_(0, 0.02)
    return module


class Case:
    def __init__(self, folder):
        self.case = json.loads((folder / "case.json").read_text())
        self.about = metadata(folder / self.case["checkpoint"])
        self.parts = {}
        frames, height, width = (self.case["num_frames"] - 1) // 8 + 1, self.case["height"] // 32, self.case["width"] // 32
        self.shape = frames, height, width
        self.channels = self.about["config"]["transformer"]["in_channels"]
        width = self.about["config"]["transformer"]["cross_attention_dim"]
        self.context = torch.randn((1, SLOTS, width), device=DEVICE, dtype=KIND)
        self.image = torch.rand((1, 3, 1, self.case["height"], self.case["width"]), device=DEVICE, dtype=KIND) * 2 - 1
        self.whole = None
        self.latent = torch.randn((1, self.channels, *self.shape), device=DEVICE, dtype=KIND)

    def part(self, name, configurator):
        if name not in self.parts:
            module = self.parts[name] = random_weights(configurator, self.about)
            if name == "transformer" and arguments.attention:
                for inner in module.modules():
                    if hasattr(inner, "attention_function"):
                        inner.attention_function = AttentionFunction(arguments.attention).to_callable()
            if arguments.compile:
                for inner in module.transformer_blocks if name == "transformer" else [module]:
                    inner.compile()
        return self.parts[name]

    def sample(self, steps):
        return timed(self.sampler(steps))

    def sampler(self, steps):
        model = self.part("transformer", LTXVideoOnlyModelConfigurator)
        frames, height, width = self.shape
        tokens, first = frames * height * width, height * width
        x = torch.randn((1, tokens, self.channels), device=DEVICE)
        clean, mask = torch.zeros_like(x), torch.ones((1, tokens, 1), device=DEVICE)
        mask[:, :first] = 0
        spans = []
        for axis, (length, step) in enumerate(((frames, 8), (height, 32), (width, 32))):
            index = torch.arange(length, dtype=torch.float32, device=DEVICE)
            span = torch.stack([index * step, (index + 1) * step], dim=-1)
            spans.append((span - 7).clamp(min=0) / self.case["frame_rate"] if axis == 0 else span)
        grid = [spans[0][:, None, None], spans[1][None, :, None], spans[2][None, None]]
        positions = torch.stack([g.expand(frames, height, width, 2).reshape(tokens, 2) for g in grid])[None]
        sigmas = self.case["stage1_sigmas"][: steps + 1]

        def run(x):
            for sigma, following in zip(sigmas, sigmas[1:]):
                timesteps = mask * sigma
                video = Modality(
                    latent=x.to(KIND), sigma=torch.tensor([sigma], device=DEVICE), timesteps=timesteps, positions=positions, context=self.context
                )  # fmt: skip
                velocity, _ = model(video, None, None)
                denoised = (x - velocity.float() * timesteps) * mask + clean * (1 - mask)
                x = x + (x - denoised) / sigma * (following - sigma)
            return x

        return lambda: run(x)

    def step(self):
        return self.sample(1)

    def sampling(self):
        return self.sample(len(self.case["stage1_sigmas"]))

    def decoding(self):
        return timed(self.decoder())

    def decoder(self):
        """Decodes to bytes on the host, in one piece or in tiles: what is faster is found out once."""
        decoder = self.part("decoder", VideoDecoderConfigurator)
        space = DimensionSizeConfig(tile_size=768, overlap=64)
        tiles = TileSizeConfig(frames=DimensionSizeConfig(tile_size=80, overlap=24), height=space, width=space)
        host = lambda chunk: ((chunk.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).cpu()
        tiled = lambda: [host(chunk) for chunk in decoder.tiled_decode(self.latent, tiles)]
        whole = lambda: host(decoder(self.latent))
        if self.whole is None:
            try:
                whole()  # warm
                seconds = timed(whole)
                tiled()
                self.whole = seconds <= timed(tiled)
            except torch.OutOfMemoryError:
                self.whole = False
            if DEVICE.type == "cuda":
                # The trial is nobody's peak.
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats(DEVICE)
            print("decodes", "in one piece" if self.whole else "in tiles", file=sys.stderr, flush=True)
        return whole if self.whole else tiled

    def clip(self):
        encoder = self.part("encoder", VideoEncoderConfigurator)
        sample, decode = self.sampler(len(self.case["stage1_sigmas"])), self.decoder()
        return timed(lambda: (encoder(self.image), sample(), decode()))


def timed(work):
    """Seconds of `work`, from the moment the device is idle until it is again."""
    if DEVICE.type != "cuda":
        began = time.perf_counter()
        work()
        return time.perf_counter() - began
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize(DEVICE)
    start.record()
    work()
    end.record()
    torch.cuda.synchronize(DEVICE)
    return start.elapsed_time(end) / 1000


case = Case(arguments.case)
for line in sys.stdin:
    ask = json.loads(line)
    seconds = None
    if ask.get("stage") is None:
        case.parts.clear()
        if DEVICE.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(DEVICE)
    elif ask["stage"] != "image_encoding":
        seconds = getattr(case, ask["stage"])()
    peak = torch.cuda.max_memory_reserved(DEVICE) if DEVICE.type == "cuda" else None
    print(json.dumps({"seconds": seconds, "gpu_bytes": peak}), flush=True)
