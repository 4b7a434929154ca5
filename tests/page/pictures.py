"""Pictures of the page: scripts/page-picture."""

import argparse, io, tempfile
from pathlib import Path

from PIL import Image

from harness.node import QUICK, Node
from harness.page import END, PROMPT, START, Tab, chromium, drop
from harness.paths import ROOT
from harness.requests import spec

VIEWS = {"clips": ".tile img", "node": ".model"}


def clip(client, seed, **more):
    images = {"start_end_images": spec.StartEndImages(start=given(START), end=given(END)), **more}
    return client.finished(spec.GenerationSpec(prompt=PROMPT, seed=seed, **images))


def given(file):
    return spec.Image(data=file.read_bytes())


def readme(browser, node, id_):
    """The comparison of a clip between two images, and the form that asked for it."""
    tab = Tab(browser, node, viewport={"width": 1180, "height": 760})
    page = tab.open()
    page.get_by_label("Prompt", exact=True).fill(PROMPT)
    drop(page, START, END)
    page.get_by_role("heading", name="Costs no credits").wait_for()
    page.get_by_text("Uploaded").nth(1).wait_for()
    page.get_by_role("heading", name="Make a clip").focus()
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.quantize(192, dither=Image.Dither.NONE).save(ROOT / "docs/page.png", optimize=True)
    tab.context.close()


def every(browser, node, id_, folder):
    for width in (1280, 390):
        for theme in ("light", "dark"):
            for language in ("en", "ko"):
                tab = Tab(browser, node, viewport={"width": width, "height": 844}, color_scheme=theme, locale=language)
                take = lambda name: tab.page.screenshot(path=folder / f"{name}-{width}-{theme}-{language}.png", full_page=True)
                drop(tab.open(), START, END)
                tab.page.locator(".verdict h2.good").wait_for()
                take("make")
                for view, ready in {**VIEWS, f"clip/{id_}": ".beside canvas >> nth=1"}.items():
                    tab.open(view)
                    tab.page.locator(ready).first.wait_for()
                    tab.page.wait_for_timeout(500)
                    take(view.split("/")[0])
                tab.context.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--all", type=Path, metavar="FOLDER")
    folder = parser.parse_args().all
    with tempfile.TemporaryDirectory() as data:
        node = Node(Path(data) / "node", QUICK, model="ltx-2.3-small").start()
        try:
            with node.client() as client, chromium() as browser:
                made = [clip(client, seed) for seed in range(7, 13)][0]
                readme(browser, node, made.id)
                if folder:
                    folder.mkdir(parents=True, exist_ok=True)
                    every(browser, node, made.id, folder)
        finally:
            node.stop()


if __name__ == "__main__":
    main()
