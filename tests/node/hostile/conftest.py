"""One node for all attacks, and what must hold after each."""

import pytest

from harness.node import Nodes
from harness.target import Target
from harness.waiting import eventually


@pytest.fixture(scope="session")
def victims(tmp_path_factory):
    nodes = Nodes(tmp_path_factory.mktemp("hostile"))
    yield nodes
    nodes.end()


@pytest.fixture(scope="session")
def shared(victims):
    return Target(victims, "limits.handshake_seconds=1")


@pytest.fixture
def target(shared):
    """The attacked node. Behind the attack it answers, nothing of the attack is open, and its log has no error."""
    logged = len(shared.node.log())
    yield shared
    shared.alive()
    eventually(shared.at_rest, "nothing of the attack is open")
    new = shared.node.log()[logged:]
    assert " ERROR " not in new and "panicked" not in new


@pytest.fixture
def keeping_nothing(shared):
    """Behind the attack the data folder has no row and no file more."""
    rows, files = shared.kept()
    yield
    now, left = shared.kept()
    assert not {table: count for table, count in now.items() if count > rows[table]} and left <= files


@pytest.fixture(scope="session")
def done(shared):
    """A generation of the first client that is done."""
    return shared.done().id
