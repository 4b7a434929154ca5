"""NATS servers on loopback, as a cluster of nodes has them, and the settings of the nodes that use them."""

import itertools, signal, subprocess

from harness.paths import ENVIRONMENT
from harness.waiting import eventually


class Nats:
    """One server, or several that keep copies of everything; each may be killed and started again."""

    def __init__(self, folder, free_port, count=1):
        self.folder, self.count, self.services = folder, count, itertools.count(1)
        self.ports, self.routes = ([free_port() for _ in range(count)] for _ in range(2))
        self.processes = [None] * count

    def start(self):
        for at in range(self.count):
            self.launch(at)
        for at in range(self.count):
            eventually(lambda: "Server is ready" in self.log(at), "the NATS server is ready")
        return self

    def launch(self, at):
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
