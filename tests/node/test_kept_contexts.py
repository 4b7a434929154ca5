"""What a node keeps of what it encoded: a hundred requests of ten prompts and one image encode as many, with a bounded cache; killed
at any moment and with a damaged file it makes the same frames; what a deleted generation alone has used is gone."""

import re, stat, urllib.request

from ltx.v1 import generation_service_pb2 as calls, spec_pb2 as spec

from harness.events import kind
from harness.node import QUICK, free_port
from harness.requests import small

PROMPTS = [f"A heron, seen {number} times." for number in range(10)]


def count(port, name):
    """A number of the node's metrics."""
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
    return int(float(re.search(rf"^ltxd_{name} (\S+)$", text, re.M)[1]))


def counts(port):
    return [count(port, f"cache_{name}_total") for name in ("hits", "misses", "damaged")]


def frames(client, prompt, seed):
    return client.finished(small(seed, prompt=prompt)).mark.frames_sha256


def test_a_hundred_requests_of_ten_prompts(nodes):
    port = free_port()
    fresh = nodes("cache.bytes=0", "cache.memory_bytes=0", *QUICK, name="fresh")
    with fresh.client() as client:
        expected = {prompt: frames(client, prompt, 7) for prompt in PROMPTS}
        assert not (fresh.data / "cache").exists()
    fresh.stop()
    node = nodes(f"metrics_listen=127.0.0.1:{port}", "cache.memory_bytes=1000000", *QUICK)
    with node.client() as client:
        for turn in range(100):
            prompt = PROMPTS[turn % 10]
            assert frames(client, prompt, 7) == expected[prompt]
            assert count(port, "cache_memory_bytes") <= 1_000_000
        # Of each request its prompt's context and its image's latent.
        assert counts(port) == [90 + 99, 10 + 1, 0]
    files = [file for file in (node.data / "cache").iterdir()]
    assert len(files) == 10 + 1
    assert stat.S_IMODE((node.data / "cache").stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert not any(b"heron" in file.read_bytes() for file in files)


def test_killed_and_damaged(nodes, rng):
    port = free_port()
    node = nodes.make(f"metrics_listen=127.0.0.1:{port}", *QUICK)
    node.start()
    with node.client() as client:
        expected = {prompt: frames(client, prompt, 7) for prompt in PROMPTS[:3]}
    for life in range(6):
        with node.client() as client:
            ids = [client.create(small(7, prompt=f"{prompt} {life}")).id for prompt in PROMPTS[3:6]]
            # Somewhere in the first of them, its text included.
            seen = rng.randrange(1, 8)
            for number, _ in enumerate(client.stream(ids[0], resume_after=0)):
                if number >= seen:
                    break
            node.kill()
        node.start()
        with node.client() as client:
            assert all(kind(client.watch(id_)[-1]) == "done" for id_ in ids)
    for file in (node.data / "cache").iterdir():
        assert not file.name.startswith(".")
        whole = bytearray(file.read_bytes())
        whole[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        file.write_bytes(whole)
    node.stop()
    node.start()
    with node.client() as client:
        assert expected == {prompt: frames(client, prompt, 7) for prompt in expected}
    # The latent of the image that they share is computed once.
    assert counts(port) == [2, 3 + 1, 3 + 1] and "damaged" in node.log()


def test_what_a_generation_alone_has_used_goes_with_it(nodes):
    node = nodes(*QUICK)
    held = lambda: len(list((node.data / "cache").iterdir()))
    guided = dict(schedule=spec.SCHEDULE_GUIDED, steps=2, negative_prompt="blurry")
    with node.client() as client:
        one = client.finished(small(1, prompt="A lake.", **guided)).id
        two = client.finished(small(1, prompt="A boat.", **guided)).id
        # Two prompts, the negative one, the image.
        assert held() == 4
        assert client.check(small(2, prompt="A lake.", **guided)).estimate.fits
        client.generations.DeleteGeneration(calls.DeleteGenerationRequest(id=one))
        assert held() == 3
        client.generations.DeleteGeneration(calls.DeleteGenerationRequest(id=two))
        assert held() == 0
