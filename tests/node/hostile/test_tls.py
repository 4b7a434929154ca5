"""What is special to TLS: plaintext to it, broken and stalled handshakes, and that it works behind them."""

import ssl

from harness import http2 as w
from harness.node import QUICK
from harness.paths import TLS
from harness.waiting import eventually

HELLO = b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(600)
FIRST = (
    w.PREFACE + w.frame(w.SETTINGS), b"GET / HTTP/1.1\r\n\r\n", HELLO, HELLO[:20], b"\x15\x03\x01\0\x02\x02\x28", b"",
    b"\x16\x03\x01\xff\xff" + bytes(70_000),
)  # fmt: skip


def test_broken_handshakes_are_cut(nodes):
    certificate = (f"tls.cert={TLS}/localhost.pem", f"tls.key={TLS}/localhost.key")
    node = nodes.make(*QUICK, "limits.handshake_seconds=2", *certificate).launch().says_ready()
    opened = [w.Wire(node.port, greet=False) for _ in FIRST]
    for wire, said in zip(opened, FIRST):
        wire.send(said)
    for wire, said in zip(opened, FIRST):
        assert wire.read(), said[:20]
        wire.close()
    context = ssl.create_default_context(cafile=str(TLS / "localhost.pem"))
    context.set_alpn_protocols(["h2"])

    def answers():
        """Whether it does; where the machine is busy, a handshake may be cut."""
        try:
            with w.Wire(node.port, tls=context) as wire:
                return wire.ask(w.GET_NODE, body=w.message(b"")).code == "0"
        except OSError:
            return False

    eventually(answers, "the node answers")
