"""A picture, and a request that takes a moment."""

import struct
import zlib

import ltxd
import pytest


def png(width, height, colour):
    """A picture of one colour."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = (b"\0" + bytes(colour) * width) * height
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.fixture
def start():
    return png(64, 64, (200, 60, 30))


@pytest.fixture
def end():
    return png(64, 64, (30, 60, 200))


@pytest.fixture
def spec(start):
    return ltxd.image_to_video("A red square turns blue.", start, width=64, height=64, frames=9, seed=1)
