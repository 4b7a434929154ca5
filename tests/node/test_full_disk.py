"""A disk that fills while a generation runs: it fails as such, the node lives, and goes on once there is room."""

import subprocess
from pathlib import Path

import pytest
from ltx.v1 import generation_pb2 as g, node_service_pb2 as about

from harness.client import refused
from harness.events import kind
from harness.node import ENDLESS, HOLD, QUICK
from harness.requests import endless, small
from harness.waiting import eventually

TMPFS = 'mount -t tmpfs -o size=24m tmpfs "$1" || exit 99; shift; exec "$@"'


@pytest.fixture
def within(tmp_path):
    """A command that executes another one with a small disk at a folder of its own; and that folder."""
    disk = tmp_path / "disk"
    disk.mkdir()
    for unshare in (["unshare", "-m"], ["unshare", "-rm"]):
        command = [*unshare, "bash", "-c", TMPFS, "bash", str(disk)]
        if subprocess.run([*command, "true"], capture_output=True).returncode == 0:
            return command, disk
    pytest.skip("this machine permits no mount")


def fill(path):
    """Takes every byte there is."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                pass


def beginning(client, faults=""):
    """A clip of which steps are made, and which does not end."""
    id_ = client.create(endless(), faults=faults).id
    next(news for news in client.stream(id_) if news.event.progress.stage == g.STAGE_DENOISING)
    return id_


def test_it_fails_as_such_and_the_node_goes_on(tmp_path, within, nodes):
    command, disk = within
    node = nodes.make(*QUICK, *ENDLESS, "limits.reserve_bytes=0", name="disk/data", log=tmp_path / "log").start(under=command)
    with node.client() as client:
        before = client.finished(small(), faults="none")
        root = f"/proc/{node.process.pid}/root"
        filler, written = Path(f"{root}{disk}/filler"), lambda id_: Path(f"{root}{node.data}/outputs/.{id_}.partial")
        # What is held writes nothing once the latent of its step is kept, and leaves no room by failing.
        held = beginning(client, HOLD)
        eventually(Path(f"{root}{node.data}/latents/{held}").exists, "its latent is kept")
        fill(filler)
        refusal = refused(client.create, small(3))
        assert (refusal.code, refusal.reason) == ("RESOURCE_EXHAUSTED", "STORAGE_FULL")
        filler.unlink()
        client.cancel(held)
        assert kind(client.watch(held)[-1]) == "cancelled"
        id_ = beginning(client)
        assert written(id_).exists()
        fill(filler)
        # It stops working once nothing can be written: the folder that it wrote to is given up.
        eventually(lambda: not written(id_).exists(), "the node stops working")
        assert client.about().state == about.NODE_STATE_READY
        filler.unlink()
        last = client.watch(id_)[-1]
        assert last.failed.failure.reason == g.FAILURE_REASON_STORAGE_FULL and last.failed.failure.retryable
        assert client.finished(small(), faults="none").mark.frames_sha256 == before.mark.frames_sha256
