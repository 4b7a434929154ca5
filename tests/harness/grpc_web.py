"""gRPC-Web as a browser sends the page's calls: over HTTP/1.1, or over HTTP/2 on a connection of its own."""

import http.client, struct

from harness.http2 import END_HEADERS, HEADERS, Wire, frame, literal, message
from harness.paths import GUARD

TRAILERS = 0x80


def stated(port):
    """The headers of a call from the page of the node at a port."""
    return {
        "content-type": "application/grpc-web+proto",
        "x-grpc-web": "1",
        "origin": f"http://127.0.0.1:{port}",
        "sec-fetch-site": "same-origin",
        "sec-fetch-mode": "cors",
    }


def over_http1(port, path, body):
    """Bytes of the answer as they come."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=GUARD)
    try:
        connection.request("POST", path, body, stated(port))
        answer = connection.getresponse()
        assert answer.status == 200 and answer.version == 11, (answer.status, answer.read())
        while data := answer.read1(1 << 16):
            yield data
    finally:
        connection.close()


def over_http2(port, path, body):
    """Bytes of the answer as they come."""
    pseudo = {":method": "POST", ":scheme": "http", ":path": path, ":authority": f"127.0.0.1:{port}"}
    fields = b"".join(literal(name.encode(), value.encode()) for name, value in (pseudo | stated(port)).items())
    wire = Wire(port)
    try:
        stream, wire.next = wire.next, wire.next + 2
        wire.send(frame(HEADERS, END_HEADERS, stream, fields))
        wire.body(stream, body, end=True)
        here = lambda: stream in wire.answers and (wire.answers[stream].data or wire.answers[stream].ended)
        while wire.read(until=here):
            answer = wire.answers.get(stream)
            assert answer and answer.reset is None and answer.fields[":status"] == "200", answer and answer.fields
            data, answer.data = answer.data, b""
            if data:
                yield data
            elif answer.ended:
                return
            assert data or not wire.closed, "the connection was cut"
    finally:
        wire.socket.close()


def stream(over, port, path, request, kind):
    """The messages of an answer as they come; it must end with status 0 in a frame of trailers."""
    rest = b""
    for data in over(port, path, message(request.SerializeToString())):
        rest += data
        while len(rest) >= 5 and len(rest) >= 5 + (size := struct.unpack(">I", rest[1:5])[0]):
            flag, payload, rest = rest[0], rest[5 : 5 + size], rest[5 + size :]
            if flag == TRAILERS:
                assert b"grpc-status:0" in payload.replace(b" ", b"") and not rest, payload
                return
            yield kind.FromString(payload)
    raise AssertionError("the stream ended without its trailers")
