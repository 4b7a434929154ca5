"""Fixtures: nodes that end with their test, a client, a seed; a failed test's report has the logs of its nodes."""

import random

import pytest

pytest.register_assert_rewrite("harness")

from harness.node import QUICK, Node, Nodes


def pytest_addoption(parser):
    parser.addoption("--seed", type=int, default=1, help="of what is drawn at random: moments, order, bytes")


@pytest.fixture
def rng(request):
    return random.Random(request.config.getoption("--seed"))


@pytest.fixture
def nodes(tmp_path):
    """Starts nodes: nodes(*settings, name="data"); nodes.make() makes one that is not started."""
    made = Nodes(tmp_path)
    yield made
    made.end()


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
