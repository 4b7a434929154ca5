"""A root whose own systemd runs as process 1, in namespaces of its own: a service is started, supervised and stopped as on a machine.

Needs root and a kernel with cgroup2; no network but loopback, and nothing of this machine's systemd, which need not be there.
"""

import os, subprocess, time
from pathlib import Path

# In a cgroup of its own, which the new cgroup namespace has for its root; then mounts that no other process sees, and systemd.
BOOT = r"""
set -eu
mount -t cgroup2 none /mnt
mkdir "/mnt/$2" && echo $$ >"/mnt/$2/cgroup.procs"
exec unshare --pid --fork --cgroup --uts --ipc --net bash -euc '
    mount --bind "$1" "$1"
    cd "$1"
    mount -t proc proc proc
    mount -t sysfs -o ro sysfs sys
    mount -t cgroup2 none sys/fs/cgroup
    mount -t tmpfs -o mode=755 none dev
    mkdir dev/pts dev/shm
    for node in null zero full random urandom tty; do touch dev/$node; mount --bind /dev/$node dev/$node; done
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
    ln -s pts/ptmx dev/ptmx
    ln -s /proc/self/fd dev/fd
    for folder in dev/shm run tmp; do mount -t tmpfs -o mode=1777 none $folder; done
    chmod 755 run
    mkdir -p old
    pivot_root . old
    umount -l /old
    exec env -i container=ltxd PATH=/usr/sbin:/usr/bin:/sbin:/bin /sbin/init systemd.unit=multi-user.target
' _ "$1"
"""
APART = ["unshare", "--mount", "--propagation", "private", "bash", "-ec"]
CLEAN = 'mount -t cgroup2 none /mnt; find "/mnt/$1" -depth -type d -exec rmdir {} +'
# After which it hangs.
GUARD = 600


class Booted:
    """Boots a root that has systemd and dbus; ends it with everything in it at the end of `with`."""

    def __init__(self, root):
        self.root, self.group = Path(root).resolve(), f"ltxd-{os.getpid()}"

    def __enter__(self):
        words = [*APART, BOOT, "_", str(self.root), self.group]
        self.outside = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        until = time.monotonic() + GUARD
        try:
            while not self.is_up():
                if self.outside.poll() is not None or time.monotonic() > until:
                    self.outside.kill()
                    raise RuntimeError(f"systemd does not start in {self.root}: {self.outside.stderr.read().decode(errors='replace')}")
                time.sleep(0.2)
        except BaseException:
            self.__exit__()
            raise
        return self

    def is_up(self):
        """Whether systemd runs there and has started what it has to."""
        try:
            named = (init := self.init()) and Path(f"/proc/{init}/comm").read_text().strip() == "systemd"
        except (FileNotFoundError, ProcessLookupError):
            return False
        return named and self.run("systemctl is-system-running --wait || true", check=False).splitlines()[-1:] in (["running"], ["degraded"])

    def init(self):
        """Its process 1 as it is numbered here."""
        try:
            children = Path(f"/proc/{self.outside.pid}/task/{self.outside.pid}/children").read_text().split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return children[0] if children else None

    def run(self, script, check=True):
        """What a script says there, both streams together."""
        words = ["nsenter", "--all", "--target", self.init(), "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8"]
        done = subprocess.run([*words, "sh", "-ec", script], capture_output=True, text=True, timeout=GUARD, stdin=subprocess.DEVNULL)
        said = done.stdout + done.stderr
        if check and done.returncode:
            raise RuntimeError(f"exit code {done.returncode}: {script}\n{said}")
        return said.strip()

    def __exit__(self, *_):
        if init := self.init():
            subprocess.run(["kill", "-9", init], check=False)
        else:
            self.outside.kill()
        self.outside.wait(GUARD)
        subprocess.run([*APART, CLEAN, "_", self.group], check=False)
