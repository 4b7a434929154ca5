"""`ltxd pull` from a hub on loopback: what comes is what was published, and what goes wrong is borne or said."""

import json, re, subprocess

import pytest

from harness.hub import Fault, Proxy, TOKEN, sha256
from harness.machine import ENCODER, LARGE, WEIGHTS, wanted
from harness.paths import GUARD
from harness.waiting import eventually

DONE, FAILED, BAD_INPUT, NOT_FOUND, UNREACHABLE, BUSY, NOT_ALLOWED = 0, 1, 2, 5, 69, 75, 77


def all_here(machine, repositories):
    weights, encoder = repositories[WEIGHTS], repositories[ENCODER]
    assert machine.holds(weights, WEIGHTS) == ["large.safetensors", "vae/vae.safetensors"]
    assert len(machine.holds(encoder, ENCODER)) == 3
    return True


def test_a_model_comes_whole_in_ranges_and_only_once(machine, hub, large):
    assert machine.models()["large"]["state"] == "missing"
    # Enough has come by then that a second connection is made.
    hub.pause_at = 2_000_000
    process = machine.start("pull", "large one", "--json", stdout=subprocess.PIPE)
    eventually(lambda: hub.paused.is_set() and hub.at_once > 1, "two ranges are fetched at once")
    hub.paused.clear()
    told = json.loads(process.communicate(timeout=GUARD)[0])
    assert process.returncode == DONE and all_here(machine, large)
    assert told["bytes"] == wanted(large) + len(b"{}\n") and hub.sent == wanted(large)
    refs = machine.cache / "models--Maker--weights/refs/main"
    assert refs.read_text() == large[WEIGHTS].commit
    link = machine.snapshot(WEIGHTS, large[WEIGHTS].commit) / "vae/vae.safetensors"
    digest = sha256(large[WEIGHTS].files["vae/vae.safetensors"])
    assert str(link.readlink()) == f"../../../blobs/{digest}"
    # The lock has what was seen.
    lock = (machine.manifests / "models.lock").read_text()
    assert large[WEIGHTS].commit in lock and digest in lock
    model = machine.models()["large"]
    assert model["state"] == "here" and model["missing_bytes"] == 0
    assert [file["state"] for file in model["files"]] == ["cache"] * 3
    before = len(hub.requests())
    machine.run("pull", "large")
    assert len(hub.requests()) == before


def test_the_token_goes_to_the_hub_alone(machine, hub, large):
    large[WEIGHTS].gated = True
    machine.run("pull", "large", HF_TOKEN=TOKEN)
    at_hub, elsewhere = hub.requests("hub"), hub.requests("files")
    assert {request.token for request in at_hub} == {f"Bearer {TOKEN}"}
    assert elsewhere and {request.token for request in elsewhere} == {""}


def test_the_token_of_a_file(machine, hub, large):
    large[WEIGHTS].gated = True
    machine.home.mkdir(parents=True)
    (machine.home / "token").write_text(f"{TOKEN}\n")
    machine.run("pull", "large")
    assert {request.token for request in hub.requests("hub")} == {f"Bearer {TOKEN}"}


@pytest.mark.parametrize("token, status", [(None, "401"), ("hf_of_somebody", "403")])
def test_terms_that_are_not_accepted(machine, hub, large, token, status):
    large[WEIGHTS].gated = True
    said = machine.run("pull", "large", code=NOT_ALLOWED, **({"HF_TOKEN": token} if token else {})).stderr
    assert f"{hub.url}/{WEIGHTS}" in said and status in said and "accept" in said and "HF_TOKEN" in said
    assert (token or TOKEN) not in said
    assert not hub.requests("files")


@pytest.mark.parametrize(
    "key, value, named",
    [
        ("file", "nosuch.safetensors", ["Maker/weights", "nosuch.safetensors", "main"]),
        ("revision", "v9", ["Maker/weights", "large.safetensors", "v9"]),
        ("repository", "Maker/nosuch", ["Maker/nosuch"]),
    ],
)
def test_what_is_not_published(machine, hub, large, key, value, named):
    lines = {"repository": "Maker/weights", "file": "large.safetensors", "revision": "main", key: value}
    text = "\n".join(f'{key} = "{value}"' for key, value in lines.items())
    machine.manifest(LARGE.replace('repository = "Maker/weights"\nfile = "large.safetensors"', text, 1))
    said = machine.run("pull", "large", code=NOT_FOUND, HF_TOKEN=TOKEN).stderr
    assert all(word in said for word in named), said


def test_a_pattern_that_nothing_fits(machine, large):
    machine.manifest(LARGE.replace("model*.safetensors", "nosuch*.safetensors"))
    assert "nosuch*.safetensors" in machine.run("pull", "large", code=NOT_FOUND).stderr


def test_names_that_nobody_has(machine, large):
    said = machine.run("pull", "lagre", code=BAD_INPUT).stderr
    assert "lagre" in said and "nearest: large" in said


@pytest.mark.parametrize("host, method", [("hub", "HEAD"), ("files", "GET")])
def test_too_many_requests_are_waited_for(machine, hub, large, host, method):
    hub.faults = [Fault(host, times=2, method=method, status=429, headers={"Retry-After": "1"})]
    said = machine.run("pull", "large").stderr
    assert "429" in said or "no more requests" in said
    assert all_here(machine, large)


def test_too_long_a_wait_is_told(machine, hub, large):
    hub.faults = [Fault("hub", times=99, method="HEAD", status=429, headers={"Retry-After": "3600"})]
    said = machine.run("pull", "large", code=BUSY).stderr
    assert "3600" in said and len(hub.requests()) == 1


@pytest.mark.parametrize("host, method", [("hub", "HEAD"), ("hub", "GET"), ("files", "GET")])
def test_a_server_that_is_ill_for_a_while(machine, hub, large, host, method):
    hub.faults = [Fault(host, times=2, method=method, status=503), Fault(host, times=1, method=method, status=502)]
    machine.run("pull", "large")
    assert all_here(machine, large)


def test_a_server_that_stays_ill(machine, hub, large):
    hub.faults = [Fault("hub", times=10**6, method="HEAD", status=500)]
    machine.run("pull", "large", code=BUSY)
    assert len(hub.requests()) == 6


def test_nobody_there(machine, hub, large):
    said = machine.run("pull", "large", code=UNREACHABLE, HF_ENDPOINT="http://127.0.0.1:9").stderr
    assert "127.0.0.1:9" in said


def test_connections_that_end_in_the_middle(machine, hub, large):
    hub.faults = [Fault("files", times=8, cut_after=500_000)]
    machine.run("pull", "large")
    assert all_here(machine, large)
    assert hub.sent == wanted(large), "something was fetched twice"


def test_wrong_bytes_are_told_and_not_kept(machine, hub, large):
    path, data = "large.safetensors", large[WEIGHTS].files["large.safetensors"]
    hub.faults = [Fault("files", path=sha256(data), flip_at=5_000_000, times=99)]
    said = machine.run("pull", "large", code=FAILED).stderr
    bad = bytearray(data)
    bad[5_000_000] ^= 1
    assert f"{WEIGHTS}/{path}" in said and sha256(data) in said and sha256(bytes(bad)) in said
    assert not any(sha256(data) in name for name in machine.blobs())
    assert machine.models()["large"]["state"] == "missing"
    hub.faults = []
    machine.run("pull", "large")
    assert all_here(machine, large)


def test_wrong_bytes_of_a_small_file(machine, hub, large):
    hub.faults = [Fault("hub", path="config.json", flip_at=0)]
    said = machine.run("pull", "large", code=FAILED).stderr
    assert "config.json" in said and "SHA-1" in said


def test_a_trickle_is_left_for_another_connection(machine, hub, large):
    hub.faults = [Fault("files", times=3, trickle=True)]
    # A connection that is good but has brought next to nothing within this time is made anew, and no harm is done.
    said = machine.run("pull", "large", HF_HUB_DOWNLOAD_TIMEOUT="5").stderr
    assert "next to nothing" in said and hub.faults[0].times == 0
    assert all_here(machine, large)


def test_addresses_that_expire(machine, hub, large):
    asked = []

    class Expiring(set):
        def __contains__(self, query):
            asked.append(query)
            return len(asked) > 1 and query == asked[0]

    hub.expired = Expiring()
    machine.run("pull", "large")
    assert all_here(machine, large)
    heads = hub.requests("hub", "HEAD", "large.safetensors")
    assert len(heads) > 1 and len(set(asked)) > 1


def test_a_server_without_ranges(machine, hub, large):
    hub.faults = [Fault("files", times=10**6, no_ranges=True)]
    machine.run("pull", "large")
    assert all_here(machine, large)


def test_the_manifest_is_told_of_another_size(machine, hub, large):
    machine.manifest(LARGE.replace('file = "large.safetensors"', 'file = "large.safetensors"\nbytes = 7'))
    said = machine.run("pull", "large").stderr
    assert re.search(r"large\.safetensors: the manifest states 7 bytes", said)


def test_what_was_seen_is_what_comes(machine, hub, large, rng):
    machine.run("pull", "large")
    first = large[WEIGHTS]
    moved = type(first)({**first.files, "large.safetensors": rng.randbytes(5_000_000)}, commit="a" * 40, large=first.large)
    # The branch has moved, and the cache is lost: the same comes as before.
    large[WEIGHTS] = moved
    large["Maker/weights-before"] = first
    (machine.cache / "models--Maker--weights").rename(machine.folder / "lost")
    said = machine.run("pull", "large", code=NOT_FOUND).stderr
    assert first.commit in said and "--update" in said
    machine.run("pull", "large", "--update")
    assert machine.holds(moved, WEIGHTS)
    assert moved.commit in (machine.manifests / "models.lock").read_text()


def test_other_bytes_than_the_lock_has(machine, hub, large, rng):
    machine.run("pull", "large")
    (machine.cache / "models--Maker--weights").rename(machine.folder / "lost")
    size = len(large[WEIGHTS].files["large.safetensors"])
    old = sha256(large[WEIGHTS].files["large.safetensors"])
    large[WEIGHTS].files["large.safetensors"] = rng.randbytes(size)
    said = machine.run("pull", "large", code=FAILED).stderr
    assert "large.safetensors" in said and old in said


def test_a_proxy_is_used_but_for_the_hosts_that_are_named(machine, hub, large):
    proxy = Proxy()
    try:
        machine.run("pull", "large", HTTP_PROXY=proxy.url, NO_PROXY="127.0.0.2")
    finally:
        proxy.close()
    assert all_here(machine, large)
    assert list(proxy.seen) == [hub.url.removeprefix("http://")]
    assert proxy.seen.total() == len(hub.requests("hub"))


@pytest.mark.parametrize(
    "variables, named",
    [
        ({"HF_ENDPOINT": "ftp://x"}, "HF_ENDPOINT"),
        ({"HF_HUB_DOWNLOAD_TIMEOUT": "soon"}, "HF_HUB_DOWNLOAD_TIMEOUT"),
        ({"HTTPS_PROXY": "socks5://x:1"}, "HTTPS_PROXY"),
        ({"HF_TOKEN": "two words"}, "HF_TOKEN"),
    ],
)
def test_variables_that_cannot_be_used(machine, large, variables, named):
    said = machine.run("pull", "large", code=BAD_INPUT, **variables).stderr
    assert named in said and "two words" not in said


def test_offline_no_request_is_made(machine, hub, large):
    said = machine.run("pull", "large", code=UNREACHABLE, HF_HUB_OFFLINE="1").stderr
    assert "HF_HUB_OFFLINE" in said and not hub.requests()
