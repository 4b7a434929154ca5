"""Pictures of the page: scripts/page-picture."""

import argparse, io, tempfile
from pathlib import Path

from PIL import Image

from harness.node import QUICK, SMALL, Node
from harness.page import END, PROMPT, START, Tab, chromium, drop
from harness.paths import ROOT
from views import Scene, every


def readme(browser, node):
    """The form, with what it would cost."""
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


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--all", type=Path, metavar="FOLDER")
    folder = parser.parse_args().all
    with tempfile.TemporaryDirectory() as data, chromium() as browser:
        if folder:
            with Scene(Path(data)) as scene:
                return every(browser, scene, folder)
        node = Node(Path(data) / "node", QUICK, model=SMALL).start()
        try:
            readme(browser, node)
        finally:
            node.stop()


if __name__ == "__main__":
    main()
