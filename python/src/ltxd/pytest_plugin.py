"""Fixtures that give a test a node of its own. Loaded by pytest (7.0 or newer) wherever this package is installed.

ltxd_node          a node for this test alone, empty and ready
ltxd_shared_node   one node for the whole session: faster, but tests see each other's generations
ltxd_nodes         makes further nodes: `ltxd_nodes(model="tiny", config={…}, faults={…})`

What a node serves is said by `ltxd_model` in pytest's ini file ("small" by default), and for one test by a marker:

    @pytest.mark.ltxd(model="tiny", config={"limits.queued_per_client": 1}, faults={"fail_at_step": 3})

A failed test's report has the logs of its nodes.
"""

from __future__ import annotations

from typing import Any, Dict, Generator, Iterator, List, Mapping, Optional, Tuple

import pluggy
import pytest

from ltxd.testing import Node, Value

_LOGS = pytest.StashKey[List[Tuple[Node, int]]]()
#: The most of a log that a report has.
_LINES = 100


def pytest_addoption(parser: pytest.Parser) -> None:
    """The ini option."""
    parser.addini("ltxd_model", "the model that fixtures of ltxd serve: small, tiny, or any that is installed", default="small")


def pytest_configure(config: pytest.Config) -> None:
    """The marker."""
    config.addinivalue_line("markers", "ltxd(model, config, faults): what the node of ltxd_node serves, and how it is configured")


class Nodes:
    """Makes nodes for one test, and ends them with it."""

    def __init__(self, folders: pytest.TempPathFactory, model: str) -> None:
        self._folders, self._model = folders, model
        self.made: List[Node] = []

    def __call__(
        self,
        model: Optional[str] = None,
        *,
        config: Optional[Mapping[str, Value]] = None,
        faults: Optional[Mapping[str, Value]] = None,
    ) -> Node:
        """A node that serves: see `ltxd.testing.Node` for what the arguments mean."""
        node = Node(model or self._model, config=config, faults=faults, folder=self._folders.mktemp("ltxd"))
        self.made.append(node)
        return node.start()

    def end(self) -> None:
        """Ends all of them."""
        for node in self.made:
            node.close()


@pytest.fixture(scope="session")
def _ltxd_session_nodes(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Nodes]:
    nodes = Nodes(tmp_path_factory, str(pytestconfig.getini("ltxd_model")))
    yield nodes
    nodes.end()


@pytest.fixture
def ltxd_nodes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[Nodes]:
    """Makes nodes that end with this test: `ltxd_nodes(model=…, config={…}, faults={…})`."""
    nodes = Nodes(tmp_path_factory, str(pytestconfig.getini("ltxd_model")))
    request.node.stash.setdefault(_MADE, []).append(nodes)
    yield nodes
    nodes.end()


@pytest.fixture
def ltxd_node(request: pytest.FixtureRequest, ltxd_nodes: Nodes) -> Node:
    """A node for this test alone; the marker `ltxd` says how it is configured."""
    marker = request.node.get_closest_marker("ltxd")
    said: Dict[str, Any] = dict(marker.kwargs) if marker else {}
    if marker and marker.args:
        raise pytest.UsageError("the marker ltxd takes keywords: model, config, faults")
    return ltxd_nodes(**said)


@pytest.fixture
def ltxd_shared_node(request: pytest.FixtureRequest, _ltxd_session_nodes: Nodes) -> Node:
    """The node that all tests of the session share; one that a test has ended is started again."""
    nodes = _ltxd_session_nodes
    node = nodes.made[0].start() if nodes.made else nodes()
    request.node.stash[_LOGS] = [(node, len(node.log()))]
    return node


_MADE = pytest.StashKey[List[Nodes]]()


# Of the old kind: pytest below 7.4 may be with a pluggy that does not know `wrapper=True`.
@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pluggy.Result[pytest.TestReport], None]:
    """Adds the logs of a failed test's nodes; of a shared one, what it logged during the test."""
    report = (yield).get_result()
    if report.failed:
        seen = [(node, 0) for nodes in item.stash.get(_MADE, []) for node in nodes.made] + item.stash.get(_LOGS, [])
        for node, begin in seen:
            lines = node.log()[begin:].splitlines()[-_LINES:]
            report.sections.append((f"log of the ltxd node at {node.address}", "\n".join(lines)))
