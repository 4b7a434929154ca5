"""What can go wrong with a call, as exceptions that carry what the node says of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterable, Mapping, Optional, Tuple, Type, Union

import grpc
from google.rpc import error_details_pb2, status_pb2

from ltxd import v1

_NEAREST = "; nearest legal: "


class LtxdError(Exception):
    """Anything that this package raises of its own."""


class ConnectionLost(LtxdError):
    """The node cannot be reached, or the connection broke; whether a call counted is unknown."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(f"the connection to the node broke: {message}")
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Ground:
    """One reason against a call: its name in `v1.ErrorReason`, why it holds, and what to do instead (may be empty)."""

    reason: str
    why: str
    remedy: str


@dataclass(frozen=True)
class Violation:
    """A field that is wrong: its path in the request, the rule it breaks, the nearest legal value (empty where there is none)."""

    field: str
    description: str
    nearest: str


class Refused(LtxdError):
    """The node answered with an error; it kept nothing of the call. The subclasses are the groups of `errors.proto`.

    code         the gRPC status code
    reason       the name of a `v1.ErrorReason` without its prefix, such as "AUDIO_NOT_COVERED"; empty where the node gave none
    message      the node's sentence
    grounds      every reason that holds, the first one first
    violations   the fields that are wrong
    retry_after  seconds after which a repetition may succeed; None where waiting does not help
    metadata     what the reason says beside, such as "available_bytes"
    """

    def __init__(self, code: grpc.StatusCode, message: str, details: Iterable[object] = ()) -> None:
        self.code = code
        self.message = message
        self.reason = ""
        self.metadata: Mapping[str, str] = {}
        self.violations: Tuple[Violation, ...] = ()
        self.retry_after: Optional[float] = None
        for detail in details:
            if isinstance(detail, error_details_pb2.ErrorInfo):
                self.reason, self.metadata = detail.reason, dict(detail.metadata)
            elif isinstance(detail, error_details_pb2.BadRequest):
                self.violations = tuple(_violation(found.field, found.description) for found in detail.field_violations)
            elif isinstance(detail, error_details_pb2.RetryInfo):
                self.retry_after = detail.retry_delay.seconds + detail.retry_delay.nanos / 1e9
        names = [name for name in self.metadata.get("reasons", self.reason).split(",") if name]
        said = self.metadata.get
        self.grounds = tuple(Ground(name, said(f"why.{name}", message), said(f"remedy.{name}", "")) for name in names)
        super().__init__(self._sentence())

    @property
    def remedy(self) -> str:
        """What to do instead, of every reason; empty where the node names nothing."""
        return "; ".join(ground.remedy for ground in self.grounds if ground.remedy)

    @property
    def reasons(self) -> Tuple[str, ...]:
        """The name of every reason that holds, the first one first."""
        return tuple(ground.reason for ground in self.grounds)

    def _sentence(self) -> str:
        if self.violations:
            # A description of some fields opens with the field's name.
            lines = (
                found.description if found.description.startswith(found.field) else f"{found.field}: {found.description}"
                for found in self.violations
            )
            return f"{self.reason}: " + "; ".join(lines)
        remedy = f" (remedy: {self.remedy})" if self.remedy else ""
        return f"{self.reason or self.code.name}: {self.message}{remedy}"


class PolicyRefused(Refused):
    """The request is not of the unlimited class; nothing was deducted."""


class LimitReached(Refused):
    """A limit of the node: queue, rate, disk, memory, or it is stopping. `retry_after` says whether waiting helps."""


class InvalidField(Refused):
    """Fields are wrong; `violations` names each, with the nearest legal value."""


class NotFound(Refused):
    """This client has no such generation, upload or output."""


class Unauthenticated(Refused):
    """The node wants a token that it knows."""


class GenerationFailed(LtxdError):
    """A generation failed after it had been accepted; `failure` is the node's own message of it."""

    def __init__(self, generation_id: str, failure: v1.Failure) -> None:
        self.generation_id = generation_id
        self.failure = failure
        known = failure.reason in v1.FailureReason.values()
        self.reason = v1.FailureReason.Name(failure.reason)[len("FAILURE_REASON_") :] if known else str(failure.reason)
        self.retryable = failure.retryable
        super().__init__(f"{generation_id}: {self.reason}: {failure.message}")


class GenerationCancelled(LtxdError):
    """A generation was cancelled while it was waited for."""

    def __init__(self, generation_id: str) -> None:
        self.generation_id = generation_id
        super().__init__(f"{generation_id} was cancelled")


class BrokenDownload(LtxdError):
    """What arrived is not what the node promised: its size or its SHA-256 differs."""


_OF_CALLS: Mapping[str, Type[Refused]] = {
    "INVALID_FIELD": InvalidField,
    "MESSAGE_TOO_LARGE": InvalidField,
    "UNAUTHENTICATED": Unauthenticated,
    "GENERATION_NOT_FOUND": NotFound,
    "UPLOAD_NOT_FOUND": NotFound,
    "OUTPUT_NOT_FOUND": NotFound,
}
# What no node says with a reason: the way to it broke.
_BROKEN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN, grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL)
_DETAILS = (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo)


def of_call(error: Union[grpc.RpcError, "grpc.aio.AioRpcError"]) -> Union[Refused, ConnectionLost]:
    """The exception for a failed call."""
    code: grpc.StatusCode = error.code()
    message: str = error.details() or ""
    details = tuple(_details(error.trailing_metadata() or ()))
    reason = next((found.reason for found in details if isinstance(found, error_details_pb2.ErrorInfo)), "")
    if not reason and (code in _BROKEN or code == grpc.StatusCode.DEADLINE_EXCEEDED):
        return ConnectionLost(code, f"{code.name}: {message}")
    return _kind(reason)(code, message, details)


def _kind(reason: str) -> Type[Refused]:
    """The table of `errors.proto`: policy is below 100, limits below 200. A reason of a newer node is a plain `Refused`."""
    if reason in _OF_CALLS:
        return _OF_CALLS[reason]
    try:
        number = v1.ErrorReason.Value(f"ERROR_REASON_{reason}")
    except ValueError:
        return Refused
    return PolicyRefused if 0 < number < 100 else LimitReached if 100 <= number < 200 else Refused


def _details(trailers: Iterable[Any]) -> Iterable[object]:
    for key, value in trailers:
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            for packed in status_pb2.Status.FromString(value).details:
                for kind in _DETAILS:
                    if packed.Is(kind.DESCRIPTOR):
                        yield kind.FromString(packed.value)


def _violation(field: str, description: str) -> Violation:
    rule, _, nearest = description.partition(_NEAREST)
    return Violation(field, rule, nearest)
