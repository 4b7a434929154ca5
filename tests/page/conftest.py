"""Fixtures: a Chromium, a node with the small model, a tab at its page; tabs end without a fault that nobody saw."""

import pytest

from harness.node import ENDLESS, QUICK, SLOW, SMALL
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
    """A tab at the page of a node whose clips of 40 steps are still running, until it is started again without its faults."""
    yield from tab_at(browser, nodes(*QUICK, *SLOW, model=SMALL))


@pytest.fixture
def endless_tab(browser, nodes):
    """A tab at the page of a node whose clips of many steps are still running, whenever they are looked at."""
    yield from tab_at(browser, nodes(*QUICK, *ENDLESS, model=SMALL))


@pytest.fixture
def tab(browser, node):
    yield from tab_at(browser, node)


def tab_at(browser, node):
    tab = Tab(browser, node)
    yield tab
    tab.context.close()
    tab.flawless()
