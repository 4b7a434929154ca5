"""The Debian package: /usr/bin/ltxd as a service with a user, a unit, /etc/ltxd/node.toml and /var/lib/ltxd.

cargo-deb is not used: it would be one more program to compile, for what `dpkg-deb` does with the folder that `prefix` has laid out for
every package already.
"""

import email.utils, gzip, hashlib, os, shutil
from pathlib import Path

from common import ROOT, VERSION, WORK, epoch, run

PIECES = Path(__file__).resolve().parent / "debian"
CONFFILES = ["/etc/ltxd/node.toml"]


def make(prefix, out):
    tree = WORK / "deb"
    shutil.rmtree(tree, ignore_errors=True)
    shutil.copytree(prefix, tree / "usr")
    documents = tree / "usr/share/doc/ltxd"
    # Debian has these texts in one place for all packages.
    for name in ("GPL-3", "LICENSE-APACHE"):
        (documents / name).unlink()
    place(PIECES / "copyright", documents / "copyright")
    place(gzip.compress(changelog().encode(), 9, mtime=0), documents / "changelog.gz")
    place(ROOT / "deploy/ltxd.service", tree / "usr/lib/systemd/system/ltxd.service")
    place(ROOT / "deploy/node.toml", tree / "etc/ltxd/node.toml")
    control = tree / "DEBIAN"
    installed = sum(path.stat().st_size for path in tree.rglob("*") if path.is_file())
    text = (PIECES / "control").read_text().replace("@VERSION@", VERSION).replace("@INSTALLED@", str(installed // 1024))
    place(text.encode(), control / "control")
    place("".join(f"{name}\n" for name in CONFFILES).encode(), control / "conffiles")
    for name in ("postinst", "prerm", "postrm"):
        place(PIECES / name, control / name)
        (control / name).chmod(0o755)
    files = [path for path in sorted(tree.rglob("*")) if path.is_file() and control not in path.parents]
    sums = (f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.relative_to(tree)}\n" for path in files if "etc" not in path.relative_to(tree).parts[:1])
    place("".join(sums).encode(), control / "md5sums")
    for path in tree.rglob("*"):
        if path.is_dir():
            path.chmod(0o755)
    target = out / f"ltxd_{VERSION}_amd64.deb"
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch())}
    run("dpkg-deb", "--root-owner-group", "--uniform-compression", "-Zgzip", "-z9", "--build", tree, target, env=environment)
    print(f"package: {target}, {target.stat().st_size / 1e6:.1f} MB", flush=True)


def place(what, at):
    at.parent.mkdir(parents=True, exist_ok=True)
    at.write_bytes(what if isinstance(what, bytes) else what.read_bytes())
    at.chmod(0o644)


def changelog():
    date = email.utils.formatdate(epoch())
    return f"ltxd ({VERSION}) unstable; urgency=medium\n\n  * See CHANGELOG.md of the source.\n\n -- ltxd <ltxd@example.invalid>  {date}\n"
