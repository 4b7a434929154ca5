"""Pulls that are killed, stopped, doubled, or out of room: nothing is lost, nothing is half there, little comes twice."""

import signal, subprocess
from pathlib import Path

import pytest

from harness.hub import sha256
from harness.machine import ENCODER, WEIGHTS, published, wanted
from harness.paths import GUARD
from harness.waiting import eventually

TMPFS = 'mount -t tmpfs -o size="$1" tmpfs "$2" || exit 99; shift 2; exec "$@"'


def whole(machine, repositories):
    return machine.holds(repositories[WEIGHTS], WEIGHTS) and machine.holds(repositories[ENCODER], ENCODER)


@pytest.mark.parametrize(
    # How little is fetched twice depends on how fast a reader empties its buffers: a hundredth of much, a twentieth of little.
    "megabytes, kills, share",
    [(60, 10, 20), pytest.param(300, 50, 100, marks=pytest.mark.campaign)],
    ids=lambda number: str(number),
)
def test_killed_at_random_moments(machine, hub, rng, megabytes, kills, share):
    hub.repositories = repositories = published(rng, megabytes)
    total = wanted(repositories)
    hub.block, hub.waits_for_reader = 4096, True
    for moment in sorted(rng.sample(range(1, total * 95 // 100), kills)):
        # Not at the moment itself: whoever is killed is in the middle of something. But before the end.
        hub.pause_at = min(max(hub.sent, moment) + total // 50, total * 99 // 100)
        process = machine.start("pull", "large")
        eventually(lambda: hub.sent >= moment or process.poll() is not None, f"{moment} bytes are sent")
        process.kill()
        assert process.wait() == -signal.SIGKILL, "it ended by itself"
        hub.pause_at = None
        hub.paused.clear()
        # What is under a published name is whole at any moment.
        for repository, name in [(repositories[WEIGHTS], WEIGHTS), (repositories[ENCODER], ENCODER)]:
            for path in machine.snapshot(name, repository.commit).rglob("*"):
                if path.is_file():
                    relative = str(path.relative_to(machine.snapshot(name, repository.commit)))
                    assert sha256(path.read_bytes()) == sha256(repository.files[relative])
    machine.run("pull", "large")
    assert whole(machine, repositories)
    twice = hub.sent - total
    print(f"fetched twice: {twice} bytes of {total}, {100 * twice / total:.3f} %")
    assert 0 <= twice <= total / share


def test_stopped_by_hand(machine, hub, large):
    # What is on its way when it is stopped is little.
    hub.waits_for_reader = True
    for number in (signal.SIGINT, signal.SIGTERM):
        hub.pause_at = hub.sent + 3_000_000
        process = machine.start("pull", "large")
        eventually(hub.paused.is_set, "some of it is sent")
        process.send_signal(number)
        assert process.wait(GUARD) == 130
        hub.paused.clear()
    machine.run("pull", "large")
    assert whole(machine, large)
    assert hub.sent <= wanted(large) + 1_000_000, "it began anew"


def test_two_at_once_fetch_once(machine, hub, large):
    hub.paused.set()
    first = machine.start("pull", "large")
    eventually(lambda: hub.at_once, "the first one fetches")
    second = machine.start("pull", "large")
    log = machine.folder / "log"
    eventually(lambda: "waiting" in log.read_text(), "the second one waits")
    hub.paused.clear()
    assert first.wait(GUARD) == 0 and second.wait(GUARD) == 0
    assert whole(machine, large)
    assert hub.sent == wanted(large)


def test_when_the_first_is_killed_the_second_goes_on(machine, hub, large):
    hub.pause_at = 500_000
    first = machine.start("pull", "large")
    eventually(hub.paused.is_set, "the first one fetches")
    second = machine.start("pull", "large")
    eventually(lambda: "waiting" in (machine.folder / "log").read_text(), "the second one waits")
    first.kill()
    assert first.wait() == -signal.SIGKILL, "it ended by itself"
    hub.paused.clear()
    assert second.wait(GUARD) == 0
    assert whole(machine, large)


@pytest.fixture
def small_disk(machine):
    """Gives the machine a cache on a disk of so many bytes, which lives as long as the process that it returns."""
    held = []

    def mount(size):
        machine.home.mkdir(parents=True)
        for unshare in (["unshare", "-m"], ["unshare", "-rm"]):
            command = [*unshare, "bash", "-c", TMPFS, "bash", str(size), str(machine.home)]
            if subprocess.run([*command, "true"], capture_output=True).returncode == 0:
                holder = subprocess.Popen([*command, "sleep", "infinity"])
                held.append(holder)
                disk = Path(f"/proc/{holder.pid}/root{machine.home}")
                eventually(lambda: f" {machine.home} " in Path(f"/proc/{holder.pid}/mounts").read_text(), "it is mounted")
                user = ["-U", "--preserve-credentials"] if "-rm" in unshare else []
                machine.under = ["nsenter", "-t", str(holder.pid), *user, "-m"]
                return disk
        pytest.skip("this machine permits no mount")

    yield mount
    for holder in held:
        holder.kill()
        holder.wait()


def test_room_is_asked_for_first(machine, hub, large, small_disk):
    disk = small_disk(8_000_000)
    said = machine.run("pull", "large", code=1).stderr
    assert "8000" in said.replace(",", "") or "free" in said
    assert str(wanted(large) + 3) in said
    assert not hub.requests("files") and not list(disk.rglob("*ltxd*"))


def test_a_disk_that_fills_leaves_the_cache_sound(machine, hub, large, small_disk):
    disk = small_disk(14_000_000)
    hub.waits_for_reader, hub.pause_at = True, 4_000_000
    process = machine.start("pull", "large")
    eventually(hub.paused.is_set, "some of it is sent")
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                pass
    hub.paused.clear()
    assert process.wait(GUARD) == 1
    assert "no space left" in (machine.folder / "log").read_text()
    # Nothing has a published name that is not whole.
    assert not list(disk.glob("hub/models--*/snapshots/*/*"))
    before = hub.sent
    filler.unlink()
    machine.run("pull", "large")
    assert hub.sent - before < wanted(large) - 2_000_000, "it began anew"
    for name, repository in large.items():
        snapshot = disk / "hub" / f"models--{name.replace('/', '--')}" / "snapshots" / repository.commit
        found = {str(path.relative_to(snapshot)): path.read_bytes() for path in snapshot.rglob("*") if path.is_file()}
        assert found and found.items() <= repository.files.items()
