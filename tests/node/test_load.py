"""Many watchers, by gRPC and as pages in browsers, and a long queue on one node: no event lost or out of order. The campaign asks also
how much memory they take, and how long GetGeneration takes beside them."""

import asyncio, json, statistics, subprocess, sys, threading
from typing import NamedTuple

import grpc
import pytest
from ltx.v1 import generation_service_pb2 as calls, generation_service_pb2_grpc, spec_pb2 as spec

from harness.events import FINAL, in_order, kind
from harness.grpc_web import over_http1, over_http2, stream
from harness.http2 import WATCH
from harness.node import QUICK
from harness.paths import GUARD
from harness.requests import image, small
from harness.waiting import eventually

GROWTH, SLOWER, CHANNELS = 200 * 10**6, 20, 5
SETTINGS = (*QUICK, "limits.queued=4096", "limits.queued_per_client=4096", "testing.enabled=true")
# Large, and slower than anything is waited for: what is queued behind it waits until it is cancelled.
AHEAD = spec.GenerationSpec(
    prompt="A boat.", image=image(), width=512, height=512, frames=97, seed=3, schedule=spec.SCHEDULE_GUIDED, steps=1000
)
PROBE = """
import json, sys, time
from harness.client import Client
with Client(int(sys.argv[1])) as client:
    took, until = [], time.monotonic() + float(sys.argv[3])
    client.get(sys.argv[2])
    while time.monotonic() < until:
        began = time.perf_counter()
        client.get(sys.argv[2])
        took.append(time.perf_counter() - began)
        time.sleep(0.002)
print(json.dumps(took))
"""


def probed(node, id_, seconds):
    """How long GetGeneration took, from another process, one call after another."""
    command = [sys.executable, "-c", PROBE, str(node.port), id_, str(seconds)]
    return json.loads(
        subprocess.run(command, check=True, capture_output=True, text=True, env={"PYTHONPATH": ":".join(sys.path)}).stdout
    )


class Watchers:
    """Watchers of some generations, on a few channels in a thread of their own."""

    def __init__(self, port, ids, count):
        self.port, self.ids, self.count = port, ids, count
        self.opened, self.told = 0, []  # told: (id, events)
        self.thread = threading.Thread(target=lambda: asyncio.run(self.follow()))
        self.thread.start()

    async def follow(self):
        options = [("grpc.use_local_subchannel_pool", 1)]
        channels = [grpc.aio.insecure_channel(f"127.0.0.1:{self.port}", options=options) for _ in range(CHANNELS)]
        stubs = [generation_service_pb2_grpc.GenerationServiceStub(channel) for channel in channels]

        async def one(number):
            id_, events, first = self.ids[number % len(self.ids)], [], True
            async for news in stubs[number % CHANNELS].WatchGeneration(
                calls.WatchGenerationRequest(id=id_), timeout=GUARD * 10
            ):
                self.opened += first
                first = False
                if news.WhichOneof("news") == "event":
                    events.append(news.event)
            self.told.append((id_, events))

        await asyncio.gather(*(one(number) for number in range(self.count)))
        for channel in channels:
            await channel.close()

    def join(self):
        self.thread.join()
        assert len(self.told) == self.count


class Pages:
    """Pages that are open at some generations, each in a browser of its own: half speak HTTP/1.1, half HTTP/2."""

    def __init__(self, port, ids, count):
        self.port, self.count = port, count
        self.opened, self.told, self.lock = 0, [], threading.Lock()  # told: (id, events)
        self.threads = [threading.Thread(target=self.follow, args=(ids[number % len(ids)], number)) for number in range(count)]
        for thread in self.threads:
            thread.start()

    def follow(self, id_, number):
        asked, events, first = calls.WatchGenerationRequest(id=id_, previews=True), [], True
        over = (over_http1, over_http2)[number % 2]
        for news in stream(over, self.port, WATCH, asked, calls.WatchGenerationResponse):
            with self.lock:
                self.opened += first
            first = False
            if news.WhichOneof("news") == "event":
                # Pictures beside the events, which are the same for all.
                news.event.ClearField("preview_png")
                events.append(news.event)
        with self.lock:
            self.told.append((id_, events))

    def join(self):
        for thread in self.threads:
            thread.join()
        assert len(self.told) == self.count


class Peak:
    """The largest resident memory of a node, sampled now and then."""

    def __init__(self, node):
        self.node, self.most, self.over = node, node.resident(), threading.Event()
        self.thread = threading.Thread(target=self.sample)

    def sample(self):
        while not self.over.wait(0.2):
            self.most = max(self.most, self.node.resident())

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


class Load(NamedTuple):
    """How many generations wait, how many watch by gRPC and how many as pages do, and how many of the generations are watched."""

    jobs: int
    watchers: int
    watched: int
    pages: int = 0


def loaded(node, client, load, during):
    """Queues, watches the first, and looks at what was told; `during` runs once all watchers are there and events come.
    -> bytes of resident memory at the peak, above what the generation ahead of them takes alone."""
    with Peak(node) as alone:
        ahead = client.create(AHEAD, faults="slow-steps-ms=2000").id
        next(news for news in client.stream(ahead) if news.event.progress.step == 2)
    with Peak(node) as peak:
        ids = [client.create(small(7)).id for _ in range(load.jobs)]
        watching = Watchers(node.port, ids[: load.watched], load.watchers)
        pages = Pages(node.port, ids[: load.watched], load.pages)
        there = lambda: (watching.opened, pages.opened) == (load.watchers, load.pages)
        eventually(there, "all watchers are there")
        assert not any(client.get(id_).state in FINAL for id_ in ids[: load.watched])
        client.cancel(ahead)
        during()
        watching.join()
        pages.join()
    stored = {id_: client.watch(id_) for id_ in ids[: load.watched]}
    assert all(told == stored[id_] for id_, told in [*watching.told, *pages.told])
    assert all(in_order(events) and kind(events[-1]) == "done" for events in stored.values())
    return peak.most - alone.most


def test_every_watcher_sees_every_event(nodes):
    node = nodes(*SETTINGS)
    with node.client() as client:
        loaded(node, client, Load(jobs=200, watchers=50, watched=10, pages=20), during=lambda: None)


@pytest.mark.campaign
def test_two_hundred_pages_beside_three_hundred_watchers(nodes):
    node = nodes(*SETTINGS)
    with node.client() as client:
        loaded(node, client, Load(jobs=500, watchers=300, watched=50, pages=200), during=lambda: None)


@pytest.mark.campaign
def test_five_hundred_watchers_and_two_thousand_queued(nodes):
    node, found = nodes(*SETTINGS), []
    with node.client() as client:
        first = client.finished(small(7)).id
        unloaded = statistics.median(probed(node, first, 5))
        load = Load(jobs=2000, watchers=500, watched=50)
        growth = loaded(node, client, load, during=lambda: found.extend(probed(node, first, 10)))
    p99 = sorted(found)[int(len(found) * 0.99)]
    print(f"\ngrowth {growth / 1e6:.1f} MB; GetGeneration {unloaded * 1e3:.2f} ms alone, 99 % of {len(found)} under load within {p99 * 1e3:.2f} ms")
    assert growth < GROWTH
    assert p99 <= SLOWER * unloaded
