"""What every package holds, laid out as below /usr: the command, the models that came with the source, licences.

    bin/ltxd    share/ltxd/models/…    share/doc/ltxd/…
"""

import shutil, tomllib

from common import ROOT
import licences

# Models whose weights are passed on, with what of their folders no node reads.
SHIPPED = {"small": ("training", "curves"), "tiny": ()}


def lay_out(binary, to):
    """Lays it out in a folder, which is emptied before."""
    if to.exists():
        shutil.rmtree(to)
    (to / "bin").mkdir(parents=True)
    shutil.copy(binary, to / "bin/ltxd")
    (to / "bin/ltxd").chmod(0o755)
    models = to / "share/ltxd/models"
    models.mkdir(parents=True)
    for name, unread in SHIPPED.items():
        shutil.copytree(ROOT / "models" / name, models / name, ignore=shutil.ignore_patterns(*unread))
    for manifest in sorted((ROOT / "models").glob("*.toml")):
        if all(path.split("/")[0] in SHIPPED for path in local_paths(tomllib.loads(manifest.read_text())["files"])):
            shutil.copy(manifest, models)
    licences.write(to / "share/doc/ltxd")
    return to


def local_paths(files):
    """Files of a manifest that lie beside it."""
    if isinstance(files, dict):
        here = [files["path"]] if isinstance(files.get("path"), str) else []
        return here + local_paths(list(files.values()))
    return [path for file in files for path in local_paths(file)] if isinstance(files, list) else []
