"""Watches and downloads that are interrupted, by both clients; a node that is gone for a while."""

import asyncio
import hashlib
import threading

import ltxd
import pytest
from ltxd.testing import Node, faults

# An id that no generation has.
NOWHERE = "01890000-0000-7000-8000-000000000000"


def numbers(events):
    return [event.number for event in events]


def test_a_watch_goes_on_behind_its_last_event(ltxd_nodes, spec):
    client = ltxd_nodes(faults={"cut_watch_after": 3}).client
    generation = client.create(spec)
    events = list(client.watch(generation.id))
    assert numbers(events) == list(range(1, events[-1].number + 1))
    assert numbers(client.watch(generation.id, resume_after=4)) == numbers(events)[4:]
    assert list(client.watch(generation.id, resume_after=events[-1].number)) == []


def test_the_same_by_asyncio(ltxd_nodes, spec, tmp_path):
    node = ltxd_nodes(faults={"cut_watch_after": 3, "cut_download_after": 2000})

    async def run():
        async with node.aio_client() as client:
            generation = await client.create(spec)
            events = [event async for event in client.watch(generation.id)]
            promised = await client.download(generation.id, tmp_path / "clip.mp4")
            listed = [found.id async for found in client.list()]
            with pytest.raises(ltxd.NotFound):
                await client.get(NOWHERE)
            uploaded = await client.upload(spec.image.data)
            verdict = await client.check(spec)
            about = await client.node()
            await client.delete(generation.id)
            return events, promised, listed == [generation.id], uploaded, verdict, about

    events, promised, listed, uploaded, verdict, about = asyncio.run(run())
    assert numbers(events) == list(range(1, events[-1].number + 1)) and listed
    assert hashlib.sha256((tmp_path / "clip.mp4").read_bytes()).hexdigest() == promised.sha256
    assert uploaded.width == 64 and verdict.verdict == ltxd.v1.VERDICT_UNLIMITED and about.version.startswith("ltxd ")


def test_several_of_one_request(ltxd_nodes, spec):
    node = ltxd_nodes(faults={"slow_steps_ms": 600_000})

    async def more(generation):
        async with node.aio_client() as client:
            made = await client.create_several(spec, seeds=[3, 1])
            cancelled = await client.cancel(generation.id, batch=True)
            return made, cancelled

    made = node.client.create_several(spec, count=3)
    spec.ClearField("seed")
    assert [one.spec.seed for one in made] == [made[0].spec.seed + at for at in range(3)]
    others, _ = asyncio.run(more(made[1]))
    assert [(one.spec.seed, one.batch.size) for one in others] == [(3, 2), (1, 2)]
    for one in made:
        with pytest.raises(ltxd.GenerationCancelled):
            node.client.wait(one.id)


def test_a_create_waits_for_a_node_that_starts(spec, tmp_path):
    """The node ends; a request meanwhile reaches it once it is back, and makes one clip."""
    with Node("tiny", folder=tmp_path / "node") as node:
        node.kill()
        back = threading.Thread(target=node.start)
        with ltxd.Client(node.address, patience=600, timeout=600) as client:
            back.start()
            generation = client.create(spec)
            back.join()
            assert client.wait(generation.id).state == ltxd.v1.GENERATION_STATE_DONE
            assert len(list(client.list())) == 1


@pytest.mark.parametrize("left", ["a part", "of something else", "too long"])
def test_a_download_goes_on_with_what_an_earlier_one_left(ltxd_shared_node, spec, tmp_path, left):
    client, to = ltxd_shared_node.client, tmp_path / "clip.mp4"
    generation = client.wait(client.create(spec).id)
    client.download(generation.id, to)
    whole = to.read_bytes()
    to.unlink()
    lies = {"a part": whole[:1000], "of something else": b"x" * 1000, "too long": whole + b"x"}[left]
    (tmp_path / f".clip.mp4.{generation.id}.OUTPUT_MP4.partial").write_bytes(lies)
    client.download(generation.id, to)
    assert to.read_bytes() == whole
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_a_download_that_cannot_be_leaves_nothing(ltxd_shared_node, tmp_path):
    with pytest.raises(ltxd.NotFound):
        ltxd_shared_node.client.download(NOWHERE, tmp_path / "clip.mp4")
    assert list(tmp_path.iterdir()) == []


def test_the_same_request_id_is_the_same_generation(ltxd_shared_node, spec):
    client = ltxd_shared_node.client
    assert client.create(spec, request_id="mine").id == client.create(spec, request_id="mine").id
    spec.seed = 2
    with pytest.raises(ltxd.Refused) as refused:
        client.create(spec, request_id="mine")
    assert refused.value.reason == "REQUEST_ID_REUSED"


def test_pages_are_fetched_while_they_are_read(ltxd_node, spec):
    client = ltxd_node.client
    made = [client.create(spec).id for _ in range(5)]
    assert [generation.id for generation in client.list(page_size=2)] == made[::-1]


def test_faults_need_to_be_allowed(ltxd_shared_node, spec):
    with pytest.raises(ltxd.Refused) as refused:
        ltxd_shared_node.client.with_metadata(faults(queue_full=True)).create(spec)
    assert refused.value.reason == "TESTING_NOT_ENABLED"
