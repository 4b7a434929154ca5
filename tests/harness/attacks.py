"""Attacks that come in numbers: floods of frames, streams that are reset, uploads that are left. All end their connections."""

import struct

from harness import http2 as w
from harness.requests import START, image, small
from harness.target import TOKEN, chunk, create_of, download_of, header, upload_of, watch_of

ASK = w.headers(w.GET_NODE, TOKEN)


def stream(number):
    return 2 * number + 1


def opened(path, token=TOKEN):
    return lambda at: w.frame(w.HEADERS, 4, stream(at), w.headers(path, token))


def first_then(first, then):
    """Something once, and something else again and again behind it."""
    return lambda at: (first if at == 0 else b"") + then


UPLOAD = w.frame(w.HEADERS, 4, 1, w.headers(w.UPLOAD, TOKEN))
FLOODS = {
    "SETTINGS": lambda at: w.frame(w.SETTINGS, 0, 0, struct.pack(">HI", 4, 65535 + at)),
    "PING": lambda at: w.frame(w.PING, 0, 0, struct.pack(">Q", at)),
    "rapid reset": lambda at: w.frame(w.HEADERS, 5, stream(at), ASK) + w.frame(w.RST, 0, stream(at), struct.pack(">I", 8)),
    "opened and left": opened(w.CREATE),
    "opened without a token": opened(w.CREATE, None),
    "empty DATA": first_then(UPLOAD, w.frame(w.DATA, 0, 1)),
    "one byte of DATA": first_then(UPLOAD + w.frame(w.DATA, 0, 1, header(1 << 20)), w.frame(w.DATA, 0, 1, b"\0")),
    "WINDOW_UPDATE": lambda at: w.frame(w.WINDOW, 0, 0, b"\0\0\0\1"),
    "PRIORITY": lambda at: w.frame(w.PRIORITY, 0, stream(at), b"\0\0\0\0\1"),
    "CONTINUATION": lambda at: w.frame(w.HEADERS, 1, 1, ASK) if at == 0 else w.frame(w.CONTINUATION, 0, 1),
    "unknown frames": lambda at: w.frame(0xEE, 0xFF, at, b"x" * 100),
    "whole calls": lambda at: w.frame(w.HEADERS, 4, stream(at), ASK) + w.frame(w.DATA, 1, stream(at), w.message(b"")),
}


def flood(target, name, count, batch=200):
    """So many frames on one connection, unless the node cuts it before."""
    make = FLOODS[name]
    with target.wire() as wire:
        for number in range(0, count, batch):
            if not wire.send(b"".join(make(at) for at in range(number, number + batch))) or wire.goaway is not None:
                break
            wire.read(0)
        wire.read(0.1)


def leave_uploads(target, count):
    """Uploads that are begun and left: by a reset of the stream, of the connection, or by its end."""
    for number in range(count):
        wire = target.wire()
        begun = wire.call(w.UPLOAD, TOKEN, header(30 << 20) + chunk(bytes(1 << 19)), end=False)
        wire.read(0.02)
        if number % 3 == 0:
            wire.reset(begun)
        wire.close(reset=number % 3 == 1)


def reset_streams(target, rng, id_, count):
    """Calls of every kind, reset while they are asked or answered; `id_` is a generation that is done."""
    large = create_of(small(image=image(START + bytes(4 << 20))))
    asked = {
        w.WATCH: watch_of(id_),
        w.DOWNLOAD: download_of(id_),
        w.UPLOAD: upload_of(START),
        w.CREATE: large,
        w.GET_NODE: w.message(b""),
    }
    for number in range(count):
        wire = target.wire()
        for path, body in asked.items():
            cut = body[: rng.randrange(len(body))] if path in (w.UPLOAD, w.CREATE) else body
            begun = wire.call(path, TOKEN, cut, end=path in (w.WATCH, w.DOWNLOAD))
            if number % 2:
                wire.read(rng.uniform(0, 0.01))
            wire.reset(begun, rng.choice([0, 1, 5, 8, 11]))
        wire.close(reset=number % 4 < 2)
