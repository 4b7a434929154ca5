"""Faces and workers of one service, as processes, and who asks it."""

import collections, itertools, random, threading, time

import grpc
from ltx.v1 import generation_pb2 as g, generation_service_pb2 as calls, spec_pb2 as spec

from harness.client import PASSING, Insistent, insist
from harness.events import ENDS, FINAL, in_order, kind, repeated, told
from harness.node import QUICK
from harness.paths import GUARD
from harness.place import HERE
from harness.requests import KINDS, small
from harness.waiting import eventually

FACE, WORKER = "cluster.roles=face", "cluster.roles=worker"
SILENT = 60  # seconds: who is killed is soon back, and nobody else is taken for silent


class Service:
    """Faces and workers of one service, of whose name there is no other on its servers; `place` makes a place for each."""

    def __init__(self, nodes, nats, faces, workers, silent=SILENT, place=lambda: HERE, settings=(), name="tests"):
        settings = (*QUICK, *nats.settings(name), f"cluster.silent_seconds={silent}", *settings)
        self.faces = [nodes.make(*settings, FACE, name=f"face-{at}", place=place()) for at in range(faces)]
        self.workers = [nodes.make(*settings, WORKER, name=f"worker-{at}", place=place()) for at in range(workers)]

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


class Watcher(threading.Thread):
    """Follows a generation through one face after the other to its end; what it saw is checked as it comes."""

    def __init__(self, service, id_, rng):
        super().__init__(daemon=True)
        self.service, self.id, self.rng, self.events, self.wrong = service, id_, rng, [], None

    def run(self):
        try:
            while not self.events or kind(self.events[-1]) not in ENDS:
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

    def ended(self):
        """Waits for its end."""
        self.join(GUARD)
        assert self.wrong is None and kind(self.events[-1]) in ("done", "cancelled"), (self.id, self.wrong)


class Crowd:
    """Clients that ask a service for generations of the mix while it is disturbed, each for its next one when the last but one has
    ended, and cancel some; and watchers of many."""

    CLIENTS, WATCHERS, CANCELLED = 6, 50, 0.05

    def __init__(self, service, wanted):
        """`wanted`: {kind: digest of the frames of a run that nothing disturbs}."""
        self.service, self.wanted = service, wanted
        self.ids, self.watchers, self.wrong = {}, [], []

    def ask_until(self, over, generations):
        """Asks for so many at least, and until the event `over` is set."""
        asked = lambda client: self.asks(client, lambda number: number < generations or not over.is_set())
        threads = [threading.Thread(target=asked, args=(client,), daemon=True) for client in range(self.CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not self.wrong, self.wrong

    def asks(self, number, goes_on):
        own = random.Random(number)
        client, waiting = self.service.any_face(own), collections.deque()
        try:
            while goes_on(number):
                kind_ = own.choice(list(KINDS))
                id_ = client.create(KINDS[kind_](), f"job-{number}").id
                self.ids[number] = (id_, kind_)
                waiting.append(id_)
                if len(self.watchers) < self.WATCHERS:
                    self.watchers.append(Watcher(self.service, id_, random.Random(number)))
                    self.watchers[-1].start()
                if own.random() < self.CANCELLED:
                    cancel(client, id_)
                if len(waiting) > 2:
                    ended(client, waiting.popleft())
                number += self.CLIENTS
        except BaseException as error:  # Told by whoever waits.
            self.wrong.append(error)

    def all_end_once(self, rng):
        """Waits until everything has ended, and looks at each: its frames, its events, and what the watchers saw. Returns how many
        there are by state, and how often one was taken up again."""
        states, resumptions, client = collections.Counter(), 0, self.service.any_face(rng)
        for id_, kind_ in self.ids.values():
            now = ended(client, id_)
            states[g.GenerationState.Name(now.state).removeprefix("GENERATION_STATE_")] += 1
            resumptions += now.resumptions
            if now.state == g.GENERATION_STATE_DONE:
                assert now.mark.frames_sha256 == self.wanted[kind_], now
            else:
                assert now.state == g.GENERATION_STATE_CANCELLED, now
            events = client.watch(id_)
            assert in_order(events), told(events)
            assert repeated(events)[1] == 0, told(events)
        for watcher in self.watchers:
            watcher.ended()
        return states, resumptions


FIRST = 100  # seed of what is to be killed


def cut(seed):
    """One that is to be killed in the middle."""
    return small(seed, width=128, height=128, frames=17, schedule=spec.SCHEDULE_GUIDED, steps=40)


def is_made(client, id_):
    """Waits until steps of it have been made."""
    next(news for news in client.stream(id_) if news.event.progress.stage == g.STAGE_DENOISING and news.event.progress.step >= 2)


def killed_in_the_middle(service, one, first=FIRST):
    """The seed of a clip that had not ended when its worker was killed, its id, and that worker."""
    for seed in itertools.count(first):
        id_ = one.create(cut(seed), f"cut-{seed}").id
        insist(service.faces[1].client, lambda two: is_made(two, id_))
        worker = service.of(id_)
        worker.kill()
        if one.get(id_).state not in FINAL:
            return seed, id_, worker
        # It was quicker than the news of it.
        worker.launch().says_ready()


def ended(client, id_):
    """The generation, once it has ended."""
    return eventually(lambda: (it := client.get(id_)).state in FINAL and it, "it ends")


def cancel(client, id_):
    """Cancels what has not ended yet."""
    try:
        client.cancel(id_)
    except grpc.RpcError as error:
        if error.code() != grpc.StatusCode.FAILED_PRECONDITION:
            raise
