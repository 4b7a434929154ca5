"""web/dist is what web/src builds into, small, and without what the page's policy forbids."""

import gzip, re

from harness.bundle import WEB, modules, npm

MOST = 200_000


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_bundle_is_built_from_its_sources(tmp_path):
    modules()
    npm("run", "check")
    npm("exec", "--", "vite", "build", "--outDir", str(tmp_path / "dist"), "--logLevel", "warn")
    built, kept = files(tmp_path / "dist"), files(WEB / "dist")
    assert built == kept, f"web/dist is of other sources: run scripts/page-build ({sorted(built)} instead of {sorted(kept)})"


def test_the_bundle_is_small_and_keeps_the_policy():
    kept = files(WEB / "dist")
    assert sum(len(gzip.compress(data, mtime=0)) for data in kept.values()) <= MOST
    page = kept["index.html"].decode()
    assert not re.search(r"<style|style=|\son\w+=|<script(?![^>]*\ssrc=)|https?://", page)
    for path in (WEB / "src").rglob("*.ts*"):
        assert not re.search(r"innerHTML|dangerouslySetInnerHTML|\beval\(", path.read_text()), path
