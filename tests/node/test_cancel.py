"""Cancels in every state, in random order: waiting, taken, held, in each of the six stages at a random step, ended, and at a random
moment. What was cancelled ends CANCELLED, with one finished step or tile at most behind the cancel; then the device is free for
the next generation, whose frames are those of an undisturbed run, and nothing of the cancelled one is left on the disk."""

import collections, time

import pytest
from ltx.v1 import generation_pb2 as g, spec_pb2 as spec

from harness.events import in_order, kind, seconds, told, where
from harness.node import HOLD, QUICK
from harness.requests import KINDS, both, undisturbed

STAGES = ("text_encoding", "image_encoding", "denoising", "upsampling", "refining", "decoding")
# Held: it stays at its first step, so that the cancel is certain to come before the second.
TARGETS = ("queued", "running", "held", *STAGES, "ended", "any time")
BESIDE = 0.25  # seconds beside the longest step: the disk, which settles the one and starts the other


def large(seed):
    """All six stages; one takes about a second on two cores."""
    return spec.GenerationSpec(
        prompt="A heron. " * 100, start_end_images=both(), width=384, height=256, frames=25, seed=seed, stages=2
    )


def longest_step(events):
    """Seconds of the longest time between two events on the device: a step, a tile, the loading of a part."""
    times = [seconds(event) for event in events if kind(event) != "queued"]
    return max(after - before for before, after in zip(times, times[1:]))


class Cancels:
    """Generations that are cancelled one after another, and what became of them."""

    def __init__(self, node, client, rng):
        self.node, self.client, self.rng = node, client, rng
        self.wanted, _ = undisturbed(client)
        events = client.watch(client.create(large(1)).id)
        self.took, self.steps = seconds(events[-1]) - seconds(events[0]), collections.Counter(map(where, events))
        self.longest, self.states, self.free = longest_step(events), collections.Counter(), []

    def reach(self, target, id_):
        """Waits until a generation is where it is to be cancelled."""
        if target == "queued":
            return
        if target == "any time":
            return time.sleep(self.rng.uniform(0, self.took))
        target, last = ("denoising", 0) if target == "held" else (target, self.steps[target] - 1)
        skipped = self.rng.randrange(max(1, last))
        for news in (stream := self.client.stream(id_)):
            if kind_of(news) == target:
                skipped -= 1
                if skipped < 0:
                    stream.cancel()
                    return

    def cancel(self, number, target):
        """Cancels one at a target, with another behind it."""
        client = self.client
        ahead = client.create(large(number), faults=HOLD) if target == "queued" else None
        victim = client.create(large(number + 1000), faults=HOLD if target == "held" else "")
        follower = self.rng.choice(list(KINDS))
        behind = client.create(KINDS[follower]())
        self.reach(target, victim.id)
        answer = client.cancel(victim.id)
        if ahead:
            assert answer.state == g.GENERATION_STATE_CANCELLED
            client.cancel(ahead.id)
            assert kind(client.watch(ahead.id)[-1]) == "cancelled"
        events, after = client.watch(victim.id), client.watch(behind.id)
        assert in_order(events), told(events)
        assert kind(after[-1]) == "done" and after[-1].done.generation.mark.frames_sha256 == self.wanted[follower]
        self.longest = max(self.longest, longest_step(after))
        if kind(events[-1]) == "done":
            # It had ended, and says so.
            assert answer.state == g.GENERATION_STATE_DONE
            self.states["ended"] += 1
        else:
            assert kind(events[-1]) == "cancelled", (g.GenerationState.Name(answer.state), told(events))
            self.cancelled(victim.id, events, after)

    def cancelled(self, id_, events, after):
        kinds = [where(event) for event in events]
        if "cancelling" in kinds:
            at = kinds.index("cancelling")
            self.states[kinds[at - 1]] += 1
            assert sum(event.progress.step > 0 for event in events[at:]) <= 1, told(events)
            taken = next(event for event in after if kind(event) == "running")
            self.free.append(seconds(taken) - seconds(events[at]))
        else:
            self.states["queued"] += 1
        # A second cancel changes nothing.
        assert self.client.cancel(id_).state == g.GENERATION_STATE_CANCELLED
        assert self.client.watch(id_) == events
        assert not list(self.node.data.rglob(f"*{id_}*"))


def kind_of(news):
    return where(news.event) if news.WhichOneof("news") == "event" else None


def in_random_order(rng, count):
    targets = [TARGETS[number % len(TARGETS)] for number in range(count)]
    rng.shuffle(targets)
    return enumerate(targets)


@pytest.fixture
def cancels(nodes, rng):
    """On a node that keeps nothing, so that every generation goes through every stage."""
    node = nodes(*QUICK, "cache.bytes=0", "testing.enabled=true")
    with node.client() as client:
        yield Cancels(node, client, rng)


def test_cancels_in_every_state(cancels):
    for number, target in in_random_order(cancels.rng, 2 * len(TARGETS)):
        cancels.cancel(number, target)
    # Where the others were met is the machine's to say.
    assert cancels.states["queued"] >= 2 and cancels.states["denoising"] >= 2 and cancels.states["ended"] >= 2


@pytest.mark.campaign
def test_a_hundred_cancels_and_how_soon_the_device_is_free(cancels):
    for number, target in in_random_order(cancels.rng, 100):
        cancels.cancel(number, target)
    assert set(cancels.states) >= {"queued", *STAGES, "ended"}, "a cancel took effect in each of these"
    assert max(cancels.free) <= cancels.longest + BESIDE
