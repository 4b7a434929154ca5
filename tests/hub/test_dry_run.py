"""`ltxd pull --dry-run`: what would be fetched and how much, without a network where the lock or the manifest knows it."""

import json, shutil, subprocess
from pathlib import Path

from harness.paths import LTXD, MODELS
from harness.machine import wanted

CLOSED = "http://127.0.0.1:9"


def test_every_manifest_without_a_network(machine):
    words = [LTXD, "pull", "--dry-run", "--json", "--models-dir", MODELS]
    ended = subprocess.run(words, capture_output=True, text=True, env={**machine.environment, "HF_ENDPOINT": CLOSED})
    assert ended.returncode == 0, ended.stderr
    told = {model["name"]: model["files"] for model in json.loads(ended.stdout)["models"]}
    assert {f"{path.stem}" for path in MODELS.glob("*.toml")} == set(told)
    for name, files in told.items():
        for file in files:
            if name.endswith(("-tiny", "-small")):
                assert file["state"] == "local", (name, file)
            else:
                assert file["state"] == "to_fetch" and file["repository"] and file["published"], (name, file)
    distilled = {file["part"]: file for file in told["ltx-2.3-distilled"]}
    assert distilled["checkpoint"]["bytes"] == 46_149_345_334
    assert distilled["upscaler"]["bytes"] == 995_743_560
    # What is only about known is said so, and no size to check by.
    dev = {file["part"]: file for file in told["ltx-2.3-dev"]}
    assert dev["checkpoint"]["bytes"] is None and dev["checkpoint"]["about_bytes"] == 46_100_000_000
    assert dev["upscaler"]["about_bytes"] is None and dev["text_encoder"]["about_bytes"] == 25_000_000_000
    offline = {**machine.environment, "HF_HUB_OFFLINE": "1"}
    text = subprocess.run([*words[:3], *words[4:]], capture_output=True, text=True, env=offline)
    assert text.returncode == 0 and "46.1 GB" in text.stdout and "Lightricks/LTX-2.3" in text.stdout
    one = subprocess.run([LTXD, "pull", "--dry-run", "ltx-2.3-dev", "--models-dir", MODELS], capture_output=True, text=True, env=offline)
    for line in ("about 46.1 GB  Lightricks/LTX-2.3/ltx-2.3-22b-dev.safetensors", "(about 25.0 GB in all)", "to fetch in all: about 79.7 GB"):
        assert line in one.stdout, one.stdout
    listed = subprocess.run([LTXD, "models", "--models-dir", MODELS], capture_output=True, text=True, env=offline).stdout
    assert "ltx-2.3-dev  [not on this machine: about 79.7 GB missing]" in listed, listed


def test_what_the_lock_has_seen(machine, hub, large):
    first = json.loads(machine.run("pull", "large", "--dry-run", "--json").stdout)
    assert first["bytes"] == wanted(large) + 3 and not hub.requests("files")
    assert not (machine.manifests / "models.lock").exists()
    machine.run("pull", "large")
    shutil.rmtree(machine.cache)
    told = json.loads(machine.run("pull", "large", "--dry-run", "--json", HF_ENDPOINT=CLOSED).stdout)
    assert told["bytes"] == wanted(large) + 3 and told["dry_run"] and not told["notes"]
    published = [file for item in told["models"][0]["files"] for file in item["published"]]
    assert len(published) == 5 and all(file["missing_bytes"] == file["bytes"] for file in published)
    assert machine.models()["large"]["missing_bytes"] == wanted(large) + 3


def test_a_lock_in_a_folder_of_ones_own(machine, hub, large):
    """Manifests that may not be written have their lock in the user's folder."""
    machine.run("pull", "large")
    lock = machine.manifests / "models.lock"
    users = Path(machine.environment["HOME"]) / ".local/share/ltxd/models.lock"
    users.parent.mkdir(parents=True)
    lock.rename(users)
    shutil.rmtree(machine.cache)
    told = json.loads(machine.run("pull", "large", "--dry-run", "--json", HF_ENDPOINT=CLOSED).stdout)
    assert told["bytes"] == wanted(large) + 3
