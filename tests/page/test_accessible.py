"""axe-core finds nothing serious in any view, light and dark, wide and narrow, in both languages; a run by keyboard alone."""

import re

import pytest
from playwright.sync_api import expect

from harness.bundle import modules
from harness.page import END, START, Tab, choose, drop, free
from harness.requests import endless, small
from views import Scene, shown

AXE = "() => axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations.map(\
    ({ id, impact, nodes }) => [id, impact, nodes.slice(0, 3).map(({ html, failureSummary }) => [html, failureSummary])]))"
WORDS = {"en": "Costs no credits", "ko": "크레딧이 들지 않습니다"}
WIDTHS = (1280, 390)
# A view that is not reached is missed.
VIEWS = {"form-empty", "form-image", "form-ends-unfolded", "form-refused", "gallery", "clip-done", "clip-cancelled", "clip-expired", "clip-compared"}
VIEWS |= {"node", "clip-running", "clip-waiting", "sign-in", "sign-in-unknown"}


def serious(page):
    # Open what is folded: it is part of the view.
    page.evaluate("() => document.querySelectorAll('main details').forEach((fold) => (fold.open = true))")
    # What is asked again is paler until its answer comes; behind a dialog none comes.
    expect(page.locator("body:not(:has(dialog[open])) .stale")).to_have_count(0)
    return [found for found in page.evaluate(AXE) if found[1] in ("serious", "critical")]


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    with Scene(tmp_path_factory.mktemp("scene")) as scene:
        yield scene


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser, scene, theme, language):
    """In every view of which there are pictures, wide and narrow."""
    found = {}
    # With reduced motion a colour changes at once: none is looked at half-way.
    look = {"color_scheme": theme, "locale": language, "reduced_motion": "reduce", "bypass_csp": True}

    def looked(page, view):
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 844})
            found[view, width] = serious(page)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{view} is wider than {width} px"

    def prepared(tab):
        tab.page.add_init_script((modules() / "axe-core/axe.min.js").read_text())
        return lambda view: looked(tab.page, view)

    shown(browser, scene, look, prepared)
    assert {view for view, _ in found} == VIEWS and not any(found.values()), found


# Of an element of the page: whether more of it lies beside its box, or beside the window, than can be scrolled to within it.
CLIPPED = """() => [...document.querySelectorAll("main *, header *")].filter((one) => {
    const { overflowX, clipPath } = getComputedStyle(one), { right, width } = one.getBoundingClientRect();
    const cut = overflowX !== "auto" && overflowX !== "visible" && one.scrollWidth > one.clientWidth + 1 && !one.matches("input, select");
    return clipPath === "none" && width > 1 && (cut || right > innerWidth + 1) && !one.closest(".command, .slot-name");
}).map((one) => one.outerHTML.slice(0, 120))"""


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("language", ["en", "ko"])
def test_nothing_is_cut_off(browser, node, language, width):
    tab = Tab(browser, node, locale=language, viewport={"width": width, "height": 900})
    prompt = "파란 호수 위로 안개가 천천히 걷히고, 배 한 척이 오른쪽에서 왼쪽으로 지나간다. " * 5 + "x" * 300
    with node.client() as client:
        made = client.finished(small(prompt=prompt))
    page = tab.open()
    drop(page, START, END)
    page.locator(".make-form textarea").first.fill(prompt)
    expect(page.get_by_role("heading", name=WORDS[language])).to_be_visible()
    unfold = "() => document.querySelectorAll('main details').forEach((fold) => (fold.open = true))"
    page.evaluate(unfold)
    expect(page.locator(".command")).to_contain_text("x" * 300)
    assert page.evaluate(CLIPPED) == []
    for view, ready in [("clips", ".tile img"), (f"clip/{made.id}", ".beside canvas"), ("node", ".model")]:
        tab.open(view)
        expect(page.locator(ready).first).to_be_visible()
        page.evaluate(unfold)
        assert page.evaluate(CLIPPED) == [], view
    tab.context.close()
    tab.flawless()


def test_a_preview_is_shown_whole(endless_tab):
    with endless_tab.node.client() as client:
        id_ = client.create(endless()).id
    page = endless_tab.open(f"clip/{id_}")
    preview = page.locator(".preview img")
    expect(preview).to_be_visible()
    frame, picture = page.locator(".preview").bounding_box(), preview.bounding_box()
    assert picture["y"] + picture["height"] <= frame["y"] + frame["height"] + 1 and picture["y"] >= frame["y"] - 1
    with endless_tab.node.client() as client:
        client.cancel(id_)


def test_by_keyboard_alone(tab):
    # Heard from before the page is opened: Playwright begins to intercept choosers some time after it is asked to.
    tab.page.on("filechooser", lambda chooser: chooser.set_files(START))
    page = tab.open()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()

    def tab_to(locator):
        for _ in range(60):
            if locator.evaluate("(one) => one === document.activeElement"):
                return
            page.keyboard.press("Tab")
        pytest.fail(f"no way to {locator}")

    picture = page.locator(".slot input[type=file]").first
    tab_to(picture)
    page.keyboard.press("Enter")
    expect(page.get_by_text(START.name)).to_be_visible()
    tab_to(page.get_by_label("Prompt", exact=True))
    page.keyboard.type("A yellow circle.")
    tab_to(page.get_by_label("Length", exact=True))
    page.keyboard.press("ArrowRight")
    expect(page.get_by_label("Frames", exact=True)).to_have_value("25")
    free(page)
    tab_to(page.get_by_role("button", name="Make the clip"))
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("#/clip/"))
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    video = page.locator(".video video")
    expect(video).to_be_visible()
    tab_to(video)
    page.keyboard.press("Space")
    page.wait_for_function("() => !document.querySelector('.video video').paused")
    tab_to(page.get_by_role("button", name="Again with another seed"))


def test_a_choice_of_language_and_appearance_is_kept(tab):
    page = tab.open()
    page.get_by_label("Language").select_option("ko")
    expect(page.get_by_role("heading", name="클립 만들기")).to_be_visible()
    page.get_by_label("화면").select_option("dark")
    page.reload()
    expect(page.get_by_role("heading", name="클립 만들기")).to_be_visible()
    assert page.evaluate("document.documentElement.lang + document.documentElement.dataset.theme") == "kodark"
