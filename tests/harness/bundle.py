"""What npm installs for the page, once for all who ask at the same time."""

import fcntl, subprocess

from harness.paths import ROOT, TARGET

WEB = ROOT / "web"


def modules():
    """web/node_modules, as package-lock.json has it."""
    TARGET.mkdir(exist_ok=True)
    with (TARGET / "page-modules.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp, wanted = WEB / "node_modules/.made-of", (WEB / "package-lock.json").read_text()
        if not stamp.exists() or stamp.read_text() != wanted:
            npm("ci", "--no-audit", "--no-fund")
            stamp.write_text(wanted)
    return WEB / "node_modules"


def npm(*words):
    ended = subprocess.run(["npm", *words], cwd=WEB, capture_output=True, text=True)
    assert ended.returncode == 0, f"npm {' '.join(words)}\n{ended.stdout[-4000:]}{ended.stderr[-4000:]}"
