"""What is no HTTP/2, or a broken frame of it: cut or refused, never answered."""

import struct

import pytest

from harness import http2 as w
from harness.attacks import FLOODS, flood
from harness.requests import small
from harness.target import TOKEN, create_of

pytestmark = pytest.mark.usefixtures("keeping_nothing")

GARBAGE = {
    "HTTP/1.1": b"GET / HTTP/1.1\r\nHost: node\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(500),
    "zeros": b"\0" * 4096,
    "half a preface": w.PREFACE[:10] + b"x" * 50,
    "a preface and ones": w.PREFACE + b"\xff" * 5000,
    "a preface and HTTP/1.1": w.PREFACE + b"GET / HTTP/1.1\r\n\r\n" * 50,
    "another version's preface": w.PREFACE.replace(b"2.0", b"3.0"),
    "empty lines": b"\r\n" * 2000,
}
ASK = w.headers(w.GET_NODE, TOKEN)


def asking(*more):
    return w.headers(w.GET_NODE, TOKEN, more)


FRAMES = {
    "a frame of 16 MiB": w.frame(w.DATA, 0, 1, b"x" * 100, length=(1 << 24) - 1),
    "HEADERS on stream 0": w.frame(w.HEADERS, 5, 0, ASK),
    "HEADERS on an even stream": w.frame(w.HEADERS, 5, 2, ASK),
    "DATA on an idle stream": w.frame(w.DATA, 1, 7, b"x"),
    "CONTINUATION without HEADERS": w.frame(w.CONTINUATION, 4, 1, ASK),
    "HEADERS in HEADERS": w.frame(w.HEADERS, 1, 1, ASK[:9]) + w.frame(w.HEADERS, 5, 3, ASK),
    "padding beyond the frame": w.frame(w.DATA, w.PADDED, 1, b"\xff"),
    "WINDOW_UPDATE of 0": w.frame(w.WINDOW, 0, 0, bytes(4)),
    "WINDOW_UPDATE over the top": w.frame(w.WINDOW, 0, 0, b"\x7f\xff\xff\xff") * 2,
    "SETTINGS of 5 bytes": w.frame(w.SETTINGS, 0, 0, bytes(5)),
    "SETTINGS with a window of 2^32-1": w.frame(w.SETTINGS, 0, 0, struct.pack(">HI", 4, 0xFFFFFFFF)),
    "SETTINGS with frames of 1 byte": w.frame(w.SETTINGS, 0, 0, struct.pack(">HI", 5, 1)),
    "SETTINGS on a stream": w.frame(w.SETTINGS, 0, 1),
    "PUSH_PROMISE": w.frame(w.PUSH, 4, 1, bytes(4) + ASK),
    "PING of 7 bytes": w.frame(w.PING, 0, 0, bytes(7)),
    "RST_STREAM of an idle stream": w.frame(w.RST, 0, 9, bytes(4)),
    "an index that HPACK does not have": w.frame(w.HEADERS, 5, 1, b"\xff\xff\xff\x7f"),
    "a table that HPACK may not have": w.frame(w.HEADERS, 5, 1, b"\x3f\xff\xff\xff\x7f"),
    "HPACK cut off": w.frame(w.HEADERS, 5, 1, ASK[:-3]),
    "no pseudo headers": w.frame(w.HEADERS, 5, 1, w.literal(b"te", b"trailers")),
    "pseudo headers twice": w.frame(w.HEADERS, 5, 1, ASK + w.literal(b":path", b"/")),
    "names in upper case": w.frame(w.HEADERS, 5, 1, asking((b"X-A", b"b"))),
    "a connection header": w.frame(w.HEADERS, 5, 1, asking((b"connection", b"close"))),
    "a content-length that lies": w.frame(w.HEADERS, 4, 1, asking((b"content-length", b"99")))
    + w.frame(w.DATA, 1, 1, w.message(b"")),
    "100 KiB of headers": b"".join(
        [
            w.frame(w.HEADERS, 1, 1, ASK),
            *[w.frame(w.CONTINUATION, 0, 1, w.literal(b"a", b"b" * 8000))] * 12,
            w.frame(w.CONTINUATION, 4, 1),
        ]
    ),
}


def is_cut(target, said):
    """The node cuts a connection that begins like this: what is shorter than a greeting, once the handshake's time is over."""
    with target.wire(greet=False) as wire:
        wire.send(said)
        assert wire.read(until=lambda: wire.goaway is not None)


@pytest.mark.parametrize("what", GARBAGE)
def test_garbage_instead_of_a_preface(hasty, what):
    is_cut(hasty, GARBAGE[what])


@pytest.mark.parametrize("count", [10, pytest.param(200, marks=pytest.mark.campaign)])
def test_random_bytes(hasty, rng, count):
    for _ in range(count):
        is_cut(hasty, rng.randbytes(rng.randrange(1, 3000)))
        is_cut(hasty, w.PREFACE + rng.randbytes(rng.randrange(1, 3000)))


@pytest.mark.parametrize("what", FRAMES)
def test_broken_frames(target, what):
    with target.wire() as wire:
        wire.send(FRAMES[what])
        ended = lambda: wire.goaway is not None or any(stream and answer.ended for stream, answer in wire.answers.items())
        assert wire.read(until=ended)
        assert not [answer for answer in wire.answers.values() if answer.code == "0"]


@pytest.mark.parametrize("count", [10, pytest.param(100, marks=pytest.mark.campaign)])
def test_streams_of_frames_cut_off(target, rng, count):
    good = w.PREFACE + w.frame(w.SETTINGS) + w.frame(w.HEADERS, 4, 1, w.headers(w.CREATE, TOKEN))
    good += w.frame(w.DATA, 1, 1, create_of(small())[:16000])
    for at in sorted(rng.randrange(len(good)) for _ in range(count)):
        wire = target.wire(greet=False)
        wire.send(good[:at])
        wire.close(reset=bool(at % 2))


@pytest.mark.parametrize("count", [2000, pytest.param(20_000, marks=pytest.mark.campaign)])
@pytest.mark.parametrize("what", FLOODS)
def test_floods(target, what, count):
    flood(target, what, count)
