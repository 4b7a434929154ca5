"""Whoever is slow, silent or half there is cut when one limit is over, and not before. Only that limit is short here, and all
others are an hour: that it is cut at all says which one did it, however busy the machine is. (Whether a connection is idle is
looked at first when the time of its handshake is over.)"""

import itertools, socket, struct, time

import pytest

from harness import http2 as w
from harness.node import LIMITS
from harness.paths import GUARD
from harness.requests import small
from harness.target import TOKEN, Target, chunk, create_of, download_of, header, is_refusal, told
from harness.waiting import eventually

SHORT = 1  # seconds
GREETING = w.PREFACE + w.frame(w.SETTINGS)
PING = w.frame(w.PING, 0, 0, bytes(8))
STALLED = {
    "an upload that stalls": (w.UPLOAD, header(1 << 20) + chunk(b"x" * 1000)),
    "an upload that never begins": (w.UPLOAD, b""),
    "a message that stalls": (w.CREATE, create_of(small())[:5000]),
    "a message that never begins": (w.CREATE, b""),
}
DRIPPING = {
    "an upload byte by byte": ("upload_seconds", w.UPLOAD, header(1 << 20) + chunk(bytes(1 << 20))[:9]),
    "a message byte by byte": ("call_seconds", w.CREATE, w.message(b"", 1 << 20)),
}
HANDSHAKE, IDLE = ("handshake_seconds",), ("handshake_seconds", "connection_idle_seconds")
# What a connection begins with, and what it says then, again and again.
CUT = {
    "silence": (HANDSHAKE, b"", [b""]),
    "half a preface": (HANDSHAKE, w.PREFACE[:12], [b""]),
    "a preface byte by byte": (HANDSHAKE, b"", [bytes([byte]) for byte in w.PREFACE]),
    "an idle connection": (IDLE, GREETING, [b""]),
    "a connection that only pings": (IDLE, GREETING, [PING]),
    "headers without an end": (IDLE, GREETING + w.frame(w.HEADERS, 1, 1, w.headers(w.GET_NODE, TOKEN)), [b""]),
    "a stranger with an open stream": (
        IDLE,
        GREETING + w.frame(w.HEADERS, 4, 1, w.headers("/grpc.health.v1.Health/Watch")) + w.frame(w.DATA, 1, 1, w.message(b"")),
        [PING],
    ),
}


@pytest.fixture
def impatient(nodes):
    """A node with one short limit, or a few, by their names."""
    return lambda *short, more=(): Target(
        nodes, *(f"limits.{name}={SHORT if name in short else 3600}" for name in LIMITS), *more
    )


class Clock:
    """Fails where less time went by than a limit is long."""

    def __enter__(self):
        self.began = time.monotonic()

    def __exit__(self, kind, *_):
        assert kind or time.monotonic() - self.began >= SHORT, "cut before its time"


def drip(wire, pieces, pause, over):
    """Sends a piece now and then until it is over."""
    until = time.monotonic() + GUARD
    while not over() and time.monotonic() < until:
        wire.send(next(pieces))
        wire.read(pause, over)
    assert over()


@pytest.mark.parametrize("what", STALLED)
def test_a_pause_in_a_request(impatient, what):
    target, (path, body) = impatient("pause_seconds"), STALLED[what]
    with Clock(), target.wire() as wire:
        stream = wire.call(path, TOKEN, body, end=False)
        target.alive()
        answer = wire.answer(stream)
    assert is_refusal(answer, "DEADLINE_EXCEEDED"), told(answer)


@pytest.mark.parametrize("what", DRIPPING)
def test_a_request_that_never_ends(impatient, what):
    limit, path, body = DRIPPING[what]
    target = impatient(limit)
    with Clock(), target.wire() as wire:
        stream = wire.call(path, TOKEN, body, end=False)
        over = lambda: wire.closed or (stream in wire.answers and wire.answers[stream].ended)
        drip(wire, itertools.repeat(w.frame(w.DATA, 0, stream, b"\0")), 0.1, over)
        answer = wire.answers.get(stream, w.Answer())
    assert is_refusal(answer, "DEADLINE_EXCEEDED"), told(answer)


@pytest.mark.parametrize("what", CUT)
def test_a_connection_without_a_call(impatient, what):
    short, first, pieces = CUT[what]
    target = impatient(*short)
    with Clock(), target.wire(greet=False) as wire:
        wire.send(first)
        # Whoever has greeted answers what the node asks; but nothing may come between HEADERS and their end.
        wire.mute = short == HANDSHAKE or what == "headers without an end"
        target.alive()
        drip(wire, itertools.cycle(pieces), 0.1, lambda: wire.closed)


def test_a_download_that_nobody_takes(impatient):
    target = impatient()
    # More than the node holds for a stream; what fits is not waited for.
    id_ = target.done(width=384, height=256, frames=41).id
    # Short from here on: whoever asks for a clip under such a limit may be cut.
    target.node.stop()
    target.node.settings.append(f"limits.pause_seconds={SHORT}")
    target.node.start()
    with Clock(), target.wire(settings=struct.pack(">HI", 4, 100), window=False) as wire:
        wire.took = lambda *_: None
        stream = wire.call(w.DOWNLOAD, TOKEN, download_of(id_))
        wire.read(until=lambda: stream in wire.answers)
        eventually(lambda: target.gauge("open_streams") == 0, "the download is given up")
        # What the node had sent by then comes first.
        wire.send(b"".join(w.frame(w.WINDOW, 0, at, struct.pack(">I", 1 << 29)) for at in (0, stream)))
        answer = wire.answer(stream)
    assert is_refusal(answer, "DEADLINE_EXCEEDED"), told(answer)


def half_open(target, count, said):
    connections = [socket.create_connection(("127.0.0.1", target.node.port), timeout=GUARD) for _ in range(count)]
    for connection in connections:
        connection.sendall(said)
    return connections


@pytest.mark.parametrize("places", [50, pytest.param(1000, marks=pytest.mark.campaign)])
@pytest.mark.parametrize("said", [b"", w.PREFACE[:5]])
def test_half_open_connections_beside_which_there_is_room(impatient, places, said):
    target = impatient(more=[f"limits.connections={places}"])
    opened = half_open(target, places - 10, said)
    target.alive()
    for connection in opened:
        connection.close()


@pytest.mark.parametrize("places", [50, pytest.param(1000, marks=pytest.mark.campaign)])
def test_half_open_connections_that_take_every_place_make_room(impatient, places):
    target = impatient(*HANDSHAKE, more=[f"limits.connections={places}"])
    opened = half_open(target, places + places // 2, b"")
    target.alive()
    for connection in opened:
        connection.close()
