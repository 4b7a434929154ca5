"""A client of a node for asyncio: `ltxd.aio.Client`, with the methods of `ltxd.Client`."""

from __future__ import annotations

import asyncio
import copy
import os
import uuid
from types import TracebackType
from typing import Any, AsyncIterator, Awaitable, Callable, Optional, Sequence, Tuple, Type, TypeVar, Union

import grpc
import grpc.aio

from ltxd import _calls, v1
from ltxd.errors import LtxdError, of_call
from ltxd.requests import image_bytes

_T = TypeVar("_T")


class Client:
    """One connection to a node, made inside a running event loop. Arguments, methods and errors are those of `ltxd.Client`.

    `list` and `watch` are asynchronous iterators, the others are awaited. A task that is cancelled cancels its call.
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
            self._channel = grpc.aio.insecure_channel(target.authority, options=options)
        else:
            self._channel = grpc.aio.secure_channel(target.authority, target.credentials, options=options)
        self.address, self._metadata, self._patience, self._timeout = address, target.metadata, patience, timeout
        # The stubs' types for asyncio exist for type checkers alone.
        channel: Any = self._channel
        self._generations: v1.GenerationServiceAsyncStub = v1.GenerationServiceStub(channel)
        self._node: v1.NodeServiceAsyncStub = v1.NodeServiceStub(channel)
        self._policy: v1.PolicyServiceAsyncStub = v1.PolicyServiceStub(channel)
        self._uploads: v1.UploadServiceAsyncStub = v1.UploadServiceStub(channel)

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connection; what is under way is cancelled."""
        await self._channel.close()

    def with_metadata(self, *more: Tuple[str, str]) -> Client:
        """This client with further metadata on every call, over the same connection; closing either closes both."""
        other = copy.copy(self)
        other._metadata = (*self._metadata, *more)
        return other

    # Generations.

    async def create(self, spec: v1.GenerationSpec, *, request_id: str = "") -> v1.Generation:
        """Asks for a clip; it is stored when this returns. See `ltxd.Client.create`."""
        request = v1.CreateGenerationRequest(request_id=request_id or uuid.uuid4().hex, spec=spec)
        return (await self._insist(self._generations.CreateGeneration, request)).generation

    async def create_several(
        self, spec: v1.GenerationSpec, *, seeds: Sequence[int] = (), count: int = 0, request_id: str = ""
    ) -> Sequence[v1.Generation]:
        """Asks for a clip for each of `seeds`, or for `count` of them. See `ltxd.Client.create_several`."""
        request = v1.CreateGenerationRequest(
            request_id=request_id or uuid.uuid4().hex, spec=spec, seeds=seeds, count=count
        )
        return _calls.made(await self._insist(self._generations.CreateGeneration, request))

    async def get(self, id_: str) -> v1.Generation:
        """A generation as it stands now."""
        return (await self._ask(self._generations.GetGeneration, v1.GetGenerationRequest(id=id_))).generation

    async def list(
        self,
        *,
        states: Sequence[v1.GenerationState.ValueType] = (),
        method: v1.Method.ValueType = v1.METHOD_UNSPECIFIED,
        page_size: int = 50,
    ) -> AsyncIterator[v1.Generation]:
        """This client's generations, the newest first, fetched page by page while they are read."""
        request = _calls.page_request(states, method, page_size)
        while True:
            page = await self._ask(self._generations.ListGenerations, request)
            for generation in page.generations:
                yield generation
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def watch(self, id_: str, *, resume_after: int = 0, previews: bool = False) -> AsyncIterator[v1.GenerationEvent]:
        """Every event behind `resume_after`, each once and in order, to the end. See `ltxd.Client.watch`."""
        watching, away = _calls.Watching(id_, resume_after, previews), _calls.Away(self._patience)
        while not watching.ended:
            stream = self._generations.WatchGeneration(watching.request(), metadata=self._metadata)
            try:
                async for news in stream:
                    away.is_back()
                    event = watching.take(news)
                    if event is not None:
                        yield event
                if not watching.ended:
                    # Nothing was left to see, or the node is stopping.
                    if (await self.get(id_)).state in _calls.FINAL:
                        return
                    await asyncio.sleep(0.1)
            except grpc.RpcError as error:
                await asyncio.sleep(away.pause(of_call(error)))
            except LtxdError as error:
                await asyncio.sleep(away.pause(error))
            finally:
                stream.cancel()

    async def wait(self, id_: str) -> v1.Generation:
        """The generation, once it is done. Raises GenerationFailed and GenerationCancelled for the other ends."""
        now = (await self._insist(self._generations.GetGeneration, v1.GetGenerationRequest(id=id_))).generation
        async for event in self.watch(id_, resume_after=max(now.last_event - 1, 0)):
            if event.WhichOneof("event") in ("done", "failed", "cancelled"):
                return _calls.result(event)
        raise LtxdError(f"{id_}: its events ended without an end")

    async def cancel(self, id_: str, *, batch: bool = False) -> v1.Generation:
        """Cancels what is queued or running; still RUNNING in the answer until its step ends.

        With `batch`, those that its request asked for beside it as well; what is done of them stays.
        """
        return (await self._ask(self._generations.CancelGeneration, v1.CancelGenerationRequest(id=id_, batch=batch))).generation

    async def delete(self, id_: str) -> None:
        """Deletes a generation that has ended, with its outputs."""
        await self._ask(self._generations.DeleteGeneration, v1.DeleteGenerationRequest(id=id_))

    async def download(
        self, id_: str, to: Union[str, os.PathLike[str]], *, output: v1.Output.ValueType = v1.OUTPUT_MP4
    ) -> v1.OutputFile:
        """Fetches a file of a generation that is done, resumable and checked. See `ltxd.Client.download`."""
        download, away = _calls.Download(id_, output, to), _calls.Away(self._patience)
        try:
            while True:
                try:
                    async for part in self._generations.DownloadOutput(download.request(), metadata=self._metadata):
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
                        await asyncio.sleep(away.pause(error))
        finally:
            download.close()

    # What goes before.

    async def upload(self, source: Union[str, os.PathLike[str], bytes]) -> v1.UploadImageResponse:
        """Sends an image ahead: a path or its bytes. The answer may stand for the image in any request."""
        parts = _calls.parts_of(image_bytes(source))
        return await self._ask(self._uploads.UploadImage, parts)

    async def check(self, spec: v1.GenerationSpec) -> v1.CheckEligibilityResponse:
        """What `create` would say, and what the clip would need; makes and keeps nothing, and refuses nothing."""
        return await self._ask(self._policy.CheckEligibility, v1.CheckEligibilityRequest(spec=spec))

    async def node(self) -> v1.Node:
        """What the node runs on, serves and allows, and how busy it is."""
        return (await self._ask(self._node.GetNode, v1.GetNodeRequest())).node

    async def _insist(self, call: Callable[..., Awaitable[_T]], request: object) -> _T:
        """A call that may be repeated, until the node is there."""
        away = _calls.Away(self._patience)
        while True:
            try:
                return await self._ask(call, request)
            except LtxdError as error:
                if away.answers(error):
                    raise
                await asyncio.sleep(away.pause(error))

    async def _ask(self, call: Callable[..., Awaitable[_T]], request: object) -> _T:
        try:
            return await call(request, metadata=self._metadata, timeout=self._timeout)
        except grpc.RpcError as error:
            raise of_call(error) from error
