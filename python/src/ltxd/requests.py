"""What a clip is asked for: the two methods, each a function that makes a `v1.GenerationSpec`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Sequence, TypedDict, Union

from ltxd import v1

if TYPE_CHECKING:
    from typing_extensions import Unpack

#: A path, the bytes of a PNG, JPEG or WebP, what `Client.upload` answered, or the message itself.
ImageSource = Union[str, "os.PathLike[str]", bytes, v1.Image, v1.UploadImageResponse]


class Fields(TypedDict, total=False):
    """Fields of `v1.GenerationSpec` that may be left out: the model's own defaults count then."""

    negative_prompt: str
    width: int
    height: int
    frames: int
    fps: float
    seed: int
    schedule: v1.Schedule.ValueType
    steps: int
    stages: int
    guidance: v1.Guidance
    conditioning: v1.Conditioning.ValueType
    image_crf: int
    model: str
    caller: v1.Caller
    sigmas: Sequence[float]
    refine_sigmas: Sequence[float]
    flow: v1.Flow.ValueType
    beyond_trained_length: bool
    loras: Sequence[v1.LoraUse]
    audio: v1.AudioSpec


def image(source: ImageSource) -> v1.Image:
    """An image of a request. A path is read now; an upload is named by its id."""
    if isinstance(source, v1.Image):
        return source
    if isinstance(source, v1.UploadImageResponse):
        return v1.Image(upload_id=source.upload_id)
    return v1.Image(data=image_bytes(source))


def image_bytes(source: Union[str, "os.PathLike[str]", bytes]) -> bytes:
    """The bytes of an encoded image: of a file, or as they are."""
    return source if isinstance(source, bytes) else Path(source).read_bytes()


def image_to_video(prompt: str, start: ImageSource, **fields: Unpack[Fields]) -> v1.GenerationSpec:
    """Image to video: the clip starts on one image."""
    return v1.GenerationSpec(prompt=prompt, image=image(start), **fields)


def start_end_frames(prompt: str, start: ImageSource, end: ImageSource, **fields: Unpack[Fields]) -> v1.GenerationSpec:
    """Start and end frames: the clip starts on one image and ends on another."""
    ends = v1.StartEndImages(start=image(start), end=image(end))
    return v1.GenerationSpec(prompt=prompt, start_end_images=ends, **fields)
