"""The storyboard against a node: what works, what is refused, and what goes wrong."""

import asyncio
import hashlib
import threading

import ltxd
import pytest
from ltxd.testing import faults
from storyboard.clips import make


def test_both_methods_make_a_video(ltxd_shared_node, spec, start, end, tmp_path):
    ends = ltxd.start_end_frames("Red to blue.", start, end, width=64, height=64, frames=9, seed=2)
    for name, asked in (("image", spec), ("ends", ends)):
        clip = make(ltxd_shared_node.client, asked, tmp_path / f"{name}.mp4")
        assert clip.problem == ""
        assert clip.file.read_bytes()[4:8] == b"ftyp"


def test_a_clip_is_what_the_node_says_it_is(ltxd_shared_node, spec, tmp_path):
    client = ltxd_shared_node.client
    generation = client.wait(client.create(spec).id)
    assert generation.mark.usage_class == ltxd.v1.USAGE_CLASS_UNLIMITED
    assert generation.mark.credits_charged == 0
    promised = client.download(generation.id, tmp_path / "clip.mp4")
    assert hashlib.sha256((tmp_path / "clip.mp4").read_bytes()).hexdigest() == promised.sha256


def test_events_come_in_order_and_end_with_done(ltxd_shared_node, spec):
    client = ltxd_shared_node.client
    events = list(client.watch(client.create(spec).id))
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    assert events[-1].WhichOneof("event") == "done"


def test_an_uploaded_picture_serves_many_requests(ltxd_shared_node, start, tmp_path):
    uploaded = ltxd_shared_node.client.upload(start)
    for seed in (1, 2):
        spec = ltxd.image_to_video("A square.", uploaded, width=64, height=64, frames=9, seed=seed)
        assert make(ltxd_shared_node.client, spec, tmp_path / f"{seed}.mp4").file


def test_a_wrong_size_is_told_with_the_nearest_one(ltxd_shared_node, spec, tmp_path):
    spec.width = 70
    assert make(ltxd_shared_node.client, spec, tmp_path / "clip.mp4").problem == "width should be 64 or 96"


def test_sound_is_refused_with_what_to_do(ltxd_shared_node, spec):
    spec.audio.track = True
    with pytest.raises(ltxd.PolicyRefused) as refused:
        ltxd_shared_node.client.create(spec)
    assert refused.value.reason == "AUDIO_NOT_COVERED"
    assert "without" in refused.value.remedy
    assert ltxd_shared_node.client.check(spec).verdict == ltxd.v1.VERDICT_REFUSED


def test_a_running_clip_can_be_cancelled(ltxd_nodes, spec):
    # A cancelled step does not wait out its time, however long.
    client = ltxd_nodes(faults={"slow_steps_ms": 600_000}).client
    generation = client.create(spec)
    for event in client.watch(generation.id):
        if event.WhichOneof("event") == "running":
            client.cancel(generation.id)
    with pytest.raises(ltxd.GenerationCancelled):
        client.wait(generation.id)


def test_a_full_queue_is_waited_for(ltxd_nodes, spec, tmp_path):
    client = ltxd_nodes(faults={}).client
    waits = []
    busy = client.with_metadata(faults(queue_full=True, times=2))
    assert make(busy, spec, tmp_path / "clip.mp4", pause=waits.append).file
    assert len(waits) == 2 and min(waits) > 0


@pytest.mark.ltxd(faults={"refuse": "LOW_CREDITS"})
def test_low_credits_are_told_with_the_remedy(ltxd_node, spec, tmp_path):
    assert "Agent 1.0" in make(ltxd_node.client, spec, tmp_path / "clip.mp4").problem


@pytest.mark.ltxd(faults={"fail_at_step": 2, "fail_as": "ENGINE_RETRYABLE"})
def test_a_failure_that_may_pass_is_tried_again(ltxd_node, spec, tmp_path):
    assert "it failed" in make(ltxd_node.client, spec, tmp_path / "clip.mp4", tries=2).problem
    assert len(list(ltxd_node.client.list())) == 2


def test_a_cut_connection_loses_nothing(ltxd_nodes, spec, tmp_path):
    """The node cuts every watch after five events, and every download after 1,500 bytes: both go on where they were."""
    client = ltxd_nodes(faults={"cut_watch_after": 5, "cut_download_after": 1500}).client
    generation = client.create(spec)
    events = list(client.watch(generation.id))
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    assert client.download(generation.id, tmp_path / "clip.mp4").total_bytes == (tmp_path / "clip.mp4").stat().st_size


@pytest.mark.ltxd(faults={"restart_at_step": 3})
def test_a_crash_is_outlived(ltxd_node, spec, tmp_path):
    """The node kills itself after the third step; started again, it goes on there, and the watch with it."""

    def supervise():
        # A signal ended it; the fixture, should the test fail, ends it otherwise.
        if ltxd_node.wait_until_ended() < 0:
            ltxd_node.start()

    supervisor = threading.Thread(target=supervise, daemon=True)
    supervisor.start()
    with ltxd.Client(ltxd_node.address, patience=600, timeout=600) as client:
        generation = client.create(spec)
        seen = list(client.watch(generation.id))
        supervisor.join()
        assert [event.number for event in seen] == list(range(1, len(seen) + 1))
        assert client.get(generation.id).resumptions == 1
        assert client.download(generation.id, tmp_path / "clip.mp4").total_bytes


def test_asyncio(ltxd_shared_node, spec, tmp_path):
    async def clips():
        async with ltxd_shared_node.aio_client() as client:
            made = await asyncio.gather(*(client.create(spec) for _ in range(2)))
            done = await asyncio.gather(*(client.wait(generation.id) for generation in made))
            files = [client.download(generation.id, tmp_path / f"{generation.id}.mp4") for generation in done]
            return await asyncio.gather(*files)

    first, second = asyncio.run(clips())
    assert first.content_type == second.content_type == "video/mp4"
