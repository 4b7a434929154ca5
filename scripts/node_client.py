"""A node to check, and a gRPC client that is not ours: grpcio with stubs made by grpcio-tools from proto/.

enter() makes a virtual environment under the target folder (pip, pinned versions; needs PyPI or wheels where pip finds them)
and starts the calling script again inside it. Loopback only.
"""

import json, os, re, signal, socket, subprocess, sys, tempfile, time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
LTXD = os.environ.get("LTXD") or str(TARGET / "release" / "ltxd")
PICTURES = ROOT / "scripts/demo-pictures"
VENV = TARGET / "check-venv"
STUBS = VENV / "stubs"
PINNED = ["grpcio==1.76.0", "grpcio-tools==1.76.0", "protobuf==6.33.6", "googleapis-common-protos==1.72.0", "hpack==4.1.0"]
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("LTXD_")}


def enter():
    """Goes on inside the virtual environment, with the stubs importable."""
    protos = sorted((ROOT / "proto").glob("ltx/v1/*.proto"))
    stamp = VENV / "made-of"
    made_of = json.dumps([PINNED, [path.read_text() for path in protos]])
    python = VENV / "bin/python"
    if not stamp.exists() or stamp.read_text() != made_of:
        print(f"making {VENV} with {', '.join(PINNED)}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PINNED], check=True)
        STUBS.mkdir()
        generate = [python, "-m", "grpc_tools.protoc", f"-I{ROOT / 'proto'}", f"--python_out={STUBS}", f"--grpc_python_out={STUBS}"]
        subprocess.run([*generate, *protos], check=True)
        stamp.write_text(made_of)
    if Path(sys.prefix).resolve() != VENV.resolve():
        os.execv(python, [str(python), *sys.argv])
    sys.path.insert(0, str(STUBS))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Node:
    """A running `ltxd serve` on the tiny model, whose weights are random: what these checks look at needs no others."""

    def __init__(self, data, settings=(), port=None, log=None, token=None):
        self.data, self.settings, self.port = Path(data), list(settings), port or free_port()
        self.log_path = Path(log) if log else self.data.with_suffix(".log")
        self.process, self.token = None, token

    def start(self, wait=True, under=()):
        """`under` is a command that executes the one behind it, in the same process."""
        models = [f"--models-dir={ROOT / 'models'}", "--model=ltx-2.3-tiny"]
        command = [*under, LTXD, "serve", f"--data-dir={self.data}", *models]
        command += [f"--listen=127.0.0.1:{self.port}", *(f"--set={setting}" for setting in self.settings)]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=self.log_path.open("a"), env=ENVIRONMENT)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, seconds=60):
        """Until its model is loaded."""
        import grpc
        from ltx.v1 import node_service_pb2, node_service_pb2_grpc

        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise SystemExit(f"the node ended with {self.process.returncode}:\n{self.log_path.read_text()[-2000:]}")
            try:
                with self.channel() as channel:
                    stub = node_service_pb2_grpc.NodeServiceStub(channel)
                    node = stub.GetNode(node_service_pb2.GetNodeRequest(), timeout=5).node
                if node.state == node_service_pb2.NODE_STATE_READY:
                    return node
            except grpc.RpcError:
                pass
            time.sleep(0.03)
        raise SystemExit(f"the node was not ready after {seconds} s:\n{self.log_path.read_text()[-2000:]}")

    def channel(self):
        import grpc

        # A channel of its own: grpcio shares connections between equal ones, and remembers a dead node's back-off.
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", 64 << 20)]
        channel = grpc.insecure_channel(f"127.0.0.1:{self.port}", options=options)
        return with_token(channel, self.token) if self.token else channel

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self, seconds=60):
        """SIGTERM; -> seconds until it ended."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=seconds)
        if code != 0:
            raise SystemExit(f"the node ended with {code} on SIGTERM:\n{self.log_path.read_text()[-2000:]}")
        return time.monotonic() - began

    def resident(self):
        """Bytes of resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.kill()


def with_token(channel, token):
    """The channel, every call on it with a bearer token."""
    import collections, grpc

    kinds = (grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor, grpc.StreamUnaryClientInterceptor)
    fields = ("method", "timeout", "metadata", "credentials", "wait_for_ready", "compression")

    class Details(collections.namedtuple("Details", fields), grpc.ClientCallDetails):
        pass

    def bearing(_, continuation, details, request):
        metadata = [*(details.metadata or ()), ("authorization", f"Bearer {token}")]
        return continuation(Details(*(metadata if field == "metadata" else getattr(details, field) for field in fields)), request)

    names = ("intercept_unary_unary", "intercept_unary_stream", "intercept_stream_unary")
    return grpc.intercept_channel(channel, type("Bearing", kinds, dict.fromkeys(names, bearing))())


class Stubs:
    """The contract's services on one channel."""

    def __init__(self, channel):
        from ltx.v1 import generation_service_pb2_grpc, node_service_pb2_grpc, policy_service_pb2_grpc, upload_service_pb2_grpc

        self.generations = generation_service_pb2_grpc.GenerationServiceStub(channel)
        self.node = node_service_pb2_grpc.NodeServiceStub(channel)
        self.policy = policy_service_pb2_grpc.PolicyServiceStub(channel)
        self.uploads = upload_service_pb2_grpc.UploadServiceStub(channel)


def details(error):
    """-> (code's name, {type: [detail]}) of a failed call"""
    from google.rpc import error_details_pb2, status_pb2

    found = {}
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for packed in status_pb2.Status.FromString(value).details:
                kind = getattr(error_details_pb2, packed.type_url.rsplit(".", 1)[-1])
                found.setdefault(kind.DESCRIPTOR.name, []).append(kind.FromString(packed.value))
    return error.code().name, found


def scratch():
    return tempfile.TemporaryDirectory(prefix="ltxd-check-", dir=os.environ.get("TMPDIR"))
