"""Fixtures: a hub on loopback, a machine with an empty cache, files as they are published."""

import pytest

from harness.hub import Hub
from harness.machine import LARGE, Machine, published


@pytest.fixture
def hub():
    hub = Hub()
    yield hub
    hub.close()


@pytest.fixture
def machine(tmp_path, hub):
    machine = Machine(tmp_path / "machine", hub)
    machine.manifest(LARGE)
    yield machine
    machine.end()


@pytest.fixture
def large(hub, rng):
    """The repositories of the model `large`, 12 MB."""
    hub.repositories = published(rng, 12)
    return hub.repositories
