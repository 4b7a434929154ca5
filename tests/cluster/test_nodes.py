"""Nodes of one service as processes: a worker is killed, and what it had goes on elsewhere, with the frames of a run that nothing disturbs,
while watchers miss nothing. The long forms are in test_campaigns.py."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from ltx.v1 import generation_pb2 as g

from harness.client import Insistent, insist
from harness.collector import Collector
from harness.events import in_order, kind, repeated, told
from harness.requests import KINDS, endless, small
from harness.service import FIRST, cut, killed_in_the_middle
from harness.waiting import eventually


@pytest.mark.parametrize("files", ["nats", "s3"])
def test_a_killed_workers_generation_goes_on_elsewhere(nats, service, wanted, alone, files, request):
    where = request.getfixturevalue("s3").settings() if files == "s3" else ()
    service = service(nats, 2, 2, silent=3, settings=where, name=f"killed-{files}")
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


def test_every_face_shows_the_previews_of_the_worker(nats, service):
    service = service(nats, 2, 1, name="shown")
    one = Insistent(service.faces[0].client)
    id_ = one.create(endless(seed=9, frames=97, width=256, height=256), "shown").id
    shown = [{}, {}]

    def watch(at):
        """Until both have seen some of the same events with their pictures."""
        with service.faces[at].client() as client:
            for news in client.stream(id_, previews=True):
                if news.event.preview_png:
                    shown[at][news.event.number] = news.event.preview_png
                if len(set(shown[0]) & set(shown[1])) >= 3:
                    return

    with ThreadPoolExecutor() as pool:
        list(pool.map(watch, range(2)))
    both = set(shown[0]) & set(shown[1])
    assert len(both) >= 3
    for number in both:
        assert shown[0][number] == shown[1][number] and shown[0][number].startswith(b"\x89PNG")
    one.cancel(id_)


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
        # A worker that a busy machine keeps from saying that it lives is another death.
        assert ends[0] == (1, "died") and ends[-1] == (len(ends), "done") and {end for _, end in ends[1:-1]} <= {"died"}, spans
        nodes = [span.attributes["ltxd.node"] for span in attempts]
        assert len(set(nodes)) > 1 and attempts[0].failed, "each is its worker's, also where that could not tell it"
        (end,) = (span for span in of_it if span.name == "generation")
        assert {span.parent for span in attempts} == {end.id} and {span.trace for span in spans} == {end.trace}
        faces = {span.resource["service.instance.id"] for span in spans if span.name.endswith("/CreateGeneration")}
        assert not faces & set(nodes), "it began on a face"
        ids = {span.id for span in spans}
        whole = [span for span in of_it if span.parent in ids]
        assert whole == of_it, "every span of it has the one above it"
        worker.launch().says_ready()


def test_faults_that_a_request_asks_for_hold_at_whichever_worker_runs_it(nats, service):
    service = service(nats, 2, 2, settings=("testing.enabled=true",), name="faults")
    one, two = (Insistent(face.client) for face in service.faces)
    failing = [one.create(small(seed), f"fails-{seed}", faults="fail-at-step=2, fail-as=STORAGE_FULL").id for seed in range(4)]
    for id_ in failing:
        events = two.watch(id_)
        assert events[-1].failed.failure.reason == g.FAILURE_REASON_STORAGE_FULL, told(events)
        assert max(event.progress.step for event in events if event.progress.stage == g.STAGE_DENOISING) == 1, told(events)
    made = two.watch(two.create(small(9), "undisturbed").id)[-1]
    assert made.done.generation.mark.testing, made
