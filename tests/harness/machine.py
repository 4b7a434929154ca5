"""A machine with an empty cache and manifests of its own, and what a hub publishes for them."""

import json, subprocess

from harness.hub import Repository
from harness.paths import ENVIRONMENT, GUARD, LTXD, MODELS

WEIGHTS, ENCODER = "Maker/weights", "Maker/encoder-of-text"
# How the models of these tests are sampled.
DEFAULTS = """[defaults]
schedule = "distilled"
stages = 1
width = 128
height = 96
frames = 17
fps = 24.0
steps = 8
image_crf = 33

[defaults.guidance]
cfg_scale = 3.0
stg_scale = 1.0
rescale_scale = 0.7
stg_blocks = [1]
"""
# A model whose files are large enough to be fetched in several ranges.
LARGE = """
name = "large"
aliases = ["Large One"]
family = "ltx-2.3"
version = "2.3.0"
licence = "none"
description = "Random bytes."

[files.checkpoint]
repository = "Maker/weights"
file = "large.safetensors"

[[files.components]]
repository = "Maker/weights"
file = "vae/vae.safetensors"

[files.text_encoder]
repository = "Maker/encoder-of-text"
files = ["config.json", "model*.safetensors"]

""" + DEFAULTS


class Machine:
    """An empty cache, a folder of manifests, and ltxd with the hub's variables."""

    def __init__(self, folder, hub):
        self.folder, self.hub = folder, hub
        self.home, self.cache, self.manifests = folder / "home", folder / "home/hub", folder / "manifests"
        self.manifests.mkdir(parents=True)
        known = {name: value for name, value in ENVIRONMENT.items() if not name.startswith(("HF_", "XDG_")) and "proxy" not in name.lower()}
        # A hub that is paused, or a machine that is busy, makes no connection a bad one.
        patient = {"HF_HUB_DOWNLOAD_TIMEOUT": str(GUARD), "HF_HUB_ETAG_TIMEOUT": str(GUARD)}
        self.environment = {**known, **patient, "HOME": str(folder / "user"), "HF_HOME": str(self.home), "HF_ENDPOINT": hub.url}
        self.under, self.started = [], []

    def manifest(self, text, name="large"):
        (self.manifests / f"{name}.toml").write_text(text)

    def command(self, *words):
        return [*self.under, LTXD, *map(str, words), *(["--models-dir", str(self.manifests)] if words[0] in ("pull", "models", "generate") else [])]

    def run(self, *words, code=0, **environment):
        ended = subprocess.run(self.command(*words), capture_output=True, text=True, env={**self.environment, **environment}, timeout=GUARD)
        assert ended.returncode == code, f"exit code {ended.returncode}\n{ended.stdout}{ended.stderr}"
        return ended

    def start(self, *words, stdout=None):
        """What it says goes to the file `log`, unless it is to be read."""
        with (self.folder / "log").open("a") as log:
            self.started.append(subprocess.Popen(self.command(*words), stdout=stdout or log, stderr=log, text=True, env=self.environment))
        return self.started[-1]

    def end(self):
        """Ends what a test has left running."""
        for process in self.started:
            process.kill()
            process.wait()

    def models(self):
        return {model["name"]: model for model in json.loads(self.run("models", "--json").stdout)["models"]}

    def snapshot(self, repository, commit):
        return self.cache / f"models--{repository.replace('/', '--')}" / "snapshots" / commit

    def blobs(self):
        """{name: bytes} of everything in folders of blobs."""
        return {path.name: path.stat().st_size for path in self.cache.glob("models--*/blobs/*")}

    def holds(self, repository, name):
        """Whether a repository's published files are here, bit for bit, and nothing is left beside them."""
        snapshot = self.snapshot(name, repository.commit)
        there = {str(path.relative_to(snapshot)): path.read_bytes() for path in snapshot.rglob("*") if path.is_file()}
        return there.items() <= repository.files.items() and not any("ltxd" in name for name in self.blobs()) and sorted(there)


def published(rng, megabytes):
    """Two repositories with random files, most of the bytes in the first."""
    size = int(megabytes * 1e6)
    sizes = {"large.safetensors": size * 7 // 10, "vae/vae.safetensors": size // 5}
    weights = Repository({name: rng.randbytes(bytes) for name, bytes in sizes.items()} | {"README.md": b"# Weights\n"}, large=set(sizes))
    shards = {f"model-0000{n}-of-00002.safetensors": rng.randbytes(size // 20 + n) for n in (1, 2)}
    encoder = Repository(shards | {"config.json": b"{}\n", "other.bin": b"not wanted"}, commit="f" * 40, large={*shards, "other.bin"})
    return {WEIGHTS: weights, ENCODER: encoder}


def wanted(repositories):
    """Bytes of large files that the model takes."""
    return sum(len(data) for repo in repositories.values() for name, data in repo.files.items() if name in repo.large and name != "other.bin")


def of_tiny():
    """The repository's tiny model, published as a large one is."""
    files = {f"tiny/{path.name}": path.read_bytes() for path in (MODELS / "tiny").glob("*.safetensors")}
    encoder = {path.name: path.read_bytes() for path in (MODELS / "tiny/gemma").iterdir() if path.is_file()}
    return {
        WEIGHTS: Repository(files, large=set(files)),
        ENCODER: Repository(encoder, commit="e" * 40, large={name for name in encoder if name.endswith("safetensors")}),
    }
