"""Tokens from a file and TLS, with ltxd's own commands: nobody sees what is another's, and the log gives nothing away."""

import base64, json

import pytest

from harness.command import ltxd
from harness.paths import PICTURES, TLS
from harness.requests import small

PICTURE = PICTURES / "start.jpg"
SECRET = "nobody-reads-this-sentence"
CA = f"--ca={TLS}/localhost.pem"


@pytest.fixture
def tokens(tmp_path):
    """{client: token}; each in a file of its name, all of them in the node's file."""
    lines, found = [], {}
    for name in ("web", "app"):
        made = ltxd("config", "hash-token", name, "--new")
        (tmp_path / name).write_text(made.stderr)
        lines.append(made.stdout)
        found[name] = made.stderr.strip()
    (tmp_path / "tokens").write_text("".join(lines))
    (tmp_path / "wrong").write_text("f" * 64)
    return found


@pytest.fixture
def node(tmp_path, tokens, nodes):
    """A node with tokens and TLS, whose log says all that it can."""
    settings = [
        f"tokens_file={tmp_path}/tokens",
        f"tls.cert={TLS}/localhost.pem",
        f"tls.key={TLS}/localhost.key",
        "log.level=trace",
    ]
    return nodes.make(*settings).launch().says_ready()


@pytest.mark.both_stores
def test_clients_apart_and_a_log_without_secrets(tmp_path, tokens, node):
    server = {"LTXD_SERVER": f"https://localhost:{node.port}"}
    web, app, wrong = ([CA, "--token-file", tmp_path / name] for name in ("web", "app", "wrong"))
    asked = ["submit", "--image", PICTURE, "--prompt", SECRET, "--negative-prompt", f"not {SECRET}"]
    asked += ["--schedule", "guided", "--guidance-scale", 2, "--steps", 2]
    asked += ["--width", 64, "--height", 64, "--frames", 9, "--out", tmp_path / "clip.mp4", "--json"]
    made = json.loads(ltxd(*asked, *web, **server).stdout.splitlines()[0])
    assert (tmp_path / "clip.mp4").read_bytes()[4:8] == b"ftyp"

    ltxd("get", made["id"], *web, **server)
    ltxd("get", made["id"], *app, code=5, **server)
    assert ltxd("list", "--json", *app, **server).stdout == ""
    ltxd("list", *wrong, code=77, **server)
    ltxd("list", CA, code=77, **server)
    ltxd("node", *web[1:], "--insecure", code=69, LTXD_SERVER=f"http://localhost:{node.port}")

    node.stop()
    log, picture = node.log(), PICTURE.read_bytes()
    assert made["id"] in log
    secrets = {
        "the prompt": SECRET, "web's token": tokens["web"], "app's token": tokens["app"],
        "the image": base64.b64encode(picture[300:600]).decode()[:60],
        "the image's bytes": ", ".join(map(str, picture[300:320])),
        "the image, escaped": repr(picture[300:320])[2:-1],
    }  # fmt: skip
    for what, text in secrets.items():
        assert text not in log, what


def test_prompts_are_logged_where_the_operator_says_so(nodes):
    node = nodes("log.prompts=true")
    with node.client() as client:
        client.finished(small(prompt=SECRET))
    assert f'prompt="{SECRET}"' in node.log()
