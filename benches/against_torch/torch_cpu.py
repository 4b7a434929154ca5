#!/usr/bin/env python3
"""PyTorch's side of scripts/bench: the stages of a case on request, a line of JSON in, a line of JSON out, as `ltxd bench`
answers them. Video only: the official transformer without its audio modality, the official VAE and connector, transformers'
Gemma; all in float32, weights as in the files.

    torch_cpu.py CASE --reference FOLDER [--threads N] [--compile]

FOLDER is a checkout of the public LTX-2 repository (packages/ltx-core is imported from it). Nothing of it is kept here. The
transformer of LTX-Video 0.9.8 is diffusers'. `given` in a line names what a step takes from the other side, context and image latent.
"""

import argparse, json, os, struct, sys, time
from pathlib import Path

arguments = argparse.ArgumentParser(usage=__doc__)
arguments.add_argument("case", type=Path)
arguments.add_argument("--reference", type=Path, required=True)
arguments.add_argument("--threads", type=int, default=2)
arguments.add_argument("--compile", action="store_true")
arguments = arguments.parse_args()
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = str(arguments.threads)
sys.path.insert(0, str(arguments.reference / "packages/ltx-core/src"))

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import Gemma3TextConfig, Gemma3TextModel

from ltx_core.model.transformer.modality import Modality
from ltx_core.model.transformer.model_configurator import LTXVideoOnlyModelConfigurator
from ltx_core.model.video_vae.model_configurator import VideoDecoderConfigurator, VideoEncoderConfigurator
from ltx_core.text_encoders.gemma.embeddings_connector import Embeddings1DConnectorConfigurator
from ltx_core.text_encoders.gemma.feature_extractor import FeatureExtractorV2

SLOTS, SLOTS_T5 = 1024, 256
torch.set_num_threads(arguments.threads)
torch.set_grad_enabled(False)


class File:
    """A safetensors file, read a tensor at a time into float32; nothing stays mapped, so nothing but tensors is resident."""

    def __init__(self, path):
        self.path = path
        with open(path, "rb") as file:
            length = struct.unpack("<Q", file.read(8))[0]
            self.header = json.loads(file.read(length))
        self.begin = 8 + length
        self.metadata = self.header.pop("__metadata__", {})
        self.metadata = {**self.metadata, "config": json.loads(self.metadata.get("config", "{}"))}

    def tensor(self, name):
        entry = self.header[name]
        first, end = entry["data_offsets"]
        kind = {"BF16": torch.bfloat16, "F32": torch.float32}[entry["dtype"]]
        with open(self.path, "rb") as file:
            file.seek(self.begin + first)
            data = np.fromfile(file, np.uint8, end - first)
        return torch.from_numpy(data).view(kind).reshape(entry["shape"]).to(torch.float32)

    def fill(self, module, names):
        """Gives every parameter and buffer of a module made on the meta device its tensor; `names` maps the module's to the
        file's, None leaves one out."""
        wanted = {name: names(name) for name in module.state_dict()}
        state = {name: self.tensor(key) for name, key in wanted.items() if key is not None}
        module.load_state_dict(state, strict=False, assign=True)
        left = [name for name, tensor in module.named_parameters() if tensor.is_meta]
        left += [name for name, tensor in module.named_buffers() if tensor.is_meta]
        if left:
            raise SystemExit(f"torch_cpu: no weights for {left[:3]}")
        return module.eval()


class Case:
    def __init__(self, folder):
        self.case = json.loads((folder / "case.json").read_text())
        self.folder = folder
        self.ltx = File(folder / self.case["checkpoint"])
        self.gemma = folder / self.case["text_encoder"]
        self.points = self.case.get("family", "").startswith("ltxv")
        self.parts = {}
        self.context = self.image = self.latent = None

    def part(self, name):
        if name not in self.parts:
            self.parts[name] = getattr(self, f"load_{name}")()
        return self.parts[name]

    def compiled(self, *modules):
        if arguments.compile:
            for module in modules:
                module.compile()

    def load_text(self):
        config = Gemma3TextConfig(**json.loads((self.gemma / "config.json").read_text())["text_config"])
        file = File(self.gemma / "model.safetensors")
        with torch.device("meta"):
            gemma = Gemma3TextModel(config)
        # Buffers are not in the file: made anew, off the meta device.
        gemma.rotary_emb = type(gemma.rotary_emb)(config)
        gemma.embed_tokens.embed_scale = torch.tensor(config.hidden_size**0.5)
        file.fill(gemma, lambda name: f"language_model.model.{name}" if "rotary" not in name and "embed_scale" not in name else None)
        with torch.device("meta"):
            embed = "text_embedding_projection.video_aggregate_embed"
            outputs, inputs = self.ltx.header[f"{embed}.weight"]["shape"]
            features = FeatureExtractorV2(torch.nn.Linear(inputs, outputs), config.hidden_size)
            connector = Embeddings1DConnectorConfigurator.from_metadata(self.ltx.metadata)
        self.ltx.fill(features, lambda name: f"text_embedding_projection.{name}")
        self.ltx.fill(connector, lambda name: f"model.diffusion_model.video_embeddings_connector.{name}")
        self.compiled(*gemma.layers, *connector.transformer_1d_blocks)
        return gemma, features, connector, Tokenizer.from_file(str(self.gemma / "tokenizer.json"))

    def load_vae(self, configurator, side):
        with torch.device("meta"):
            module = configurator.from_metadata(self.ltx.metadata)
        name = lambda name: f"vae.{name}" if name.startswith("per_channel") else f"vae.{side}.{name}"
        self.ltx.fill(module, lambda key: name(key) if name(key) in self.ltx.header else None)
        self.compiled(module)
        return module

    def load_encoder(self):
        return self.load_vae(VideoEncoderConfigurator, "encoder")

    def load_decoder(self):
        return self.load_vae(VideoDecoderConfigurator, "decoder")

    def load_points(self):
        """LTX-Video 0.9.x."""
        from diffusers import LTXVideoTransformer3DModel

        config = self.ltx.metadata["config"]["transformer"]
        sizes = ("in_channels", "out_channels", "num_attention_heads", "attention_head_dim", "cross_attention_dim", "num_layers", "caption_channels")
        with torch.device("meta"):
            model = LTXVideoTransformer3DModel(**{name: config[name] for name in sizes})
        official = {"proj_in.": "patchify_proj.", "time_embed.": "adaln_single.", "norm_q.": "q_norm.", "norm_k.": "k_norm."}

        def name(key):
            for theirs, ours in official.items():
                key = key.replace(theirs, ours) if theirs != "proj_in." or key.startswith(theirs) else key
            return f"model.diffusion_model.{key}"

        self.ltx.fill(model, name)
        self.compiled(*model.transformer_blocks)
        return model

    def load_transformer(self):
        if self.points:
            return self.load_points()
        with torch.device("meta"):
            model = LTXVideoOnlyModelConfigurator.from_metadata(self.ltx.metadata)
        self.ltx.fill(model, lambda name: f"model.diffusion_model.{name}")
        self.compiled(*model.transformer_blocks)
        return model

    # The stages. Each returns its seconds, loading left out, and what it computed.

    def text_encoding(self, prompt):
        gemma, features, connector, tokenizer = self.part("text")
        ids = tokenizer.encode(prompt.strip()).ids
        ids = ids if ids[:1] == [2] else [2, *ids]
        count = len(ids)
        began = time.perf_counter()
        # As the official encoder: always padded to 1,024 in front, the connector's input moved to the front.
        tokens = torch.tensor([[0] * (SLOTS - count) + ids])
        mask = torch.tensor([[0] * (SLOTS - count) + [1] * count])
        states = gemma(input_ids=tokens, attention_mask=mask, output_hidden_states=True, use_cache=False).hidden_states
        video, _ = features(states, mask)
        del states
        video = torch.cat([video[:, SLOTS - count :], video[:, : SLOTS - count]], dim=1)
        additive = torch.full((1, 1, 1, SLOTS), torch.finfo(torch.float32).min)
        additive[..., :count] = 0
        self.context = connector(video, additive)[0]
        return time.perf_counter() - began, self.context

    def image_encoding(self, _):
        encoder = self.part("encoder")
        pixels = np.asarray(Image.open(self.folder / self.case["images"][0]["file"]).convert("RGB"), dtype=np.float32)
        pixels = torch.from_numpy(pixels / 127.5 - 1).permute(2, 0, 1)[None, :, None].contiguous()
        began = time.perf_counter()
        self.image = encoder(pixels)
        return time.perf_counter() - began, self.image

    def start(self):
        """The noised tokens, the mask and the positions: the image replaces the first latent frame."""
        case, channels = self.case, self.image.shape[1]
        frames, height, width = (case["num_frames"] - 1) // 8 + 1, case["height"] // 32, case["width"] // 32
        tokens, first = frames * height * width, height * width
        generator = torch.Generator().manual_seed(case["seed"])
        if self.points:
            noise = torch.randn((1, channels, frames, height, width), generator=generator).flatten(2).transpose(1, 2).contiguous()
        else:
            noise = torch.randn((1, tokens, channels), generator=generator)
        clean = torch.zeros_like(noise)
        clean[:, :first] = self.image.flatten(2).transpose(1, 2)
        mask = torch.ones((1, tokens, 1))
        mask[:, :first] = 0
        spans = []
        for axis, (length, step) in enumerate(((frames, 8), (height, 32), (width, 32))):
            index = torch.arange(length, dtype=torch.float32)
            span = torch.stack([index * step, (index + 1) * step], dim=-1)
            spans.append((span - 7).clamp(min=0) / case["frame_rate"] if axis == 0 else span)
        grid = [spans[0][:, None, None], spans[1][None, :, None], spans[2][None, None]]
        positions = torch.stack([g.expand(frames, height, width, 2).reshape(tokens, 2) for g in grid])[None]
        return noise * mask + clean * (1 - mask), clean, mask, positions, (frames, height, width)

    def velocity(self, model, x, sigma, timesteps, positions, first):
        if self.points:
            # As diffusers has it: every slot of the prompt, those behind it masked; a token stands where its range begins.
            mask = torch.zeros((1, SLOTS_T5))
            mask[:, : self.context.shape[1]] = 1
            context = torch.nn.functional.pad(self.context, (0, 0, 0, SLOTS_T5 - self.context.shape[1]))
            named = dict(encoder_hidden_states=context, encoder_attention_mask=mask, video_coords=positions[..., 0], return_dict=False)
            return model(hidden_states=x, timestep=1000 * timesteps[..., 0], **named)[0]
        marked = {"keyframes_mask": first} if model.use_keyframes_abs_pos_embedding else {}
        video = Modality(latent=x, sigma=torch.tensor([sigma]), timesteps=timesteps, positions=positions, context=self.context, **marked)
        return model(video, None, None)[0]

    def sample(self, steps):
        model = self.part("transformer")
        x, clean, mask, positions, shape = self.start()
        sigmas = self.case["stage1_sigmas"][: steps + 1]
        first = torch.zeros_like(mask)
        first[:, : shape[1] * shape[2]] = 1
        began = time.perf_counter()
        for sigma, following in zip(sigmas, sigmas[1:]):
            timesteps = mask * sigma
            velocity = self.velocity(model, x, sigma, timesteps, positions, first)
            denoised = (x - velocity * timesteps) * mask + clean * (1 - mask)
            x = x + (x - denoised) / sigma * (following - sigma)
        seconds = time.perf_counter() - began
        self.latent = x.transpose(1, 2).reshape(1, -1, *shape).contiguous()
        return seconds, self.latent

    def step(self, _):
        return self.sample(1)

    def sampling(self, _):
        return self.sample(len(self.case["stage1_sigmas"]))

    def decoding(self, _):
        decoder = self.part("decoder")
        if self.latent is None:  # Any latent takes as long: what sampling begins with.
            x, _, _, _, shape = self.start()
            self.latent = x.transpose(1, 2).reshape(1, -1, *shape).contiguous()
        began = time.perf_counter()
        frames = decoder(self.latent)
        return time.perf_counter() - began, frames

    def whole(self, prompt):
        """As ltxd: a part is loaded when its stage begins and dropped when it ends."""
        began = time.perf_counter()
        for stage in (self.text_encoding, self.image_encoding, self.sampling, self.decoding):
            self.parts.clear()
            _, output = stage(prompt)
        self.parts.clear()
        return time.perf_counter() - began, output


def peak_bytes():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024


case = Case(arguments.case)
for line in sys.stdin:
    ask = json.loads(line)
    seconds = None
    if given := ask.get("given"):
        case.context, case.image = (load_file(given[name])["output"].float() for name in ("context", "image"))
    elif ask.get("stage") is None:
        case.parts.clear()
    else:
        seconds, output = getattr(case, ask["stage"])(ask.get("prompt") or case.case["prompt"])
        if ask.get("dump"):
            save_file({"output": output.contiguous()}, ask["dump"])
    print(json.dumps({"seconds": seconds, "peak_bytes": peak_bytes()}), flush=True)
