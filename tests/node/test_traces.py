"""Traces of a node alone, at a collector on loopback: which spans there are, what is above what, and that nothing depends on the collector."""

import re, socket, urllib.request
from collections import Counter
from pathlib import Path

import pytest
from ltx.v1 import generation_service_pb2 as calls, spec_pb2 as spec

from harness.client import refused
from harness.collector import Collector, below
from harness.node import HOLD, QUICK, TINY, free_port
from harness.paths import GUARD
from harness.requests import small
from harness.tls import TRUST, Front
from harness.waiting import eventually

CREATE = "ltx.v1.GenerationService/CreateGeneration"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
STAGES = ("text_encoding", "image_encoding", "denoising", "decoding")
FAULTS = ("testing.enabled=true",)


@pytest.fixture
def collector():
    with Collector() as collector:
        yield collector


def traced(client, asked, parent=f"00-{TRACE}-{SPAN}-01", faults="", **more):
    """The id of a generation whose caller says this of its own trace; `faults` are those of docs/node.md."""
    request = calls.CreateGenerationRequest(spec=asked, **more)
    metadata = [("traceparent", parent), ("tracestate", "vendor=x")] if parent else []
    metadata += [("ltxd-testing", faults)] if faults else []
    return client.generations.CreateGeneration(request, timeout=GUARD, metadata=metadata).generation.id


def one(spans, name):
    found = [span for span in spans if span.name == name]
    assert len(found) == 1, (name, spans)
    return found[0]


def metric(node, name):
    port = next(setting.rpartition(":")[2] for setting in node.settings if setting.startswith("metrics_listen="))
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=GUARD).read().decode()
    found = re.search(rf"^{name} (\d+)$", text, re.M)
    return int(found[1]) if found else None


def test_a_generation_is_one_tree_beneath_its_callers_span(nodes, collector, tmp_path):
    headers = tmp_path / "headers"
    headers.write_text("# of this test\nX-Api-Key: k e y\n")
    settings = (f"traces.endpoint={collector.endpoint}", f"traces.headers_file={headers}", "traces.service_name=studio")
    node = nodes(*QUICK, *settings, "traces.resource_attributes=deployment.environment=tests")
    with node.client() as client:
        prompt = "A heron that nobody else may read about."
        id_ = traced(client, small(prompt=prompt, schedule=spec.SCHEDULE_GUIDED, steps=5))
        client.watch(id_)
        spans = collector.whole(id_)
        assert {span.trace for span in spans} == {TRACE}
        tree = below(spans)
        expected = Counter({(CREATE, ""): 1, ("admission", CREATE): 1, ("generation", CREATE): 1, ("queue", "generation"): 1})
        expected += Counter({("attempt", "generation"): 1, ("finishing", "attempt"): 1, ("publishing", "attempt"): 1})
        expected += Counter({(stage, "attempt"): 1 for stage in STAGES})
        saved = tree.pop(("save_latent", "attempt"))
        assert tree == expected and saved == 5
        root = one(spans, CREATE)
        assert (root.parent, root.kind, root.failed) == (SPAN, 2, False) and root.sent.trace_state == "vendor=x"
        assert root.attributes["rpc.grpc.status_code"] == 0 and root.attributes["ltxd.generations"] == id_
        attempt = one(spans, "attempt").attributes
        asked = {"ltxd.model": TINY, "ltxd.method": "image_to_video", "ltxd.width": 64, "ltxd.height": 64, "ltxd.frames": 9}
        expected = {"ltxd.generation": id_, "ltxd.attempt": 1, "ltxd.resumed": False, "ltxd.end": "done", **asked}
        assert {name: attempt[name] for name in expected} == expected
        assert attempt["ltxd.node"] == one(spans, "attempt").resource["service.instance.id"]
        assert [said["ltxd.step"] for name, said in one(spans, "denoising").events if name == "step"] == [1, 2, 3, 4, 5]
        end = one(spans, "generation").attributes
        assert (end["ltxd.end"], end["ltxd.attempts"]) == ("done", 1)
        times = {span.id: (span.began, span.ended) for span in spans}
        for span in spans:
            # The beginning of a generation is known to the millisecond.
            assert span.began <= span.ended and span.began // 10**6 >= times.get(span.parent, (0, 0))[0] // 10**6, span
        resource = root.resource
        assert (resource["service.name"], resource["deployment.environment"]) == ("studio", "tests")
        assert all(sent["x-api-key"] == "k e y" for sent in collector.headers), collector.headers
        assert not any(prompt in str(span.sent) for span in spans), "no span holds a prompt"


def test_requests_of_all_kinds_are_told_and_only_those_that_are_sampled(nodes, collector):
    node = nodes(*QUICK, *FAULTS, f"traces.endpoint={collector.endpoint}", "traces.sample_ratio=0.0")
    with node.client() as client:
        untraced = traced(client, small(seed=2), parent=None)
        client.watch(untraced)
        unsampled = traced(client, small(seed=3), parent=f"00-{TRACE}-{SPAN}-00")
        client.watch(unsampled)
        # Its caller records it, whatever the share is.
        held = traced(client, small(seed=4), faults=HOLD)
        waits = traced(client, small(seed=5), request_id="waits")
        client.cancel(waits)
        of_it = lambda spans: [span for span in spans if span.attributes.get("ltxd.generation") == waits]
        queue, end = (one(of_it(collector.whole(waits)), name) for name in ("queue", "generation"))
        assert (end.attributes["ltxd.end"], queue.parent, end.failed) == ("cancelled", end.id, False)
        assert traced(client, small(seed=5), request_id="waits") == waits
        assert refused(traced, client, small(width=63)).reason == "INVALID_FIELD"
        client.cancel(held)
        client.watch(held)
        spans = collector.whole(held)
        roots = lambda: [span.attributes for span in collector.of(TRACE) if span.name == CREATE]
        eventually(lambda: len(roots()) == 4, "every request is told")
        assert [root for root in roots() if root["ltxd.existed"]][0]["ltxd.generations"] == waits
        failed = [span for span in collector.of(TRACE) if span.failed and span.name == CREATE]
        assert [span.attributes["error.type"] for span in failed] == ["INVALID_FIELD"]
        attempt = next(span for span in spans if span.name == "attempt")
        assert attempt.attributes["ltxd.end"] == "cancelled" and not attempt.failed
    node.stop()
    told = {span.attributes.get("ltxd.generation") for span in collector.spans.values()}
    assert held in told and not told & {untraced, unsampled}, "neither by the share nor by its caller"


def test_an_attempt_after_a_crash_is_in_the_same_trace(nodes, collector):
    settings = (f"traces.endpoint={collector.endpoint}", *QUICK, *FAULTS)
    node = nodes(*settings)
    with node.client() as client:
        asked = small(seed=6, schedule=spec.SCHEDULE_GUIDED, steps=6)
        id_ = traced(client, asked, faults="restart-at-step=3")
    node.ended()
    node.start()
    with node.client() as client:
        client.watch(id_)
        # What a killed node had not sent yet, its request's span perhaps, is lost.
        spans = collector.whole(id_, of_its_request=False)
        first, second = sorted((span for span in spans if span.name == "attempt"), key=lambda span: span.attributes["ltxd.attempt"])
        assert {first.parent, second.parent} == {one(spans, "generation").id} and {span.trace for span in spans} == {TRACE}
        assert first.failed and first.attributes["ltxd.end"] == "died" and first.began < second.began
        said = second.attributes
        assert (said["ltxd.resumed"], said["ltxd.resumed.stage"], said["ltxd.resumed.step"]) == (True, "denoising", 3)
        assert [said["ltxd.step"] for _, said in next(span for span in spans if span.name == "denoising" and span.parent == second.id).events] == [4, 5, 6]
        assert Counter(span.name for span in spans)["queue"] in (1, 2)


def test_a_collector_that_is_away_costs_counted_spans_and_one_line(nodes):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # Bound and not listening: whoever connects is refused.
        away = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        node = nodes(*QUICK, f"traces.endpoint={away}", f"metrics_listen=127.0.0.1:{free_port()}")
        with node.client() as client:
            frames = client.finished(small(seed=7)).mark.frames_sha256
            client.finished(small(seed=8))
            eventually(lambda: metric(node, "ltxd_trace_spans_dropped_total"), "spans are dropped")
            assert metric(node, "ltxd_trace_spans_sent_total") == 0
        node.stop()
        log = node.log()
        assert log.count("spans cannot be sent") == 1, log
    plain = nodes(*QUICK, name="plain")
    with plain.client() as client:
        assert client.finished(small(seed=7)).mark.frames_sha256 == frames
        assert client.finished(small(seed=9)).id


def test_a_collector_that_refuses_for_a_while_gets_what_waited(nodes, collector):
    collector.refuses = 2
    node = nodes(*QUICK, f"traces.endpoint={collector.endpoint}")
    with node.client() as client:
        id_ = traced(client, small(seed=10))
        client.watch(id_)
        assert one(collector.whole(id_), "attempt").attributes["ltxd.end"] == "done"


def test_the_last_spans_are_sent_before_a_node_ends(nodes, collector):
    node = nodes(*QUICK, *FAULTS, f"traces.endpoint={collector.endpoint}")
    with node.client() as client:
        id_ = traced(client, small(seed=11), faults=HOLD)
        next(news for news in client.stream(id_) if news.event.WhichOneof("event") == "running")
    node.stop()
    attempts = [span for span in collector.of(TRACE) if span.name == "attempt"]
    if not attempts:
        # A machine that is too busy for it says so.
        assert "the last spans were not sent in time" in node.log(), node.log()
    assert [(span.attributes["ltxd.end"], span.failed) for span in attempts] in ([], [("stopped", False)])


def test_a_collector_behind_tls_is_held_against_what_the_system_trusts(nodes, collector):
    port = int(collector.endpoint.rpartition(":")[2])
    with Front(port) as front:
        endpoint = f"traces.endpoint={front.address}"
        node = nodes(*QUICK, endpoint, environment=TRUST)
        with node.client() as client:
            collector.whole(traced(client, small(seed=13)))
        assert front.connections > 0
        node.stop()
        # Nobody vouches for it: nothing is sent, and that is said.
        node, before = nodes(*QUICK, endpoint, name="distrusts"), front.connections
        with node.client() as client:
            client.watch(traced(client, small(seed=14), parent=None))
            eventually(lambda: "certificate" in node.log(), "the log says why")
        assert front.connections == before


@pytest.mark.parametrize("disabled", [False, True])
def test_without_an_endpoint_or_disabled_nothing_connects(nodes, collector, disabled):
    told = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_SDK_DISABLED": "true"} if disabled else {}
    node = nodes(*QUICK, f"metrics_listen=127.0.0.1:{free_port()}", environment=told)
    with node.client() as client:
        client.watch(traced(client, small(seed=12)))
        assert metric(node, "ltxd_trace_spans_sent_total") is None
    threads = [(task / "comm").read_text().strip() for task in Path(f"/proc/{node.process.pid}/task").iterdir()]
    assert "traces" not in threads and "runner" in threads
    assert collector.connections == 0
