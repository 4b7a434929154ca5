"""The binary that runs on any Linux x86-64 with the glibc of Debian 10 or newer: FFmpeg and x264 inside, nothing else needed."""

import os, re, sys

from common import CARGO_HOME, ROOT, WORK, run, said

# Of Debian 10, Ubuntu 18.10, RHEL 8: manylinux_2_28.
GLIBC = "2.28"
ZIG = "ziglang==0.17.1"
# Of glibc itself; a binary that needs others needs a package.
LIBRARIES = {"libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1", "ld-linux-x86-64.so.2"}


def build():
    """Builds it, or as much of it as is not there yet: `target/package/ltxd`."""
    ffmpeg, zig = WORK / "ffmpeg", WORK / "zig"
    if not (ffmpeg / "lib/libx264.a").exists():
        run(ROOT / "scripts/slim-ffmpeg", "--static", "--sources", WORK / "sources", ffmpeg)
    if not (zig / "bin/python").exists():
        run(sys.executable, "-m", "venv", zig)
        run(zig / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", ZIG)
    cargo = WORK / "cargo"
    environment = {
        **os.environ,
        "CARGO_TARGET_DIR": str(cargo),
        "PKG_CONFIG_LIBDIR": str(ffmpeg / "lib/pkgconfig"),
        "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(flags(cargo)),
        "PATH": f"{ROOT / 'scripts/packaging/old-glibc'}:{os.environ['PATH']}",
        "LTXD_ZIG": f"{zig / 'bin/python'} -m ziglang",
        "LTXD_GLIBC": GLIBC,
        "LTXD_ARCHIVES": str(ffmpeg / "lib"),
    }
    run("cargo", "build", "--release", "--workspace", "--locked", "--bin", "ltxd", cwd=ROOT, env=environment)
    binary = stripped(cargo / "release/ltxd", WORK / "ltxd")
    needs = needed(binary)
    if not runs_anywhere(needs):
        sys.exit(f"package: the binary needs more than glibc {GLIBC}: {needs}")
    if named := [folder for folder in folders(cargo) if f"{folder}/".encode() in binary.read_bytes()]:
        print(f"package: the binary names folders of this machine: {', '.join(map(str, named))}", flush=True)
    print(f"package: {binary} needs {', '.join(sorted(needs['libraries']))}, glibc {needs['glibc']}", flush=True)
    return binary


def folders(target):
    """{folder of this machine: its name in the binary's messages}; rustc takes the last one that fits."""
    return {ROOT: "/ltxd", target: "/target", CARGO_HOME.resolve(): "/cargo"}


def flags(target):
    """rustc's flags, whoever's they are, and those that leave the places of folders out of the binary."""
    encoded, plain = os.environ.get("CARGO_ENCODED_RUSTFLAGS"), os.environ.get("RUSTFLAGS", "").split()
    given = encoded.split("\x1f") if encoded else plain
    return given + [f"--remap-path-prefix={folder}={name}" for folder, name in folders(target).items()]


def stripped(binary, to):
    """A copy without symbols and debug information."""
    to.parent.mkdir(parents=True, exist_ok=True)
    run("strip", "--strip-all", "-o", to, binary)
    to.chmod(0o755)
    return to


def needed(binary):
    """The shared libraries that a binary asks for, and the newest version of glibc's functions."""
    libraries = set(re.findall(r"\(NEEDED\).*\[(.*)\]", said("readelf", "-d", binary)))
    versions = re.findall(r"\bGLIBC_(\d+)\.(\d+)", said("readelf", "--version-info", "--wide", binary))
    newest = max(((int(major), int(minor)) for major, minor in versions), default=(0, 0))
    return {"libraries": libraries, "glibc": "%d.%d" % newest}


def runs_anywhere(needs):
    newest = tuple(map(int, needs["glibc"].split(".")))
    return needs["libraries"] <= LIBRARIES and newest <= tuple(map(int, GLIBC.split(".")))
