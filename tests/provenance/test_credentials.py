"""What a node and a command sign is read by c2pa-python, another binding of the library that signs it: valid, with everything that was
claimed; and the file is still the video that was asked for."""

import json
from fractions import Fraction
from xml.etree import ElementTree

import c2pa
import pytest
from ltx.v1.generation_pb2 import OUTPUT_POSTER, OUTPUT_SIDECAR

from harness import tampering, video
from harness.command import generate, ltxd
from harness.requests import METHODS

MADE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
TYPES = {".mp4": "video/mp4", ".png": "image/png"}


def read(file, root=None):
    """(state, manifest, codes of what does not hold) by the other binding."""
    trust = {"trust": {"user_anchors": root.read_text()}, "verify": {"verify_trust": True}} if root else {}
    context = c2pa.Context(settings=c2pa.Settings.from_dict(trust)) if root else c2pa.Context()
    with file.open("rb") as opened, c2pa.Reader(TYPES[file.suffix], opened, context=context) as reader:
        told = json.loads(reader.json())
    manifest = told["manifests"][told["active_manifest"]]
    return told["validation_state"], manifest, [status["code"] for status in told.get("validation_status", [])]


def assertion(manifest, label):
    return next(found["data"] for found in manifest["assertions"] if found["label"] == label)


def xmp(file):
    """IPTC's digital source type in the file's XMP."""
    data = file.read_bytes()
    packet = data[data.index(b"<x:xmpmeta") : data.index(b"</x:xmpmeta>") + len(b"</x:xmpmeta>")]
    return ElementTree.fromstring(packet.decode()).find(f".//{{{IPTC}}}DigitalSourceType").text


def check(file, root, mark, inputs):
    """Holds one output to what is claimed of every output."""
    assert read(file)[0::2] == ("Valid", ["signingCredential.untrusted"])
    state, manifest, faults = read(file, root)
    assert (state, faults) == ("Trusted", [])
    [created] = assertion(manifest, "c2pa.actions.v2")["actions"]
    assert (created["action"], created["digitalSourceType"]) == ("c2pa.created", MADE)
    assert created["softwareAgent"]["name"] == "ltxd" and created["softwareAgent"]["version"]
    assert manifest["claim_generator_info"][0]["name"] == "ltxd"
    usage = assertion(manifest, "org.ltxd.usage")
    assert usage["mark"]["usage_class"] == "UNLIMITED" and usage["mark"]["credits_charged"] == 0
    for key in ("method", "model", "model_version", "seed", "frames_sha256"):
        assert usage["mark"].get(key) == mark.get(key), key
    assert usage["mark"]["weights"]["header_sha256"]
    assert [(its["title"], its["relationship"]) for its in manifest["ingredients"]] == [(role, "inputTo") for role in inputs]
    assert [its["role"] for its in usage["inputs"]] == inputs and all(len(its["sha256"]) == 64 for its in usage["inputs"])
    assert xmp(file) == MADE
    return usage


@pytest.mark.parametrize("method", METHODS)
def test_a_nodes_outputs_are_valid_to_another_binding(tmp_path, node, client, method):
    id_ = client.finished(METHODS[method]).id
    clip, poster, sidecar = tmp_path / "video.mp4", tmp_path / "poster.png", tmp_path / "sidecar.json"
    clip.write_bytes(client.download(id_))
    poster.write_bytes(client.download(id_, OUTPUT_POSTER))
    sidecar.write_bytes(client.download(id_, OUTPUT_SIDECAR))
    told = json.loads(ltxd("get", id_, "--json", LTXD_SERVER=f"http://127.0.0.1:{node.port}").stdout)
    root = node.data / "provenance/authority.pem"
    inputs = ["start image", "end image"][: 1 + (method == "start_end_frames")]
    usage = check(clip, root, told["mark"], inputs)
    check(poster, root, told["mark"], inputs)
    assert not video.differing(video.compared(clip, (64, 64, 9), Fraction(24), method, told["mark"]))
    said = json.loads(sidecar.read_text())
    assert said["provenance"]["pictures_sha256"] == usage["pictures_sha256"]
    assert said["mark"] == usage["mark"]
    report = json.loads(ltxd("verify", "--json", "--trust", root, sidecar).stdout)
    assert (report["verdict"], len(report["files"])) == ("trusted", 2)


def test_a_commands_outputs_are_valid_and_only_their_credentials_differ_between_runs(tmp_path):
    def make(name):
        folder = tmp_path / name
        folder.mkdir()
        words = generate(folder / "clip.mp4", "--frames-dir", folder / "frames", "--json")
        return folder, json.loads(ltxd(*words, LTXD_PROVENANCE_DIR=str(tmp_path / "keys")).stdout)

    (first, told), (second, again) = make("first"), make("second")
    root = tmp_path / "keys/authority.pem"
    usage = check(first / "clip.mp4", root, told["mark"], ["start image"])
    frame = first / "frames/frame_00008.png"
    check(frame, root, {**told["mark"], "frames_sha256": None}, ["start image"])
    assert told["provenance"]["pictures_sha256"] == usage["pictures_sha256"]
    assert (told["frames_sha256"], told["provenance"]) == (again["frames_sha256"], again["provenance"])
    one, other = ((folder / "clip.mp4").read_bytes() for folder in (first, second))
    assert len(one) == len(other)
    begin, end = tampering.part(one, "uuid", tampering.C2PA)
    assert one[:begin] + one[end:] == other[:begin] + other[end:]
    # What is signed is the same but for the salts that the library draws, and so are ids.
    assert read(first / "clip.mp4")[1]["label"] == read(second / "clip.mp4")[1]["label"]
    assert assertion(read(second / "clip.mp4")[1], "org.ltxd.usage") == usage


