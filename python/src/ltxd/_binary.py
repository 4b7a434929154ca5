"""Where the command that came with this package is, and its models."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import Iterator


def binary() -> Path:
    """The command `ltxd`: what `$LTXD` names, else what was installed with this package, else what is on the PATH.

    Raises FileNotFoundError where there is none.
    """
    named = os.environ.get("LTXD")
    if named:
        if not Path(named).is_file():
            raise FileNotFoundError(f"$LTXD names {named}, which is not there")
        return Path(named).resolve()
    for candidate in _installed():
        if os.access(candidate, os.X_OK):
            return candidate
    on_path = shutil.which("ltxd")
    if on_path:
        return Path(on_path).resolve()
    raise FileNotFoundError("there is no ltxd beside this package, nor on the PATH; $LTXD may name one")


def models_dir() -> Path:
    """The folder of model manifests that was installed with this package, or with the command that `binary` finds.

    Raises FileNotFoundError where there is none.
    """
    for prefix in binary().parents:
        for folder in (prefix / "share/ltxd/models", prefix / "models"):
            if any(folder.glob("*.toml")):
                return folder
    raise FileNotFoundError(f"no folder of models belongs to {binary()}")


def _installed() -> Iterator[Path]:
    """Where installers put a wheel's commands: of an environment, of a user, beside a folder of packages (`pip --target`)."""
    yield Path(sysconfig.get_path("scripts")) / "ltxd"
    user = sysconfig.get_path("scripts", f"{os.name}_user")
    yield Path(user) / "ltxd"
    yield Path(sys.prefix) / "bin/ltxd"
    yield Path(__file__).resolve().parents[1] / "bin/ltxd"
