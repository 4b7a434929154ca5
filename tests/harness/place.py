"""Where a process runs: on this machine as it is, or on a host of a network that a test makes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """`address` is where the test reaches it, `peers` where others of its kind do, `listen` what a server binds; `command` is
    what executes a command there."""

    address: str
    peers: str
    listen: str
    command: tuple = ()


HERE = Place("127.0.0.1", "127.0.0.1", "127.0.0.1")
