"""Several clips of one request: frames as by requests of their own, prompts and images encoded once; killed in the third, two are there
and the third goes on; cancelled as a whole, what is done stays."""

from contextlib import suppress

import grpc
import pytest
from ltx.v1 import generation_pb2 as g, generation_service_pb2 as calls, spec_pb2 as spec

from harness import folder
from harness.client import refused
from harness.events import FINAL, in_order, kind, where
from harness.node import ENDLESS, HELD, HOLD, QUICK
from harness.requests import both, endless, small

SEEDS = [5, 6, 7, 8]
NOTHING_KEPT = ("cache.bytes=0", "cache.memory_bytes=0")


def ends(seed=None):
    """Two images and two prompts."""
    return spec.GenerationSpec(
        prompt="A lake.", negative_prompt="blurry", schedule=spec.SCHEDULE_GUIDED, steps=2, start_end_images=both(),
        width=64, height=64, frames=9, seed=seed,
    )  # fmt: skip


def stages(client, id_):
    return {where(event) for event in client.watch(id_) if kind(event) == "progress"}


@pytest.mark.parametrize("cache", [(), NOTHING_KEPT], ids=["kept for later", "kept for nobody else"])
def test_four_of_one_request_are_four_requests(nodes, cache):
    fresh = nodes(*QUICK, *NOTHING_KEPT, name="fresh")
    with fresh.client() as client:
        expected = [client.finished(ends(seed)).mark.frames_sha256 for seed in SEEDS]
    fresh.stop()
    node = nodes(*QUICK, *cache)
    with node.client() as client:
        made = client.create_several(ends(), seeds=SEEDS, request_id="four")
        first = made[0].id
        assert [(one.batch.id, one.batch.index, one.batch.size, one.spec.seed) for one in made] == [
            (first, at, 4, seed) for at, seed in enumerate(SEEDS)
        ]
        for one in made:
            events = client.watch(one.id)
            assert in_order(events)
            assert kind(events[-1]) == "done"
        ended = [client.get(one.id) for one in made]
        assert [one.mark.frames_sha256 for one in ended] == expected
        assert [one.mark.seed for one in ended] == SEEDS
        encoding = {"text_encoding", "image_encoding"}
        assert [stages(client, one.id) & encoding for one in made] == [encoding, set(), set(), set()]
        assert (node.data / "cache").exists() == (cache == ())
        # The request again is the same ones; those that are deleted stay so.
        again = calls.CreateGenerationRequest(request_id="four", spec=ends(), seeds=SEEDS)
        client.generations.DeleteGeneration(calls.DeleteGenerationRequest(id=made[2].id))
        answer = client.generations.CreateGeneration(again)
        assert answer.existed and [one.id for one in (answer.generation, *answer.further)] == [made[at].id for at in (0, 1, 3)]
        again.seeds[0] = 9
        assert refused(client.generations.CreateGeneration, again).reason == "REQUEST_ID_REUSED"
        assert [one.id for one in client.list(batch_id=first)] == [made[at].id for at in (3, 1, 0)]


def test_a_node_killed_in_the_third_keeps_two_and_goes_on(nodes):
    with nodes(*QUICK, name="fresh").client() as client:
        expected = [client.finished(small(seed)).mark.frames_sha256 for seed in SEEDS]
    # It ends itself in the middle of each, as by `kill -9`; what is ahead keeps them all until they are asked for.
    node = nodes(*QUICK, "testing.enabled=true", "testing.restart_at_step=4")
    with node.client() as client:
        ahead = client.create(endless(), faults=f"{HOLD}, restart-at-step=1000").id
        made = client.create_several(small(SEEDS[0]), count=4)
        # It may end before it answers.
        with suppress(grpc.RpcError):
            client.cancel(ahead)
    node.ended()
    for _ in range(2):
        node.launch().ended()
    # The third goes on behind its fourth step, and stays there.
    node.settings = [*QUICK, *HELD]
    node.start()
    with node.client() as client:
        taken = (news for news in client.stream(made[2].id) if kind(news.event) == "running")
        next(taken), next(taken)
        before = [client.get(one.id) for one in made]
    node.kill()
    done, runs, waits = g.GENERATION_STATE_DONE, g.GENERATION_STATE_RUNNING, g.GENERATION_STATE_QUEUED
    assert [one.state for one in before] == [done, done, runs, waits]
    node.settings = list(QUICK)
    node.start()
    with node.client() as client:
        for one in made:
            assert in_order(client.watch(one.id))
        after = [client.get(one.id) for one in made]
    assert [one.mark.frames_sha256 for one in after] == expected
    assert [one.resumptions for one in after] == [1, 1, 2, 0]
    assert [one.last_event for one in after[:2]] == [one.last_event for one in before[:2]]


@pytest.mark.both_stores
def test_a_cancel_of_all_leaves_what_is_done(nodes):
    node = nodes(*QUICK, *ENDLESS)
    with node.client() as client:
        # The first is done at once; of the others, endless, one runs.
        done = client.finished(small(), faults="none")
        others = client.create_several(endless(), count=3)
        next(news for news in client.stream(others[0].id) if news.event.HasField("progress"))
        client.cancel(others[1].id, batch=True)
        ends = [client.watch(one.id)[-1] for one in others]
        assert {kind(event) for event in ends} == {"cancelled"}
        assert client.get(done.id).state == g.GENERATION_STATE_DONE
        assert all(client.get(one.id).state in FINAL for one in others)


def wrong(refusal):
    """What a refusal says of the fields that are wrong: (name, rule)."""
    assert refusal.reason == "INVALID_FIELD", refusal
    return [(one.field, one.description) for one in refusal.details["BadRequest"][0].field_violations]


@pytest.mark.both_stores
def test_what_says_how_many_in_two_ways_is_refused(client):
    create = client.generations.CreateGeneration
    for asked, named in [
        (dict(seeds=[1, 2, 1], spec=ends()), "seeds"),
        (dict(count=2, seeds=[1, 2], spec=ends()), "count"),
        (dict(seeds=[1, 2], spec=ends(3)), "seed"),
    ]:
        [(field, _)] = wrong(refused(create, calls.CreateGenerationRequest(**asked)))
        assert field == named, asked
    assert client.list() == []


@pytest.mark.both_stores
@pytest.mark.parametrize("limit", ["outputs", "queued_per_client", "queued"])
def test_more_than_can_ever_wait_are_refused_by_name(nodes, limit):
    node = nodes(*QUICK, f"limits.{limit}=2").measured()
    with node.client() as client:
        assert client.about().limits.outputs == 2
        before = folder.rows(node.data), folder.files(node.data)
        for field, asked in {"count": dict(count=3), "seeds": dict(seeds=[1, 2, 3])}.items():
            [told] = wrong(refused(client.generations.CreateGeneration, calls.CreateGenerationRequest(spec=ends(), **asked)))
            assert told[0] == field and told[1].endswith("; nearest legal: 2"), told
        assert (folder.rows(node.data), folder.files(node.data)) == before
        # The nearest legal value is one.
        for one in client.create_several(ends(), count=2):
            assert kind(client.watch(one.id)[-1]) == "done"


@pytest.mark.both_stores
def test_all_or_none(nodes):
    node = nodes(*QUICK, *ENDLESS, "limits.queued_per_client=3")
    with node.client() as client:
        # One runs, two wait: of two more none has room.
        running = client.create(endless())
        next(news for news in client.stream(running.id) if news.event.HasField("progress"))
        assert len(client.create_several(ends(), count=2)) == 2
        full = refused(client.generations.CreateGeneration, calls.CreateGenerationRequest(spec=ends(), count=2))
        assert full.reason == "QUEUE_FULL" and len(client.list()) == 3
        client.create(ends())
