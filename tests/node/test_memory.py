"""Memory as a client sees it: what does not fit is told the largest that does, and that one fits; predicted beside measured."""

import pytest

from harness.client import refused
from harness.node import QUICK
from harness.requests import small

LIMIT = 140_000_000


@pytest.fixture
def client(nodes):
    with nodes(*QUICK, f"limits.memory_bytes={LIMIT}", "limits.resident_bytes=1").client() as client:
        yield client


def test_what_does_not_fit_is_told_the_largest_that_does(client):
    refusal = refused(client.create, small(width=512, height=384, frames=121))
    assert (refusal.code, refusal.reason) == ("RESOURCE_EXHAUSTED", "DOES_NOT_FIT")
    assert int(refusal.metadata["needed_bytes"]) > int(refusal.metadata["available_bytes"]) == LIMIT
    largest = {name: int(refusal.metadata[f"largest_{name}"]) for name in ("width", "height", "frames")}
    assert client.check(small(**largest)).estimate.fits
    assert not client.check(small(**{**largest, "frames": largest["frames"] + 8})).estimate.fits
    assert client.finished(small(**largest)).mark.frames_sha256


@pytest.mark.parametrize("size", [(64, 64, 9), (128, 128, 17), (160, 160, 25)])
def test_predicted_beside_measured(client, size):
    client.finished(small(2))  # What seconds are predicted from.
    width, height, frames = size
    made = client.finished(small(width=width, height=height, frames=frames))
    assert made.measured.seconds > 0 and made.predicted.seconds > 0
    assert 0.4 < made.predicted.peak_memory_bytes / made.measured.peak_memory_bytes < 2.5
