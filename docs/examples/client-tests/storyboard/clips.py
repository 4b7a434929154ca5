"""Makes a clip for every picture of a storyboard."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

import ltxd


@dataclass
class Clip:
    """What became of a picture: a file, or why there is none."""

    file: Optional[Path] = None
    problem: str = ""


def make(
    client: ltxd.Client, spec: ltxd.v1.GenerationSpec, to: Path, *, tries: int = 3, pause: Callable[[float], object] = time.sleep
) -> Clip:
    """Makes one clip: waits where the node says that waiting helps, and repeats what may succeed."""
    problem = ""
    for _ in range(tries):
        try:
            generation = client.wait(client.create(spec).id)
            client.download(generation.id, to)
            return Clip(file=to)
        except ltxd.LimitReached as error:
            if error.retry_after is None:
                return Clip(problem=str(error))
            problem = f"the node is busy: {error.reason}"
            pause(error.retry_after)
        except ltxd.InvalidField as error:
            return Clip(problem="; ".join(f"{wrong.field} should be {wrong.nearest}" for wrong in error.violations))
        except ltxd.Refused as error:
            return Clip(problem=f"{error.message} {error.remedy}")
        except ltxd.GenerationFailed as error:
            problem = f"it failed: {error.failure.message}"
            if not error.retryable:
                break
    return Clip(problem=problem)
