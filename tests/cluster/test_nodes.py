"""Nodes of one service as processes: whichever is killed, what was acknowledged ends once, with the frames of a run that nothing
disturbs, and watchers miss nothing. The long form has three NATS servers, of which one at a time is killed as well."""

import collections, random, threading, time

import grpc
import pytest
from ltx.v1 import generation_pb2 as g, generation_service_pb2 as calls

from harness.events import FINAL, in_order, kind, repeated, told
from harness.nats import Nats
from harness.node import QUICK, Nodes, free_port
from harness.paths import GUARD
from harness.requests import KINDS, small, undisturbed
from harness.waiting import eventually

PASSING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN, grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED)
FACE, WORKER = "cluster.roles=face", "cluster.roles=worker"


class Service:
    """Faces and workers of one service."""

    def __init__(self, folder, nats, faces, workers):
        self.nodes, self.settings = Nodes(folder, nats), (*QUICK, *nats.settings("tests"), "cluster.silent_seconds=3")
        self.faces = [self.nodes.make(*self.settings, FACE, name=f"face-{at}") for at in range(faces)]
        self.workers = [self.nodes.make(*self.settings, WORKER, name=f"worker-{at}") for at in range(workers)]
        for face in self.faces:
            face.start()
        for worker in self.workers:
            self.start(worker)

    def start(self, worker):
        """A worker answers no clients: its log says that it is ready."""
        ready = worker.log().count("ltxd::node: ready")
        worker.launch()
        eventually(lambda: worker.log().count("ltxd::node: ready") > ready, "the worker is ready")

    def of(self, id_):
        """The worker that has a generation, as its log says."""
        return next((worker for worker in self.workers if f"generation={id_}" in worker.log()), None)


@pytest.fixture
def service(tmp_path):
    """Makes a service: service(nats, faces, workers); its nodes end with the test."""
    made = []
    yield lambda *what: made.append(Service(tmp_path, *what)) or made[-1]
    for each in made:
        each.nodes.end()


@pytest.fixture
def three(tmp_path):
    """Three NATS servers that keep three copies."""
    servers = Nats(tmp_path, free_port, count=3).start()
    yield servers
    servers.end()


@pytest.fixture
def wanted(tmp_path):
    """{kind: digest of its frames} by a node alone."""
    alone = Nodes(tmp_path / "alone")
    (tmp_path / "alone").mkdir()
    with alone(*QUICK).client() as client:
        yield undisturbed(client)[0]
    alone.end()


def test_a_killed_workers_generation_goes_on_elsewhere(nats, service, wanted):
    service = service(nats, 2, 2)
    one, two = (face.client() for face in service.faces)
    ids = {kind_: one.create(KINDS[kind_](), f"job-{at}").id for at, kind_ in enumerate(KINDS)}
    killed = ids["image, guided"]
    for news in two.stream(killed):
        if news.event.WhichOneof("event") == "progress" and news.event.progress.stage == g.STAGE_DENOISING and news.event.progress.step >= 2:
            break
    worker = service.of(killed)
    worker.kill()
    assert two.create(KINDS["image, guided"](), "job-2").id == killed, "a request id is the service's"
    for kind_, id_ in ids.items():
        events, now = two.watch(id_), one.get(id_)
        assert in_order(events) and kind(events[-1]) == "done", told(events)
        assert repeated(events)[1] == 0, told(events)
        assert now.mark.frames_sha256 == wanted[kind_]
        assert one.download(id_) == two.download(id_)
    assert {now.id for now in two.list()} == set(ids.values())
    assert one.get(killed).resumptions == 1
    service.start(worker)
    victim = one.create(small(9, frames=97, width=256, height=256), "cancelled")
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


def insist(service, rng, call):
    """A call that is asked again, of any face, until one answers."""
    until = time.monotonic() + GUARD
    while True:
        with rng.choice(service.faces).client() as client:
            try:
                return call(client)
            except grpc.RpcError as error:
                if error.code() not in PASSING or time.monotonic() > until:
                    raise
        time.sleep(0.1)


@pytest.mark.campaign
@pytest.mark.timeout(4 * 3600)
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
        for number in range(client_number, generations, 6):
            name, kind_ = f"job-{number}", own.choice(list(KINDS))
            id_ = insist(service, own, lambda client: client.create(KINDS[kind_](), name)).id
            ids[number] = (id_, kind_)
            if len(watchers) < 50:
                watchers.append(Watcher(service, id_, random.Random(number)))
                watchers[-1].start()
            if own.random() < 0.05:
                insist(service, own, lambda client: cancelled(client, id_))

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
                eventually(lambda: nats.log(at).rstrip().splitlines()[-1:] and "Server is ready" in nats.log(at), "it is back")
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
    states, resumptions = collections.Counter(), 0
    for id_, kind_ in ids.values():
        now = eventually(lambda: (it := insist(service, rng, lambda client: client.get(id_))).state in FINAL and it, "it ends")
        states[g.GenerationState.Name(now.state)] += 1
        resumptions += now.resumptions
        if now.state == g.GENERATION_STATE_DONE:
            assert now.mark.frames_sha256 == wanted[kind_]
        else:
            assert now.state == g.GENERATION_STATE_CANCELLED, now
        events = insist(service, rng, lambda client: client.watch(id_))
        assert in_order(events), told(events)
        assert repeated(events)[1] == 0, told(events)
    over.set()
    killer.join()
    for watcher in watchers:
        watcher.join(GUARD)
        assert watcher.wrong is None and kind(watcher.events[-1]) in ("done", "cancelled"), (watcher.id, watcher.wrong)
    print(f"\n{generations} generations: {dict(states)}; kills: {dict(killed)}; resumptions: {resumptions}; watchers: {len(watchers)}")
