"""Rounds of attacks that come in thousands, each like the one before: nothing of them stays open, and the node makes the same frames
behind them. That memory does not grow from one to the next is the campaign's to say, resident memory being the system's as well: a
leak of a kilobyte a request would show."""

import concurrent.futures, time
from typing import NamedTuple

import grpc
import pytest
from ltx.v1 import upload_service_pb2 as uploads

from harness import http2 as w
from harness.attacks import FLOODS, flood, leave_uploads, reset_streams
from harness.bombs import large_bombs, small_bombs
from harness.paths import GUARD, ROOT
from harness.requests import KINDS, START
from harness.target import TOKEN, upload_of
from harness.waiting import eventually

WITHIN = 0.05
MEDIA = ROOT / "crates/ltx-media/tests/data"
PICTURES = [
    START,
    *(
        (MEDIA / f"{name}").read_bytes()
        for name in ("start.png", "fuzz/lossy.webp", "fuzz/progressive.jpg", "fuzz/palette.png")
    ),
]


def work(target):
    """Ordinary work: the digests of its frames. Mistakes are ordinary, too, and more uploads than a client may have at once."""
    with target.node.client() as client:
        made = [client.finished(KINDS[kind]()) for kind in ("image, distilled", "ends, two stages")]

        def upload(data):
            header = uploads.UploadHeader(total_bytes=len(data))
            client.uploads.UploadImage(
                iter([uploads.UploadImageRequest(header=header), uploads.UploadImageRequest(chunk=data)]), timeout=GUARD
            )

        def one(number):
            client.download(made[0].id)
            client.about()
            for call in (
                lambda: upload(PICTURES[number % len(PICTURES)]),
                lambda: upload(b"no image"),
                lambda: client.get("no id"),
            ):
                try:
                    call()
                except grpc.RpcError:
                    pass

        with concurrent.futures.ThreadPoolExecutor(16) as clients:
            list(clients.map(one, range(64)))
    return [generation.mark.frames_sha256 for generation in made]


class Round(NamedTuple):
    """How many frames a flood has, how many connections are left, and images."""

    frames: int
    resets: int
    bombs: dict


def attack(target, rng, id_, size):
    """One round."""
    for name in FLOODS:
        flood(target, name, size.frames)
    leave_uploads(target, size.resets)
    reset_streams(target, rng, id_, size.resets)
    for data, _ in size.bombs.values():
        with target.wire() as wire:
            wire.ask(w.UPLOAD, TOKEN, upload_of(data))


def settled(node, seconds):
    """Resident bytes once they have not fallen for so long: the node gives memory back now and then."""
    lowest, since, began = node.resident(), time.monotonic(), time.monotonic()
    while time.monotonic() - since < seconds and time.monotonic() - began < GUARD:
        time.sleep(0.1)
        now = node.resident()
        if now < lowest - (1 << 18):
            lowest, since = now, time.monotonic()
    return node.resident()


def test_nothing_of_a_round_stays(done, target, rng):
    small = Round(frames=2000, resets=20, bombs=small_bombs())
    wanted = work(target)
    for _ in range(2):
        attack(target, rng, done, small)
        assert work(target) == wanted
        # No connection, no socket more than before the first attack, no stream, nothing under way, no file half there.
        eventually(target.at_rest, "nothing of the round is open")


@pytest.mark.campaign
def test_memory_comes_back_within_five_percent(done, target, rng):
    large = Round(frames=20_000, resets=150, bombs=large_bombs())
    wanted = work(target)
    work(target)
    before = settled(target.node, 12)
    for _ in range(3):
        attack(target, rng, done, large)
        assert work(target) == wanted
        after = settled(target.node, 12)
    assert after <= before * (1 + WITHIN)
