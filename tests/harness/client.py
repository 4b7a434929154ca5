"""A client of a node by grpcio: the contract's calls, and what a refusal says."""

import collections, functools, re, time

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from ltx.v1 import generation_service_pb2 as calls, generation_service_pb2_grpc
from ltx.v1 import node_service_pb2 as about, node_service_pb2_grpc
from ltx.v1 import policy_service_pb2 as policy, policy_service_pb2_grpc
from ltx.v1 import upload_service_pb2_grpc

from harness.paths import GUARD, ROOT


# What a call may end with while its node, or what that keeps everything in, is away.
PASSING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN, grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED)


class Client:
    """One channel to a node, and the contract's services on it."""

    def __init__(self, port, token=None, address="127.0.0.1"):
        # A channel of its own: grpcio shares connections between equal ones, and remembers a dead node's back-off.
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", 64 << 20)]
        self.channel = grpc.insecure_channel(f"{address}:{port}", options=options)
        channel = with_token(self.channel, token) if token else self.channel
        self.generations = generation_service_pb2_grpc.GenerationServiceStub(channel)
        self.node = node_service_pb2_grpc.NodeServiceStub(channel)
        self.policy = policy_service_pb2_grpc.PolicyServiceStub(channel)
        self.uploads = upload_service_pb2_grpc.UploadServiceStub(channel)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def create(self, spec, request_id="", faults=""):
        """`faults` are those of docs/node.md, for this generation."""
        request = calls.CreateGenerationRequest(request_id=request_id, spec=spec)
        metadata = [("ltxd-testing", faults)] if faults else None
        return self.generations.CreateGeneration(request, timeout=GUARD, metadata=metadata).generation

    def get(self, id_):
        return self.generations.GetGeneration(calls.GetGenerationRequest(id=id_), timeout=GUARD).generation

    def create_several(self, spec, **more):
        """The generations of one request: `seeds` or `count`, perhaps `request_id`."""
        request = calls.CreateGenerationRequest(spec=spec, **more)
        answer = self.generations.CreateGeneration(request, timeout=GUARD)
        return [answer.generation, *answer.further]

    def cancel(self, id_, batch=False):
        request = calls.CancelGenerationRequest(id=id_, batch=batch)
        return self.generations.CancelGeneration(request, timeout=GUARD).generation

    def list(self, **more):
        return list(self.generations.ListGenerations(calls.ListGenerationsRequest(**more), timeout=GUARD).generations)

    def stream(self, id_, **more):
        """The call that watches a generation."""
        return self.generations.WatchGeneration(calls.WatchGenerationRequest(id=id_, **more), timeout=GUARD * 5)

    def watch(self, id_):
        """Every event, from the first to the one that ends it."""
        return [news.event for news in self.stream(id_) if news.WhichOneof("news") == "event"]

    def finished(self, spec, **more):
        """The generation, once it has ended done; `more` is of `create`."""
        last = self.watch(self.create(spec, **more).id)[-1]
        assert last.WhichOneof("event") == "done", last
        return last.done.generation

    def download(self, id_, output=None):
        """The bytes of its MP4, or of another output."""
        parts = self.generations.DownloadOutput(calls.DownloadOutputRequest(id=id_, output=output), timeout=GUARD)
        return b"".join(part.chunk for part in parts)

    def check(self, spec):
        """The dry run: verdict, grounds, estimate."""
        return self.policy.CheckEligibility(policy.CheckEligibilityRequest(spec=spec), timeout=GUARD)

    def about(self, seconds=GUARD):
        return self.node.GetNode(about.GetNodeRequest(), timeout=seconds).node


def insist(connect, call):
    """What a call answers, of a client that `connect` makes: asked again, by another one, while nobody is there to answer."""
    until = time.monotonic() + GUARD
    while True:
        with connect() as client:
            try:
                return call(client)
            except grpc.RpcError as error:
                if error.code() not in PASSING or time.monotonic() > until:
                    raise
        time.sleep(0.1)


class Insistent:
    """As a Client, but whose calls insist; not for streams."""

    def __init__(self, connect):
        self.connect = connect

    def __getattr__(self, name):
        return lambda *asked, **more: insist(self.connect, lambda client: getattr(client, name)(*asked, **more))


def with_token(channel, token):
    """The channel, every call on it with a bearer token."""
    kinds = (grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor, grpc.StreamUnaryClientInterceptor)
    fields = ("method", "timeout", "metadata", "credentials", "wait_for_ready", "compression")

    class Details(collections.namedtuple("Details", fields), grpc.ClientCallDetails):
        pass

    def bearing(_, continuation, details, request):
        metadata = [*(details.metadata or ()), ("authorization", f"Bearer {token}")]
        return continuation(
            Details(*(metadata if field == "metadata" else getattr(details, field) for field in fields)), request
        )

    names = ("intercept_unary_unary", "intercept_unary_stream", "intercept_stream_unary")
    return grpc.intercept_channel(channel, type("Bearing", kinds, dict.fromkeys(names, bearing))())


class Refusal:
    """What a failed call says: its code's name, and its details by type."""

    def __init__(self, error):
        self.code, self.message, self.details = error.code().name, error.details(), collections.defaultdict(list)
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                for packed in status_pb2.Status.FromString(value).details:
                    kind = getattr(error_details_pb2, packed.type_url.rsplit(".", 1)[-1])
                    self.details[kind.DESCRIPTOR.name].append(kind.FromString(packed.value))

    @property
    def reason(self):
        return self.details["ErrorInfo"][0].reason if self.details["ErrorInfo"] else ""

    @property
    def metadata(self):
        return dict(self.details["ErrorInfo"][0].metadata) if self.details["ErrorInfo"] else {}

    def __repr__(self):
        return f"{self.code} {self.reason} {self.metadata}"


def refused(call, *arguments, **more):
    """The refusal of a call that must fail."""
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, **more)
    return Refusal(caught.value)


@functools.cache
def documented(table=None):
    """{reason: gRPC code} as the comment of errors.proto has it: of one table, named by its heading, or of all."""
    text = (ROOT / "proto/ltx/v1/errors.proto").read_text()
    if table:
        text = text.partition(f"//   {table}")[2].partition("\n//\n")[0]
    return dict(re.findall(r"^//   ([A-Z_]+) +([A-Z_]+)  ", text, re.M))


NUMBERS = {code.name: code.value[0] for code in grpc.StatusCode}
