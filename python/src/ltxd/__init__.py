"""ltxd, a self-hosted LTX video node: its client for Python.

    import ltxd

    with ltxd.Client("http://127.0.0.1:7750") as client:
        generation = client.create(ltxd.image_to_video("A heron takes off.", "lake.jpg", frames=97))
        for event in client.watch(generation.id):
            print(event.number, event.WhichOneof("event"))
        client.download(generation.id, "clip.mp4")

`ltxd.aio.Client` is the same for asyncio. `ltxd.v1` has the contract's messages, generated from `proto/ltx/v1`. A call that
the node refuses raises `Refused`, with reason, remedy, the fields that are wrong and when to try again. `ltxd.testing.Node`
runs a node, and the pytest fixture `ltxd_node` gives one to a test. `python -m ltxd` is the command `ltxd`.
"""

from __future__ import annotations

from ltxd import aio, v1
from ltxd._binary import binary, models_dir
from ltxd.client import Client
from ltxd.errors import (
    BrokenDownload,
    ConnectionLost,
    GenerationCancelled,
    GenerationFailed,
    Ground,
    InvalidField,
    LimitReached,
    LtxdError,
    NotFound,
    PolicyRefused,
    Refused,
    Unauthenticated,
    Violation,
)
from ltxd.requests import Fields, ImageSource, image, image_to_video, start_end_frames

__all__ = [
    "BrokenDownload",
    "Client",
    "ConnectionLost",
    "Fields",
    "GenerationCancelled",
    "GenerationFailed",
    "Ground",
    "ImageSource",
    "InvalidField",
    "LimitReached",
    "LtxdError",
    "NotFound",
    "PolicyRefused",
    "Refused",
    "Unauthenticated",
    "Violation",
    "aio",
    "binary",
    "image",
    "image_to_video",
    "models_dir",
    "start_end_frames",
    "v1",
]
