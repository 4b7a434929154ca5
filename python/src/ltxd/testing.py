"""A node to test a client against: the real one, on a free port of this machine, with one of the small models of this package.

    with ltxd.testing.Node() as node:
        node.client.create(…)

The pytest plugin of this package (`ltxd.pytest_plugin`) gives such nodes to tests.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Dict, List, Mapping, Optional, Tuple, Type, Union

import ltxd.aio
from ltxd._binary import binary, models_dir
from ltxd.client import Client
from ltxd.errors import LtxdError

#: Seconds after which something hangs, on a machine however busy.
GUARD = 600.0
#: What a key of the configuration may be.
Value = Union[str, int, float, bool, List[str], Mapping[str, Any]]


class NodeEnded(LtxdError):
    """A node ended by itself; the message has the end of its log."""


def faults(**named: Union[bool, int, float, str]) -> Tuple[str, str]:
    """The metadata that asks a node with testing enabled to go wrong in one call: `client.with_metadata(faults(fail_at_step=3))`.

    Names are those of the section `testing` of the configuration (fail_at_step, slow_steps_ms, restart_at_step, queue_full,
    disk_full, refuse, unavailable_seconds, cut_watch_after, cut_download_after), `times` for how many calls, `id` to tell two
    apart. Without a name, faults that the configuration asks for are switched off.
    """
    said = (f"{name.replace('_', '-')}={str(value).lower() if isinstance(value, bool) else value}" for name, value in named.items())
    return "ltxd-testing", ", ".join(said) or "none"


class Node:
    """A node's process with its own port, data folder and log.

    model     the model that it serves: "small" (128x128, trained) or "tiny" (noise, faster), or any that `models_dir` has
    config    keys of its configuration, nested or dotted: {"limits.queued": 1}; `ltxd config print` shows them all
    faults    keys of the section `testing`, which makes it go wrong on purpose: {"queue_full": True}. Empty only allows a call to
              ask for faults; None does not
    folder    where it keeps its data, configuration and log; a temporary folder by default
    """

    def __init__(
        self,
        model: str = "small",
        *,
        config: Optional[Mapping[str, Value]] = None,
        faults: Optional[Mapping[str, Value]] = None,
        folder: Optional[Union[str, os.PathLike[str]]] = None,
    ) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="ltxd-") if folder is None else None
        self.folder = Path(self._temporary.name if self._temporary else os.fspath(folder or ""))
        self.log_file = self.folder / "node.log"
        self._ready_file = self.folder / "ready.json"
        self._settings: Dict[str, Value] = {"models_dir": str(models_dir()), "models": [model]}
        self._settings.update(config or {})
        if faults is not None:
            self._settings["testing"] = {"enabled": True, **faults}
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._client: Optional[Client] = None
        self._port = 0

    def __enter__(self) -> Node:
        return self.start()

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    # Its life.

    def start(self) -> Node:
        """Starts it, on the port that it had before if it had one, and returns when it serves. Raises NodeEnded."""
        if self.is_running():
            return self
        self.folder.mkdir(parents=True, exist_ok=True)
        configuration = self.folder / "node.toml"
        configuration.write_text("".join(f"{key} = {value}\n" for key, value in _flat(self._settings)))
        self._ready_file.unlink(missing_ok=True)
        command = [str(binary()), "serve", f"--config={configuration}", f"--data-dir={self.folder / 'data'}"]
        command += [f"--listen=127.0.0.1:{self._port}", f"--ready-file={self._ready_file}"]
        # Whoever runs the tests may have a node of their own configured.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LTXD_")}
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        until = time.monotonic() + GUARD
        while not self._ready_file.exists():
            if not self.is_running():
                raise NodeEnded(f"the node ended with {self._process.returncode} before it served:\n{self.log()[-4000:]}")
            if time.monotonic() > until:
                self.kill()
                raise NodeEnded(f"the node does not serve after {GUARD} s:\n{self.log()[-4000:]}")
            time.sleep(0.01)
        self._port = int(json.loads(self._ready_file.read_text())["listen"].rpartition(":")[2])
        return self

    def stop(self) -> int:
        """Ends it in order, by SIGTERM, and says its exit code; what runs is saved and goes on after the next start."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """Ends it at once, by SIGKILL, as a crash would."""
        return self._end(signal.SIGKILL)

    def restart(self) -> Node:
        """Ends it in order, unless it has ended, and starts it again on the same port and data."""
        self.stop()
        return self.start()

    def wait_until_ended(self) -> int:
        """Returns its exit code once it has ended by itself, as a fault may make it."""
        return self._process.wait(GUARD) if self._process else 0

    def close(self) -> None:
        """Ends it, closes its client, and removes its folder where it was temporary."""
        if self._client:
            self._client.close()
            self._client = None
        self.stop()
        if self._temporary:
            self._temporary.cleanup()

    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    # What a test wants of it.

    @property
    def address(self) -> str:
        """Where it is, for any client: `http://127.0.0.1:PORT`."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def port(self) -> int:
        """Its port on 127.0.0.1."""
        return self._port

    @property
    def client(self) -> Client:
        """A client of it, which outlives restarts and is closed with it."""
        if self._client is None:
            self._client = Client(self.address, timeout=GUARD)
        return self._client

    def aio_client(self) -> ltxd.aio.Client:
        """A new client for asyncio, to be made and closed in the test's own loop."""
        return ltxd.aio.Client(self.address, timeout=GUARD)

    def log(self) -> str:
        """What it has logged so far."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def _end(self, how: signal.Signals) -> int:
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(how)
        try:
            return self._process.wait(GUARD)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def _flat(table: Mapping[str, Value], above: str = "") -> List[Tuple[str, str]]:
    """Keys as TOML's dotted ones, values as TOML, which JSON's are."""
    lines: List[Tuple[str, str]] = []
    for key, value in table.items():
        # A dot leads into a section, but not in a name of `aliases`.
        plain = all(letter.isalnum() or letter in "_-." for letter in key) and above != "aliases."
        path = above + (key if plain else json.dumps(key, ensure_ascii=False))
        if isinstance(value, Mapping):
            lines += _flat(value, f"{path}.")
        else:
            lines.append((path, json.dumps(value, ensure_ascii=False)))
    return lines
