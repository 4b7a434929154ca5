"""A node's configuration as an operator meets it: layers, what is refused by name, one node a data folder."""

import sqlite3

import pytest

from harness.command import ltxd
from harness.paths import MODELS, TLS

CERTIFICATE = ["--set", f"tls.cert={TLS}/localhost.pem", "--set", f"tls.key={TLS}/localhost.key"]
REFUSED = {
    "a key that is none": ("quued", ["--set", "limits.quued=1"], {}),
    "a variable that is no key": ("LTXD_NOSUCH", [], {"LTXD_NOSUCH": "1"}),
    "a limit of 0": ("limits.queued", ["--set", "limits.queued=0"], {}),
    "beyond loopback, nothing else": ("listen", ["--listen", "0.0.0.0:0"], {}),
    "beyond loopback, without tokens": ("listen", ["--listen", "0.0.0.0:0", *CERTIFICATE], {}),
    "metrics beyond loopback": ("metrics_listen", ["--set", "metrics_listen=0.0.0.0:0"], {}),
}


def test_flags_go_over_the_environment_and_that_over_the_file(tmp_path):
    file = tmp_path / "node.toml"
    file.write_text('data_dir = "data"\n[limits]\nqueued = 11\nqueued_per_client = 12\nrequest_burst = 13\n')
    command = ["config", "print", "--config", file, "--set", "limits.request_burst=33"]
    lines = ltxd(*command, LTXD_LIMITS_QUEUED_PER_CLIENT="22").stdout.splitlines()
    for line in ("queued = 11", "queued_per_client = 22", "request_burst = 33", f'data_dir = "{tmp_path}/data"'):
        assert line in lines


@pytest.mark.parametrize("what", REFUSED)
def test_refused_by_name(tmp_path, what):
    named, words, environment = REFUSED[what]
    assert named in ltxd("serve", f"--data-dir={tmp_path}/data", *words, code=2, **environment).stderr


def test_a_key_of_the_file_that_is_none_is_named(tmp_path):
    (tmp_path / "node.toml").write_text("lisen = 1\n")
    assert "lisen" in ltxd("serve", "--config", tmp_path / "node.toml", code=2).stderr


def test_one_node_has_a_data_folder_and_a_port(tmp_path, nodes):
    node = nodes("allow_insecure=true")
    serve = ["serve", f"--models-dir={MODELS}"]
    second = ltxd(*serve, f"--data-dir={node.data}", "--listen", "127.0.0.1:0", code=1).stderr
    assert "another node uses this data folder" in second
    busy = ltxd(*serve, f"--data-dir={tmp_path}/other", "--listen", f"127.0.0.1:{node.port}", code=1).stderr
    assert str(node.port) in busy


def test_a_database_of_a_newer_node_is_left_alone(nodes):
    node = nodes()
    node.stop()
    database = sqlite3.connect(node.data / "jobs.sqlite")
    (version,) = database.execute("PRAGMA user_version").fetchone()
    database.execute(f"PRAGMA user_version = {version + 1}")
    database.close()
    command = ["serve", f"--data-dir={node.data}", f"--models-dir={MODELS}", "--listen", "127.0.0.1:0"]
    assert f"schema {version + 1}" in ltxd(*command, code=1).stderr
