"""NATS servers on loopback, as a cluster of nodes has them, and the settings of the nodes that use them."""

import itertools, signal, subprocess

import pytest

from harness.node import free_port
from harness.paths import ENVIRONMENT
from harness.waiting import eventually

READY = "Server is ready"


class Nats:
    """One server, or several that keep copies of everything; each may be killed and started again."""

    def __init__(self, folder, count=1):
        self.folder, self.count, self.services = folder, count, itertools.count(1)
        self.ports, self.routes = ([free_port() for _ in range(count)] for _ in range(2))
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
        command = ["nats-server", "-a", "127.0.0.1", "-p", self.ports[at], "-js", "-sd", data, "-n", f"n{at}", "-l", data / "log"]
        if self.count > 1:
            routes = ",".join(f"nats://127.0.0.1:{port}" for port in self.routes)
            command += ["--cluster_name", "tests", "--cluster", f"nats://127.0.0.1:{self.routes[at]}", "--routes", routes]
        self.processes[at] = subprocess.Popen([str(word) for word in command], env=ENVIRONMENT)

    def log(self, at):
        path = self.folder / f"nats-{at}" / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def kill(self, at):
        self.processes[at].kill()
        self.processes[at].wait()

    def settings(self, service=None, replicas=None):
        """Of a node; without a name of a service, of one that has no other node."""
        servers = ",".join(f"nats://127.0.0.1:{port}" for port in self.ports)
        service = service or f"alone-{next(self.services)}"
        return (f"cluster.servers={servers}", f"cluster.service={service}", f"cluster.replicas={replicas or self.count}")

    def end(self):
        for process in self.processes:
            if process and process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.wait()
