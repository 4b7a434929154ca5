"""Makes the wheel: a build backend (PEP 517) without requirements, whose wheels have the same bytes every time.

The wheel holds this package, and the command with its models as `scripts/package` lays them out: `bin/ltxd` goes where an
environment's commands are, `share/ltxd` below its prefix, where the command looks for it. What is laid out is in $LTXD_PREFIX; without
it the binary that $LTXD_BINARY names, else target/release/ltxd, is.

maturin is not used: it builds with cargo itself, in its own way, so that every dependency would be compiled again for each wheel.
"""

import base64, email.message, hashlib, os, stat, sys, tempfile, time, tomllib, zipfile
from pathlib import Path

PYTHON = Path(__file__).resolve().parents[1]
ROOT = PYTHON.parent


def get_requires_for_build_wheel(config_settings=None):
    return []


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    sys.path.insert(0, str(ROOT / "scripts/packaging"))
    import build

    with tempfile.TemporaryDirectory() as temporary:
        prefix = os.environ.get("LTXD_PREFIX") or laid_out(Path(temporary), build)
        return make(Path(wheel_directory), Path(prefix), build.needed(Path(prefix) / "bin/ltxd"))


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    """Without this, pip makes the whole wheel to look at its metadata."""
    project, version = about()
    folder = Path(metadata_directory) / f"ltxd-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(metadata(project, version, []))
    (folder / "WHEEL").write_text("Wheel-Version: 1.0\nGenerator: ltxd\nRoot-Is-Purelib: false\nTag: py3-none-any\n")
    return folder.name


def about():
    project = tomllib.loads((PYTHON / "pyproject.toml").read_text())["project"]
    return project, tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]


def build_sdist(sdist_directory, config_settings=None):
    raise SystemExit("ltxd: there is no source distribution for pip; the repository is the source")


def laid_out(folder, build):
    import prefix

    given = os.environ.get("LTXD_BINARY") or ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "release/ltxd"
    return prefix.lay_out(build.stripped(Path(given), folder / "ltxd"), folder / "prefix")


def make(directory, prefix, needs):
    """The wheel of a laid-out prefix; its tag says what the binary needs."""
    project, version = about()
    tag = f"py3-none-{platform(needs)}"
    info, data = f"ltxd-{version}.dist-info", f"ltxd-{version}.data"
    files = {}
    for path in sorted((PYTHON / "src").rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            files[str(path.relative_to(PYTHON / "src"))] = path
    files[f"{data}/scripts/ltxd"] = prefix / "bin/ltxd"
    for path in sorted((prefix / "share/ltxd").rglob("*")):
        if path.is_file():
            files[f"{data}/data/{path.relative_to(prefix)}"] = path
    licences = sorted(path for path in (prefix / "share/doc/ltxd").iterdir() if path.is_file())
    for path in licences:
        files[f"{info}/licenses/{path.name}"] = path
    files[f"{info}/METADATA"] = metadata(project, version, [path.name for path in licences]).encode()
    files[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\nGenerator: ltxd\nRoot-Is-Purelib: false\nTag: {tag}\n".encode()
    groups = project["entry-points"]
    files[f"{info}/entry_points.txt"] = "".join(
        f"[{group}]\n" + "".join(f"{name} = {what}\n" for name, what in points.items()) for group, points in groups.items()
    ).encode()
    name = f"ltxd-{version}-{tag}.whl"
    directory.mkdir(parents=True, exist_ok=True)
    pack(directory / name, files, f"{info}/RECORD")
    return name


def platform(needs):
    """`manylinux_…` where glibc is all that it needs: the tag is then what installers hold against their system."""
    import build

    if needs["libraries"] <= build.LIBRARIES:
        return f"manylinux_{needs['glibc'].replace('.', '_')}_x86_64"
    return "linux_x86_64"


def metadata(project, version, licences):
    message = email.message.Message()
    fields = [("Metadata-Version", "2.4"), ("Name", project["name"]), ("Version", version), ("Summary", project["description"])]
    fields += [("Keywords", ",".join(project["keywords"])), ("License-Expression", project["license"])]
    fields += [("License-File", name) for name in licences] + [("Classifier", each) for each in project["classifiers"]]
    fields += [("Requires-Python", project["requires-python"])] + [("Requires-Dist", each) for each in project["dependencies"]]
    fields += [("Description-Content-Type", "text/markdown")]
    for key, value in fields:
        message[key] = value
    return f"{message.as_string(maxheaderlen=0).rstrip()}\n\n{(PYTHON / project['readme']).read_text()}"


def pack(path, files, record):
    """A zip whose entries are sorted and have the commit's time."""
    sys.path.insert(0, str(ROOT / "scripts/packaging"))
    from common import epoch

    moment = max(time.gmtime(epoch())[:6], (1980, 1, 1, 0, 0, 0))
    rows = []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        # The metadata last, as the format recommends.
        for name in sorted(files, key=lambda name: (".dist-info/" in name, name)):
            content = files[name]
            mode = 0o755 if isinstance(content, Path) and content.stat().st_mode & stat.S_IXUSR else 0o644
            raw = content.read_bytes() if isinstance(content, Path) else content
            add(archive, zipfile.ZipInfo(name, moment), raw, mode)
            digest = base64.urlsafe_b64encode(hashlib.sha256(raw).digest()).rstrip(b"=").decode()
            rows.append(f"{name},sha256={digest},{len(raw)}")
        rows.append(f"{record},,")
        add(archive, zipfile.ZipInfo(record, moment), ("\n".join(rows) + "\n").encode(), 0o644)


def add(archive, entry, raw, mode):
    entry.external_attr, entry.compress_type, entry.create_system = (stat.S_IFREG | mode) << 16, zipfile.ZIP_DEFLATED, 3
    archive.writestr(entry, raw, compresslevel=9)
