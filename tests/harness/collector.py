"""A collector of OpenTelemetry traces on loopback, as OTLP over HTTP has it: it keeps every span that comes, and says what it is told to."""

import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse

from harness.waiting import eventually


class Span:
    """A span as it came, with the attributes of what sent it."""

    def __init__(self, sent, resource):
        self.trace, self.id, self.parent = (value.hex() for value in (sent.trace_id, sent.span_id, sent.parent_span_id))
        self.name, self.kind, self.failed = sent.name, sent.kind, sent.status.code == 2
        self.began, self.ended = sent.start_time_unix_nano, sent.end_time_unix_nano
        self.attributes, self.resource = valued(sent.attributes), resource
        self.events = [(event.name, valued(event.attributes)) for event in sent.events]
        self.sent = sent

    def __repr__(self):
        return f"{self.name} {self.id} beneath {self.parent or 'nothing'} {self.attributes}"


def valued(attributes):
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


class Collector:
    """Keeps spans by their ids: one that comes again is the same. The first `refuses` requests are told to come again."""

    def __init__(self):
        self.spans, self.headers, self.connections, self.refuses = {}, [], 0, 0
        self.lock = threading.Lock()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                with collector.lock:
                    collector.connections += 1

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                status = collector.take(self.path, headers, body)
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(status)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def take(self, path, headers, body):
        with self.lock:
            if path != "/v1/traces" or headers.get("content-type") != "application/x-protobuf":
                return 404
            if self.refuses:
                self.refuses -= 1
                return 503
            self.headers.append(headers)
            for group in ExportTraceServiceRequest.FromString(body).resource_spans:
                resource = valued(group.resource.attributes)
                for scope in group.scope_spans:
                    for sent in scope.spans:
                        self.spans[sent.span_id] = Span(sent, resource)
            return 200

    def of(self, trace):
        """The spans of a trace that have come, in the order in which they began."""
        with self.lock:
            return sorted((span for span in self.spans.values() if span.trace == trace), key=lambda span: span.began)

    def whole(self, generation, of_its_request=True):
        """The spans of a generation's trace, once the last of them has come; `of_its_request`: and that of the request."""

        def found():
            with self.lock:
                ends = [span for span in self.spans.values() if span.name == "generation" and span.attributes["ltxd.generation"] == generation]
            spans = self.of(ends[0].trace) if ends else []
            # Those of its request may come later than its end.
            whole = not of_its_request or any(span.name.endswith("/CreateGeneration") for span in spans)
            return spans if spans and whole else None

        return eventually(found, f"the spans of {generation} have come")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def below(spans):
    """{name of a span: the name of the span above it, or "" where that is not among them}, each pair counted."""
    names = {span.id: span.name for span in spans}
    return Counter((span.name, names.get(span.parent, "")) for span in spans)
