"""Waiting for a state instead of for a time."""

import time

import pytest

from harness.paths import GUARD


def eventually(condition, what, seconds=GUARD):
    """Polls until the condition holds and returns what it returned; fails with `what` and the last value when it never does."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > until:
            pytest.fail(f"not so after {seconds} s: {what} ({found!r})")
        time.sleep(0.02)
    return found
