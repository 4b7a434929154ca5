"""Fixtures: nodes that end with their test, a client, a seed; a failed test's report has the logs of its nodes."""

import random

import pytest

pytest.register_assert_rewrite("harness")

from harness.nats import Nats
from harness.node import QUICK, Node, Nodes


def pytest_addoption(parser):
    parser.addoption("--store", choices=["alone", "cluster"], default="alone", help="of nodes whose test does not say")
    parser.addoption("--seed", type=int, default=1, help="of what is drawn at random: moments, order, bytes")


@pytest.fixture
def rng(request):
    return random.Random(request.config.getoption("--seed"))


@pytest.fixture(scope="session")
def nats(tmp_path_factory):
    """A NATS server for all tests: each has a service of its own."""
    with Nats(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture(scope="session")
def store(request):
    """Where nodes keep things: None for a database of their own, else a NATS server. A test that says `both_stores` runs on both."""
    named = getattr(request, "param", request.config.getoption("--store"))
    return request.getfixturevalue("nats") if named == "cluster" else None


def pytest_generate_tests(metafunc):
    if metafunc.definition.get_closest_marker("both_stores"):
        metafunc.parametrize("store", ["alone", "cluster"], indirect=True, scope="session")


@pytest.fixture
def nodes(tmp_path, store):
    """Starts nodes: nodes(*settings, name="data"); nodes.make() makes one that is not started."""
    with Nodes(tmp_path, store) as made:
        yield made


@pytest.fixture
def node(nodes):
    return nodes(*QUICK)


@pytest.fixture
def client(node):
    with node.client() as client:
        yield client


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            for node in value.made if isinstance(value, Nodes) else [value] if isinstance(value, Node) else []:
                report.sections.append((f"log of {node.data}", "\n".join(node.log().splitlines()[-60:])))
    return report
