"""Nodes of one service as processes: a worker is killed, and what it had goes on elsewhere, with the frames of a run that nothing disturbs,
while watchers miss nothing. The long forms are in test_campaigns.py."""

import itertools

from ltx.v1 import generation_pb2 as g, spec_pb2 as spec

from harness.client import Insistent, insist
from harness.collector import Collector
from harness.events import FINAL, in_order, kind, repeated, told
from harness.requests import KINDS, endless, small
from harness.waiting import eventually

FIRST = 100  # seed of what is to be killed


def cut(seed):
    """One that is to be killed in the middle."""
    return small(seed, width=128, height=128, frames=17, schedule=spec.SCHEDULE_GUIDED, steps=40)


def is_made(client, id_):
    """Waits until steps of it have been made."""
    next(news for news in client.stream(id_) if news.event.progress.stage == g.STAGE_DENOISING and news.event.progress.step >= 2)


def killed_in_the_middle(service, one, first=FIRST):
    """The seed of a clip that had not ended when its worker was killed, its id, and that worker."""
    for seed in itertools.count(first):
        id_ = one.create(cut(seed), f"cut-{seed}").id
        insist(service.faces[1].client, lambda two: is_made(two, id_))
        worker = service.of(id_)
        worker.kill()
        if one.get(id_).state not in FINAL:
            return seed, id_, worker
        # It was quicker than the news of it.
        worker.launch().says_ready()


def test_a_killed_workers_generation_goes_on_elsewhere(nats, service, wanted, alone):
    service = service(nats, 2, 2, silent=3)
    one, two = (Insistent(face.client) for face in service.faces)
    seed, killed, worker = killed_in_the_middle(service, one)
    assert two.create(cut(seed), f"cut-{seed}").id == killed, "a request id is the service's"
    ids = {kind_: one.create(KINDS[kind_](), f"job-{at}").id for at, kind_ in enumerate(KINDS)}
    with alone() as client:
        wanted["cut"], ids["cut"] = client.finished(cut(seed)).mark.frames_sha256, killed
    for kind_, id_ in ids.items():
        events, now = two.watch(id_), one.get(id_)
        assert in_order(events) and kind(events[-1]) == "done", told(events)
        assert repeated(events)[1] == 0, told(events)
        assert now.mark.frames_sha256 == wanted[kind_]
        assert one.download(id_) == two.download(id_)
    listed = {now.id for now in two.list()}
    assert listed >= set(ids.values()) and len(listed) == len(ids) + seed - FIRST, "and those that were quicker than the news of them"
    assert one.get(killed).resumptions >= 1
    worker.launch().says_ready()
    victim = one.create(endless(seed=9, frames=97, width=256, height=256), "cancelled")
    eventually(lambda: two.get(victim.id).state == g.GENERATION_STATE_RUNNING, "it runs")
    two.cancel(victim.id)
    assert kind(one.watch(victim.id)[-1]) == "cancelled"


def test_what_a_killed_worker_had_goes_on_in_the_same_trace(nats, service):
    with Collector() as collector:
        traced = f"traces.endpoint={collector.endpoint}"
        service = service(nats, 2, 2, silent=3, settings=(traced,))
        one = Insistent(service.faces[0].client)
        _, killed, worker = killed_in_the_middle(service, one, first=300)
        insist(service.faces[1].client, lambda two: two.watch(killed))
        spans = collector.whole(killed)
        of_it = [span for span in spans if span.attributes.get("ltxd.generation") == killed]
        attempts = sorted((span for span in of_it if span.name == "attempt"), key=lambda span: span.attributes["ltxd.attempt"])
        ends = [(span.attributes["ltxd.attempt"], span.attributes["ltxd.end"]) for span in attempts]
        assert ends == [(1, "died"), (2, "done")], spans
        nodes = [span.attributes["ltxd.node"] for span in attempts]
        assert nodes[0] != nodes[1] and attempts[0].failed, "each is its worker's, also where that could not tell it"
        (end,) = (span for span in of_it if span.name == "generation")
        assert {span.parent for span in attempts} == {end.id} and {span.trace for span in spans} == {end.trace}
        faces = {span.resource["service.instance.id"] for span in spans if span.name.endswith("/CreateGeneration")}
        assert not faces & set(nodes), "it began on a face"
        ids = {span.id for span in spans}
        whole = [span for span in of_it if span.parent in ids]
        assert whole == of_it, "every span of it has the one above it"
        worker.launch().says_ready()
