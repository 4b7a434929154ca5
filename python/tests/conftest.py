"""A request of a moment."""

import ltxd
import pytest
from png import png


@pytest.fixture
def spec():
    return ltxd.image_to_video("A square.", png(), width=64, height=64, frames=9, seed=1)
