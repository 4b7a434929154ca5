"""What the two clients share: where a node is, how its channel is set up, when a call is tried again, what a download has so far.

Nothing here waits: `ltxd.client` and `ltxd.aio` do, each in its way.
"""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, List, Optional, Sequence, Tuple, Union
from urllib.parse import urlsplit

import grpc

from ltxd import v1
from ltxd.errors import BrokenDownload, ConnectionLost, GenerationCancelled, GenerationFailed, LtxdError, Refused

#: Seconds for which a node that is away is tried again.
PATIENCE = 30.0
#: Bytes of a chunk of an upload; the contract's most is 1 MiB.
CHUNK = 256 * 1024
FINAL = frozenset({v1.GENERATION_STATE_DONE, v1.GENERATION_STATE_FAILED, v1.GENERATION_STATE_CANCELLED})
OPTIONS: Sequence[Tuple[str, int]] = (
    # A node that starts again is noticed at once, and one client's failures do not hold up another's attempts.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # How long an attempt to connect may take, whatever the option is called: a node far away, or busy, needs more than an instant.
    ("grpc.min_reconnect_backoff_ms", 5000),
    # A connection that died without a word is noticed by a watch.
    ("grpc.keepalive_time_ms", 60_000),
)


@dataclass(frozen=True)
class Target:
    """Where a node is, and who calls it."""

    authority: str
    credentials: Optional[grpc.ChannelCredentials]
    metadata: Tuple[Tuple[str, str], ...]

    @classmethod
    def of(cls, address: str, token: Optional[str], ca: Optional[Union[str, os.PathLike[str]]]) -> Target:
        """Reads an address: `http://HOST:PORT`, `https://HOST:PORT`, or `HOST:PORT` for the first.

        Raises ValueError for anything else, and where `ca` is given without https.
        """
        parts = urlsplit(address if "://" in address else f"http://{address}")
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError(f"{address!r} is no address of a node, such as http://127.0.0.1:7750")
        port = parts.port or (443 if parts.scheme == "https" else 7750)
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        if ca is not None and parts.scheme != "https":
            raise ValueError("a certificate authority says nothing without https://")
        roots = Path(ca).read_bytes() if ca is not None else None
        credentials = grpc.ssl_channel_credentials(roots) if parts.scheme == "https" else None
        metadata = (("authorization", f"Bearer {token}"),) if token else ()
        return cls(f"{host}:{port}", credentials, metadata)


def made(answer: v1.CreateGenerationResponse) -> Sequence[v1.Generation]:
    """All generations of an answer, each with its whole spec."""
    for generation in answer.further:
        seed = generation.spec.seed
        generation.spec.CopyFrom(answer.generation.spec)
        generation.spec.seed = seed
    return [answer.generation, *answer.further]


def passes(error: LtxdError) -> bool:
    """Whether the same call may succeed once the node is back."""
    if isinstance(error, ConnectionLost):
        return error.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN, grpc.StatusCode.CANCELLED)
    # It is about to end, or has begun and not loaded its model yet.
    if not isinstance(error, Refused) or error.code is not grpc.StatusCode.UNAVAILABLE:
        return False
    return error.reason == "SHUTTING_DOWN" or error.retry_after is not None


class Away:
    """How long a node has been away, and how long until it is asked again."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._since: Optional[float] = None
        self._pause = 0.05

    def answers(self, error: LtxdError) -> bool:
        """Whether an error is the node's answer. One that has just come back says first that it has not loaded its model yet."""
        return isinstance(error, Refused) and self._since is None

    def is_back(self) -> None:
        """It said something."""
        self._since, self._pause = None, 0.05

    def pause(self, error: LtxdError) -> float:
        """Seconds until the next attempt; raises the error where it does not pass, or has not for too long."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
        left = self._since + self._patience - now
        if not passes(error) or left <= 0:
            raise error
        self._pause = min(self._pause * 2, 1.0)
        return min(self._pause, left)


class Watching:
    """Which events of a generation were seen."""

    def __init__(self, id_: str, resume_after: int, previews: bool) -> None:
        self.ended = False
        self._request = v1.WatchGenerationRequest(id=id_, resume_after=resume_after, previews=previews)

    def request(self) -> v1.WatchGenerationRequest:
        """Asks for what comes behind the last event seen."""
        return self._request

    def take(self, news: v1.WatchGenerationResponse) -> Optional[v1.GenerationEvent]:
        """The event in a piece of news; None for a change of place in the queue, which is no event."""
        if news.WhichOneof("news") != "event":
            return None
        self._request.resume_after = news.event.number
        self.ended = news.event.WhichOneof("event") in ("done", "failed", "cancelled")
        return news.event


def result(event: v1.GenerationEvent) -> v1.Generation:
    """The generation of the event that ends it. Raises GenerationFailed, GenerationCancelled."""
    if event.WhichOneof("event") == "failed":
        raise GenerationFailed(event.generation_id, event.failed.failure)
    if event.WhichOneof("event") == "cancelled":
        raise GenerationCancelled(event.generation_id)
    return event.done.generation


class Download:
    """A file on its way: beside its place and hidden until it is whole and its SHA-256 is right.

    What an earlier attempt left is gone on with; what does not belong to this file is fetched anew, once.
    """

    def __init__(self, id_: str, output: v1.Output.ValueType, to: Union[str, os.PathLike[str]]) -> None:
        self.to = Path(to)
        self.promised: Optional[v1.OutputFile] = None
        self._id, self._output = id_, output
        self._partial = self.to.with_name(f".{self.to.name}.{id_}.{v1.Output.Name(output)}.partial")
        self._file = self._partial.open("ab+")
        self._digest = hashlib.sha256()
        self.bytes = 0
        self._file.seek(0)
        for part in iter(lambda: self._file.read(1 << 20), b""):
            self._digest.update(part)
            self.bytes += len(part)
        self._resumed = self.bytes > 0

    def request(self) -> v1.DownloadOutputRequest:
        """Asks for what is not here yet."""
        self.promised = None
        return v1.DownloadOutputRequest(id=self._id, output=self._output, offset=self.bytes)

    def take(self, response: v1.DownloadOutputResponse) -> None:
        """Keeps a part."""
        if response.WhichOneof("part") == "file":
            self.promised = response.file
        else:
            self._file.write(response.chunk)
            self._digest.update(response.chunk)
            self.bytes += len(response.chunk)

    def finish(self) -> Optional[v1.OutputFile]:
        """Puts the whole file in its place; None where it is to be asked for anew. Raises BrokenDownload."""
        promised = self.promised
        if promised is not None and promised.total_bytes == self.bytes and promised.sha256 == self._digest.hexdigest():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            os.replace(self._partial, self.to)
            return promised
        self.restart(BrokenDownload(f"{self.to}: what arrived is not what the node promised"))
        return None

    def restart(self, error: LtxdError) -> None:
        """Throws away what is here: it is of something else. Raises the error where it was all fetched just now."""
        self._file.truncate(0)
        self._digest, self.bytes = hashlib.sha256(), 0
        if not self._resumed:
            raise error
        self._resumed = False

    def close(self) -> None:
        """Leaves what has arrived for the next attempt; nothing where nothing has."""
        if not self._file.closed:
            self._file.close()
            if self.bytes == 0:
                self._partial.unlink()


def is_past_end(error: LtxdError) -> bool:
    """Whether what lies here is longer than the file that is asked for."""
    return isinstance(error, Refused) and error.reason == "OFFSET_OUT_OF_RANGE"


def parts_of(data: bytes) -> Iterator[v1.UploadImageRequest]:
    """An image as the messages that carry it."""
    header = v1.UploadHeader(total_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    yield v1.UploadImageRequest(header=header)
    for at in range(0, len(data), CHUNK):
        yield v1.UploadImageRequest(chunk=data[at : at + CHUNK])


def page_request(states: Sequence[v1.GenerationState.ValueType], method: v1.Method.ValueType, size: int) -> v1.ListGenerationsRequest:
    """Asks for the first page."""
    wanted: List[v1.GenerationState.ValueType] = list(states)
    return v1.ListGenerationsRequest(page_size=size, states=wanted, method=method)
