"""Copies that the NATS servers keep of everything: more may be asked for while a service is in use, fewer never."""

from ltx.v1 import generation_pb2 as g

from harness.client import Insistent
from harness.command import said
from harness.node import QUICK
from harness.paths import MODELS
from harness.requests import small
from harness.service import ended


def test_copies_are_raised_and_then_one_server_may_die(three, nodes, tmp_path):
    one, three_ = three.settings("raised", replicas=1), three.settings("raised")
    node = nodes(*QUICK, *one)
    with node.client() as client:
        before = client.finished(small(3))
    other = nodes(*QUICK, *three_, name="other")
    words = ["serve", f"--data-dir={tmp_path / 'fewer'}", "--listen=127.0.0.1:0", f"--models-dir={MODELS}", "--model=ltx-2.3-tiny"]
    fewer = said(*words, *(f"--set={setting}" for setting in one))
    assert fewer.returncode != 0 and "cluster.replicas" in fewer.stderr and "3" in fewer.stderr, fewer.stderr
    three.copied()
    three.kill(0)
    for face in map(Insistent, (node.client, other.client)):
        assert face.download(before.id)[4:8] == b"ftyp"
        assert ended(face, face.create(small(4)).id).state == g.GENERATION_STATE_DONE
