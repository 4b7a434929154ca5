"""The file that a client downloads is what it asked for, and carries the mark that the node tells."""

import json
from fractions import Fraction

import pytest

from harness import video
from harness.client import Insistent
from harness.command import ltxd
from harness.requests import METHODS


@pytest.mark.both_stores
@pytest.mark.parametrize("method", METHODS)
def test_a_download_is_what_was_asked_for(tmp_path, node, method):
    client = Insistent(node.client)
    id_ = client.finished(METHODS[method]).id
    (tmp_path / "clip.mp4").write_bytes(client.download(id_))
    told = json.loads(ltxd("get", id_, "--json", LTXD_SERVER=f"http://127.0.0.1:{node.port}").stdout)
    assert not video.differing(video.compared(tmp_path / "clip.mp4", (64, 64, 9), Fraction(24), method, told["mark"]))
