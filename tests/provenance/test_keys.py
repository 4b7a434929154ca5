"""Certificates and keys that are given, and a time-stamp authority: what they sign, and what a start says of those that cannot."""

import json

import pytest

from harness.authority import pair, time_authority
from harness.command import generate, ltxd, said
from harness.paths import GUARD
from harness.requests import small
from harness.waiting import eventually


def report(file, root):
    return json.loads(said("verify", "--json", "--trust", root, file).stdout)


@pytest.mark.parametrize("kind", ["EC", "ED25519"])
def test_a_given_pair_signs(tmp_path, kind):
    chain, key, root = pair(tmp_path / "keys", kind=kind)
    ltxd(*generate(tmp_path / "clip.mp4", "--certificate", chain, "--key", key))
    told = report(tmp_path / "clip.mp4", root)
    assert (told["verdict"], told["signer"]["subject"]) == ("trusted", "CN=signer, O=Tests")


def test_a_start_says_what_is_wrong_with_a_pair_and_makes_nothing(tmp_path, nodes):
    good, key, _ = pair(tmp_path / "keys", "good")
    expired, expired_key, _ = pair(tmp_path / "keys", "expired", days=-1)
    server, server_key, _ = pair(tmp_path / "keys", "server", purpose="serverAuth")
    loose = tmp_path / "keys/loose.key"
    loose.write_text(key.read_text())
    loose.chmod(0o644)
    cases = [
        (expired, expired_key, "provenance.certificate", "expired on", 2),
        (server, server_key, "provenance.certificate", "is not for signing content: its extended key usage is serverAuth", 2),
        (good, tmp_path / "none.key", "provenance.key", "cannot be read", 1),
        (good, expired_key, "provenance.key", "is not the key of the certificate", 2),
        (good, loose, "provenance.key", "others than its owner may read or write it (mode 644)", 2),
        (key, key, "provenance.certificate", "holds no certificate in PEM", 2),
    ]
    for at, (certificate, its_key, name, words, code) in enumerate(cases):
        ended = ltxd(*generate(tmp_path / "clip.mp4", "--certificate", certificate, "--key", its_key), code=code)
        assert f"{name} = /" in ended.stderr and words in ended.stderr, ended.stderr
        node = nodes.make(f"provenance.certificate={certificate}", f"provenance.key={its_key}", name=f"refused-{at}")
        node.launch()
        assert node.process.wait(timeout=GUARD) == code, node.log()
        assert f"{name} = /" in node.log() and words in node.log(), node.log()
    assert not (tmp_path / "clip.mp4").exists()
    ended = ltxd(*generate(tmp_path / "clip.mp4", "--provenance", "signed"), code=2)
    assert "provenance.mode = signed: is neither required nor off" in ended.stderr
    ended = ltxd(*generate(tmp_path / "clip.mp4", "--key", key), code=2)
    assert "has no provenance.certificate beside it" in ended.stderr


def test_off_marks_as_before(tmp_path):
    made = []
    for name in ("one.mp4", "other.mp4"):
        ltxd(*generate(tmp_path / name, "--provenance", "off"))
        made.append((tmp_path / name).read_bytes())
    assert made[0] == made[1] and b"uuid" not in made[0]
    assert report(tmp_path / "one.mp4", pair(tmp_path / "keys")[2])["verdict"] == "stripped"


def test_a_time_stamp_is_told_and_no_answer_fails_the_generation(tmp_path, nodes):
    chain, key, root = pair(tmp_path / "keys")
    with time_authority(tmp_path / "times") as (url, asked, times_root):
        node = nodes(f"provenance.certificate={chain}", f"provenance.key={key}", f"provenance.timestamp_url={url}")
        with node.client() as client:
            clip = tmp_path / "clip.mp4"
            clip.write_bytes(client.download(client.finished(small()).id))
            roots = tmp_path / "roots.pem"
            roots.write_text(root.read_text() + times_root.read_text())
            told = report(clip, roots)
            assert told["verdict"] == "trusted" and told["signer"]["time"], told
            # The clip and its poster.
            assert asked == ["application/timestamp-query"] * 2
            asked.append("refuse")
            id_ = client.create(small(seed=2)).id
            failed = eventually(lambda: (seen := client.get(id_)).HasField("failure") and seen, "it fails")
            assert "cannot be sealed" in failed.failure.message and not failed.outputs
            outputs = node.data / "outputs"
            eventually(lambda: len(list(outputs.iterdir())) == 1, "nothing of it is left")
