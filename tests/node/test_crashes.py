"""What brings the node down before its first step, again and again, is given up, and the next one is made."""

import pytest
from ltx.v1 import generation_pb2 as g, spec_pb2 as spec

from harness.events import SAMPLING, kind, told
from harness.node import QUICK
from harness.requests import image, small

CRASHES = 3
# So large that a step of it takes as long as many starts of a node, on any machine: it is far from its first one when the node says
# that it was taken, and is killed for that.
DEADLY = spec.GenerationSpec(
    prompt="A wave. " * 200, image=image(), width=1280, height=704, frames=241, seed=4, schedule=spec.SCHEDULE_GUIDED
)


@pytest.mark.both_stores
def test_what_kills_the_node_is_given_up(nodes):
    node = nodes(*QUICK[:2], f"limits.fruitless_crashes={CRASHES}")
    with node.client() as client:
        deadly, behind = client.create(DEADLY).id, client.create(small()).id
    for earlier in range(CRASHES):
        with node.client() as client:
            taken = 0
            for news in client.stream(deadly, resume_after=0):
                # Taken in this life: once more than in those before it.
                taken += kind(news.event) == "running"
                if taken > earlier:
                    break
            node.kill()
        node.start()
    with node.client() as client:
        events = client.watch(deadly)
        failure = events[-1].failed.failure
        assert failure.reason == g.FAILURE_REASON_CRASHED and not failure.retryable, told(events)
        assert not [event for event in events if event.progress.step and event.progress.stage in SAMPLING]
        assert kind(client.watch(behind)[-1]) == "done"
