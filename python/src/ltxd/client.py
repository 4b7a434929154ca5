"""A client of a node, for programs that wait: every method returns when its answer is there."""

from __future__ import annotations

import copy
import os
import time
import uuid
from types import TracebackType
from typing import Callable, Iterator, Optional, Sequence, Tuple, Type, TypeVar, Union

import grpc

from ltxd import _calls, v1
from ltxd.errors import LtxdError, of_call
from ltxd.requests import image_bytes

_T = TypeVar("_T")


class Client:
    """One connection to a node. Safe to share between threads; `ltxd.aio.Client` is the same for asyncio.

    address    `http://HOST:PORT`, `https://HOST:PORT` for TLS, or `HOST:PORT`
    token      the bearer token, where the node wants one
    ca         a file of PEM certificates to trust instead of the system's
    patience   seconds for which `create`, `watch`, `wait` and `download` go on trying a node that is away
    timeout    seconds that a call which is answered at once may take

    Calls raise `Refused` (or one of its subclasses) for what the node answers with an error, `ConnectionLost` for what did not
    reach it.
    """

    def __init__(
        self,
        address: str = "http://127.0.0.1:7750",
        *,
        token: Optional[str] = None,
        ca: Optional[Union[str, os.PathLike[str]]] = None,
        patience: float = _calls.PATIENCE,
        timeout: float = 60.0,
    ) -> None:
        target = _calls.Target.of(address, token, ca)
        options = list(_calls.OPTIONS)
        if target.credentials is None:
            self._channel = grpc.insecure_channel(target.authority, options=options)
        else:
            self._channel = grpc.secure_channel(target.authority, target.credentials, options=options)
        self.address, self._metadata, self._patience, self._timeout = address, target.metadata, patience, timeout
        self._generations = v1.GenerationServiceStub(self._channel)
        self._node = v1.NodeServiceStub(self._channel)
        self._policy = v1.PolicyServiceStub(self._channel)
        self._uploads = v1.UploadServiceStub(self._channel)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection; what is under way ends with `ConnectionLost`."""
        self._channel.close()

    def with_metadata(self, *more: Tuple[str, str]) -> Client:
        """This client with further metadata on every call, over the same connection; closing either closes both."""
        other = copy.copy(self)
        other._metadata = (*self._metadata, *more)
        return other

    # Generations.

    def create(self, spec: v1.GenerationSpec, *, request_id: str = "") -> v1.Generation:
        """Asks for a clip; it is stored when this returns.

        `request_id` is your own name for the request: the same one with the same spec gives the same generation. One is drawn
        where none is given, so that trying again after a lost connection makes no second clip.
        """
        request = v1.CreateGenerationRequest(request_id=request_id or uuid.uuid4().hex, spec=spec)
        return self._insist(self._generations.CreateGeneration, request).generation

    def create_several(
        self, spec: v1.GenerationSpec, *, seeds: Sequence[int] = (), count: int = 0, request_id: str = ""
    ) -> Sequence[v1.Generation]:
        """Asks for a clip for each of `seeds`, or for `count` of them with the spec's seed and those that follow it.

        All of them are stored when this returns, or none. Each is a generation of its own, in the order of the seeds: watch, cancel
        and download them by their ids. `request_id` is as in `create`.
        """
        request = v1.CreateGenerationRequest(
            request_id=request_id or uuid.uuid4().hex, spec=spec, seeds=seeds, count=count
        )
        return _calls.made(self._insist(self._generations.CreateGeneration, request))

    def get(self, id_: str) -> v1.Generation:
        """A generation as it stands now."""
        return self._ask(self._generations.GetGeneration, v1.GetGenerationRequest(id=id_)).generation

    def list(
        self,
        *,
        states: Sequence[v1.GenerationState.ValueType] = (),
        method: v1.Method.ValueType = v1.METHOD_UNSPECIFIED,
        page_size: int = 50,
    ) -> Iterator[v1.Generation]:
        """This client's generations, the newest first, fetched page by page while they are read."""
        request = _calls.page_request(states, method, page_size)
        while True:
            page = self._ask(self._generations.ListGenerations, request)
            yield from page.generations
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def watch(self, id_: str, *, resume_after: int = 0, previews: bool = False) -> Iterator[v1.GenerationEvent]:
        """Every event behind `resume_after`, each once and in order, up to the one that ends the generation.

        After a lost connection, or a restart of the node, it goes on behind the last event that it gave. With `previews`, some
        progress events carry a PNG.
        """
        watching, away = _calls.Watching(id_, resume_after, previews), _calls.Away(self._patience)
        while not watching.ended:
            stream = self._generations.WatchGeneration(watching.request(), metadata=self._metadata)
            try:
                for news in stream:
                    away.is_back()
                    event = watching.take(news)
                    if event is not None:
                        yield event
                if not watching.ended:
                    # Nothing was left to see, or the node is stopping.
                    if self.get(id_).state in _calls.FINAL:
                        return
                    time.sleep(0.1)
            except grpc.RpcError as error:
                self._wait(away.pause(of_call(error)))
            except LtxdError as error:
                self._wait(away.pause(error))
            finally:
                stream.cancel()

    def wait(self, id_: str) -> v1.Generation:
        """The generation, once it is done. Raises GenerationFailed and GenerationCancelled for the other ends."""
        now = self._insist(self._generations.GetGeneration, v1.GetGenerationRequest(id=id_)).generation
        for event in self.watch(id_, resume_after=max(now.last_event - 1, 0)):
            if event.WhichOneof("event") in ("done", "failed", "cancelled"):
                return _calls.result(event)
        raise LtxdError(f"{id_}: its events ended without an end")

    def cancel(self, id_: str, *, batch: bool = False) -> v1.Generation:
        """Cancels what is queued or running; still RUNNING in the answer until its step ends.

        With `batch`, those that its request asked for beside it as well; what is done of them stays.
        """
        return self._ask(self._generations.CancelGeneration, v1.CancelGenerationRequest(id=id_, batch=batch)).generation

    def delete(self, id_: str) -> None:
        """Deletes a generation that has ended, with its outputs."""
        self._ask(self._generations.DeleteGeneration, v1.DeleteGenerationRequest(id=id_))

    def download(
        self, id_: str, to: Union[str, os.PathLike[str]], *, output: v1.Output.ValueType = v1.OUTPUT_MP4
    ) -> v1.OutputFile:
        """Fetches a file of a generation that is done: the MP4, or the poster or sidecar.

        It appears under its name once it is whole and its SHA-256 is right. It goes on where a lost connection, or an earlier
        call that was interrupted, stopped.
        """
        download, away = _calls.Download(id_, output, to), _calls.Away(self._patience)
        try:
            while True:
                try:
                    for part in self._generations.DownloadOutput(download.request(), metadata=self._metadata):
                        away.is_back()
                        download.take(part)
                    done = download.finish()
                    if done is not None:
                        return done
                except grpc.RpcError as failed:
                    error = of_call(failed)
                    if _calls.is_past_end(error):
                        download.restart(error)
                    else:
                        self._wait(away.pause(error))
        finally:
            download.close()

    # What goes before.

    def upload(self, source: Union[str, os.PathLike[str], bytes]) -> v1.UploadImageResponse:
        """Sends an image ahead: a path or its bytes. The answer may stand for the image in any request."""
        parts = _calls.parts_of(image_bytes(source))
        return self._ask(self._uploads.UploadImage, parts)

    def check(self, spec: v1.GenerationSpec) -> v1.CheckEligibilityResponse:
        """What `create` would say, and what the clip would need; makes and keeps nothing, and refuses nothing."""
        return self._ask(self._policy.CheckEligibility, v1.CheckEligibilityRequest(spec=spec))

    def node(self) -> v1.Node:
        """What the node runs on, serves and allows, and how busy it is."""
        return self._ask(self._node.GetNode, v1.GetNodeRequest()).node

    def _wait(self, seconds: float) -> None:
        """Pauses, and then until the connection stands, at most for a second more.

        gRPC goes on connecting only while somebody waits for it: without this, attempts run out of time between two calls.
        """
        time.sleep(seconds)
        ready = grpc.channel_ready_future(self._channel)
        try:
            ready.result(timeout=1.0)
        except grpc.FutureTimeoutError:
            ready.cancel()

    def _insist(self, call: Callable[..., _T], request: object) -> _T:
        """A call that may be repeated, until the node is there."""
        away = _calls.Away(self._patience)
        while True:
            try:
                return self._ask(call, request)
            except LtxdError as error:
                if away.answers(error):
                    raise
                self._wait(away.pause(error))

    def _ask(self, call: Callable[..., _T], request: object) -> _T:
        try:
            return call(request, metadata=self._metadata, timeout=self._timeout)
        except grpc.RpcError as error:
            raise of_call(error) from error
