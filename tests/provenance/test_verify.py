"""What `ltxd verify` exits with and prints: of an expired certificate, of several files, of names that a terminal would obey."""

import json

from harness.command import said
from harness.paths import ROOT

# Signed by a certificate that has expired since; how it was made, says crates/ltx-provenance/tests/expired.rs.
DATA = ROOT / "crates/ltx-provenance/tests/data"
SIGNED, ITS_ROOT = DATA / "expired.png", DATA / "expired-root.pem"


def test_an_expired_certificate_is_no_change_and_no_longer_vouched_for():
    ended = said("verify", "--json", "--trust", ITS_ROOT, SIGNED)
    told = json.loads(ended.stdout)
    assert (ended.returncode, told["verdict"], told["signer"]["trust"]) == (10, "untrusted", "by_none"), told
    assert [found["code"] for found in told["found"]] == ["signingCredential.expired"]
    assert told["mark_is_signed"] and told["pictures"]["same"]


def test_of_several_files_the_worst_counts_and_all_are_told_harmlessly(tmp_path):
    changed, broken = tmp_path / "changed\x1b[2J.png", tmp_path / "broken\u202e.png"
    data = SIGNED.read_bytes()
    changed.write_bytes(data + b"\0")
    broken.write_text("no picture")
    ended = said("verify", changed, SIGNED)
    assert ended.returncode == 14, ended
    ended = said("verify", broken, changed, SIGNED)
    assert ended.returncode == 1, ended
    assert "changed since it was signed" in ended.stdout and "nobody vouches for the signer" in ended.stdout
    assert "broken\ufffd.png: cannot be looked at" in ended.stderr
    assert not {"\x1b", "\u202e"} & set(ended.stdout + ended.stderr)
