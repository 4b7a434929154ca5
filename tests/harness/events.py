"""What the events of a generation tell."""

from ltx.v1 import generation_pb2 as g

SAMPLING = (g.STAGE_DENOISING, g.STAGE_REFINING)
FINAL = {g.GENERATION_STATE_DONE, g.GENERATION_STATE_FAILED, g.GENERATION_STATE_CANCELLED}
ENDS = ("done", "failed", "cancelled")


def kind(event):
    return event.WhichOneof("event")


def where(event):
    """Where an event says that the generation is: queued, running, cancelling, a stage, …"""
    return g.Stage.Name(event.progress.stage).removeprefix("STAGE_").lower() if kind(event) == "progress" else kind(event)


def told(events):
    """The events in short, to be read."""
    return ", ".join(
        f"{where(event)} {event.progress.step}/{event.progress.steps}" if kind(event) == "progress" else kind(event)
        for event in events
    )


def seconds(event):
    """When it was, by the node's clock."""
    return event.time.seconds + event.time.nanos / 1e9


def in_order(events):
    """Whether numbers have no gap, and exactly one event, the last, ends the generation."""
    numbers = [event.number for event in events]
    ends = [at for at, event in enumerate(events) if kind(event) in ENDS]
    return numbers == list(range(1, len(events) + 1)) and ends == [len(events) - 1]


def repeated(events):
    """How often the generation was taken up again, and how many finished sampling steps were done again."""
    reached, restarts, again = (0, 0), -1, 0  # reached: (stage, finished steps)
    first_of_attempt = False
    for event in events:
        if kind(event) == "running":
            restarts += 1
            first_of_attempt = True
        elif kind(event) == "progress" and event.progress.stage in SAMPLING:
            stage, step, steps = event.progress.stage, event.progress.step, event.progress.steps
            if first_of_attempt and (stage, step) < reached:
                # Of an earlier stage all that follows is done again, and of the later one what was finished.
                again += reached[1] - step if stage == reached[0] else reached[1] + steps - step
            first_of_attempt = False
            reached = max(reached, (stage, step))
    return max(restarts, 0), again
