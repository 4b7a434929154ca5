"""One node for all attacks but those whose end is a short limit's, and what must hold after each."""

from contextlib import contextmanager

import pytest

from harness.node import Nodes
from harness.target import Target
from harness.waiting import eventually


def ended(folder, store, *settings):
    """A node that is attacked, and its end."""
    with Nodes(folder, store) as nodes:
        yield Target(nodes, *settings)


@pytest.fixture(scope="session")
def shared(tmp_path_factory, store):
    yield from ended(tmp_path_factory.mktemp("hostile"), store)


@pytest.fixture(scope="session")
def shared_hasty(tmp_path_factory, store):
    yield from ended(tmp_path_factory.mktemp("hasty"), store, "limits.handshake_seconds=1")


@contextmanager
def unharmed(target):
    """Behind the attack the node answers, nothing of the attack is open, and its log has no error."""
    logged = len(target.node.log())
    yield target
    target.alive()
    eventually(target.at_rest, "nothing of the attack is open")
    new = target.node.log()[logged:]
    assert " ERROR " not in new and "panicked" not in new


@contextmanager
def as_full(target):
    """Behind the attack the data folder has no row and no file more."""
    rows, files = target.kept()
    yield
    now, left = target.kept()
    assert not {table: count for table, count in now.items() if count > rows[table]} and left <= files


@pytest.fixture
def target(shared):
    """The attacked node."""
    with unharmed(shared):
        yield shared


@pytest.fixture
def hasty(shared_hasty):
    """One that soon cuts who does not greet it, and keeps nothing of the attack."""
    with as_full(shared_hasty), unharmed(shared_hasty):
        yield shared_hasty


@pytest.fixture
def keeping_nothing(shared):
    """Behind the attack the data folder has no row and no file more."""
    with as_full(shared):
        yield


@pytest.fixture(scope="session")
def done(shared):
    """A generation of the first client that is done."""
    return shared.done().id
