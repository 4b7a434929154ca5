"""Requests for the checks of a node, and what its events tell of a generation. node_client.enter() comes first."""

import grpc
from ltx.v1 import generation_pb2 as g, generation_service_pb2 as calls, spec_pb2 as spec

import node_client

START = (node_client.PICTURES / "start.jpg").read_bytes()
END = (node_client.PICTURES / "end.jpg").read_bytes()
SAMPLING = (g.STAGE_DENOISING, g.STAGE_REFINING)
FINAL = {g.GENERATION_STATE_DONE, g.GENERATION_STATE_FAILED, g.GENERATION_STATE_CANCELLED}


def image(data=START):
    return spec.Image(data=data)


def both():
    return spec.StartEndImages(start=image(), end=image(END))


# The mix: both methods, both schedules, one stage and two; a second or so each on two cores.
KINDS = {
    "image, distilled": lambda: spec.GenerationSpec(prompt="A heron.", image=image(), width=256, height=192, frames=17, seed=1),
    "ends, distilled": lambda: spec.GenerationSpec(prompt="A lake.", start_end_images=both(), width=192, height=128, frames=25, seed=2),
    "image, guided": lambda: spec.GenerationSpec(prompt="A boat.", image=image(), width=128, height=128, frames=17, seed=3, schedule=spec.SCHEDULE_GUIDED, steps=12),
    "image, two stages": lambda: spec.GenerationSpec(prompt="A cloud.", image=image(), width=256, height=192, frames=9, seed=4, stages=2),
    "ends, two stages": lambda: spec.GenerationSpec(prompt="A wave.", start_end_images=both(), width=128, height=128, frames=17, seed=5, stages=2),
}
QUICK = ["limits.requests_per_second=10000.0", "limits.request_burst=10000", "limits.fruitless_crashes=100000"]


def create(stubs, asked, request_id=""):
    request = calls.CreateGenerationRequest(request_id=request_id, spec=asked)
    return stubs.generations.CreateGeneration(request, timeout=30).generation


def get(stubs, id_):
    return stubs.generations.GetGeneration(calls.GetGenerationRequest(id=id_), timeout=30).generation


def watch(stubs, id_, timeout=600):
    """Every event, from the first to the one that ends it."""
    stream = stubs.generations.WatchGeneration(calls.WatchGenerationRequest(id=id_), timeout=timeout)
    return [news.event for news in stream if news.WhichOneof("news") == "event"]


def faults(events):
    """-> problems: numbers have no gap, one event ends it and is the last"""
    problems = []
    if [event.number for event in events] != list(range(1, len(events) + 1)):
        problems.append(f"numbers {[event.number for event in events]}")
    ends = [at for at, event in enumerate(events) if event.WhichOneof("event") in ("done", "failed", "cancelled")]
    if ends != [len(events) - 1]:
        problems.append(f"final events at {ends} of {len(events)}")
    return problems


def repeated(events):
    """-> (restarts, finished sampling steps that were done again)"""
    reached, restarts, again = (0, 0), -1, 0  # reached: (stage, finished steps)
    first_of_attempt = False
    for event in events:
        kind = event.WhichOneof("event")
        if kind == "running":
            restarts += 1
            first_of_attempt = True
        elif kind == "progress" and event.progress.stage in SAMPLING:
            stage, step, steps = event.progress.stage, event.progress.step, event.progress.steps
            if first_of_attempt and (stage, step) < reached:
                # Of an earlier stage all that follows is done again, and of the later one what was finished.
                again += reached[1] - step if stage == reached[0] else reached[1] + steps - step
            first_of_attempt = False
            reached = max(reached, (stage, step))
    return max(restarts, 0), again


def reference(stubs):
    """{kind: digest of its frames}, each run undisturbed, and the seconds one takes on average"""
    made = {kind: create(stubs, asked()) for kind, asked in KINDS.items()}
    digests, took = {}, 0
    for kind, generation in made.items():
        last = watch(stubs, generation.id)[-1]
        if last.WhichOneof("event") != "done":
            raise SystemExit(f"the undisturbed run of “{kind}” ended: {last}")
        digests[kind] = last.done.generation.mark.frames_sha256
        took += last.done.generation.measured.seconds
    return digests, took / len(digests)


def told(events):
    """The events in short, to be read."""
    def one(event):
        kind = event.WhichOneof("event")
        if kind != "progress":
            return kind
        return f"{g.Stage.Name(event.progress.stage).removeprefix('STAGE_').lower()} {event.progress.step}/{event.progress.steps}"

    return ", ".join(one(event) for event in events)


def unreachable(error):
    return isinstance(error, grpc.RpcError) and error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN, grpc.StatusCode.CANCELLED)
