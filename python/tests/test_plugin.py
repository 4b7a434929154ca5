"""The fixtures as a stranger's test suite meets them."""

import subprocess

import ltxd
from ltxd.testing import _flat

FAILING = """
    def test_one(ltxd_node):
        assert ltxd_node.client.node().state == 2
        assert False, "on purpose"

    def test_two(ltxd_shared_node):
        assert False
"""


def test_a_failed_test_has_the_log_of_its_nodes(pytester):
    pytester.makepyfile(FAILING)
    pytester.makeini("[pytest]\nltxd_model = tiny\n")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*log of the ltxd node at http://127.0.0.1:*", "*listening on 127.0.0.1:*"])
    assert str(result.stdout).count("log of the ltxd node") == 2


def test_a_node_that_cannot_start_says_why(pytester):
    pytester.makepyfile('''
        import ltxd.testing, pytest

        def test_it(ltxd_nodes):
            with pytest.raises(ltxd.testing.NodeEnded, match="limits.queueds"):
                ltxd_nodes(config={"limits.queueds": 1})
    ''')
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_nodes_are_told_apart(ltxd_nodes):
    first, second = ltxd_nodes(config={"node": "first"}), ltxd_nodes(config={"node": "second", "limits": {"queued": 7}})
    assert (first.client.node().id, second.client.node().id) == ("first", "second")
    assert second.client.node().queue.capacity == 7 and first.port != second.port


def test_a_restart_keeps_port_and_data(ltxd_node, spec):
    client, port = ltxd_node.client, ltxd_node.port
    generation = client.wait(client.create(spec).id)
    ltxd_node.restart()
    assert ltxd_node.port == port
    assert [found.id for found in client.list()] == [generation.id]


def test_configuration_is_written_as_toml():
    said = {"limits": {"queued": 1}, "aliases": {"A name. So": "tiny"}, "models": ["tiny"], "tls.cert": "a\"b"}
    assert dict(_flat(said)) == {"limits.queued": "1", 'aliases."A name. So"': '"tiny"', "models": '["tiny"]', "tls.cert": '"a\\"b"'}


def test_the_command_and_its_models_are_here(tmp_path):
    listed = subprocess.run([ltxd.binary(), "models"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "ltx-2.3-small" in listed and (ltxd.models_dir() / "ltx-2.3-tiny.toml").exists()
