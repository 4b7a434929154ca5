#!/usr/bin/env python3
"""Makes the pictures of this folder and, with Pillow (littleCMS), what a colour-managed viewer shows of each.

    pip install Pillow numpy
    ./make_pictures.py

`NAME.png`, `NAME.jpg` or `NAME.webp` is a picture, `NAME.shown.png` its pixels in sRGB. Profiles are written here, tag by tag, so
that each kind of table is there and small; their colours are a made-up press and made-up screens. `cmyk-photo.jpg`, whose profile
is a press's own, is kept as it was found.
"""

import io, itertools, struct, zlib
import numpy as np
from PIL import Image, ImageCms

SIDE = 24


def tag_curve(gamma):
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)


def tag_text(version):
    if version >= 4:
        text = "made for a test".encode("utf-16-be")
        return b"mluc" + bytes(4) + struct.pack(">II", 1, 12) + b"enUS" + struct.pack(">II", len(text), 28) + text + bytes(2)
    return b"desc" + bytes(4) + struct.pack(">I", 16) + b"made for a test\0" + bytes(79)


def tag_xyz(x, y, z):
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(v * 65536) for v in (x, y, z)))


def icc(version, kind, space, pcs, tags):
    tags = {b"desc": tag_text(version), b"wtpt": tag_xyz(0.9642, 1.0, 0.8249), **tags}
    at, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, tag in tags.items():
        table += name + struct.pack(">II", at + len(body), len(tag))
        body += tag + bytes(-len(tag) % 4)
    size = at + len(body)
    head = struct.pack(">I4sI4s4s4s", size, bytes(4), version << 24, kind, space, pcs)
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(4 + 4 + 4 + 4 + 8 + 4)
    head += struct.pack(">3i", 63190, 65536, 54061)
    return head + bytes(128 - len(head)) + struct.pack(">I", len(tags)) + table + body


def lab_of_xyz(xyz):
    f = lambda t: np.where(t > 0.008856, np.cbrt(t), 7.787 * t + 16 / 116)
    x, y, z = (f(xyz[..., i] / w) for i, w in enumerate((0.9642, 1.0, 0.8249)))
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def screen(rgb):
    """A screen of gamma 1.8 and strange primaries, XYZ under D50; its black is not black."""
    matrix = np.array([[0.60, 0.25, 0.114], [0.30, 0.64, 0.06], [0.02, 0.10, 0.705]])
    return 0.012 * np.array([0.9642, 1.0, 0.8249]) + 0.988 * (rgb**1.8) @ matrix.T


def press(cmyk):
    """Inks that hold back light, the darkest at L* 12."""
    c, m, y, k = (cmyk[..., i] for i in range(4))
    hold = lambda *shares: np.prod([1 - s * i for s, i in zip(shares, (c, m, y, k))], axis=0)
    xyz = np.stack([0.9642 * hold(0.80, 0.45, 0.12, 0.93), hold(0.55, 0.72, 0.08, 0.93), 0.8249 * hold(0.25, 0.65, 0.88, 0.92)], -1)
    return 0.014 * np.array([0.9642, 1.0, 0.8249]) + 0.986 * xyz


def grid(inputs, points):
    return np.array(list(itertools.product(np.linspace(0, 1, points), repeat=inputs)))


def encoded(lab_or_xyz, pcs, version, bits):
    if pcs == b"XYZ ":
        values = lab_or_xyz * 32768
    elif bits == 8:
        values = np.stack([lab_or_xyz[:, 0] * 2.55, lab_or_xyz[:, 1] + 128, lab_or_xyz[:, 2] + 128], -1)
    elif version >= 4:
        values = np.stack([lab_or_xyz[:, 0] * 655.35, (lab_or_xyz[:, 1] + 128) * 257, (lab_or_xyz[:, 2] + 128) * 257], -1)
    else:
        values = np.stack([lab_or_xyz[:, 0] * 652.8, (lab_or_xyz[:, 1] + 128) * 256, (lab_or_xyz[:, 2] + 128) * 256], -1)
    return np.clip(np.round(values), 0, 2**bits - 1).astype(">u2" if bits == 16 else np.uint8).tobytes()


def tag_lut(inputs, points, table, bits):
    head = (b"mft2" if bits == 16 else b"mft1") + bytes(4) + bytes([inputs, 3, points, 0])
    head += struct.pack(">9i", *(65536 if i % 4 == 0 else 0 for i in range(9)))
    if bits == 16:
        line = struct.pack(">2H", 0, 65535)
        return head + struct.pack(">2H", 2, 2) + line * inputs + table + line * 3
    line = bytes(range(256))
    return head + line * inputs + table + line * 3


def tag_mab(inputs, points, table):
    """v4's: curves, a table of 16 bits, curves, a matrix that changes nothing, curves."""
    curve = b"para" + bytes(4) + struct.pack(">HHi", 0, 0, 65536)
    matrix = struct.pack(">12i", *(65536 if i in (0, 4, 8) else 0 for i in range(12)))
    clut = bytes([points] * inputs + [0] * (16 - inputs)) + bytes([2, 0, 0, 0]) + table
    b, m = 32, 32 + 3 * len(curve)
    mc = m + len(matrix)
    cl = mc + 3 * len(curve)
    a = cl + len(clut) + -len(clut) % 4
    head = b"mAB " + bytes(4) + bytes([inputs, 3, 0, 0]) + struct.pack(">5I", b, m, mc, cl, a)
    return head + curve * 3 + matrix + curve * 3 + clut + bytes(-len(clut) % 4) + curve * inputs


def table_profile(space, version, pcs=b"Lab ", bits=16, mab=False):
    kind, inputs, points = {b"CMYK": (b"prtr", 4, 6), b"RGB ": (b"scnr", 3, 9), b"GRAY": (b"scnr", 1, 17)}[space]
    at = grid(inputs, points)
    xyz = press(at) if inputs == 4 else screen(np.broadcast_to(at, (len(at), 3)))
    table = encoded(xyz if pcs == b"XYZ " else lab_of_xyz(xyz), pcs, version, bits)
    lut = tag_mab(inputs, points, table) if mab else tag_lut(inputs, points, table, bits)
    return icc(version, kind, space, pcs, {b"A2B0": lut})


def matrix_profile(version):
    """Different curves for the three primaries."""
    columns = [(0.60, 0.30, 0.02), (0.25, 0.64, 0.10), (0.114, 0.06, 0.705)]
    tags = {name + b"XYZ": tag_xyz(*column) for name, column in zip((b"r", b"g", b"b"), columns)}
    tags |= {name + b"TRC": tag_curve(gamma) for name, gamma in zip((b"r", b"g", b"b"), (1.8, 2.0, 2.4))}
    return icc(version, b"mntr", b"RGB ", b"XYZ ", tags)


def grey_profile(pcs, gamma):
    return icc(2, b"scnr", b"GRAY", pcs, {b"kTRC": tag_curve(gamma)})


def ramp(channels):
    """Smooth, with every corner of the space in it."""
    x, y = np.meshgrid(np.linspace(0, 1, SIDE), np.linspace(0, 1, SIDE))
    planes = [x, y, (1 - x) * (1 - y) + x * y, x * (1 - y)]
    return np.round(np.stack(planes[:channels], -1) * 255).astype(np.uint8).squeeze()


def shown(picture, profile):
    if profile is None:
        return picture.convert("RGB")
    return ImageCms.profileToProfile(picture, ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), outputMode="RGB")


def keep(name, data, profile):
    with open(name, "wb") as file:
        file.write(data)
    picture = Image.open(io.BytesIO(data))
    if picture.mode in ("P", "RGBA"):
        picture = picture.convert("RGB")
    shown(picture, profile).save(name.rsplit(".", 1)[0] + ".shown.png")


def saved(picture, form, **how):
    buffer = io.BytesIO()
    picture.save(buffer, form, **how)
    return buffer.getvalue()


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def deep_png(profile):
    """16 bits a sample, which Pillow cannot write: the high byte is the ramp's, the low one noise."""
    low = np.arange(SIDE * SIDE * 3, dtype=np.uint32).reshape(SIDE, SIDE, 3) * 89 % 256
    rows = (ramp(3).astype(np.uint16) * 256 + low.astype(np.uint16)).astype(">u2")
    body = b"".join(b"\0" + row.tobytes() for row in rows)
    head = struct.pack(">IIBBBBB", SIDE, SIDE, 16, 2, 0, 0, 0)
    profile = b"made\0\0" + zlib.compress(profile, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"iCCP", profile) + chunk(b"IDAT", zlib.compress(body, 9)) + chunk(b"IEND", b"")


def with_chunks(png, *chunks):
    """Puts chunks behind a PNG's header."""
    return png[:33] + b"".join(chunks) + png[33:]


def adobe_transform(jpeg, transform):
    at = jpeg.index(b"Adobe") + 11
    return jpeg[:at] + bytes([transform]) + jpeg[at + 1 :]


def without_adobe(jpeg):
    at = jpeg.index(b"\xff\xee")
    return jpeg[:at] + jpeg[at + 16 :]


def ycck(profile):
    """Pillow writes no YCCK: its values are put where CMYK's would be, and Adobe's marker says what they are."""
    c, m, y, k = (ramp(4)[..., i].astype(float) for i in range(4))
    luma = 0.299 * c + 0.587 * m + 0.114 * y
    values = np.stack([luma, (y - luma) / 1.772 + 128, (c - luma) / 1.402 + 128, 255 - k], -1)
    raw = np.clip(np.round(values), 0, 255).astype(np.uint8)
    jpeg = saved(Image.fromarray(255 - raw, "CMYK"), "JPEG", quality=100, subsampling=0, icc_profile=profile)
    return adobe_transform(jpeg, 2)


def main():
    rgb, grey, cmyk = Image.fromarray(ramp(3)), Image.fromarray(ramp(1)), Image.fromarray(ramp(4), "CMYK")
    jpeg = lambda picture, profile: saved(picture, "JPEG", quality=100, subsampling=0, icc_profile=profile)

    presses = {
        "v2-lut8": table_profile(b"CMYK", 2, bits=8),
        "v2-lut16": table_profile(b"CMYK", 2),
        "v4-mab": table_profile(b"CMYK", 4, mab=True),
        "v2-xyz": table_profile(b"CMYK", 2, pcs=b"XYZ "),
    }
    for name, profile in presses.items():
        keep(f"cmyk-{name}.jpg", jpeg(cmyk, profile), profile)
    profile = presses["v2-lut16"]
    keep("ycck-v2-lut16.jpg", ycck(profile), profile)
    keep("cmyk-no-marker.jpg", without_adobe(jpeg(cmyk, profile)), profile)
    keep("cmyk-no-profile.jpg", jpeg(cmyk, None), None)
    keep("ycck-no-profile.jpg", ycck(None), None)
    with open("cmyk-photo.jpg", "rb") as file:
        photo = file.read()
    keep("cmyk-photo.jpg", photo, Image.open(io.BytesIO(photo)).info["icc_profile"])

    screens = {
        "v2-lut8": table_profile(b"RGB ", 2, bits=8),
        "v2-lut16": table_profile(b"RGB ", 2),
        "v2-xyz": table_profile(b"RGB ", 2, pcs=b"XYZ "),
        "v4-mab": table_profile(b"RGB ", 4, mab=True),
        "v4-mab-xyz": table_profile(b"RGB ", 4, pcs=b"XYZ ", mab=True),
        "v2-matrix": matrix_profile(2),
        "v4-matrix": matrix_profile(4),
    }
    for name, profile in screens.items():
        keep(f"rgb-{name}.png", saved(rgb, "PNG", icc_profile=profile), profile)
    for name in ("v2-lut16", "v2-matrix"):
        profile = screens[name]
        keep(f"photo-{name}.jpg", jpeg(rgb, profile), profile)
        keep(f"web-{name}.webp", saved(rgb, "WEBP", lossless=True, icc_profile=profile), profile)
        keep(f"alpha-{name}.png", saved(Image.fromarray(ramp(4), "RGBA"), "PNG", icc_profile=profile), profile)
        keep(f"palette-{name}.png", saved(rgb.quantize(64), "PNG", icc_profile=profile), profile)
        with open(f"deep-{name}.png", "wb") as file:
            file.write(deep_png(profile))
        shown(rgb, profile).save(f"deep-{name}.shown.png")

    greys = {
        "curve": grey_profile(b"XYZ ", 1.0),
        "curve-lab": grey_profile(b"Lab ", 1.0),
        "v2-lut16": table_profile(b"GRAY", 2),
        "v4-mab": table_profile(b"GRAY", 4, mab=True),
    }
    for name, profile in greys.items():
        keep(f"grey-{name}.png", saved(grey, "PNG", icc_profile=profile), profile)
    keep("grey-photo.jpg", jpeg(grey, greys["curve-lab"]), greys["curve-lab"])

    # Chunks of PNG, each beside a profile that means the same.
    linear = ImageCms.ImageCmsProfile(io.BytesIO(srgb_with_curve(1.0))).tobytes()
    keep("gama-linear.png", with_chunks(saved(rgb, "PNG"), chunk(b"gAMA", struct.pack(">I", 100000))), linear)
    p3 = rgb_profile([(0.515102, 0.241182, -0.001050), (0.291965, 0.692236, 0.041882), (0.157153, 0.066582, 0.784378)], 2.4, True)
    chrm = [0.3127, 0.3290, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06]
    chrm = chunk(b"cHRM", struct.pack(">8I", *(round(v * 100000) for v in chrm)))
    keep("chrm-p3.png", with_chunks(saved(rgb, "PNG"), chrm), p3)
    keep("gama-chrm-p3.png", with_chunks(saved(rgb, "PNG"), chunk(b"gAMA", struct.pack(">I", 45455)), chrm), p3)
    keep("cicp-p3.png", with_chunks(saved(rgb, "PNG"), chunk(b"cICP", bytes([12, 13, 0, 1]))), p3)
    keep("cicp-over-iccp.png", with_chunks(saved(rgb, "PNG", icc_profile=linear), chunk(b"cICP", bytes([12, 13, 0, 1]))), p3)
    keep("iccp-over-srgb.png", with_chunks(saved(rgb, "PNG", icc_profile=linear), chunk(b"sRGB", b"\0")), linear)
    keep("srgb-over-gama.png", with_chunks(saved(rgb, "PNG"), chunk(b"sRGB", b"\0"), chunk(b"gAMA", struct.pack(">I", 100000))), None)
    grey_linear = grey_profile(b"XYZ ", 1.0)
    keep("gama-grey.png", with_chunks(saved(grey, "PNG"), chunk(b"gAMA", struct.pack(">I", 100000))), grey_linear)


def rgb_profile(columns, gamma, srgb_curve):
    """Colorants under D50; sRGB's curve, or a power."""
    tags = {name + b"XYZ": tag_xyz(*column) for name, column in zip((b"r", b"g", b"b"), columns)}
    curve = b"para" + bytes(4) + struct.pack(">HH5i", 3, 0, *(round(v * 65536) for v in (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)))
    tags |= {name + b"TRC": curve if srgb_curve else tag_curve(gamma) for name in (b"r", b"g", b"b")}
    return icc(4, b"mntr", b"RGB ", b"XYZ ", tags)


def srgb_with_curve(gamma):
    return rgb_profile([(0.436066, 0.222488, 0.013916), (0.385147, 0.716873, 0.097076), (0.143066, 0.060608, 0.714096)], gamma, False)


main()
