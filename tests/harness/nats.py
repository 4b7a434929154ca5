"""NATS servers, as a cluster of nodes has them, and the settings of the nodes that use them."""

import itertools, json, signal, subprocess, urllib.request

import pytest

from harness.node import free_port
from harness.paths import ENVIRONMENT, GUARD, NATS_SERVER
from harness.place import HERE
from harness.waiting import eventually

READY = "Server is ready"


class Nats:
    """One server, or several that keep copies of everything; each may be killed and started again."""

    def __init__(self, folder, count=1, places=None, configuration=""):
        self.folder, self.count, self.services, self.configuration = folder, count, itertools.count(1), configuration
        self.places = places or [HERE] * count
        self.ports, self.routes, self.monitors = ([free_port() for _ in range(count)] for _ in range(3))
        self.processes, self.starts = [None] * count, [0] * count

    def __enter__(self):
        try:
            for at in range(self.count):
                self.launch(at)
            for at in range(self.count):
                self.says_ready(at)
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_):
        self.end()

    def says_ready(self, at):
        """Waits until a server's log says so since it was launched."""

        def ready():
            if self.processes[at].poll() is not None:
                pytest.fail(f"the NATS server ended:\n{self.log(at)[-2000:]}")
            return self.log(at).count(READY) > self.starts[at]

        eventually(ready, "the NATS server is ready")

    def launch(self, at):
        self.starts[at] = self.log(at).count(READY)
        data = self.folder / f"nats-{at}"
        data.mkdir(parents=True, exist_ok=True)
        place = self.places[at]
        command = [*place.command, NATS_SERVER, "-a", place.listen, "-p", self.ports[at], "-m", self.monitors[at]]
        command += ["-js", "-sd", data, "-n", f"n{at}", "-l", data / "log"]
        if self.configuration:
            (data / "configuration").write_text(self.configuration)
            command += ["-c", data / "configuration"]
        if self.count > 1:
            routes = self.urls(self.routes)
            command += ["--cluster_name", "tests", "--cluster", routes[at], "--routes", ",".join(routes)]
            # Nobody is sent to an address at which only the test reaches the servers.
            command += ["--client_advertise", f"{place.peers}:{self.ports[at]}"]
        self.processes[at] = subprocess.Popen([str(word) for word in command], env=ENVIRONMENT)

    def urls(self, ports):
        return [f"nats://{place.peers}:{port}" for place, port in zip(self.places, ports)]

    def current(self, at):
        """Waits until a server has caught up with the others, by what it says of itself."""

        def healthy():
            try:
                address = f"http://{self.places[at].address}:{self.monitors[at]}/healthz"
                return urllib.request.urlopen(address, timeout=GUARD).status == 200
            except OSError:
                return False

        eventually(healthy, "the NATS server is current")

    def copied(self):
        """Waits until every server has all streams and all that their lasting consumers know, and nothing is on its way to another one.
        Returns {name: number of the server that leads it}."""

        def kept(at):
            """What a server has: names, and how each is spread as the server sees it."""
            address = f"http://{self.places[at].address}:{self.monitors[at]}/jsz?streams=true&consumers=true&config=true"
            told = json.load(urllib.request.urlopen(address, timeout=GUARD))
            for stream in (stream for account in told.get("account_details", []) for stream in account["stream_detail"]):
                lasting = [consumer for consumer in stream.get("consumer_detail") or [] if "durable_name" in consumer["config"]]
                yield from ((one["name"], one["cluster"]) for one in (stream, *lasting))

        def everywhere(spread):
            others = spread.get("replicas", [])
            # While a stream is spread further, its consumers are still where they were, and have no leader for a moment.
            return "desired" not in spread and len(others) == self.count - 1 and all(other["current"] for other in others)

        def leaders():
            every = [dict(kept(at)) for at in range(self.count)]
            led = {name: at for at, own in enumerate(every) for name, spread in own.items() if spread.get("leader") == f"n{at}" and everywhere(spread)}
            return all(own.keys() == led.keys() for own in every) and led

        return eventually(leaders, "every server has all")

    def log(self, at):
        path = self.folder / f"nats-{at}" / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def kill(self, at):
        self.processes[at].kill()
        self.processes[at].wait()

    def settings(self, service=None, replicas=None):
        """Of a node; without a name of a service, of one that has no other node."""
        servers = ",".join(self.urls(self.ports))
        service = service or f"alone-{next(self.services)}"
        return (f"cluster.servers={servers}", f"cluster.service={service}", f"cluster.replicas={replicas or self.count}")

    def end(self):
        for process in self.processes:
            if process and process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.wait()
