"""A running `ltxd serve` on the tiny model, whose weights are random: what these tests look at needs no others."""

import random, re, signal, socket, subprocess
from pathlib import Path

import grpc
import pytest
from ltx.v1 import node_service_pb2 as about

from harness.client import Client
from harness.paths import ENVIRONMENT, GUARD, LTXD, MODELS
from harness.place import HERE
from harness.waiting import eventually

TINY = "ltx-2.3-tiny"
# No limit on how often one client asks, nor on how often what it asked for may bring the node down.
QUICK = ("limits.requests_per_second=10000.0", "limits.request_burst=10000", "limits.fruitless_crashes=100000")
# A busy machine makes no client a slow one: none is cut for that, unless a test says so.
LIMITS = ("handshake_seconds", "connection_idle_seconds", "pause_seconds", "call_seconds", "upload_seconds")
# And whoever is told to end has the time for it that a test waits.
PATIENT = (*(f"limits.{name}=3600" for name in LIMITS), f"shutdown_seconds={GUARD}")
# Faults on purpose. A clip of 1000 steps takes longer than a test may: for clips that are cancelled or looked at while they go on.
ENDLESS = ("testing.enabled=true", "testing.slow_steps_ms=2000")
# A clip of 40 steps takes longer than anything is waited for; where the node is started again without, it is quickly made.
SLOW = ("testing.enabled=true", "testing.slow_steps_ms=30000")
# A clip stays at its next step, for a day, until it is cancelled or the node is told to end. As a setting, and for one clip.
HELD = ("testing.enabled=true", "testing.slow_steps_ms=86400000")
HOLD = "slow-steps-ms=86400000"
# The model whose clips show something.
SMALL = "ltx-2.3-small"
READY = "ltxd::node: ready"


def free_port():
    """A port that nobody listens on, outside the range that outgoing connections take theirs from."""
    while True:
        port = random.randrange(18_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


class Node:
    """A node's process, data folder, place, port and log; it may be started again after it ended."""

    def __init__(self, data, settings=(), token=None, log=None, model=TINY, place=HERE, environment=()):
        self.data, self.settings, self.token, self.port = Path(data), list(settings), token, free_port()
        self.place, self.environment = place, {**ENVIRONMENT, **dict(environment)}
        self.log_path = Path(log) if log else self.data.with_suffix(".log")
        self.model, self.process, self.starts = model, None, 0

    def launch(self, under=()):
        """Starts the process; `under` is a command that executes the one behind it, in the same process."""
        command = [*under, *self.place.command, LTXD, "serve", f"--data-dir={self.data}", f"--models-dir={MODELS}", f"--model={self.model}"]
        command += [f"--listen={self.place.address}:{self.port}", *(f"--set={setting}" for setting in (*PATIENT, *self.settings))]
        self.starts = self.log().count(READY)
        with self.log_path.open("a") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log, env=self.environment)
        return self

    def start(self, under=()):
        """Starts it and waits until its model is loaded."""
        self.launch(under)
        eventually(self.ready, "the node is ready")
        return self

    def measured(self):
        """Waits until it has measured the rates of its machine, which it does while nothing runs, and has kept them in its folder:
        from then on no file of `folder.files` changes by itself."""
        eventually((self.data / "rates.json").exists, "the node has measured its machine")
        return self

    def ended(self):
        """Waits until it ends itself, as `restart_at_step` makes it."""
        code = self.process.wait(timeout=GUARD)
        assert code == -signal.SIGKILL, f"the node ended with {code}"

    def says_ready(self):
        """Waits until its log says that its model is loaded since it was launched: where no client may ask it."""
        eventually(lambda: self.lives() and self.log().count(READY) > self.starts, "the node says that it is ready")
        return self

    def lives(self):
        """Fails when it has ended."""
        if not self.running():
            pytest.fail(f"the node ended with {self.process.returncode}:\n{self.log()[-2000:]}")
        return True

    def ready(self):
        self.lives()
        try:
            with self.client() as client:
                return client.about(seconds=GUARD / 10).state == about.NODE_STATE_READY
        except grpc.RpcError:
            return False

    def client(self, token=None):
        return Client(self.port, token or self.token, self.place.address)

    def running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        self.process.kill()
        return self.process.wait()

    def stop(self):
        """Ends it by SIGTERM, which ends well."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=GUARD)
        assert code == 0, f"the node ended with {code} on SIGTERM"

    def expire(self, id_):
        """Has the outputs of a generation swept because their time is over; ends it for that, and starts it again as it was."""
        kept = list(self.settings)
        self.stop()
        self.settings += ["retention.output_hours=0.000001"]
        self.start()
        with self.client() as client:
            eventually(lambda: not client.get(id_).outputs, "the outputs are swept")
        self.stop()
        self.settings = kept
        self.start()

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def resident(self):
        """Bytes of resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024

    def connections(self):
        """How many connections to its port there are that its side has not closed."""
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        port, kept = f":{self.port:04X}", {"01", "03", "08"}  # ESTABLISHED, SYN_RECV, CLOSE_WAIT
        return sum(line[1].endswith(port) and line[3] in kept for line in lines)

    def sockets(self):
        """How many sockets it has open: listeners, connections, and what its runtime needs."""
        found = 0
        for link in Path(f"/proc/{self.process.pid}/fd").iterdir():
            try:
                found += link.readlink().name.startswith("socket:")
            except FileNotFoundError:  # It was closed meanwhile.
                pass
        return found


class Nodes:
    """Makes nodes below one folder, and ends them. With NATS each is a service of its own, unless its settings say which."""

    def __init__(self, folder, nats=None):
        self.folder, self.nats, self.made = folder, nats, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def make(self, *settings, name="data", **more):
        """A node that is not started."""
        if self.nats and not any(setting.startswith("cluster.service=") for setting in settings):
            # It is the only one: nobody else may take what it has for want of a sign of life.
            settings = (*settings, *self.nats.settings(), "cluster.silent_seconds=60")
        self.made.append(Node(self.folder / name, settings, **more))
        return self.made[-1]

    def __call__(self, *settings, **more):
        return self.make(*settings, **more).start()

    def end(self):
        """Ends what runs; none may have panicked, and who is told to end must end well."""
        try:
            for node in self.made:
                if node.running():
                    node.stop()
        finally:
            for node in self.made:
                if node.running():
                    node.kill()
        panics = [line for node in self.made for line in node.log().splitlines() if "panicked" in line]
        assert not panics
