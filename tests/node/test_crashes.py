"""What brings the node down before its first step, again and again, is given up, and the next one is made."""

import pytest
from ltx.v1 import generation_pb2 as g, spec_pb2 as spec

from harness.client import Insistent, insist
from harness.events import SAMPLING, kind, told
from harness.node import QUICK
from harness.requests import image, small

CRASHES = 3
# So large that a step of it takes as long as many starts of a node, on any machine: it is far from its first one when the node says
# that it was taken, and is killed for that.
DEADLY = spec.GenerationSpec(
    prompt="A wave. " * 200, image=image(), width=1280, height=704, frames=241, seed=4, schedule=spec.SCHEDULE_GUIDED
)


def taken(client, id_, earlier):
    """Waits until the node has taken it in this life: once more than in those before it."""
    runs = (news for news in client.stream(id_) if kind(news.event) == "running")
    for _ in range(earlier + 1):
        next(runs)


@pytest.mark.both_stores
def test_what_kills_the_node_is_given_up(nodes):
    node = nodes(*QUICK[:2], f"limits.fruitless_crashes={CRASHES}")
    client = Insistent(node.client)
    deadly, behind = client.create(DEADLY, "deadly").id, client.create(small(), "behind").id
    for earlier in range(CRASHES):
        insist(node.client, lambda client: taken(client, deadly, earlier))
        node.kill()
        node.start()
    events = client.watch(deadly)
    failure = events[-1].failed.failure
    assert failure.reason == g.FAILURE_REASON_CRASHED and not failure.retryable, told(events)
    assert not [event for event in events if event.progress.step and event.progress.stage in SAMPLING]
    assert kind(client.watch(behind)[-1]) == "done"
