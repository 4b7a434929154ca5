"""Signed outputs that were changed in any way are told apart for what they are, and none is called unchanged."""

import json
from collections import Counter

import pytest
from ltx.v1.generation_pb2 import OUTPUT_POSTER

from harness import tampering
from harness.command import said
from harness.requests import METHODS


@pytest.fixture
def signed(node, client, tmp_path):
    """Clips of both methods, a poster, and the root that vouches for them."""
    folder = tmp_path / "signed"
    folder.mkdir()
    for method, spec in METHODS.items():
        id_ = client.finished(spec).id
        (folder / f"{method}.mp4").write_bytes(client.download(id_))
    (folder / "poster.png").write_bytes(client.download(id_, output=OUTPUT_POSTER))
    return folder, node.data / "provenance/authority.pem"


def verdicts(files, root):
    """What verify says of files, by name; each ends with the exit code of the worst."""
    told = {}
    for at in range(0, len(files), 50):
        reports = json.loads(said("verify", "--json", "--trust", root, *files[at : at + 50]).stdout)
        told.update({report["file"]: report for report in (reports if isinstance(reports, list) else [reports])})
    return told


def tampered(signed, folder, rng, count):
    """Changes files and holds every verdict against what is true; returns how often which was told."""
    clips, root = signed
    folder.mkdir()
    originals = sorted(clips.iterdir())
    assert {report["verdict"] for report in verdicts(originals, root).values()} == {"trusted"}
    cases = list(tampering.of_mp4([clip for clip in originals if clip.suffix == ".mp4"], folder, rng, count))
    cases += tampering.of_png(clips / "poster.png", folder, rng, max(16, count // 10))
    told = verdicts([case.file for case in cases], root)
    wrong, counted = [], Counter()
    for case in cases:
        report = told.get(str(case.file))
        verdict = report["verdict"] if report else "unreadable"
        counted[case.name.split(" of ")[0], verdict] += 1
        # What is no MP4 and no PNG any more cannot be looked at.
        if verdict not in case.verdicts and not (report is None and "changed" in case.verdicts):
            wrong.append((case.name, case.file.name, verdict, [found["code"] for found in report["found"]] if report else None))
    assert not wrong, wrong
    return counted


def test_changed_files_are_told_apart(signed, tmp_path, rng):
    counted = tampered(signed, tmp_path / "tampered", rng, 60)
    assert sum(counted.values()) == 56 + 16


@pytest.mark.campaign
def test_a_thousand_changed_files_are_told_apart(signed, tmp_path, rng):
    counted = tampered(signed, tmp_path / "tampered", rng, 1000)
    assert sum(counted.values()) >= 1000
    print(*(f"{kind}: {verdict} {count}" for (kind, verdict), count in sorted(counted.items())), sep="\n")
