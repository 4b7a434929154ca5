"""Messages that are none, wrong tokens, uploads that lie: refused with the code and reason that errors.proto documents."""

import hashlib

import grpc
import pytest
from ltx.v1 import generation_service_pb2 as calls, spec_pb2 as spec

from harness import http2 as w
from harness.attacks import leave_uploads
from harness.client import documented, refused
from harness.paths import GUARD
from harness.requests import START, image, small
from harness.target import OTHER, TOKEN, chunk, create_of, header, is_refusal, told, upload_of

pytestmark = [pytest.mark.usefixtures("keeping_nothing"), pytest.mark.both_stores]

GOOD = create_of(small())
RAW = GOOD[5:]
GZIP = {"more": [(b"grpc-encoding", b"gzip")]}
MESSAGES = {
    "no message": (b"", "INVALID_FIELD", {}),
    "a frame cut off": (GOOD[:3], "INVALID_FIELD", {}),
    "a message cut off": (GOOD[:-7], "INVALID_FIELD", {}),
    "a length that is too long": (w.message(RAW, len(RAW) + 1), "INVALID_FIELD", {}),
    "a length that is too short": (w.message(RAW, len(RAW) - 9), "INVALID_FIELD", {}),
    "a length of 4 GiB": (w.message(RAW, 0xFFFFFFFF), "MESSAGE_TOO_LARGE", {}),
    "a length of 32 MiB and nothing": (w.message(b"", 32 << 20), "INVALID_FIELD", {}),
    "a length above the limit": (w.message(b"", (32 << 20) + 1), "MESSAGE_TOO_LARGE", {}),
    "a compressed flag": (w.message(RAW, flag=1), "INVALID_FIELD", {}),
    "a flag of 7": (w.message(RAW, flag=7), "INVALID_FIELD", {}),
    "gzip": (w.message(RAW, flag=1), "UNSUPPORTED_ENCODING", GZIP),
    "no such method": (GOOD, "UNKNOWN_METHOD", {"path": "/ltx.v1.GenerationService/Nothing"}),
    "no such service": (GOOD, "UNKNOWN_METHOD", {"path": "/ltx.v1.Nothing/Nothing"}),
    "no path of gRPC": (GOOD, "UNKNOWN_METHOD", {"path": "/../../etc/passwd"}),
    "text alone": (w.message(b""), "NOT_AN_UNLIMITED_METHOD", {}),
    "an id that is none": (
        w.message(calls.WatchGenerationRequest(id="../x").SerializeToString()),
        "INVALID_FIELD",
        {"path": w.WATCH},
    ),
}
PATHS = (w.CREATE, w.WATCH, w.DOWNLOAD, w.UPLOAD, "/ltx.v1.PolicyService/CheckEligibility")
TOKENS = {
    "none": None, "an empty one": "", "a wrong one": "x", "one letter more": TOKEN + "x", "one less": TOKEN[:-1],
    "upper case": TOKEN.upper(), "8 KiB": "x" * 8000, "other bytes": b"\xff\xfe\x80",
    "its digest": hashlib.sha256(TOKEN.encode()).hexdigest(),
}  # fmt: skip
UPLOADS = {
    "a wrong digest": upload_of(START, sha256=hashlib.sha256(b"x").hexdigest()),
    "a digest that is none": header(sha256="zz") + chunk(START),
    "too few bytes": header() + chunk(START[:-1]), "too many": header(len(START) - 1) + chunk(START),
    "no header": chunk(START), "two headers": header() + header(), "an empty chunk": header() + chunk(b""),
    "a chunk of 2 MiB": header(2 << 20) + chunk(bytes(2 << 20)), "0 bytes": header(0), "2^64-1 bytes": header(2**64 - 1),
    "only a header": header(), "an empty message": w.message(b""), "half a chunk": header() + chunk(START)[:-100],
}  # fmt: skip


@pytest.mark.parametrize("what", MESSAGES)
def test_messages_that_are_none(target, what):
    body, reason, more = MESSAGES[what]
    with target.wire() as wire:
        answer = wire.ask(more.get("path", w.CREATE), TOKEN, body, more=more.get("more", ()))
    assert is_refusal(answer, reason), told(answer)


def test_a_timeout_of_a_moment(target):
    with target.wire() as wire:
        answer = wire.ask(w.CREATE, TOKEN, GOOD[:-7], more=[(b"grpc-timeout", b"20m")])
    assert is_refusal(answer, "INVALID_FIELD", "DEADLINE_EXCEEDED"), told(answer)


@pytest.mark.parametrize("count", [5, pytest.param(200, marks=pytest.mark.campaign)])
@pytest.mark.parametrize("path", PATHS)
def test_noise(target, rng, path, count):
    with target.wire() as wire:
        for _ in range(count):
            answer = wire.ask(path, TOKEN, w.message(b"\xff" + rng.randbytes(rng.randrange(1, 300))))
            assert is_refusal(answer, "INVALID_FIELD"), told(answer)


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_a_message_of_33_mib(target, compression):
    large = calls.CreateGenerationRequest(spec=spec.GenerationSpec(prompt="A heron.", image=image(bytes(33 << 20))))
    with target.node.client() as client:
        refusal = refused(client.generations.CreateGeneration, large, timeout=GUARD, compression=compression)
    assert refusal.reason in ("MESSAGE_TOO_LARGE", "UNSUPPORTED_ENCODING")
    assert refusal.code == documented()[refusal.reason]


@pytest.mark.parametrize("what", TOKENS)
def test_tokens_that_are_wrong(target, what):
    with target.wire() as wire:
        for path in (w.CREATE, w.GET_NODE, w.WATCH, w.UPLOAD):
            answer = wire.ask(path, TOKENS[what], GOOD)
            assert is_refusal(answer, "UNAUTHENTICATED"), told(answer)


def test_a_token_of_60_kb(target):
    with target.wire() as wire:
        answer = wire.ask(w.GET_NODE, "x" * 60_000, w.message(b""))
        assert answer.code != "0" and (answer.ended or wire.closed), told(answer)


def test_another_scheme_than_bearer(target):
    with target.wire() as wire:
        answer = wire.ask(w.GET_NODE, None, w.message(b""), more=[(b"authorization", b"Basic " + TOKEN.encode())])
    assert is_refusal(answer, "UNAUTHENTICATED"), told(answer)


def test_what_is_another_clients_is_not_there(done, target):
    asked = w.message(calls.GetGenerationRequest(id=done).SerializeToString())
    with target.wire() as wire:
        answer = wire.ask("/ltx.v1.GenerationService/GetGeneration", OTHER, asked)
    assert is_refusal(answer, "GENERATION_NOT_FOUND"), told(answer)


@pytest.mark.parametrize("what", UPLOADS)
def test_uploads_that_lie(target, what):
    with target.wire() as wire:
        answer = wire.ask(w.UPLOAD, TOKEN, UPLOADS[what])
    assert is_refusal(answer, "INVALID_FIELD"), told(answer)


@pytest.mark.parametrize("count", [8, pytest.param(100, marks=pytest.mark.campaign)])
def test_uploads_that_are_left(target, count):
    leave_uploads(target, count)
