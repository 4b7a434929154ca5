"""Nodes of one service as processes: whichever is killed, what was acknowledged ends once, with the frames of a run that nothing
disturbs, and watchers miss nothing. The long form has three NATS servers, of which one at a time is killed as well."""

import collections, itertools, random, threading, time
from contextlib import contextmanager

import grpc
import pytest
from ltx.v1 import generation_pb2 as g, generation_service_pb2 as calls, spec_pb2 as spec

from harness.client import PASSING, Insistent, insist
from harness.events import FINAL, in_order, kind, repeated, told
from harness.nats import Nats
from harness.node import QUICK, Nodes
from harness.paths import GUARD
from harness.requests import KINDS, endless, small, undisturbed
from harness.waiting import eventually

FACE, WORKER = "cluster.roles=face", "cluster.roles=worker"
SILENT = 60  # seconds: who is killed is soon back, and nobody else is taken for silent


class Service:
    """Faces and workers of one service."""

    def __init__(self, nodes, nats, faces, workers, silent=SILENT):
        settings = (*QUICK, *nats.settings("tests"), f"cluster.silent_seconds={silent}")
        self.faces = [nodes.make(*settings, FACE, name=f"face-{at}") for at in range(faces)]
        self.workers = [nodes.make(*settings, WORKER, name=f"worker-{at}") for at in range(workers)]

    def start(self):
        for face in self.faces:
            face.start()
        # A worker answers no clients.
        for worker in self.workers:
            worker.launch().says_ready()
        return self

    def of(self, id_):
        """The worker that has a generation, as its log says."""
        return next((worker for worker in self.workers if f"generation={id_}" in worker.log()), None)

    def any_face(self, rng):
        """A client of whichever face answers."""
        return Insistent(lambda: rng.choice(self.faces).client())


@pytest.fixture
def service(tmp_path):
    """Starts a service: service(nats, faces, workers); its nodes end with the test."""
    with Nodes(tmp_path) as nodes:
        yield lambda *what, **more: Service(nodes, *what, **more).start()


@pytest.fixture
def three(tmp_path):
    """Three NATS servers that keep three copies."""
    with Nats(tmp_path, count=3) as servers:
        yield servers


@pytest.fixture
def alone(tmp_path):
    """Makes clients of a node alone, which ends with its client."""
    (tmp_path / "alone").mkdir()

    @contextmanager
    def client():
        with Nodes(tmp_path / "alone") as nodes, nodes(*QUICK).client() as client:
            yield client

    return client


@pytest.fixture
def wanted(alone):
    """{kind: digest of its frames} by a node alone."""
    with alone() as client:
        return undisturbed(client)[0]


FIRST = 100  # seed of what is to be killed


def cut(seed):
    """One that is to be killed in the middle."""
    return small(seed, width=128, height=128, frames=17, schedule=spec.SCHEDULE_GUIDED, steps=40)


def is_made(client, id_):
    """Waits until steps of it have been made."""
    next(news for news in client.stream(id_) if news.event.progress.stage == g.STAGE_DENOISING and news.event.progress.step >= 2)


def killed_in_the_middle(service, one):
    """The seed of a clip that had not ended when its worker was killed, its id, and that worker."""
    for seed in itertools.count(FIRST):
        id_ = one.create(cut(seed), f"cut-{seed}").id
        insist(service.faces[1].client, lambda two: is_made(two, id_))
        worker = service.of(id_)
        worker.kill()
        if one.get(id_).state not in FINAL:
            return seed, id_, worker
        # It was quicker than the news of it.
        worker.launch().says_ready()


def test_a_killed_workers_generation_goes_on_elsewhere(nats, service, wanted, alone):
    service = service(nats, 2, 2, silent=3)
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


class Watcher(threading.Thread):
    """Follows a generation through one face after the other to its end; what it saw is checked as it comes."""

    def __init__(self, service, id_, rng):
        super().__init__(daemon=True)
        self.service, self.id, self.rng, self.events, self.wrong = service, id_, rng, [], None

    def run(self):
        try:
            while not self.events or kind(self.events[-1]) not in ("done", "failed", "cancelled"):
                with self.rng.choice(self.service.faces).client() as client:
                    self.follow(client)
        except Exception as error:  # Told by whoever joins this thread.
            self.wrong = error

    def follow(self, client):
        seen = self.events[-1].number if self.events else 0
        for_so_many = self.rng.randrange(1, 30)
        request = calls.WatchGenerationRequest(id=self.id, resume_after=seen)
        try:
            for news in client.generations.WatchGeneration(request, timeout=GUARD):
                if news.WhichOneof("news") == "event":
                    assert news.event.number == seen + 1, f"{news.event.number} after {seen}"
                    self.events.append(news.event)
                    seen += 1
                    for_so_many -= 1
                if for_so_many == 0:
                    return
        except grpc.RpcError as error:
            if error.code() not in PASSING:
                raise
            time.sleep(0.2)


@pytest.mark.campaign
@pytest.mark.parametrize(("generations", "kills"), [(30, 20), (300, 200)])
def test_nothing_acknowledged_is_lost(three, service, rng, wanted, generations, kills):
    nats, service, wrong = three, service(three, 2, 4), []
    ids, killed, over = {}, collections.Counter(), threading.Event()
    watchers = []

    def asks(client_number):
        try:
            ask(client_number)
        except BaseException as error:  # Told by the test.
            wrong.append(error)

    def ask(client_number):
        own = random.Random(client_number)
        client = service.any_face(own)
        for number in range(client_number, generations, 6):
            name, kind_ = f"job-{number}", own.choice(list(KINDS))
            id_ = client.create(KINDS[kind_](), name).id
            ids[number] = (id_, kind_)
            if len(watchers) < 50:
                watchers.append(Watcher(service, id_, random.Random(number)))
                watchers[-1].start()
            if own.random() < 0.05:
                cancelled(client, id_)

    def cancelled(client, id_):
        try:
            client.cancel(id_)
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.FAILED_PRECONDITION:
                raise

    def kill():
        while sum(killed.values()) < kills and not over.is_set():
            what = rng.choice(["worker"] * 6 + ["face"] * 2 + ["nats"])
            time.sleep(rng.uniform(0.1, 1.5))
            if what == "nats":
                at = rng.randrange(3)
                nats.kill(at)
                time.sleep(rng.uniform(0, 2))
                nats.launch(at)
                nats.says_ready(at)
                time.sleep(3)  # One at a time: it has caught up before the next may go.
            else:
                node = rng.choice(service.workers if what == "worker" else service.faces)
                node.kill()
                time.sleep(rng.uniform(0, 0.5))
                node.launch()
            killed[what] += 1

    asking = [threading.Thread(target=asks, args=(number,), daemon=True) for number in range(6)]
    killer = threading.Thread(target=kill, daemon=True)
    for thread in [*asking, killer]:
        thread.start()
    for thread in asking:
        thread.join()
    assert not wrong and len(ids) == generations, wrong
    states, resumptions, client = collections.Counter(), 0, service.any_face(rng)
    for id_, kind_ in ids.values():
        now = eventually(lambda: (it := client.get(id_)).state in FINAL and it, "it ends")
        states[g.GenerationState.Name(now.state)] += 1
        resumptions += now.resumptions
        if now.state == g.GENERATION_STATE_DONE:
            assert now.mark.frames_sha256 == wanted[kind_]
        else:
            assert now.state == g.GENERATION_STATE_CANCELLED, now
        events = client.watch(id_)
        assert in_order(events), told(events)
        assert repeated(events)[1] == 0, told(events)
    over.set()
    killer.join()
    for watcher in watchers:
        watcher.join(GUARD)
        assert watcher.wrong is None and kind(watcher.events[-1]) in ("done", "cancelled"), (watcher.id, watcher.wrong)
    print(f"\n{generations} generations: {dict(states)}; kills: {dict(killed)}; resumptions: {resumptions}; watchers: {len(watchers)}")
