#!/usr/bin/env python3
"""Writes a full-size LTX checkpoint without its weights: the real header, then a hole.

    scripts/sparse_checkpoint.py [--manifest JSON] [--config JSON] [--rename OLD NEW]... [--reshape KEY DIMS]...
                                 [--truncate-bytes N] OUT.safetensors

The file claims its full length (about 46 GB for LTX-2.3) and occupies almost no disk: the tensors are zeros that were
never written. It serves to check that every key of the official file is accounted for; nothing can be generated from it.

    --manifest   {"key": ["BF16", [dims]], …}; default models/facts/ltx-2.3-22b.manifest.json
    --config     the model's configuration as it stands in the metadata; default models/facts/ltx-2.3-22b.config.json
    --rename     one key under another name
    --reshape    one tensor with other dimensions, as 4096x128
    --truncate-bytes   shortens the file by N bytes at its end

Python 3 standard library only.
"""

import argparse, json, math, struct, sys
from pathlib import Path

FACTS = Path(__file__).resolve().parent.parent / "models" / "facts"
BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "BF16": 2, "F16": 2, "F8_E4M3": 1, "U8": 1}


def tensors_of(manifest):
    """Compact form, or the long one ({"tensors": {key: {"dtype": …, "shape": …}}})."""
    if "tensors" in manifest:
        return {key: (entry["dtype"], entry["shape"]) for key, entry in manifest["tensors"].items()}
    return {key: (dtype, shape) for key, (dtype, shape) in manifest.items()}


def changed(tensors, renames, reshapes):
    for key, _ in renames + reshapes:
        if key not in tensors:
            sys.exit(f"no such key in the manifest: {key}")
    for key, dims in reshapes:
        tensors[key] = (tensors[key][0], [int(n) for n in dims.replace(",", "x").split("x")])
    names = dict(renames)
    return {names.get(key, key): entry for key, entry in tensors.items()}


def header_of(tensors, config):
    header = {"__metadata__": {"config": json.dumps(config), "format": "pt", "model_version": "2.3.0"}}
    offset = 0
    for key, (dtype, shape) in tensors.items():
        end = offset + BYTES[dtype] * math.prod(shape)
        header[key] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    return text + b" " * (-len(text) % 8), offset


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--manifest", type=Path, default=FACTS / "ltx-2.3-22b.manifest.json")
    parser.add_argument("--config", type=Path, default=FACTS / "ltx-2.3-22b.config.json")
    parser.add_argument("--rename", nargs=2, action="append", default=[], metavar=("OLD", "NEW"))
    parser.add_argument("--reshape", nargs=2, action="append", default=[], metavar=("KEY", "DIMS"))
    parser.add_argument("--truncate-bytes", type=int, default=0)
    asked = parser.parse_args()

    tensors = tensors_of(json.loads(asked.manifest.read_text()))
    tensors = changed(tensors, asked.rename, asked.reshape)
    header, data = header_of(tensors, json.loads(asked.config.read_text()))
    with asked.out.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + data - asked.truncate_bytes)
    stat = asked.out.stat()
    print(f"{asked.out}: {len(tensors)} tensors, {stat.st_size} bytes long, {stat.st_blocks * 512} on disk")


main()
