"""A node that takes its time to answer a connection, and one that does not come back."""

import socket
import threading
import time
import types

import grpc
import ltxd
import pytest
from google.rpc import error_details_pb2
from ltxd import _calls

#: Seconds until a connection is passed on: more than gRPC waits between its first attempts.
LATE = 1.5


@pytest.fixture
def far(ltxd_shared_node):
    """An address that passes every connection on to the node, late, as one far away or on a busy machine does."""
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source, target):
        try:
            while data := source.recv(1 << 16):
                target.sendall(data)
        except OSError:
            pass
        target.close()

    def relay(near):
        time.sleep(LATE)
        node = socket.create_connection(("127.0.0.1", ltxd_shared_node.port))
        threading.Thread(target=pump, args=(near, node), daemon=True).start()
        pump(node, near)

    def accept():
        try:
            while True:
                threading.Thread(target=relay, args=listener.accept()[:1], daemon=True).start()
        except OSError:
            pass

    threading.Thread(target=accept, daemon=True).start()
    yield f"127.0.0.1:{listener.getsockname()[1]}"
    listener.close()


def test_a_connection_that_takes_its_time(far):
    with ltxd.Client(far, patience=600) as client:
        # Again and again, as a busy machine may need: where attempts end before they can succeed, none ever does.
        answer = client._insist(client._node.GetNode, ltxd.v1.GetNodeRequest())
        assert answer.node.version.startswith("ltxd ")


def test_patience_bounds_the_pauses(monkeypatch):
    monkeypatch.setattr(_calls, "time", types.SimpleNamespace(monotonic=lambda: 0.0))
    lost = ltxd.ConnectionLost(grpc.StatusCode.UNAVAILABLE, "")
    away = _calls.Away(0.15)
    assert [away.pause(lost), away.pause(lost)] == [0.1, 0.15]
    with pytest.raises(ltxd.ConnectionLost):
        _calls.Away(0).pause(lost)


def test_a_node_that_came_back_may_load_its_model_first():
    """What it says meanwhile is no answer to a call that began before; to any other it is one."""
    away, soon = _calls.Away(patience=600), error_details_pb2.RetryInfo(retry_delay={"seconds": 1})
    loading = ltxd.PolicyRefused(grpc.StatusCode.UNAVAILABLE, "no model is loaded here yet", [soon])
    assert away.answers(loading)
    away.pause(ltxd.ConnectionLost(grpc.StatusCode.UNAVAILABLE, "refused"))
    assert not away.answers(loading) and away.pause(loading) > 0
    # Waiting does not help where the node says nothing of another time.
    for code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.PERMISSION_DENIED):
        with pytest.raises(ltxd.PolicyRefused):
            away.pause(ltxd.PolicyRefused(code, "not that model"))
