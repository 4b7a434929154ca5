"""Licences of the binary: its own, that of FFmpeg and x264 inside, and those of every crate that it is linked from."""

import hashlib, json, re, shutil
from pathlib import Path

from common import ROOT, VERSION, said

TARGET = "x86_64-unknown-linux-gnu"
# FFmpeg is built with x264, so both are under GPL 2 or later; some crates are under Apache 2.0 alone, which goes with GPL 3 alone.
GPL = Path("/usr/share/common-licenses/GPL-3")
NAMES = re.compile(r"^(LICEN[CS]E|COPYING|COPYRIGHT|NOTICE|UNLICENSE)", re.I)


def write(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("LICENSE-MIT", "LICENSE-APACHE"):
        shutil.copy(ROOT / name, folder / name)
    shutil.copy(GPL, folder / "GPL-3")
    (folder / "NOTICE").write_text((ROOT / "deploy/NOTICE").read_text().replace("@VERSION@", VERSION))
    (folder / "THIRD-PARTY").write_text(third_party())


def third_party():
    """Every crate with its licence, and each text once, with the crates that it came with."""
    tree = said("cargo", "tree", "--locked", "--package", "ltxd", "--edges", "normal", "--target", TARGET, "--prefix", "none",
                "--format", "{p}|{l}", cwd=ROOT)  # fmt: skip
    # `NAME vVERSION (…)|LICENCE`, the same crate again with a mark behind it.
    linked = {tuple(line.split("|")[0].split()[:2]) for line in tree.splitlines() if "|" in line}
    metadata = json.loads(said("cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", TARGET, cwd=ROOT))
    crates = [crate for crate in metadata["packages"] if (crate["name"], f"v{crate['version']}") in linked and crate["source"]]
    rows, texts = [], {}
    for crate in sorted(crates, key=lambda crate: (crate["name"], crate["version"])):
        title = f"{crate['name']} {crate['version']}"
        rows.append(f"{title}: {crate['license'] or 'see its text'}")
        for path in sorted(Path(crate["manifest_path"]).parent.iterdir()):
            if path.is_file() and NAMES.match(path.name):
                text = path.read_text(errors="replace").strip()
                texts.setdefault(hashlib.sha256(text.encode()).hexdigest(), (text, []))[1].append(title)
    head = f"Crates that ltxd {VERSION} is linked from, with their licences as they state them; then every text that they come with.\n\n"
    body = "".join(f"\n\n{'=' * 100}\nOf {', '.join(of)}\n\n{text}\n" for text, of in sorted(texts.values(), key=lambda found: found[1]))
    return head + "\n".join(rows) + "\n" + body
