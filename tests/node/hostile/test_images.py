"""Images that are bombs: answered, refused where they must be; and calls that are reset. Pictures within the limits are kept,
and what was reset may have been whole already."""

import pytest

from harness import http2 as w
from harness.attacks import reset_streams
from harness.bombs import large_bombs, small_bombs
from harness.target import TOKEN, is_refusal, told, upload_of

pytestmark = pytest.mark.both_stores


def answered(target, bombs, name):
    data, refused = bombs[name]
    with target.wire() as wire:
        answer = wire.ask(w.UPLOAD, TOKEN, upload_of(data))
    assert answer.code == "0" or is_refusal(answer, "INVALID_FIELD"), told(answer)
    assert refused is None or refused == (answer.code != "0"), told(answer)


@pytest.mark.parametrize("name", small_bombs())
def test_bombs(target, name):
    answered(target, small_bombs(), name)


@pytest.mark.campaign
def test_large_bombs(target):
    for name in large_bombs():
        answered(target, large_bombs(), name)


@pytest.mark.parametrize("count", [10, pytest.param(150, marks=pytest.mark.campaign)])
def test_streams_that_are_reset(done, target, rng, count):
    reset_streams(target, rng, done, count)
