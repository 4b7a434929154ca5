"""Copies that the NATS servers keep of everything: more may be asked for while a service is in use, fewer never."""

from harness.client import Insistent
from harness.command import said
from harness.events import in_order, kind, told
from harness.paths import MODELS
from harness.requests import small


def test_copies_are_raised_and_then_the_server_that_gives_out_work_may_die(three, service, tmp_path):
    once, thrice = three.settings("raised", replicas=1), three.settings("raised")
    service = service(three, 2, 2, settings=once, name="raised")
    clients = [Insistent(face.client) for face in service.faces]

    def made(client, seed):
        id_ = client.create(small(seed), f"made-{seed}").id
        events = client.watch(id_)
        assert in_order(events) and kind(events[-1]) == "done", told(events)
        return id_

    before = made(clients[0], 1)
    # One after another, as in an upgrade: the others go on meanwhile.
    for at, node in enumerate([*service.faces, *service.workers]):
        node.stop()
        node.settings += thrice
        node.launch().says_ready()
        made(clients[at % 2], 10 + at)
    words = ["serve", f"--data-dir={tmp_path / 'fewer'}", "--listen=127.0.0.1:0", f"--models-dir={MODELS}", "--model=ltx-2.3-tiny"]
    fewer = said(*words, *(f"--set={setting}" for setting in once))
    assert fewer.returncode != 0 and "cluster.replicas" in fewer.stderr and "3" in fewer.stderr, fewer.stderr

    leaders = three.copied()
    streams = {"KV_raised", *(f"raised-{what}" for what in ("events", "work")), *(f"OBJ_raised-{what}" for what in ("images", "latents", "outputs"))}
    (work,) = leaders.keys() - streams
    three.kill(leaders[work])
    for at, client in enumerate(clients):
        made(client, 20 + at)
        assert client.download(before)[4:8] == b"ftyp"
