"""SIGTERM in the middle of a generation: watchers are told, what runs goes on from its step, and clocks that were changed age
nothing."""

import signal, sqlite3

import grpc
import pytest
from ltx.v1 import generation_pb2 as g, spec_pb2 as spec

from harness.client import Refusal
from harness.events import in_order, repeated, told
from harness.node import QUICK, SLOW
from harness.paths import GUARD
from harness.requests import small

DAY = 24 * 3600 * 1000  # milliseconds
LONG = small(3, schedule=spec.SCHEDULE_GUIDED, steps=40)
SETTINGS = (*QUICK, "retention.output_hours=48.0")


@pytest.fixture
def wanted(nodes):
    """The digest of LONG's frames where nothing stops it."""
    node = nodes(*SETTINGS, name="quiet")
    with node.client() as client:
        digest = client.finished(LONG).mark.frames_sha256
    node.stop()
    return digest


def test_it_goes_on_where_it_was(wanted, nodes):
    node = nodes(*SETTINGS, *SLOW)
    with node.client() as client:
        first = client.finished(small(), faults="none")
        ids = [client.create(LONG).id, client.create(small(2)).id]
        stream = client.stream(ids[0])
        next(news for news in stream if news.event.progress.stage == g.STAGE_DENOISING and news.event.progress.step == 1)
        node.process.send_signal(signal.SIGTERM)
        with pytest.raises(grpc.RpcError) as ended:
            list(stream)
        refusal = Refusal(ended.value)
        assert (refusal.code, refusal.reason) == ("UNAVAILABLE", "SHUTTING_DOWN") and refusal.details["RetryInfo"]
    assert node.process.wait(timeout=GUARD) == 0
    node.settings = list(SETTINGS)

    # The clock stood fifty days behind then, and jumps back fifty days at the next start.
    for days in (50, -50):
        with sqlite3.connect(node.data / "jobs.sqlite") as database:
            database.execute("UPDATE node SET wall_ms = wall_ms - ?", (days * DAY,))
        node.start()
        with node.client() as client:
            events = [client.watch(id_) for id_ in ids]
            assert all(map(in_order, events)), list(map(told, events))
            long, behind = map(client.get, ids)
            assert (long.resumptions, repeated(events[0])[1], long.mark.frames_sha256) == (1, 0, wanted)
            assert behind.state == g.GENERATION_STATE_DONE
            assert [one.id for one in client.list()] == [ids[1], ids[0], first.id]
            assert len(client.download(first.id)) == first.outputs[0].total_bytes
        node.stop()
