"""kill -9 at random moments over a running mix of generations; then what was acknowledged has ended done or cancelled, nothing
finished ran again, no finished step was repeated, events have no gap, and all frames are those of an undisturbed run."""

import threading, time

import grpc
import pytest
from ltx.v1 import generation_pb2 as g

from harness.events import FINAL, in_order, repeated, told
from harness.node import QUICK
from harness.paths import GUARD
from harness.requests import KINDS, undisturbed

WAITING = 4  # generations that are kept going
GONE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN, grpc.StatusCode.CANCELLED)


class Mix:
    """What was asked for, and what the node acknowledged of it."""

    def __init__(self, rng):
        self.rng, self.asked, self.ids, self.cancelled, self.seen_final = rng, {}, {}, set(), {}

    def drive(self, client, stop, answered):
        """Until the node is gone: asks again what was not acknowledged, keeps a few going, cancels some, looks at all."""
        try:
            while not stop.is_set():
                self.turn(client, answered)
        except grpc.RpcError as error:
            if not stop.is_set() and error.code() not in GONE:
                raise

    def turn(self, client, answered):
        for request_id, kind in self.asked.items():
            if request_id not in self.ids:
                self.ids[request_id] = client.create(KINDS[kind](), request_id).id
        going = []
        for id_ in self.ids.values():
            if id_ not in self.seen_final:
                now = client.get(id_)
                answered.set()
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


def disturb(node, mix, pace):
    """Starts the node and kills it, while it starts or while it works; a generation takes `pace` seconds."""
    node.launch()
    stop, answered = threading.Event(), threading.Event()
    early, moment = mix.rng.random() < 0.3, mix.rng.uniform(0.0, 1.0)

    def kill():
        if not early:
            answered.wait(GUARD)
        time.sleep(moment * 0.3 if early else moment * 3 * pace)
        stop.set()
        node.process.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    while not stop.is_set():
        with node.client() as client:
            mix.drive(client, stop, answered)
        time.sleep(0.01)
    killer.join()
    assert node.process.wait() == -9, "the node ended by itself"


def ended_well(client, mix, request_id, wanted):
    """A generation's events and record are what they should be."""
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


@pytest.mark.parametrize("kills", [10, pytest.param(200, marks=[pytest.mark.campaign, pytest.mark.timeout(7200)])])
def test_nothing_acknowledged_is_lost(nodes, rng, kills):
    quiet = nodes(*QUICK, name="undisturbed")
    with quiet.client() as client:
        wanted, pace = undisturbed(client)
    quiet.stop()
    mix, node = Mix(rng), nodes.make(*QUICK, name="disturbed")
    for _ in range(kills):
        disturb(node, mix, pace)
    assert mix.ids
    node.start()
    with node.client() as client:
        for request_id in mix.ids:
            ended_well(client, mix, request_id, wanted)
        assert len(client.list(page_size=500)) >= min(500, len(mix.ids))
