"""Files made out of signed ones by changing them, each with the verdicts that are true of it."""

import struct, subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

C2PA = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
CHANGED, STRIPPED, REENCODED, UNSIGNED = "changed", "stripped", "reencoded", "unsigned"


@dataclass
class Case:
    name: str
    file: Path
    verdicts: frozenset


def parts(data):
    """(name, uuid, begin, end) of an MP4's outermost boxes."""
    found, at = [], 0
    while at < len(data):
        size, name = struct.unpack(">I4s", data[at : at + 8])
        found.append((name.decode("latin-1"), data[at + 8 : at + 24] if name == b"uuid" else None, at, at + size))
        at += size
    return found


def part(data, name, uuid=None):
    return next((begin, end) for found, its, begin, end in parts(data) if found == name and its == uuid)


def chunks(data):
    """(name, begin, end) of a PNG's chunks."""
    found, at = [], 8
    while at < len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        found.append((data[at + 4 : at + 8].decode("latin-1"), at, at + 12 + size))
        at += 12 + size
    return found


def other_byte(data, begin, end, rng):
    """The data with one byte between `begin` and `end` changed."""
    at = rng.randrange(begin, end)
    return data[:at] + bytes([data[at] ^ rng.randrange(1, 256)]) + data[at + 1 :]


def video(data, rng):
    begin, end = part(data, "mdat")
    return other_byte(data, begin + 8, end, rng)


def index(data, rng):
    return other_byte(data, *part(data, "moov"), rng)


def metadata(data, rng):
    begin = data.index(b"udta") if b"udta" in data else data.index(b"meta")
    return other_byte(data, begin, part(data, "moov")[1], rng)


def packet(data, rng):
    begin, end = part(data, "uuid", XMP)
    return other_byte(data, begin + 24, end, rng)


def brand(data, rng):
    begin, end = part(data, "ftyp")
    return other_byte(data, begin + 8, end, rng)


def free(data, rng):
    begin, end = part(data, "free")
    return other_byte(data, begin, end, rng)


def credentials(data, rng):
    return other_byte(data, *part(data, "uuid", C2PA), rng)


def anywhere(data, rng):
    return other_byte(data, 0, len(data), rng)


def moved(data, rng):
    """Two neighbouring boxes in each other's place."""
    boxes = [data[begin:end] for _, _, begin, end in parts(data)]
    at = rng.randrange(len(boxes) - 1)
    boxes[at], boxes[at + 1] = boxes[at + 1], boxes[at]
    return b"".join(boxes)


def cut_out(data, rng):
    """The credentials' box overwritten by an empty one, so that every offset still holds."""
    begin, end = part(data, "uuid", C2PA)
    return data[:begin] + struct.pack(">I4s", end - begin, b"free") + bytes(end - begin - 8) + data[end:]


def cut_short(data, rng):
    return data[: rng.randrange(len(data) // 2, len(data))]


def appended(data, rng):
    return data + struct.pack(">I4s", 8 + 16, b"free") + rng.randbytes(16)


def twice(data, rng):
    begin, end = part(data, "uuid", C2PA)
    return data + data[begin:end]


def ffmpeg(data, folder, *words, suffix=".mp4"):
    source, out = folder / "source.mp4", folder / f"out{suffix}"
    source.write_bytes(data)
    command = ["ffmpeg", "-v", "error", "-y", "-i", source, *map(str, words), out]
    subprocess.run(command, check=True)
    return out.read_bytes()


def remuxed(data, rng, folder):
    flags = rng.choice([[], ["-movflags", "+faststart"], ["-movflags", "use_metadata_tags"], ["-movflags", "+faststart+use_metadata_tags"]])
    return ffmpeg(data, folder, "-c", "copy", *flags)


def reencoded(data, rng, folder):
    how = [
        lambda: ["-crf", rng.randrange(1, 51)],
        lambda: ["-preset", "ultrafast", "-vf", "hflip"],
        lambda: ["-preset", "ultrafast", "-vf", f"scale={rng.randrange(16, 64) * 2}:-2"],
        lambda: ["-preset", "ultrafast", "-frames:v", rng.randrange(1, 8)],
        lambda: ["-preset", "ultrafast", "-pix_fmt", "yuv444p"],
    ]
    return ffmpeg(data, folder, "-c:v", "libx264", *rng.choice(how)())


# What is done, how often in a thousand, and what is true of it then. A byte of the frame that says what a box is can make the credentials
# no credentials any more; a byte of an index can make the pictures others without them.
BYTES: list[tuple[Callable, int, set]] = [
    (video, 160, {CHANGED}),
    (index, 120, {CHANGED}),
    (metadata, 100, {CHANGED}),
    (packet, 80, {CHANGED}),
    (brand, 30, {CHANGED}),
    (free, 20, {CHANGED}),
    (credentials, 240, {CHANGED, STRIPPED}),
    (anywhere, 60, {CHANGED, STRIPPED}),
    (moved, 30, {CHANGED}),
    (cut_out, 10, {STRIPPED}),
    (cut_short, 30, {CHANGED}),
    (appended, 10, {CHANGED}),
    (twice, 10, {CHANGED}),
]
TOOLS: list[tuple[Callable, int, set]] = [(remuxed, 50, {STRIPPED}), (reencoded, 50, {REENCODED})]


def of_mp4(clips, folder, rng, count):
    """About `count` changed files of signed MP4s, the kinds in their shares, and one of each at least."""
    for make, share, verdicts in [*BYTES, *TOOLS]:
        for n in range(max(1, share * count // 1000)):
            clip = rng.choice(clips)
            data = clip.read_bytes()
            changed = make(data, rng, folder) if (make, share, verdicts) in TOOLS else make(data, rng)
            file = folder / f"{make.__name__}-{n:03}.mp4"
            file.write_bytes(changed)
            yield Case(f"{make.__name__} of {clip.name}", file, frozenset(verdicts))


def of_png(picture, folder, rng, count):
    """`count` changed files of a signed PNG: a byte of each kind of chunk, chunks taken out."""
    data = picture.read_bytes()
    for n in range(count):
        name, begin, end = rng.choice(chunks(data))
        if n % 8 == 7:
            begin, end = next((begin, end) for name, begin, end in chunks(data) if name == "caBX")
            name, changed, verdicts = "caBX, taken out,", data[:begin] + data[end:], {STRIPPED}
        else:
            changed, verdicts = other_byte(data, begin, end, rng), {CHANGED, STRIPPED, REENCODED, UNSIGNED}
            if name in ("iTXt", "IDAT"):
                verdicts = {CHANGED}
        file = folder / f"{n:03}.png"
        file.write_bytes(changed)
        yield Case(f"{name} of {picture.name}", file, frozenset(verdicts))
