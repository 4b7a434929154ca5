"""A page of another origin, and a host name that is bound to this machine by somebody else: nothing is made, read or
cancelled."""

import hashlib, re, threading, urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ltx.v1 import generation_pb2 as g, generation_service_pb2 as calls, spec_pb2 as spec, upload_service_pb2 as uploads

from harness.node import ENDLESS, QUICK, SMALL, free_port
from harness.page import REBOUND, patient
from harness.requests import END, endless, image
from harness.waiting import eventually

# Tries to call a node in every way that a web page has; returns what it could read.
ATTACK = """async ([node, calls]) => {
    const read = [];
    const attempts = [
        { mode: "no-cors", headers: { "content-type": "text/plain" } },
        { mode: "no-cors", headers: { "content-type": "application/x-www-form-urlencoded" } },
        { mode: "no-cors" },
        { mode: "cors", headers: { "content-type": "text/plain" } },
        { mode: "cors", headers: { "content-type": "application/grpc-web+proto", "x-grpc-web": "1" } },
        { mode: "cors", headers: { "content-type": "application/grpc" } },
    ];
    for (const [method, body] of calls) {
        for (const more of attempts) {
            try {
                const answer = await fetch(node + method, { method: "POST", body: Uint8Array.from(body), ...more });
                const bytes = new Uint8Array(await answer.arrayBuffer());
                if (answer.ok && bytes.length && bytes[0] === 0) read.push([method, more.mode, bytes.length]);
            } catch {}
        }
    }
    return read;
}"""
# Sends what a form can send; whether any of it comes, and what it does there, is the node's to say.
FORMS = """([node, calls]) => {
    for (const [at, [method, body]] of calls.entries()) {
        const frame = document.createElement("iframe");
        frame.name = `sink${at}`;
        const form = document.createElement("form");
        Object.assign(form, { method: "POST", enctype: "text/plain", action: node + method, target: frame.name });
        const field = document.createElement("input");
        field.name = String.fromCharCode(...body.slice(0, 5));
        form.append(field);
        document.body.append(frame, form);
        form.submit();
    }
}"""


@pytest.fixture
def stranger():
    """The port of another server, whose page is empty."""

    class Empty(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><body>")

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Empty)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def framed(message):
    data = message.SerializeToString()
    return list(b"\0" + len(data).to_bytes(4, "big") + data)


def part():
    """A picture that the node does not have, sent whole in one part."""
    header = uploads.UploadHeader(total_bytes=len(END), sha256=hashlib.sha256(END).hexdigest())
    return ("/ltx.v1.UploadService/UploadPart", framed(uploads.UploadPartRequest(header=header, offset=0, data=END)))


def attacks(victim):
    make = calls.CreateGenerationRequest(spec=spec.GenerationSpec(prompt="Not asked for.", image=image(), width=64, height=64, frames=9))
    service = "/ltx.v1.GenerationService/"
    return [
        (service + "CreateGeneration", framed(make)),
        (service + "ListGenerations", framed(calls.ListGenerationsRequest())),
        (service + "GetGeneration", framed(calls.GetGenerationRequest(id=victim))),
        (service + "CancelGeneration", framed(calls.CancelGenerationRequest(id=victim))),
        (service + "DeleteGeneration", framed(calls.DeleteGenerationRequest(id=victim))),
        (service + "DownloadImage", framed(calls.DownloadImageRequest(id=victim, image=calls.GIVEN_IMAGE_START))),
        part(),
    ]


def images(node):
    """Images that the node keeps, of requests and of uploads."""
    return {path.name for path in (node.data / "images").iterdir()}


def denied(port):
    """How many calls the node has denied, by its metrics."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        return sum(map(int, re.findall(r'^ltxd_grpc_calls_total\{.*code="PermissionDenied"\} (\d+)$', answer.read().decode(), re.M)))


def forms(page, node, calls, metrics):
    """Sends forms to the node, and waits until it has denied them all: a frame that the browser blocks may never say so."""
    before = denied(metrics)
    page.evaluate(FORMS, [node, calls])
    eventually(lambda: denied(metrics) >= before + len(calls), "the node has denied every form")


def unharmed(node, client, victim, kept):
    assert [one.id for one in client.list()] == [victim] and images(node) == kept
    assert client.get(victim).state in (g.GENERATION_STATE_QUEUED, g.GENERATION_STATE_RUNNING)


def test_pages_of_other_origins_and_names(browser, nodes, stranger):
    metrics = free_port()
    node = nodes(*QUICK, *ENDLESS, f"metrics_listen=127.0.0.1:{metrics}", model=SMALL)
    with node.client() as client, patient(browser.new_context()) as context:
        victim = client.create(endless()).id
        kept = images(node)
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{stranger}/")
        for name in ("127.0.0.1", "localhost", REBOUND):
            forms(page, f"http://{name}:{node.port}", attacks(victim), metrics)
            assert page.evaluate(ATTACK, [f"http://{name}:{node.port}", attacks(victim)]) == []
        unharmed(node, client, victim, kept)
        # The name of another, bound to this machine: to the browser the node is that page's own origin.
        page.goto(f"http://{REBOUND}:{stranger}/")
        forms(page, f"http://{REBOUND}:{node.port}", attacks(victim), metrics)
        assert page.evaluate(ATTACK, [f"http://{REBOUND}:{node.port}", attacks(victim)]) == []
        answer = page.goto(f"http://{REBOUND}:{node.port}/")
        assert answer.status >= 400 and "<script" not in answer.text()
        assert page.evaluate(ATTACK, [f"http://{REBOUND}:{node.port}", attacks(victim)]) == []
        unharmed(node, client, victim, kept)
        # The same calls from the node's own page go through: the attack is one that works where it is allowed.
        page.goto(f"http://127.0.0.1:{node.port}/")
        allowed = [attack for attack in attacks(victim) if attack[0].endswith(("/ListGenerations", "/DownloadImage", "/UploadPart"))]
        read = page.evaluate(ATTACK, [f"http://127.0.0.1:{node.port}", allowed])
        assert {method for method, _, _ in read} == {method for method, _ in allowed} and images(node) > kept
        client.cancel(victim)
