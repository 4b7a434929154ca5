"""A node that is attacked: two clients with tokens, its live state, and whether an attack left anything."""

import hashlib, re, urllib.request

from ltx.v1 import generation_service_pb2 as calls, upload_service_pb2 as uploads

from harness import folder, http2 as w
from harness.client import NUMBERS, documented
from harness.node import QUICK, Node, free_port
from harness.requests import START, small
from harness.waiting import eventually

TOKEN, OTHER = "a token of this check", "another client's token"
HEALTH = "/grpc.health.v1.Health/Check"
SERVING = b"\x08\x01"


class Target:
    """A node with tokens and metrics; `settings` are limits to be tried."""

    def __init__(self, nodes, *settings):
        tokens = nodes.folder / "tokens"
        digests = {name: hashlib.sha256(token.encode()).hexdigest() for name, token in (("one", TOKEN), ("two", OTHER))}
        tokens.write_text("".join(f"{name}:{digest}\n" for name, digest in digests.items()))
        self.metrics = free_port()
        given = [*QUICK, f"tokens_file={tokens}", f"metrics_listen=127.0.0.1:{self.metrics}", *settings]
        # What it keeps of its machine is there, before anybody compares what it keeps.
        self.node: Node = nodes(*given, token=TOKEN).measured()
        eventually(lambda: self.node.connections() == 0, "nobody is connected")
        self.quiet = self.node.sockets()

    def wire(self, **more):
        return w.Wire(self.node.port, **more)

    def done(self, **more):
        """A generation that is done: of the first client."""
        with self.node.client() as client:
            return client.finished(small(7, **more))

    def answers(self):
        """Whether the node answers on a new connection, with a token and without."""
        with self.wire() as wire:
            health = wire.ask(HEALTH, body=w.message(b""))
            node = wire.ask(w.GET_NODE, TOKEN, w.message(b""))
        return (health.code, node.code, health.data[5:]) == ("0", "0", SERVING)

    def alive(self):
        """Waits until the node answers: where its limits are short and the machine is busy, a try may be cut."""
        eventually(self.answers, "the node answers")

    def gauge(self, name):
        """A metric, as it is now."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics") as answer:
            return float(re.search(rf"^ltxd_{name} (\S+)$", answer.read().decode(), re.M)[1])

    def at_rest(self):
        """Whether nobody is connected, no socket is open that was not before, nothing is under way, and no file half there."""
        still = self.node.connections() == 0 and self.node.sockets() <= self.quiet
        busy = any(self.gauge(name) for name in ("open_streams", "queued", "running"))
        return still and not busy and not any(re.search(r"tmp|partial|\.part", name) for name in folder.files(self.node.data))

    def kept(self):
        """Rows of every table, and all files but the database's own."""
        data = self.node.data
        return folder.rows(data), {name for name in folder.files(data) if not name.startswith("jobs.sqlite")}


def is_refusal(answer, *reasons):
    """Whether an answer is one of these refusals, with the code that is documented for it."""
    return answer.reason in reasons and answer.code == str(NUMBERS[documented()[answer.reason]])


def told(answer):
    return f"“{answer.reason}”, code {answer.code}, {answer.fields.get('grpc-message', '')[:200]}, reset {answer.reset}"


# Messages of the contract, in gRPC's frame.


def header(total=None, sha256="", data=START):
    part = uploads.UploadHeader(total_bytes=len(data) if total is None else total, sha256=sha256)
    return w.message(uploads.UploadImageRequest(header=part).SerializeToString())


def chunk(data):
    return w.message(uploads.UploadImageRequest(chunk=data).SerializeToString())


def upload_of(data, **more):
    return header(data=data, **more) + b"".join(chunk(data[at : at + (1 << 20)]) for at in range(0, len(data), 1 << 20))


def create_of(spec):
    return w.message(calls.CreateGenerationRequest(spec=spec).SerializeToString())


def watch_of(id_):
    return w.message(calls.WatchGenerationRequest(id=id_).SerializeToString())


def download_of(id_):
    return w.message(calls.DownloadOutputRequest(id=id_).SerializeToString())
