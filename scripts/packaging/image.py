"""The container image, without a daemon: an archive that `docker load`, `podman load` and skopeo read (an OCI layout with docker's index).

Two layers: this Debian's glibc, certificates and a user; ltxd. No shell, no package manager; it runs as 65532 on a read-only root.
"""

import hashlib, io, json, re, shutil, tarfile, tempfile, time
from pathlib import Path

from common import VERSION, WORK, Owner, epoch, gzipped, refresh_lists, run, said, tar_of, write

USER = 65532
PACKAGES = ["libc6", "ca-certificates", "base-files"]
# Of glibc, what a program with threads, sums and names of hosts needs.
GLIBC = re.compile(r"/(ld-linux.*|lib(c|m|pthread|dl|rt|util|resolv|nss_files|nss_dns)[.-].*)$")
FILES = {
    "etc/passwd": f"root:x:0:0:root:/root:/sbin/nologin\nltxd:x:{USER}:{USER}:ltxd:/data:/sbin/nologin\n",
    "etc/group": f"root:x:0:\nltxd:x:{USER}:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "etc/ltxd/node.toml": 'data_dir = "/data"\nlisten = "127.0.0.1:7750"      # mount another file here: inside a container loopback reaches nobody\n',
}


def make(prefix, out):
    base, versions = base_of()
    program = WORK / "image/program"
    shutil.rmtree(program, ignore_errors=True)
    shutil.copytree(prefix, program / "usr")
    owned = {"data": Owner(USER, USER)}
    layers = [tar_of(base, owners=owned, modes={"tmp": 0o1777, "data": 0o750}), tar_of(program)]
    blobs = {}

    def blob(data):
        digest = hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return {"digest": f"sha256:{digest}", "size": len(data)}

    packed = [blob(gzipped(layer)) | {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip"} for layer in layers]
    config = blob(json.dumps(configuration(layers, versions), indent=1, sort_keys=True).encode())
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config | {"mediaType": "application/vnd.oci.image.config.v1+json"},
        "layers": packed,
    }
    told = blob(json.dumps(manifest, indent=1, sort_keys=True).encode()) | {"mediaType": manifest["mediaType"]}
    name = {"io.containerd.image.name": f"docker.io/library/ltxd:{VERSION}", "org.opencontainers.image.ref.name": VERSION}
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [told | {"annotations": name}]}
    place = lambda described: f"blobs/sha256/{described['digest'].removeprefix('sha256:')}"
    docker = [{"Config": place(config), "RepoTags": [f"ltxd:{VERSION}"], "Layers": [place(layer) for layer in packed]}]
    members = {f"blobs/sha256/{digest}": data for digest, data in blobs.items()}
    members |= {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}', "index.json": json.dumps(index, sort_keys=True).encode()}
    members |= {"manifest.json": json.dumps(docker, sort_keys=True).encode()}
    write(out / f"ltxd-{VERSION}-image.tar", archive(members))


def configuration(layers, versions):
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch()))
    labels = {
        "org.opencontainers.image.title": "ltxd",
        "org.opencontainers.image.version": VERSION,
        "org.opencontainers.image.description": "A self-hosted LTX video node",
        "org.opencontainers.image.licenses": "GPL-3.0-or-later",
        "org.opencontainers.image.base.name": versions,
    }
    return {
        "created": created,
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "User": f"{USER}:{USER}",
            "Env": ["PATH=/usr/bin", "LTXD_CONFIG=/etc/ltxd/node.toml", "HF_HOME=/data/huggingface"],
            "Entrypoint": ["/usr/bin/ltxd"],
            "Cmd": ["serve"],
            "WorkingDir": "/data",
            "Volumes": {"/data": {}},
            "ExposedPorts": {"7750/tcp": {}},
            "StopSignal": "SIGTERM",
            # Docker's own; other engines pass it over.
            "Healthcheck": {"Test": ["CMD", "/usr/bin/ltxd", "health"], "Interval": 10 * 10**9, "Timeout": 6 * 10**9, "StartPeriod": 60 * 10**9},
            "Labels": labels,
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]},
        "history": [{"created": created, "created_by": f"scripts/package: {what}"} for what in (versions, f"ltxd {VERSION}")],
    }


def base_of():
    """What ltxd needs of a system, out of Debian's packages, and their versions."""
    base = WORK / "image/base"
    shutil.rmtree(base, ignore_errors=True)
    base.mkdir(parents=True)
    refresh_lists()
    with tempfile.TemporaryDirectory() as temporary:
        run("apt-get", "-q", "-oAPT::Sandbox::User=root", "download", *PACKAGES, cwd=temporary)
        whole, debs = Path(temporary) / "whole", sorted(Path(temporary).glob("*.deb"))
        versions = ", ".join(said("dpkg-deb", "--showformat=${Package} ${Version}", "--show", deb) for deb in debs)
        for deb in debs:
            run("dpkg-deb", "--extract", deb, whole)
        for path in sorted(whole.rglob("*")):
            name = str(path.relative_to(whole))
            wanted = GLIBC.search(f"/{name}") and "gconv" not in name and "audit" not in name or name == "usr/lib/os-release"
            if (path.is_file() or path.is_symlink()) and (wanted or re.match(r"usr/share/doc/(libc6|ca-certificates)/copyright$", name)):
                (base / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, base / name, follow_symlinks=False)
        certificates = sorted((whole / "usr/share/ca-certificates/mozilla").glob("*.crt"))
        bundle = "".join(path.read_text().rstrip("\n") + "\n" for path in certificates)
    for name, text in (FILES | {"etc/ssl/certs/ca-certificates.crt": bundle}).items():
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_text(text)
    (base / "etc/os-release").symlink_to("../usr/lib/os-release")
    # Engines mount the last three.
    for name in ("tmp", "data", "proc", "dev", "sys"):
        (base / name).mkdir()
    return base, versions


def archive(members):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in sorted(members.items()):
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode = len(data), epoch(), 0o644
            tar.addfile(info, io.BytesIO(data))
    return raw.getvalue()
