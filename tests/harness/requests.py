"""What is asked of a node: a request of a moment, and a mix of all that it makes."""

from ltx.v1 import spec_pb2 as spec

from harness.paths import PICTURES

START = (PICTURES / "start.jpg").read_bytes()
END = (PICTURES / "end.jpg").read_bytes()


def image(data=START):
    return spec.Image(data=data)


def both():
    return spec.StartEndImages(start=image(), end=image(END))


def small(seed=1, **more):
    """A tenth of a second on two cores."""
    return spec.GenerationSpec(
        **{"prompt": "A heron.", "image": image(), "width": 64, "height": 64, "frames": 9, "seed": seed, **more}
    )


def endless(**more):
    """On a node of `harness.node.ENDLESS`, or with faults of its own, or where `more` makes it large, one that runs until it is
    cancelled."""
    return small(schedule=spec.SCHEDULE_GUIDED, steps=1000, **more)


# One clip of each method, by the name that its mark has.
METHODS = {"image_to_video": small(fps=24), "start_end_frames": small(image=None, start_end_images=both(), fps=24)}


# The mix: both methods, both schedules, one stage and two; a second or so each on two cores.
KINDS = {
    "image, distilled": lambda: spec.GenerationSpec(prompt="A heron.", image=image(), width=256, height=192, frames=17, seed=1),
    "ends, distilled": lambda: spec.GenerationSpec(
        prompt="A lake.", start_end_images=both(), width=192, height=128, frames=25, seed=2
    ),
    "image, guided": lambda: spec.GenerationSpec(
        prompt="A boat.", image=image(), width=128, height=128, frames=17, seed=3, schedule=spec.SCHEDULE_GUIDED, steps=12
    ),
    "image, two stages": lambda: spec.GenerationSpec(
        prompt="A cloud.", image=image(), width=256, height=192, frames=9, seed=4, stages=2
    ),
    "ends, two stages": lambda: spec.GenerationSpec(
        prompt="A wave.", start_end_images=both(), width=128, height=128, frames=17, seed=5, stages=2
    ),
}


def undisturbed(client):
    """{kind: digest of its frames} of runs that nothing disturbs, and the events that one has on average."""
    ids = {kind: client.create(asked()).id for kind, asked in KINDS.items()}
    digests, events = {}, 0
    for kind, id_ in ids.items():
        last = client.watch(id_)[-1]
        assert last.WhichOneof("event") == "done", (kind, last)
        digests[kind] = last.done.generation.mark.frames_sha256
        events += last.number
    return digests, events / len(digests)
