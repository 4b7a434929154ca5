"""The data folder of a node alone is moved into a service by `ltxd cluster import`: what was known is known there, what had not ended goes
on; also when the move itself is killed."""

import itertools, json, subprocess

from ltx.v1 import spec_pb2 as spec

from harness.client import Insistent
from harness.command import ltxd, said
from harness.events import FINAL, in_order, kind, repeated, told
from harness.node import HELD, QUICK, Nodes
from harness.paths import ENVIRONMENT, LTXD, MODELS
from harness.requests import KINDS, small
from harness.service import FACE, WORKER
from harness.waiting import eventually

MANY = 60  # cancelled ones, so that a move takes a while


def cut(seed):
    """One that is to be killed in the middle."""
    return small(seed, width=128, height=128, frames=17, schedule=spec.SCHEDULE_GUIDED, steps=40)


def seen(client):
    """{id: what clients see of it}, the newest first."""
    found = {}
    for listed in client.list(page_size=200):
        record = client.get(listed.id)
        # Where it waits is an estimate.
        record.ClearField("queue_position")
        video = client.download(record.id) if record.outputs else b""
        found[record.id] = (record.SerializeToString(deterministic=True), video)
    return found


def filled(nodes):
    """The folder of a node alone that was killed in the middle of a clip, what its clients saw of what had ended, and what had not."""
    node = nodes(*QUICK, name="old")
    with node.client() as client:
        for at, asked in enumerate(KINDS.values()):
            client.finished(asked(), request_id=f"kind-{at}")
    # From here on a clip stays behind its first step.
    node.stop()
    node.settings = [*QUICK, *HELD]
    node.start()
    with node.client() as client:
        running = client.create(cut(1))
        cancelled = client.create_several(small(2), count=3, request_id="several")
        others = [client.create(small(10 + at)) for at in range(MANY)]
        for one in [*cancelled[1:], *others]:
            client.cancel(one.id)
        waits = [cancelled[0].id, client.create(small(3), request_id="waits").id]
        eventually(lambda: (node.data / "latents" / running.id).exists(), "its latent is saved")
        before = {id_: what for id_, what in seen(client).items() if client.get(id_).state in FINAL}
        events = {id_: client.watch(id_) for id_ in before}
        node.kill()
    return node, before, events, running.id, waits


def command(node, nats, service):
    words = ["cluster", "import", f"--data={node.data}", "--quiet"]
    return [*words, *(f"--set={setting}" for setting in settings_of(nats, service))]


def settings_of(nats, service):
    return (*nats.settings(service), "cluster.silent_seconds=60")


def test_a_node_alone_becomes_a_service(nats, tmp_path):
    with Nodes(tmp_path) as nodes:
        old, before, events, running, waits = filled(nodes)
        listed = [*before, running, *waits]
        dry = ltxd(*command(old, nats, "moved"), "--dry-run").stdout
        assert f"{len(listed)} generations" in dry and "would be moved" in dry, dry
        # Killed in the middle, again and again, each time a little later, until it has ended by itself.
        for kills in itertools.count():
            process = subprocess.Popen([LTXD, *command(old, nats, "moved")], env=ENVIRONMENT, stdout=subprocess.DEVNULL)
            try:
                process.wait(timeout=0.02 * 1.5**kills)
                break
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        assert process.returncode == 0 and kills > 0
        assert "was moved into the service moved before" in ltxd(*command(old, nats, "moved")).stdout
        assert json.loads((old.data / "moved.json").read_text())["service"] == "moved"
        refused = said("serve", f"--data-dir={old.data}", "--listen=127.0.0.1:0", f"--models-dir={MODELS}", f"--model={old.model}")
        assert refused.returncode != 0 and "was moved into the service moved" in refused.stderr, refused.stderr

        settings = (*QUICK, *settings_of(nats, "moved"))
        face = nodes(*settings, FACE, name="face")
        one = Insistent(face.client)
        now = seen(one)
        assert {id_: now[id_] for id_ in before} == before, "records and files are the same"
        assert list(now) == sorted(listed, reverse=True), "in the order in which they were asked for, which their ids have"
        with face.client() as client:
            for id_, were in events.items():
                assert client.watch(id_) == were
                half = len(were) // 2
                rest = [news.event for news in client.stream(id_, resume_after=half) if news.WhichOneof("news") == "event"]
                assert rest == were[half:]
            assert client.create(small(3), request_id="waits").id == waits[1], "its name is known"
        # A node of the service may have the folder.
        old.settings = [*settings, WORKER]
        old.launch().says_ready()
        with nodes(*QUICK, name="undisturbed").client() as alone:
            wanted = {running: alone.finished(cut(1)), waits[0]: alone.finished(small(2)), waits[1]: alone.finished(small(3))}
        with face.client() as client:
            for id_, clip in wanted.items():
                all_ = client.watch(id_)
                assert in_order(all_) and kind(all_[-1]) == "done", told(all_)
                assert client.get(id_).mark.frames_sha256 == clip.mark.frames_sha256
            again, steps = repeated(client.watch(running))
            assert again == 1 and steps == 0, "it went on from its saved latent"


def test_a_folder_in_which_a_node_works_is_left_alone(nats, tmp_path):
    with Nodes(tmp_path) as nodes:
        node = nodes(*QUICK, name="busy")
        refused = said(*command(node, nats, "busy"))
        assert refused.returncode == 1 and "another node uses this data folder" in refused.stderr, refused.stderr
        nobody = said("cluster", "import", f"--data={node.data}")
        assert nobody.returncode == 2 and "cluster.servers" in nobody.stderr, nobody.stderr
        nothing = said("cluster", "import", f"--data={tmp_path / 'nothing'}", *(f"--set={setting}" for setting in nats.settings("busy")))
        assert nothing.returncode == 1 and "holds no jobs.sqlite" in nothing.stderr, nothing.stderr
