"""kill -9 at random moments over a running mix of generations; then what was acknowledged has ended done or cancelled, nothing
finished ran again, no finished step was repeated, events have no gap, and all frames are those of an undisturbed run."""

import threading, time

import grpc
import pytest
from ltx.v1 import generation_pb2 as g

from harness.client import PASSING, Insistent
from harness.events import FINAL, in_order, repeated, told
from harness.node import QUICK
from harness.paths import GUARD
from harness.requests import KINDS, undisturbed
from harness.waiting import eventually

WAITING = 4  # generations that are kept going


class Mix:
    """What was asked for, and what the node acknowledged of it."""

    def __init__(self, rng):
        self.rng, self.asked, self.ids, self.cancelled, self.seen_final = rng, {}, {}, set(), {}
        self.last_events = {}

    def events(self):
        """How many events there are, as far as the node has told."""
        return sum(self.last_events.values())

    def drive(self, client, stop, seen):
        """Until the node is gone: asks again what was not acknowledged, keeps a few going, cancels some, looks at all."""
        try:
            while not stop.is_set():
                self.turn(client)
                seen()
        except grpc.RpcError as error:
            if not stop.is_set() and error.code() not in PASSING:
                raise

    def turn(self, client):
        for request_id, kind in self.asked.items():
            if request_id not in self.ids:
                self.ids[request_id] = client.create(KINDS[kind](), request_id).id
        going = []
        for id_ in self.ids.values():
            if id_ not in self.seen_final:
                now = client.get(id_)
                self.last_events[id_] = now.last_event
                if now.state in FINAL:
                    self.seen_final[id_] = (now.state, now.last_event, now.mark.frames_sha256)
                else:
                    going.append(id_)
        if going and self.rng.random() < 0.004:
            self.cancel(client, self.rng.choice(going))
        if len(going) < WAITING:
            self.asked[f"job-{len(self.asked)}"] = self.rng.choice(list(KINDS))
        else:
            time.sleep(0.02)

    def cancel(self, client, id_):
        self.cancelled.add(id_)  # Before the call: the node may do it and die before it answers.
        try:
            client.cancel(id_)
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.FAILED_PRECONDITION:  # It has ended meanwhile.
                raise


def disturb(node, mix, events, early):
    """Starts the node and kills it: `early`, once its log has some lines of a start, or once it has told of some events more; a
    generation has so many of them."""
    logged = node.log().count("\n")
    lines, more, beside = mix.rng.randrange(4), mix.rng.randrange(1, round(3 * events)), mix.rng.uniform(0, 0.05)
    node.launch()
    stop, due, first = threading.Event(), threading.Event(), []

    def seen():
        first.append(mix.events())
        if not early and first[-1] >= first[0] + more:
            due.set()

    def kill():
        if early:
            eventually(lambda: node.log().count("\n") >= logged + lines, "the node logs")
        else:
            due.wait(GUARD)
        time.sleep(beside)  # In the middle of something.
        stop.set()
        node.process.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    while not stop.is_set():
        with node.client() as client:
            mix.drive(client, stop, seen)
        time.sleep(0.01)
    killer.join()
    assert node.process.wait() == -9, "the node ended by itself"
    assert early or due.is_set(), "it was killed before it had worked"


def ended_well(client, mix, request_id, wanted):
    """A generation's events and record are what they should be; how often it was taken up again."""
    id_, kind = mix.ids[request_id], mix.asked[request_id]
    events, now = client.watch(id_), client.get(id_)
    assert in_order(events), told(events)
    assert repeated(events)[1] == 0, told(events)
    final = (now.state, now.last_event, now.mark.frames_sha256)
    assert mix.seen_final.get(id_, final) == final
    if now.state == g.GENERATION_STATE_DONE:
        assert now.mark.frames_sha256 == wanted[kind]
    else:
        assert now.state == g.GENERATION_STATE_CANCELLED and id_ in mix.cancelled, now
    return now.resumptions


@pytest.mark.both_stores
@pytest.mark.parametrize("kills", [10, pytest.param(200, marks=pytest.mark.campaign)])
def test_nothing_acknowledged_is_lost(nodes, rng, kills):
    quiet = nodes(*QUICK, name="undisturbed")
    with quiet.client() as client:
        wanted, events = undisturbed(client)
    quiet.stop()
    mix, node = Mix(rng), nodes.make(*QUICK, name="disturbed")
    # Three of ten while it starts, the others while it works.
    moments = [number % 10 < 3 for number in range(kills)]
    rng.shuffle(moments)
    for early in moments:
        disturb(node, mix, events, early)
    node.start()
    client = Insistent(node.client)
    resumptions = sum(ended_well(client, mix, request_id, wanted) for request_id in mix.ids)
    assert resumptions > kills // 5, "it was seldom killed in the middle of a generation"
    assert len(client.list(page_size=500)) >= min(500, len(mix.ids))
