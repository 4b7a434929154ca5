"""Copies the curves of a work folder into models/small/curves: curves.py [WORK [SUFFIX]]; the first session's have no suffix."""

import sys
from pathlib import Path

work, out = Path(sys.argv[1] if len(sys.argv) > 1 else "/opt/train"), Path(__file__).resolve().parents[1] / "curves"
suffix = sys.argv[2] if len(sys.argv) > 2 else ""
out.mkdir(parents=True, exist_ok=True)
for part in ("vae", "decoder", "transformer", "upscaler"):
    if (work / part / "curve.csv").exists():
        (out / f"{part}{suffix}.csv").write_text((work / part / "curve.csv").read_text().replace("\r\n", "\n"))
