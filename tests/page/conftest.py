"""Fixtures: a Chromium, a node with the small model, a tab at its page; tabs end without a fault that nobody saw."""

import pytest

from harness.node import QUICK, SLOW, SMALL
from harness.page import Tab, chromium


@pytest.fixture(scope="session")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def node(nodes):
    """A node of the small model: its clips show something."""
    return nodes(*QUICK, model=SMALL)


@pytest.fixture
def slow_tab(browser, nodes):
    """A tab at the page of a node whose steps are slow."""
    tab = Tab(browser, nodes(*QUICK, *SLOW, model=SMALL))
    yield tab
    tab.context.close()
    tab.flawless()


@pytest.fixture
def tab(browser, node):
    tab = Tab(browser, node)
    yield tab
    tab.context.close()
    tab.flawless()
