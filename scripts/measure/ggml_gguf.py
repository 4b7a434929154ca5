"""Writes a GGUF file with its matrices in another type of ggml, quantised by ggml's own library: `libggml-base.so`, as
`pip install ggml-python` brings it or a build of llama.cpp makes it. What check-formats measures of types that ltxd does not write.

IQ2_XXS, IQ2_XS and IQ1_S ask for the importance of every column of a matrix; all are given the same, 1. The other types get none.
A matrix whose rows are not whole blocks becomes IQ4_NL, and Q4_0 instead of TQ1_0 and TQ2_0, as llama.cpp does it.

Python 3 standard library only.
"""

import ctypes, math, struct, sys
from pathlib import Path

# The numbers of `enum ggml_type`.
NUMBERS = {
    "q4_0": 2, "q4_1": 3, "q5_0": 6, "q5_1": 7, "iq4_nl": 20, "mxfp4": 39, "nvfp4": 40, "q3_k": 11, "q2_k": 10, "iq4_xs": 23,
    "iq3_s": 21, "iq3_xxs": 18, "iq2_s": 22, "iq2_xs": 17, "iq2_xxs": 16, "iq1_m": 29, "iq1_s": 19, "tq2_0": 35, "tq1_0": 34,
}  # fmt: skip
BF16 = 30
BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # of a value in the metadata, by its type
STRING, ARRAY = 8, 9
ALIGNMENT = 32


class File:
    """A GGUF file in memory: its metadata as bytes, and {name: (shape, the number of its type, offset)}; the fastest dimension of a
    shape first."""

    def __init__(self, path):
        self.blob, self.at = memoryview(Path(path).read_bytes()), 0
        magic, version, count, entries = self.next("<4sIQQ")
        assert (magic, version) == (b"GGUF", 3), path
        start = self.at
        for _ in range(entries):
            assert self.text() != "general.alignment", path
            self.skip(*self.next("<I"))
        self.entries, self.metadata = entries, self.blob[start : self.at]
        self.tensors = {}
        for _ in range(count):
            name, (dimensions,) = self.text(), self.next("<I")
            shape = self.next(f"<{dimensions}Q")
            self.tensors[name] = (shape, *self.next("<IQ"))
        self.data = self.blob[self.at + -self.at % ALIGNMENT :]

    def next(self, form):
        self.at += struct.calcsize(form)
        return struct.unpack_from(form, self.blob, self.at - struct.calcsize(form))

    def text(self):
        (length,) = self.next("<Q")
        self.at += length
        return str(self.blob[self.at - length : self.at], "utf-8")

    def skip(self, kind):
        if kind == STRING:
            self.text()
        elif kind == ARRAY:
            kind, count = self.next("<IQ")
            for _ in range(count):
                self.skip(kind)
        else:
            self.at += BYTES[kind]


class Ggml:
    """The library, from its path or a folder somewhere below which it is (an environment of Python's)."""

    def __init__(self, path):
        found = [path] if path.is_file() else sorted(path.rglob("libggml-base.so*"))
        if not found:
            sys.exit(f"check-formats: no libggml-base.so below {path}")
        self.library = ctypes.CDLL(str(found[0].resolve()))
        self.library.ggml_version.restype = ctypes.c_char_p
        self.library.ggml_blck_size.restype = ctypes.c_int64
        self.library.ggml_quantize_requires_imatrix.restype = ctypes.c_bool
        for function in (self.library.ggml_row_size, self.library.ggml_quantize_chunk):
            function.restype = ctypes.c_size_t
        self.version = self.library.ggml_version().decode()

    def bytes_of(self, kind, shape):
        return self.library.ggml_row_size(kind, ctypes.c_int64(shape[0])) * math.prod(shape[1:])

    def fitting(self, name, row):
        smaller = "q4_0" if name.startswith("tq") else "iq4_nl"
        return next(NUMBERS[kind] for kind in (name, smaller) if row % self.library.ggml_blck_size(NUMBERS[kind]) == 0)

    def packed(self, kind, shape, data):
        """A matrix in bf16, in blocks."""
        row, rows = shape
        wide = bytearray(4 * row * rows)
        wide[2::4], wide[3::4] = data[0::2], data[1::2]
        out = ctypes.create_string_buffer(self.bytes_of(kind, shape))
        importance = (ctypes.c_float * row)(*[1.0] * row) if self.library.ggml_quantize_requires_imatrix(kind) else None
        source = (ctypes.c_char * len(wide)).from_buffer(wide)
        made = self.library.ggml_quantize_chunk(kind, source, out, *map(ctypes.c_int64, (0, rows, row)), importance)
        assert made == len(out), (kind, shape, made)
        return out.raw

    def write(self, whole, chosen, name, path):
        """`whole` with the tensors of the names `chosen`, which are in bf16 there, as type `name`."""
        described, parts, offset = [], [], 0
        for key, (shape, kind, at) in whole.tensors.items():
            data = whole.data[at : at + self.bytes_of(kind, shape)]
            if key in chosen:
                assert kind == BF16, (key, kind)
                kind = self.fitting(name, shape[0])
                data = self.packed(kind, shape, data)
            words = key.encode()
            described.append(struct.pack("<Q", len(words)) + words + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset))
            parts += [data, bytes(-len(data) % ALIGNMENT)]
            offset += len(data) + len(parts[-1])
        header = struct.pack("<4sIQQ", b"GGUF", 3, len(described), whole.entries) + whole.metadata + b"".join(described)
        path.write_bytes(b"".join([header, bytes(-len(header) % ALIGNMENT), *parts]))
