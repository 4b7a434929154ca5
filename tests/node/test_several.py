"""Several clips of one request: frames as by requests of their own, prompts and images encoded once; killed in the third, two are there
and the third goes on; cancelled as a whole, what is done stays."""

import pytest
from ltx.v1 import generation_pb2 as g, generation_service_pb2 as calls, spec_pb2 as spec

from harness.client import refused
from harness.events import FINAL, in_order, kind, where
from harness.node import QUICK
from harness.requests import both, endless, small

SEEDS = [5, 6, 7, 8]
# Long enough for whoever sees a step to kill the node before the last.
STEPS_OF_SECONDS = ("testing.enabled=true", "testing.slow_steps_ms=1000")
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
    node = nodes(*QUICK, *STEPS_OF_SECONDS)
    with node.client() as client:
        made = client.create_several(small(SEEDS[0]), count=4)
        for news in client.stream(made[2].id):
            if news.event.progress.stage == g.STAGE_DENOISING and news.event.progress.step >= 2:
                break
        before = [client.get(one.id) for one in made]
    node.kill()
    assert [one.state for one in before[:2]] == [g.GENERATION_STATE_DONE] * 2
    node.settings = list(QUICK)
    node.start()
    with node.client() as client:
        for one in made:
            assert in_order(client.watch(one.id))
        after = [client.get(one.id) for one in made]
    assert [one.mark.frames_sha256 for one in after] == expected
    assert [one.resumptions for one in after] == [0, 0, 1, 0]
    assert [one.last_event for one in after[:2]] == [one.last_event for one in before[:2]]


def test_a_cancel_of_all_leaves_what_is_done(nodes):
    node = nodes(*QUICK, *STEPS_OF_SECONDS)
    with node.client() as client:
        # The first is done at once; of the others, endless, one runs.
        done = client.finished(small())
        others = client.create_several(endless(), count=3)
        next(news for news in client.stream(others[0].id) if news.event.HasField("progress"))
        client.cancel(others[1].id, batch=True)
        ends = [client.watch(one.id)[-1] for one in others]
        assert {kind(event) for event in ends} == {"cancelled"}
        assert client.get(done.id).state == g.GENERATION_STATE_DONE
        assert all(client.get(one.id).state in FINAL for one in others)


def test_all_or_none(nodes):
    node = nodes(*QUICK, "limits.outputs=3", "limits.queued_per_client=2", *STEPS_OF_SECONDS)
    with node.client() as client:
        create = client.generations.CreateGeneration
        cases = {
            "seeds": [dict(seeds=[1, 2, 3, 4]), dict(seeds=[1, 2, 1])],
            "count": [dict(count=4), dict(count=2, seeds=[1, 2])],
        }
        for field, requests in cases.items():
            for request in requests:
                asked = calls.CreateGenerationRequest(spec=ends(), **request)
                refusal = refused(create, asked)
                violations = refusal.details["BadRequest"][0].field_violations
                assert [violation.field for violation in violations] == [field], request
        said_twice = refused(create, calls.CreateGenerationRequest(spec=ends(3), seeds=[1, 2]))
        assert [violation.field for violation in said_twice.details["BadRequest"][0].field_violations] == ["seed"]
        # One runs, one waits: of three none has room.
        running = client.create(endless())
        next(news for news in client.stream(running.id) if news.event.HasField("progress"))
        full = refused(create, calls.CreateGenerationRequest(spec=ends(), count=3))
        assert full.reason == "QUEUE_FULL" and len(client.list()) == 1
        assert len(client.create_several(ends(), count=2)) == 2
        assert client.about().limits.outputs == 3
