"""A service of two faces, four workers and three NATS servers that keep three copies, under six clients and fifty watchers, while it is
disturbed for minutes: what was acknowledged ends once, done or cancelled, with the frames of a run that nothing disturbs; no event is lost,
doubled or out of order; and no finished step is made again."""

import collections, re, threading, time, urllib.request

import pytest

from harness.nats import Nats
from harness.network import Network
from harness.node import Nodes, free_port
from harness.service import Crowd, Service

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(3600)]


def disturbed(crowd, disturb, generations):
    """Has a crowd ask while `disturb` runs; fails if that fails."""
    over, wrong = threading.Event(), []

    def work():
        try:
            disturb()
        except BaseException as error:  # Told below.
            wrong.append(error)
        finally:
            over.set()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    crowd.ask_until(over, generations)
    thread.join()
    assert not wrong, wrong


@pytest.mark.parametrize(("generations", "kills"), [(30, 20), (300, 200)])
def test_kills(three, service, rng, wanted, generations, kills):
    """`kill -9` of nodes, and of one NATS server at a time."""
    service, killed = service(three, 2, 4), collections.Counter()
    crowd = Crowd(service, wanted)

    def kill():
        while killed.total() < kills:
            what = rng.choice(["worker"] * 6 + ["face"] * 2 + ["nats"])
            time.sleep(rng.uniform(0.1, 1.5))
            if what == "nats":
                at = rng.randrange(3)
                three.kill(at)
                time.sleep(rng.uniform(0, 2))
                three.launch(at)
                three.says_ready(at)
                # One at a time: it has caught up before the next may go.
                three.current(at)
            else:
                node = rng.choice(service.workers if what == "worker" else service.faces)
                node.kill()
                time.sleep(rng.uniform(0, 0.5))
                node.launch()
            killed[what] += 1

    disturbed(crowd, kill, generations)
    states, resumptions = crowd.all_end_once(rng)
    print(f"\n{len(crowd.ids)} generations: {dict(states)}; kills: {dict(killed)}; resumptions: {resumptions}")


@pytest.mark.parametrize("partitions", [6, 50])
def test_partitions(tmp_path, rng, wanted, partitions):
    """A worker, a face, or a NATS server (perhaps with a node) is cut off from everybody else, for longer or shorter than it takes to be
    silent. Clients reach the faces always. What every node counts as done is, in all, what is done."""
    parted = collections.Counter()
    with Network() as network, Nats(tmp_path, count=3, places=[network.host() for _ in range(3)]) as nats, Nodes(tmp_path) as nodes:
        metrics = free_port()
        reached = ("allow_insecure=true", "metrics_allow_remote=true", f"metrics_listen=0.0.0.0:{metrics}")
        service = Service(nodes, nats, 2, 4, silent=3, place=network.host, settings=reached)
        every = [*service.faces, *service.workers]
        service.start()
        crowd = Crowd(service, wanted)

        def part():
            for _ in range(partitions):
                what = rng.choice(["worker", "worker", "face", "nats", "nats with a node"])
                cut = [rng.choice(nats.places)] if what.startswith("nats") else []
                if what != "nats":
                    cut.append(rng.choice({"worker": service.workers, "face": service.faces}.get(what, every)).place)
                network.part(cut)
                time.sleep(rng.uniform(0.5, 12))
                network.part([])
                time.sleep(rng.uniform(0.5, 4))
                for at in range(3):
                    nats.current(at)
                parted[what] += 1

        disturbed(crowd, part, 6 * partitions)
        states, resumptions = crowd.all_end_once(rng)
        counted = sum(done(node, metrics) for node in every)
        assert counted == states["DONE"], (counted, states)
    print(f"\n{len(crowd.ids)} generations: {dict(states)}; partitions: {dict(parted)}; resumptions: {resumptions}")


def done(node, port):
    """How many generations a node counts that it has done."""
    text = urllib.request.urlopen(f"http://{node.place.address}:{port}/metrics").read().decode()
    found = re.search(r'^ltxd_ended_total\{state="DONE"\} (\d+)', text, re.M)
    return int(found[1]) if found else 0
