"""The quick starts of docs/clients.md, as they stand there, against a node."""

import json, re, shutil, subprocess, sys
from pathlib import Path

import pytest
from harness.paths import ENVIRONMENT, GUARD, PICTURES, ROOT

PAGE = (ROOT / "docs/clients.md").read_text()


def run(*words, **more):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=GUARD, **more)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_buf_curl(node):
    [command] = re.findall(r"^    buf (curl .*)$", PAGE, re.M)
    buf = Path(sys.executable).with_name("buf")
    told = json.loads(run(buf, *command.replace("7750", str(node.port)).split()))
    assert told["node"]["state"] == "NODE_STATE_READY"


@pytest.mark.tools
def test_typescript(node, tmp_path):
    """Compiled by the strict compiler, run by node."""
    [text] = re.findall(r"```ts\n(.*?)```", PAGE, re.S)
    (tmp_path / "quick-start.ts").write_text(text)
    (tmp_path / "package.json").write_text("{}")
    npm = shutil.which("npm")
    run(npm, "install", "--no-audit", "--no-fund", "@grpc/grpc-js", "@grpc/proto-loader", "typescript@5", "@types/node@20", cwd=tmp_path)
    options = ["--strict", "--target", "es2022", "--module", "node16", "--types", "node"]
    run(tmp_path / "node_modules/.bin/tsc", *options, "quick-start.ts", cwd=tmp_path)
    words = [f"127.0.0.1:{node.port}", ROOT / "proto", PICTURES / "start.jpg", "clip.mp4"]
    said = run(shutil.which("node"), "quick-start.js", *words, cwd=tmp_path, env=ENVIRONMENT)
    assert said.splitlines()[-1].endswith("done")
    assert (tmp_path / "clip.mp4").read_bytes()[4:8] == b"ftyp"


# Debian 12's gRPC for Go marshals by the old API of protobuf, which does not know messages that its newer generator makes.
CODEC = """package main

import (
	"google.golang.org/grpc/encoding"
	"google.golang.org/protobuf/proto"
)

type codec struct{}

func (codec) Name() string                          { return "proto" }
func (codec) Marshal(v interface{}) ([]byte, error) { return proto.Marshal(v.(proto.Message)) }
func (codec) Unmarshal(data []byte, v interface{}) error {
	return proto.Unmarshal(data, v.(proto.Message))
}

func init() { encoding.RegisterCodec(codec{}) }
"""


@pytest.mark.tools
def test_go(node, tmp_path):
    """Built with Debian's packages of Go's modules, by the commands of the page."""
    [text] = re.findall(r"```go\n(.*?)```", PAGE, re.S)
    lines = re.findall(r"^    (for file in .*|protoc .*)$", PAGE, re.M)
    source = tmp_path / "src"
    source.mkdir()
    (source / "proto").symlink_to(ROOT / "proto")
    run("bash", "-ec", "\n".join(lines), cwd=source)
    (source / "quick").mkdir()
    (source / "quick/main.go").write_text(text)
    (source / "quick/codec.go").write_text(CODEC)
    environment = {**ENVIRONMENT, "GO111MODULE": "off", "GOPATH": f"{tmp_path}:/usr/share/gocode", "GOCACHE": f"{tmp_path}/cache"}
    run("go", "build", "-o", tmp_path / "quick-start", "quick", cwd=source, env=environment)
    said = run(tmp_path / "quick-start", f"127.0.0.1:{node.port}", PICTURES / "start.jpg", env=ENVIRONMENT)
    assert said.splitlines()[-1].endswith("GenerationEvent_Done")
