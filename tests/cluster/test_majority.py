"""A majority of the NATS servers is lost: nothing is answered or acknowledged until it is back, and then everything ends once."""

from concurrent.futures import ThreadPoolExecutor

import grpc
from ltx.v1 import spec_pb2 as spec

from harness.client import Insistent, Refusal, insist
from harness.events import in_order, kind, repeated, told
from harness.requests import KINDS, small
from harness.service import Watcher, is_made
from harness.waiting import eventually


def unanswered(ask, *what, **more):
    """Waits until a call is refused for want of the store, with a time after which to ask again: a face that has not noticed yet may
    answer what was."""

    def away():
        try:
            ask(*what, **more)
        except grpc.RpcError as error:
            return Refusal(error)

    refusal = eventually(away, "the face says that the store is away")
    assert (refusal.code, refusal.reason) == ("UNAVAILABLE", "STORE_UNAVAILABLE"), refusal
    (retry,) = refusal.details["RetryInfo"]
    assert retry.retry_delay.ToTimedelta().total_seconds() > 0, refusal


def held(seed):
    """One whose steps take a while."""
    return small(seed, schedule=spec.SCHEDULE_GUIDED, steps=12)


def test_what_was_acknowledged_outlives_the_loss_of_a_majority(three, service, wanted, alone, rng):
    service = service(three, 2, 2, silent=600, settings=("testing.enabled=true",), name="majority")
    one, two = (Insistent(face.client) for face in service.faces)
    ended = one.create(small(1), "ended").id
    assert kind(one.watch(ended)[-1]) == "done"
    seeds = (7, 8)
    running = [one.create(held(seed), f"held-{seed}", faults="slow-steps-ms=1500").id for seed in seeds]
    waiting = {kind_: two.create(KINDS[kind_](), f"waiting-{at}").id for at, kind_ in enumerate(KINDS)}
    watchers = [Watcher(service, id_, rng) for id_ in (*running, *waiting.values())]
    for watcher in watchers:
        watcher.start()
    # Each worker is in the middle of one.
    for id_ in running:
        insist(service.faces[1].client, lambda client: is_made(client, id_))

    lost = rng.sample(range(3), 2)
    for at in lost:
        three.kill(at)
    some = next(iter(waiting.values()))
    asked = (("get", ended), ("list",), ("watch", ended), ("download", ended), ("cancel", some), ("create", small(2), "meanwhile"))

    def is_unanswered(face, call, *what):
        with face.client() as client:
            unanswered(getattr(client, call), *what)

    with ThreadPoolExecutor(len(asked) * 2) as pool:
        for answer in [pool.submit(is_unanswered, face, *call) for face in service.faces for call in asked]:
            answer.result()
    assert all(node.lives() for node in (*service.faces, *service.workers))

    for at in lost:
        three.launch(at)
    for at in lost:
        three.says_ready(at)
        three.current(at)
    meanwhile = one.create(small(2), "meanwhile").id
    assert two.create(small(2), "meanwhile").id == meanwhile, "asked again, it is the same"
    with alone() as client:
        asked = {**{id_: held(seed) for id_, seed in zip(running, seeds)}, ended: small(1), meanwhile: small(2)}
        frames = {id_: client.finished(it).mark.frames_sha256 for id_, it in asked.items()}
    frames |= {id_: wanted[kind_] for kind_, id_ in waiting.items()}
    for id_, digest in frames.items():
        events, now = one.watch(id_), two.get(id_)
        assert in_order(events) and repeated(events) == (0, 0), told(events)
        # A call that was not answered may have been carried out.
        assert kind(events[-1]) == "done" and now.mark.frames_sha256 == digest or id_ == some and kind(events[-1]) == "cancelled", now
    assert {now.id for now in one.list()} == set(frames)
    for watcher in watchers:
        watcher.ended()
