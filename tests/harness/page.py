"""The node's page in Debian's Chromium: opening it, and what must never happen in it."""

import base64, mimetypes, os, re, shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

from harness.paths import GUARD, PICTURES

expect.set_options(timeout=GUARD * 1000)
CHROMIUM = os.environ.get("LTXD_CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
# Files to serve instead of those in the binary: for whoever works on the page and builds no Rust.
INSTEAD = os.environ.get("LTXD_PAGE_DIST")
START, END = PICTURES / "shape-start.png", PICTURES / "shape-end.png"
PROMPT = "A big yellow circle moves quickly down and to the left over a navy and brown background."


# A name of somebody else's that leads to this machine, as one of a page that rebinds it does.
REBOUND = "evil.test"


@contextmanager
def chromium():
    """A Chromium without a window. One a process: Playwright's loop runs once."""
    with sync_playwright() as playwright:
        args = ["--no-sandbox", f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=args, timeout=GUARD * 1000)
        try:
            yield browser
        finally:
            browser.close()


def patient(context):
    """The context, in which nothing hangs because the machine is busy."""
    context.set_default_timeout(GUARD * 1000)
    return context


class Tab:
    """A tab at a node's page. `faults` collects errors of the console, exceptions and breaches of the CSP."""

    def __init__(self, browser, node, **more):
        self.node, self.faults = node, []
        more = {"viewport": {"width": 1280, "height": 900}, "locale": "en-GB", "accept_downloads": True, **more}
        self.context = patient(browser.new_context(**more))
        self.page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", self._heard)
        self.foreign = []
        self.page.on("request", self._asked)
        if INSTEAD:
            self.policy = policy(node)
            self.context.route(re.compile(r"^http://[^/]+/(assets/.*)?$"), self._instead)

    def _heard(self, message):
        # A connection that a test cuts is told in the console by the browser itself.
        if message.type == "error" and "ERR_" not in message.text:
            self.faults.append(message.text)

    def _asked(self, request):
        if not request.url.startswith((f"http://127.0.0.1:{self.node.port}/", "blob:", "data:")):
            self.foreign.append(request.url)

    def _instead(self, route):
        name = route.request.url.split("/", 3)[3] or "index.html"
        headers = {"content-type": mimetypes.guess_type(name)[0] or "text/html", "content-security-policy": self.policy}
        route.fulfill(body=(Path(INSTEAD) / name).read_bytes(), headers=headers)

    def open(self, view="make"):
        self.page.goto(f"http://127.0.0.1:{self.node.port}/#/{view}")
        return self.page

    def flawless(self):
        """Nothing went wrong that a person would not see, and nobody else was asked."""
        assert not self.faults and not self.foreign


def policy(node):
    """The node's Content-Security-Policy."""
    import urllib.request

    with urllib.request.urlopen(f"http://127.0.0.1:{node.port}/") as answer:
        return answer.headers["content-security-policy"]


def choose(page, place, file):
    """Chooses a file for a place: Image, Start image or End image."""
    page.get_by_role("region", name=place, exact=True).locator("input[type=file]").set_input_files(file)


DROP = """([target, files]) => {
    const data = new DataTransfer();
    for (const { name, type, base64 } of files) {
        const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
        data.items.add(new File([bytes], name, { type }));
    }
    const at = document.querySelectorAll(".slot")[target];
    for (const kind of ["dragenter", "dragover", "drop"]) {
        at.dispatchEvent(new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }));
    }
}"""


def drop(page, *files, at=0):
    """Drops files onto the place number `at`."""
    page.evaluate(DROP, [at, carried(*files)])


def carried(*files):
    """Files as the page's scripts take them."""
    return [
        {"name": file.name, "type": mimetypes.guess_type(file.name)[0], "base64": base64.b64encode(file.read_bytes()).decode()}
        for file in files
    ]


# What is pasted comes with the event.
PASTE = """([text, files]) => {
    const data = new DataTransfer();
    if (text) data.setData("text/plain", text);
    for (const { name, type, base64 } of files) {
        const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
        data.items.add(new File([bytes], name, { type }));
    }
    return document.activeElement.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
}"""


def paste(page, what):
    """Pastes a file or a text where the focus is; whether the page leaves it to the browser."""
    return page.evaluate(PASTE, ["", carried(what)] if isinstance(what, Path) else [what, []])


def free(page):
    """Waits until the node says that what is in the form costs nothing."""
    expect(page.get_by_role("heading", name="Costs no credits")).to_be_visible()


def guided(page, steps):
    """A guided clip of so many steps."""
    page.locator("summary", has_text="Sampling").click()
    page.get_by_label("Guided", exact=True).check()
    page.get_by_label("Steps", exact=True).fill(str(steps))
    page.get_by_label("Steps", exact=True).press("Enter")


def make(page):
    """Asks for the clip, and returns its id once its view is open."""
    free(page)
    page.get_by_role("button", name="Make the clip").click()
    page.wait_for_url(re.compile("#/clip/"))
    return page.url.rsplit("/", 1)[1]


def state(page, name):
    """Waits until the clip's view says that it is in this state."""
    expect(page.locator(".clip-head .state")).to_have_text(name)
