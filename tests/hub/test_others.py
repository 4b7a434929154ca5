"""What ltxd shares with other programs: huggingface_hub's cache in both directions, and folders that are used in place."""

import json, os, shutil, subprocess, sys

import pytest

from harness import command
from harness.paths import GUARD, MODELS
from harness.machine import DEFAULTS, WEIGHTS, of_tiny

TINY = """
name = "published-tiny"
aliases = []
family = "ltx-2.3"
version = "2.3.0"
licence = "none"
description = "The tiny model, as if it were published."

[files.checkpoint]
repository = "Maker/weights"
file = "tiny/ltx-2.3-tiny-dev.safetensors"

[files.text_encoder]
repository = "Maker/encoder-of-text"
files = ["config.json", "tokenizer.json", "model*.safetensors"]

[files.upscaler]
repository = "Maker/weights"
file = "tiny/ltx-2.3-tiny-spatial-upscaler-x2.safetensors"

""" + DEFAULTS


@pytest.fixture
def tiny(machine, hub):
    hub.repositories = of_tiny()
    (machine.manifests / "large.toml").unlink()
    machine.manifest(TINY, "published-tiny")
    return hub.repositories


def generate(machine, tmp_path, code=0, **environment):
    out = tmp_path / "clip.mp4"
    return machine.run(*command.generate(out, model=("--model", "published-tiny")), code=code, **environment), out


def python(machine, code, **environment):
    """What a program with huggingface_hub prints, as JSON."""
    environment = {**machine.environment, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", **environment}
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=GUARD)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


def test_one_pull_and_one_generate_is_all(machine, tiny, tmp_path):
    ended, out = generate(machine, tmp_path, code=1)
    assert "ltxd pull published-tiny" in ended.stderr and "ltx-2.3-tiny-dev.safetensors" in ended.stderr
    machine.run("pull", "published-tiny")
    _, out = generate(machine, tmp_path, HF_HUB_OFFLINE="1")
    assert out.stat().st_size > 1000


def test_huggingface_hub_opens_what_was_pulled(machine, hub, tiny):
    machine.run("pull", "published-tiny")
    before = len(hub.requests())
    code = """
import json
from huggingface_hub import hf_hub_download, snapshot_download, scan_cache_dir, try_to_load_from_cache
one = hf_hub_download("Maker/weights", "tiny/ltx-2.3-tiny-dev.safetensors")
folder = snapshot_download("Maker/encoder-of-text")
found = try_to_load_from_cache("Maker/encoder-of-text", "config.json")
scan = scan_cache_dir()
repos = {repo.repo_id: repo.size_on_disk for repo in scan.repos}
print(json.dumps([one, folder, found, repos, [str(warning) for warning in scan.warnings]]))
"""
    one, folder, found, repos, warnings = python(machine, code, HF_HUB_OFFLINE="1")
    with open(one, "rb") as file:
        assert file.read() == tiny[WEIGHTS].files["tiny/ltx-2.3-tiny-dev.safetensors"]
    assert sorted(os.listdir(folder)) == ["config.json", "model.safetensors", "tokenizer.json"]
    assert found == f"{folder}/config.json" and not warnings
    assert repos[WEIGHTS] == sum(map(len, tiny[WEIGHTS].files.values()))
    assert len(hub.requests()) == before


def test_what_huggingface_hub_fetched_is_found(machine, hub, tiny, tmp_path):
    code = """
import json
from huggingface_hub import hf_hub_download, snapshot_download
for name in ("dev", "spatial-upscaler-x2"):
    hf_hub_download("Maker/weights", f"tiny/ltx-2.3-tiny-{name}.safetensors")
print(json.dumps(snapshot_download("Maker/encoder-of-text")))
"""
    python(machine, code)
    before = len(hub.requests())
    machine.run("pull", "published-tiny", HF_HUB_OFFLINE="1")
    assert machine.models()["published-tiny"]["state"] == "here"
    generate(machine, tmp_path, HF_HUB_OFFLINE="1")
    assert len(hub.requests()) == before


def test_files_of_another_program_are_used_in_place(machine, hub, tiny, tmp_path):
    comfy = tmp_path / "ComfyUI"
    for folder, name in {"checkpoints": "ltx-2.3-tiny-dev", "latent_upscale_models": "ltx-2.3-tiny-spatial-upscaler-x2"}.items():
        (comfy / "models" / folder).mkdir(parents=True)
        shutil.copy(MODELS / f"tiny/{name}.safetensors", comfy / "models" / folder)
    shutil.copytree(MODELS / "tiny/gemma", comfy / "models/text_encoders/encoder-of-text")
    machine.run("pull", "published-tiny", "--from", comfy)
    assert not hub.requests() and not machine.blobs()
    model = machine.models()["published-tiny"]
    assert model["state"] == "here" and {file["state"] for file in model["files"]} == {"found"}
    assert all(file["path"].startswith(str(comfy)) for file in model["files"])
    generate(machine, tmp_path, HF_HUB_OFFLINE="1")
    # A file that has become another one is no longer taken for what was found.
    (comfy / "models/checkpoints/ltx-2.3-tiny-dev.safetensors").write_bytes(b"another")
    assert machine.models()["published-tiny"]["state"] == "in part"


def test_what_another_program_lacks_is_fetched(machine, hub, tiny, tmp_path):
    shutil.copytree(MODELS / "tiny/gemma", tmp_path / "desktop/models/encoder-of-text")
    machine.run("pull", "published-tiny", "--from", tmp_path / "desktop")
    assert not hub.requests(path="encoder-of-text")
    assert hub.sent == sum(map(len, tiny[WEIGHTS].files.values()))


def test_files_that_only_have_the_name_are_left_alone(machine, hub, tiny, tmp_path):
    machine.run("pull", "published-tiny")
    shutil.rmtree(machine.cache)
    comfy = tmp_path / "ComfyUI/models/checkpoints"
    comfy.mkdir(parents=True)
    checkpoint = bytearray(tiny[WEIGHTS].files["tiny/ltx-2.3-tiny-dev.safetensors"])
    checkpoint[-1] ^= 1
    (comfy / "ltx-2.3-tiny-dev.safetensors").write_bytes(checkpoint)
    (comfy / "ltx-2.3-tiny-spatial-upscaler-x2.safetensors").write_bytes(b"short")
    said = machine.run("pull", "published-tiny", "--from", tmp_path / "ComfyUI").stderr
    assert "SHA-256 is not the published one's" in said and "it has 5 bytes" in said
    assert machine.models()["published-tiny"]["state"] == "here"
    assert {file["state"] for file in machine.models()["published-tiny"]["files"]} == {"cache"}


def test_a_file_that_is_there_twice(machine, tiny, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / "from" / folder).mkdir(parents=True)
        (tmp_path / "from" / folder / "ltx-2.3-tiny-dev.safetensors").write_bytes(folder.encode())
    said = machine.run("pull", "published-tiny", "--from", tmp_path / "from", code=2).stderr
    assert "more than once" in said and "from/a" in said and "from/b" in said


def test_a_folder_that_is_not_there(machine, tiny):
    assert "/nonexistent" in machine.run("pull", "published-tiny", "--from", "/nonexistent", code=1).stderr
