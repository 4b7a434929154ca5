"""How soon a browser paints the page, with both cores busy: a figure, for docs/page.md."""

import os, statistics, subprocess, sys

import pytest

from harness.page import Tab

TRIALS = 20
# Milliseconds since the navigation began: when Chromium painted something of the page first (PerformancePaintTiming), which is
# its header, and when the form had been laid out.
FORM = """new MutationObserver((_, observer) => {
    if (!document.querySelector(".make-form")) return;
    observer.disconnect();
    requestAnimationFrame(() => setTimeout(() => (window.formAt = performance.now())));
}).observe(document, { subtree: true, childList: true })"""
PAINTED = """() => new Promise((done) => {
    const look = () => {
        const [painted] = performance.getEntriesByName("first-contentful-paint");
        if (painted && window.formAt) done([painted.startTime, window.formAt]);
        else setTimeout(look, 20);
    };
    look();
})"""


@pytest.fixture
def busy():
    """One process for each of two cores that does nothing but compute."""
    made = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    yield
    for process in made:
        process.kill()
        process.wait()


@pytest.mark.campaign
def test_the_first_paint(browser, node, busy, capsys):
    painted = []
    for _ in range(TRIALS):
        # A context of its own: nothing is in its cache.
        tab = Tab(browser, node)
        tab.page.add_init_script(FORM)
        painted.append(tab.open().evaluate(PAINTED))
        tab.context.close()
        tab.flawless()
    with capsys.disabled():
        for name, times in zip(("first paint", "form"), zip(*painted)):
            figures = f"median {statistics.median(times):.0f}, worst {max(times):.0f} of {TRIALS}"
            print(f"\n{name}, ms: {figures}; load {os.getloadavg()[0]:.1f}")
    first, form = (statistics.median(times) for times in zip(*painted))
    assert first < form, "the header is painted ahead of the program"
