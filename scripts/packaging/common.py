"""What the parts of scripts/package share: where things are, the version and time of the commit, archives with the same bytes every time."""

import functools, gzip, io, os, shutil, subprocess, tarfile, tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "package"
VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]

# Where rustup puts cargo, whether or not this shell has been told.
CARGO_HOME = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")
os.environ["PATH"] = f"{CARGO_HOME / 'bin'}:{os.environ['PATH']}"

# In front of what only root may do.
SUDO = [] if os.geteuid() == 0 else ["sudo"]


def run(*command, **options):
    print("package:", *command, flush=True)
    return subprocess.run([str(part) for part in command], check=True, **options)


def said(*command, **options):
    done = subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True, **options)
    return done.stdout.strip()


@functools.cache
def refresh_lists():
    """Fetches apt's lists of packages, once: a new machine has none, and those of an old one name packages that are gone."""
    run(*SUDO, "apt-get", "-q", "update", stdout=subprocess.DEVNULL)


def install(packages):
    """Installs what is missing: {command: Debian's packages that bring it}."""
    missing = {package for command, names in packages.items() if not shutil.which(command) for package in names.split()}
    if missing:
        refresh_lists()
        run(*SUDO, "apt-get", "-q", "install", "-y", "--no-install-recommends", *sorted(missing), stdout=subprocess.DEVNULL)


def epoch():
    """When all that is packed was made: $SOURCE_DATE_EPOCH, else the commit's time, which the files of a source archive have."""
    if stated := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(stated)
    if not (ROOT / ".git").exists():
        return int((ROOT / "Cargo.toml").stat().st_mtime)
    return int(said("git", "-C", ROOT, "log", "-1", "--format=%ct"))


@dataclass(frozen=True)
class Owner:
    """Who owns a path of an archive."""

    uid: int = 0
    gid: int = 0


def tar_of(folder, *, prefix="", owners=None, modes=None):
    """A tar of a folder: sorted, root's, without times of its own. `owners` and `modes` are exceptions, by path in the folder."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).parts):
            name = str(path.relative_to(folder))
            info = tar.gettarinfo(path, arcname=prefix + name)
            owner = (owners or {}).get(name, Owner())
            info.uid, info.gid, info.uname, info.gname, info.mtime = owner.uid, owner.gid, "", "", epoch()
            if not info.issym():
                info.mode = (modes or {}).get(name, 0o755 if info.isdir() or info.mode & 0o100 else 0o644)
            with path.open("rb") if info.isfile() else io.BytesIO() as file:
                tar.addfile(info, file if info.isfile() else None)
    return raw.getvalue()


def gzipped(data):
    return gzip.compress(data, 9, mtime=0)


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    print(f"package: {path}, {len(data) / 1e6:.1f} MB", flush=True)
