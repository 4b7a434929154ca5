"""Images that are bombs: small files that promise, unpack to, or carry very much."""

import functools, struct, zlib

from harness.requests import START


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width, height, idat, before=b"", depth=8, color=2):
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + chunk(b"IDAT", idat) + chunk(b"IEND", b"")


def zeros(count, head=b""):
    """`count` zero bytes, deflated, without holding them."""
    pack, out, block = zlib.compressobj(9), [], bytes(1 << 20)
    out.append(pack.compress(head))
    for _ in range(count >> 20):
        out.append(pack.compress(block))
    out.append(pack.compress(bytes(count & (1 << 20) - 1)))
    return b"".join([*out, pack.flush()])


def webp(canvas, data=b"VP8L" + struct.pack("<I", 6) + b"\x2f\xff\xff\xff\x0f\0"):
    side = lambda pixels: struct.pack("<I", pixels - 1)[:3]
    body = (
        b"WEBP" + (b"VP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + side(canvas[0]) + side(canvas[1]) if canvas else b"") + data
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def jpeg_of(width, height):
    photo = bytearray(START)
    at = next(at for at in range(2, len(photo)) if photo[at] == 0xFF and photo[at + 1] in (0xC0, 0xC1, 0xC2))
    photo[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(photo)


def scans(count):
    """A progressive JPEG of 4000x4000 whose scans come again and again."""
    start = (
        b"\xff\xd8" + b"\xff\xdb\0\x43\0" + b"\1" * 64 + b"\xff\xc2\0\x0b\x08" + struct.pack(">HH", 4000, 4000) + b"\1\1\x11\0"
    )
    start += b"\xff\xc4\0\x14\0" + b"\1" + bytes(15) + b"\0"
    scan = b"\xff\xda\0\x08\1\1\0\0\0\x10" + b"\0"
    return start + scan * count + b"\xff\xd9"


ROW = zlib.compress(b"\0" * 4)


@functools.cache
def small_bombs():
    """(bytes, whether it is refused; None: either, as long as nothing grows) by name; what unpacks, unpacks to 128 MiB."""
    return bombs(128 << 20)


@functools.cache
def large_bombs():
    """As `small_bombs`, but 1 GiB; and pictures within every limit that are slow and large, and let go again."""
    return bombs(1 << 30) | {
        # 64 megapixels of eight bytes each, out of half a megabyte.
        "PNG of 8,000x8,000 of 64 bits, whole": (png(8000, 8000, zeros(8000 * (8000 * 8 + 1)), depth=16, color=6), False),
        "JPEG of 8,000x8,000 with the data of a small one": (jpeg_of(8000, 8000), None),
    }


def bombs(much):
    unpacked = zeros(much)
    many = chunk(b"zTXt", b"Title\0\0" + zeros(8 << 20)) * 100
    bmp = struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, 50000, 50000, 1, 24, 0, 0, 0, 0, 0, 0)
    return {
        "PNG of 65,000x65,000": (png(65000, 65000, ROW), True),
        "PNG of 2^31x2^31": (png(2**31 - 1, 2**31 - 1, ROW), True),
        "PNG of 16,384x3,900 with no data": (png(16384, 3900, ROW, depth=16, color=6), True),
        "PNG of 4x4 whose data unpacks to much more": (png(4, 4, unpacked), None),
        "PNG with a profile that unpacks to much": (png(1, 1, ROW, chunk(b"iCCP", b"icc\0\0" + unpacked)), None),
        "PNG with text that unpacks to much": (png(1, 1, ROW, chunk(b"zTXt", b"Title\0\0" + unpacked)), None),
        "PNG with international text that unpacks to much": (png(1, 1, ROW, chunk(b"iTXt", b"T\0\1\0\0\0" + unpacked)), None),
        "PNG with 100 texts that unpack to 8 MiB each": (png(1, 1, ROW, many), None),
        "PNG with 20 MiB of Exif": (png(1, 1, ROW, chunk(b"eXIf", b"II\x2a\0\x08\0\0\0" + b"\xff" * (20 << 20))), None),
        "PNG with 20 MiB of an unknown chunk": (png(1, 1, ROW, chunk(b"abCd", bytes(20 << 20))), None),
        "JPEG of 65,535x65,535": (jpeg_of(65535, 65535), True),
        "JPEG of 16,384x16,384": (jpeg_of(16384, 16384), True),
        "JPEG with ten thousand scans": (scans(10_000), None),
        "WebP of 16,777,216x16,777,216": (webp((1 << 24, 1 << 24)), True),
        "WebP of 16,384x16,384, lossless": (webp(None), True),
        "WebP of 16,383x3,900 with no data": (webp((16383, 3900)), True),
        "no bytes of an image": (b"\x89PNG\r\n\x1a\n", True),
        "zip": (b"PK\3\4" + bytes(100), True),
        "SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>", True),
        "BMP": (b"BM" + bmp, True),
    }
