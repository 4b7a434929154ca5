"""Every view of the page, shown in a look: for pictures, wide and narrow, light and dark, in every language; for axe."""

import json
from contextlib import ExitStack

from harness.command import ltxd
from harness.node import QUICK, SMALL, Nodes
from harness.page import END, PROMPT, START, Tab, drop
from harness.requests import spec

# All that look at one scene together take longer than a test: so slow that a clip of 1000 steps outlasts them.
OUTLASTING = ("testing.enabled=true", "testing.slow_steps_ms=20000")
LOOKS = [(width, theme, language) for width in (1280, 390) for theme in ("light", "dark") for language in ("en", "ko")]
LONG = "파란 호수 위로 안개가 천천히 걷히고, 배 한 척이 오른쪽에서 왼쪽으로 지나간다. " * 3


class Scene:
    """The nodes that the views need, and the clips on them."""

    def __init__(self, folder):
        self.folder = folder

    def __enter__(self):
        # Whatever goes wrong on the way, no node is left running.
        with ExitStack() as self.stack:
            self.nodes = self.stack.enter_context(Nodes(self.folder))
            self.begin()
            self.stack = self.stack.pop_all()
        return self

    def begin(self):
        token = ltxd("config", "hash-token", "studio", "--new").stdout
        (self.folder / "tokens").write_text(token)
        self.plain = self.nodes(*QUICK, name="plain", model=SMALL)
        self.slow = self.nodes(*QUICK, *OUTLASTING, name="slow", model=SMALL)
        self.closed = self.nodes.make(*QUICK, f"tokens_file={self.folder}/tokens", name="closed", model=SMALL)
        self.closed.launch().says_ready()
        self.expired = self.expire()
        client, busy = (self.stack.enter_context(node.client()) for node in (self.plain, self.slow))
        self.done = [client.finished(asked(seed)).id for seed in range(7, 11)][-1]
        self.cancelled = client.create(asked(12, schedule=spec.SCHEDULE_GUIDED, steps=1000)).id
        client.cancel(self.cancelled)
        self.running = busy.create(asked(1, schedule=spec.SCHEDULE_GUIDED, steps=1000)).id
        self.waiting = busy.create(asked(2, prompt=LONG)).id

    def expire(self):
        """A clip of the plain node whose outputs' time is over."""
        with self.plain.client() as client:
            id_ = client.finished(asked(6)).id
        self.plain.expire(id_)
        return id_

    def __exit__(self, *_):
        self.stack.close()


def asked(seed, **more):
    images = spec.StartEndImages(start=given(START), end=given(END))
    return spec.GenerationSpec(**{"prompt": f"Clip {seed}. {PROMPT}", "seed": seed, "start_end_images": images, **more})


def given(file):
    return spec.Image(data=file.read_bytes())


def form(page, **wishes):
    """The form with these wishes, whatever the language of its labels."""
    page.evaluate("wishes => sessionStorage.setItem('ltxd.form', wishes)", json.dumps(wishes))
    page.reload()
    page.locator(".verdict h2").wait_for()


def make(tab, take):
    page = tab.open()
    page.locator(".verdict h2").wait_for()
    take("form-empty")
    form(page, prompt=PROMPT)
    drop(page, START)
    page.locator(".verdict h2.good").wait_for()
    take("form-image")
    form(page, prompt=LONG, method="ends", schedule=2, seed="12345")
    drop(page, START, END)
    page.locator(".verdict h2.good").wait_for()
    page.locator(".hint.upload").nth(1).wait_for()
    page.evaluate("document.querySelectorAll('main details').forEach((fold) => (fold.open = true))")
    take("form-ends-unfolded")
    form(page, method="image", prompt=PROMPT, agent=2, creditsLow=True)
    drop(page, START)
    page.locator(".verdict-body:not(.stale) .grounds li").first.wait_for()
    page.locator(".hint.upload").wait_for()
    take("form-refused")


def clips(tab, take, scene):
    page = tab.open("clips")
    page.locator(".tile img").nth(1).wait_for()
    take("gallery")
    ended = {"done": ".beside canvas >> nth=1", "cancelled": ".actions", "expired": ".actions"}
    for name, ready in ended.items():
        tab.open(f"clip/{getattr(scene, name)}")
        page.locator(ready).first.wait_for()
        take(f"clip-{name}")
    tab.open(f"clip/{scene.done}")
    page.locator(".beside canvas >> nth=1").wait_for()
    page.locator(".compare-choices .segments").last.locator("input").last.check()
    page.locator(".layers").wait_for()
    take("clip-compared")
    tab.open("node")
    page.locator(".model").first.wait_for()
    take("node")


def going(tab, take, scene):
    page = tab.open(f"clip/{scene.running}")
    page.locator(".preview img").wait_for()
    page.locator(".step").wait_for()
    take("clip-running")
    tab.open(f"clip/{scene.waiting}")
    page.locator(".place").wait_for()
    take("clip-waiting")


def shown(browser, scene, look, prepared):
    """Shows all views in tabs of this look: `prepared` gets each tab before it is opened, and returns what is called with each view's name."""
    for node, views in [(scene.plain, [make, clips]), (scene.slow, [going]), (scene.closed, [signing_in])]:
        tab = Tab(browser, node, **look)
        take = prepared(tab)
        for view in views:
            view(tab, take, *([scene] if view in (clips, going) else []))
        tab.context.close()


def every(browser, scene, folder):
    """Takes all pictures: VIEW-WIDTH-THEME-LANGUAGE.png."""
    folder.mkdir(parents=True, exist_ok=True)
    for width, theme, language in LOOKS:
        look = {"viewport": {"width": width, "height": 844}, "color_scheme": theme, "locale": language, "reduced_motion": "reduce"}
        name = lambda view: folder / f"{view}-{width}-{theme}-{language}.png"
        shown(browser, scene, look, lambda tab: lambda view: shoot(tab.page, name(view)))


def shoot(page, path):
    """The whole of a view, a dialog over what is seen of it; a film has its first frame."""
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_function("() => [...document.querySelectorAll('video')].every((film) => film.readyState >= 2)")
    page.screenshot(path=path, full_page=not page.locator("dialog[open]").count())


def signing_in(tab, take):
    page = tab.open()
    page.locator("dialog.token input").wait_for()
    take("sign-in")
    page.locator("dialog.token input").fill("f" * 64)
    page.locator("dialog.token button").click()
    page.locator("dialog.token input[aria-invalid=true]").wait_for()
    take("sign-in-unknown")
