"""More tabs of one browser than it opens connections to a node: each shows its clip, and no call waits for a stream to end."""

import re

from playwright.sync_api import expect

from harness.page import START, choose, free
from harness.requests import endless
from harness.waiting import eventually

TABS, PLACES = 8, 3
LIVE = "Other tabs of this page follow their clips live."


def test_eight_tabs_at_a_running_clip(endless_tab):
    tab, node = endless_tab, endless_tab.node
    with node.client() as client:
        id_ = client.create(endless()).id
        pages = [tab.open(f"clip/{id_}")]
        for _ in range(TABS - 1):
            pages.append(tab.context.new_page())
            pages[-1].goto(f"http://127.0.0.1:{node.port}/#/clip/{id_}")
        for page in pages:
            expect(page.locator(".step")).to_have_text(re.compile(r"^Step \d+ of"))
        of = lambda: [page for page in pages if page.get_by_text(LIVE).count()]
        glancing = eventually(lambda: len(found := of()) == TABS - PLACES and found, "three tabs follow, the others look")
        # A tab that only looks now and then sees the clip go on.
        before = glancing[0].locator(".step").inner_text()
        expect(glancing[0].locator(".step")).not_to_have_text(before)
        # Calls of another tab go through: an upload, a verdict, a request, a list.
        last = glancing[-1]
        last.get_by_role("link", name="Make", exact=True).click()
        choose(last, "Image", START)
        expect(last.get_by_text("Uploaded")).to_be_visible()
        free(last)
        last.get_by_role("button", name="Make the clip").click()
        expect(last.locator(".place")).to_have_text(re.compile("^Next in the queue"))
        # A place that becomes free is taken.
        closed = next(page for page in pages if page not in glancing)
        pages.remove(closed)
        closed.close()
        eventually(lambda: len(of()) == len(pages) - PLACES, "another tab follows")
        glancing[0].get_by_role("button", name="Cancel", exact=True).click()
        pages.remove(last)
        for page in pages:
            expect(page.locator(".clip-head .state")).to_have_text("Cancelled")
