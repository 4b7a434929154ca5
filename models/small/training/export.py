"""To and from the official files: models/small holds the checkpoint, the upscaler and the Gemma folder, bf16."""

import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

import config
from text import TextEncoder
from transformer import Transformer
from upscaler import Upscaler
from vae import VideoVae

CHECKPOINT = "ltx-2.3-small.safetensors"
UPSCALER = "ltx-2.3-small-spatial-upscaler-x2.safetensors"
PREFIX = "model.diffusion_model."
CONNECTOR = PREFIX + "video_embeddings_connector."
PROJECTION = "text_embedding_projection.video_aggregate_embed."
GEMMA = "language_model.model."
STATISTICS = {"mean": "vae.per_channel_statistics.mean-of-means", "std": "vae.per_channel_statistics.std-of-means"}


def under(module, prefix):
    return {prefix + name: tensor for name, tensor in module.state_dict().items()}


def save(tensors, path, metadata):
    """Writes a new file and renames it over the old one: somebody may have the old one mapped."""
    tensors = {name: t.detach().to(torch.bfloat16).contiguous() for name, t in tensors.items()}
    new = path.with_name(path.name + ".new")
    save_file(tensors, new, metadata={"format": "pt", **metadata})
    new.rename(path)


def export(folder, vae, text, transformer, upscaler, tokenizer):
    folder = Path(folder)
    (folder / "gemma").mkdir(parents=True, exist_ok=True)
    tensors = {"vae." + n: t for n, t in vae.state_dict().items() if n not in STATISTICS}
    tensors |= {key: getattr(vae, name) for name, key in STATISTICS.items()}
    tensors |= under(transformer, PREFIX) | under(text.connector, CONNECTOR)
    tensors |= under(text.video_aggregate_embed, PROJECTION)
    sections = {"transformer": config.TRANSFORMER, "vae": config.VAE, "scheduler": config.SCHEDULER}
    save(tensors, folder / CHECKPOINT, {"config": json.dumps(sections), "model_version": "2.3.0"})
    if upscaler is not None:
        save(dict(upscaler.state_dict()), folder / UPSCALER, {"config": json.dumps(config.UPSCALER)})
    save(under(text.gemma, GEMMA), folder / "gemma" / "model.safetensors", {})
    write = lambda name, value: (folder / "gemma" / name).write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")
    write("config.json", config.gemma(text.gemma.c["vocab_size"]))
    write("tokenizer.json", tokenizer.file)
    write("tokenizer_config.json", tokenizer.settings)


def read(path):
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name).float() for name in file.keys()}
        return tensors, json.loads((file.metadata() or {}).get("config", "null"))


def strip(tensors, prefix, but=()):
    return {n[len(prefix):]: t for n, t in tensors.items() if n.startswith(prefix) and not n.startswith(tuple(but))}


def checkpoint_of(folder):
    return Path(folder) / CHECKPOINT


def load_vae(folder_or_file):
    path = Path(folder_or_file)
    tensors, sections = read(checkpoint_of(path) if path.is_dir() else path)
    vae = VideoVae(sections["vae"])
    state = strip(tensors, "vae.")
    for name, key in STATISTICS.items():
        state[name] = state.pop(key.removeprefix("vae."))
    vae.load_state_dict({n: t for n, t in state.items()})
    return vae


def load_text(checkpoint, gemma_folder):
    tensors, sections = read(checkpoint)
    settings = json.loads((Path(gemma_folder) / "config.json").read_text())
    text = TextEncoder(settings.get("text_config", settings), sections["transformer"])
    language, _ = read(Path(gemma_folder) / "model.safetensors")
    text.gemma.load_state_dict(strip(language, GEMMA))
    text.connector.load_state_dict(strip(tensors, CONNECTOR))
    text.video_aggregate_embed.load_state_dict(strip(tensors, PROJECTION))
    return text


def load_transformer(checkpoint):
    tensors, sections = read(checkpoint)
    model = Transformer(sections["transformer"])
    wanted = model.state_dict()
    model.load_state_dict({n: t for n, t in strip(tensors, PREFIX).items() if n in wanted})
    return model


def load_upscaler(path):
    tensors, settings = read(path)
    model = Upscaler(settings)
    model.load_state_dict(tensors)
    return model
