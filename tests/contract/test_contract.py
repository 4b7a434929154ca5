"""The contract as a product: it is written as buf's rules have it, breaks nothing that was released, and its page is fresh."""

import os, re, shutil, subprocess, sys
from pathlib import Path

import pytest
from harness.paths import ROOT

PROTO = ROOT / "proto"
RELEASED = sorted((PROTO / "released").glob("*.binpb"), key=lambda path: [int(part) for part in path.stem.split(".")])


def buf(*words, proto=PROTO):
    """What buf says of a copy of the contract."""
    tool = Path(sys.executable).with_name("buf")
    return subprocess.run([tool, *map(str, words)], cwd=proto, capture_output=True, text=True)


@pytest.fixture
def changed(tmp_path):
    """A copy of the contract with one place changed: changed(file, before, after)."""

    def change(file, before, after):
        copy = tmp_path / "proto"
        shutil.copytree(PROTO, copy)
        path = copy / "ltx/v1" / file
        text = path.read_text()
        assert text.count(before) == 1, f"{file}: {before!r} stands there {text.count(before)} times"
        path.write_text(text.replace(before, after))
        return copy

    return change


def test_lint():
    done = buf("lint")
    assert done.returncode == 0, done.stdout + done.stderr


def test_lint_fails_on_a_field_without_a_comment(changed):
    proto = changed("node_service.proto", "  // As it stands now.\n", "")
    done = buf("lint", proto=proto)
    assert done.returncode == 100 and "should have a non-empty comment" in done.stdout, done.stdout + done.stderr


def test_nothing_that_was_released_is_broken():
    assert RELEASED, "proto/released is empty"
    for released in RELEASED:
        done = buf("breaking", "--against", released)
        assert done.returncode == 0, f"against {released.name}:\n{done.stdout}{done.stderr}"


def test_every_released_version_but_this_has_its_image():
    version = re.search(r'^version = "(.*)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
    told = re.findall(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert told[0] == version, "the newest of CHANGELOG.md is not the workspace's"
    assert [path.stem for path in reversed(RELEASED)] in (told[1:], told)


@pytest.mark.parametrize(
    "file, before, after, said",
    [
        ("generation.proto", "string node_id = 10;", "string node_id = 60;", 'field "10" with name "node_id"'),
        ("spec.proto", "string prompt = 1;", "bytes prompt = 1;", "changed type"),
        ("spec.proto", "string prompt = 1;", "string text = 1;", "changed name"),
        ("errors.proto", "ERROR_REASON_QUEUE_FULL = 101;", "ERROR_REASON_QUEUE_FULL = 190;", 'enum value "101"'),
        ("node_service.proto", "rpc GetNode(", "rpc FetchNode(", 'RPC "GetNode"'),
    ],
    ids=["number", "type", "name", "value", "call"],
)
def test_a_change_that_breaks_clients_is_found(changed, file, before, after, said):
    done = buf("breaking", "--against", RELEASED[-1], proto=changed(file, before, after))
    assert done.returncode == 100 and said in done.stdout, done.stdout + done.stderr


def test_the_page_is_what_the_comments_say():
    tool = Path(sys.executable).with_name("buf")
    command = [sys.executable, ROOT / "scripts/contract-page", "--check"]
    done = subprocess.run(command, env={**os.environ, "BUF": str(tool)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
