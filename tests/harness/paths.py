"""Where things are, and how long to wait for anything before it counts as hanging."""

import os, shutil, sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
# Absolute: tests run it in folders of their own.
LTXD = str(Path(os.environ.get("LTXD") or TARGET / "release" / "ltxd").absolute())
# That of the tests' environment, else whichever is installed.
NATS_SERVER = shutil.which("nats-server", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]))
MODELS = ROOT / "models"
PICTURES = ROOT / "scripts/demo-pictures"
TLS = ROOT / "crates/ltx-server/tests/wire/tls"
# A node's own configuration must not come from whoever runs the tests.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("LTXD_", "OTEL_"))}
# Nothing that an earlier command has kept may spare this one work.
ENVIRONMENT["LTXD_NO_CACHE"] = "true"
# A certificate that a command makes for itself is kept beside what was built, not with whoever runs the tests.
ENVIRONMENT["XDG_DATA_HOME"] = str(TARGET.absolute() / "tests-user")
# Seconds after which something hangs, on a machine however busy.
GUARD = 600
