"""HTTP/2 and gRPC by hand: frames that no library would send, and answers as they come."""

import base64, socket, ssl, struct, time

import hpack
from google.rpc import error_details_pb2, status_pb2

from harness.paths import GUARD

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8
CREATE = "/ltx.v1.GenerationService/CreateGeneration"
UPLOAD = "/ltx.v1.UploadService/UploadImage"
WATCH = "/ltx.v1.GenerationService/WatchGeneration"
DOWNLOAD = "/ltx.v1.GenerationService/DownloadOutput"
GET_NODE = "/ltx.v1.NodeService/GetNode"


def frame(kind, flags=0, stream=0, payload=b"", length=None):
    return (
        struct.pack(">I", len(payload) if length is None else length)[1:]
        + bytes([kind, flags])
        + struct.pack(">I", stream)
        + payload
    )


def message(payload, length=None, flag=0):
    """A gRPC message in its frame; `length` may lie."""
    return bytes([flag]) + struct.pack(">I", len(payload) if length is None else length) + payload


def literal(name, value):
    """A header as HPACK's plainest literal."""

    def text(part):
        size = len(part)
        if size < 127:
            return bytes([size]) + part
        out, size = bytearray([127]), size - 127
        while size >= 128:
            out.append(size % 128 + 128)
            size //= 128
        return bytes(out) + bytes([size]) + part

    return b"\0" + text(name) + text(value)


def headers(path, token=None, more=()):
    fields = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", path.encode()), (b":authority", b"node"),
              (b"content-type", b"application/grpc"), (b"te", b"trailers")]  # fmt: skip
    if token is not None:
        fields.append((b"authorization", b"Bearer " + (token if isinstance(token, bytes) else token.encode())))
    return b"".join(literal(name, value) for name, value in [*fields, *more])


class Answer:
    """What came on one stream: headers and trailers together, bytes of data, and how it ended."""

    def __init__(self):
        self.fields, self.data, self.ended, self.reset = {}, b"", False, None

    @property
    def code(self):
        return self.fields.get("grpc-status")

    @property
    def reason(self):
        """ErrorInfo's reason, "" without details."""
        packed = self.fields.get("grpc-status-details-bin")
        if packed is None:
            return ""
        for detail in status_pb2.Status.FromString(base64.b64decode(packed + "=" * (-len(packed) % 4))).details:
            if detail.type_url.endswith("ErrorInfo"):
                return error_details_pb2.ErrorInfo.FromString(detail.value).reason
        return ""


class Wire:
    """One connection, with the preface and SETTINGS sent unless told otherwise."""

    def __init__(self, port, greet=True, tls=None, settings=b"", window=True):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=GUARD)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        self.rest, self.decoder, self.answers, self.closed, self.goaway = (
            b"",
            hpack.Decoder(max_header_list_size=1 << 20),
            {},
            False,
            None,
        )
        self.next, self.initial, self.room, self.rooms = 1, 65535, 65535, {}
        # Whoever has not greeted does not answer either.
        self.mute = not greet
        if greet:
            self.send(PREFACE + frame(SETTINGS, payload=settings))
            if window:
                self.send(frame(WINDOW, payload=struct.pack(">I", 1 << 30)))

    def send(self, data):
        """-> whether the node still took it"""
        try:
            self.socket.sendall(data)
            return True
        except OSError:
            self.closed = True
            return False

    def call(self, path, token=None, body=b"", end=True, more=()):
        """Begins a call; -> its stream."""
        stream, self.next = self.next, self.next + 2
        fields = headers(path, token, more)
        parts = [fields[at : at + 16384] for at in range(0, len(fields), 16384)]
        for number, part in enumerate(parts):
            self.send(frame(CONTINUATION if number else HEADERS, END_HEADERS if number == len(parts) - 1 else 0, stream, part))
        self.body(stream, body, end)
        return stream

    def body(self, stream, body, end=False):
        """Sends as the node's windows allow, until it has ended the stream."""
        at, ended = 0, lambda: stream in self.answers and self.answers[stream].ended
        left = lambda: min(self.room, self.rooms.get(stream, 0) + self.initial)
        while at < len(body) or (end and not body and at == 0):
            if body and left() <= 0 and not (self.read(GUARD, lambda: left() > 0 or ended()) and left() > 0):
                return
            if self.closed or ended():
                return
            part = body[at : at + min(16384, max(left(), 0) or 16384)]
            at += max(len(part), 1)
            self.room, self.rooms[stream] = self.room - len(part), self.rooms.get(stream, 0) - len(part)
            self.send(frame(DATA, END_STREAM if end and at >= len(body) else 0, stream, part))

    def reset(self, stream, code=8):
        return self.send(frame(RST, 0, stream, struct.pack(">I", code)))

    def read(self, seconds=GUARD, until=lambda: False):
        """Takes what comes until a condition holds, the node closes, or time is over."""
        deadline = time.monotonic() + seconds
        while not until() and not self.closed:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self.socket.settimeout(left)
            try:
                got = self.socket.recv(1 << 16)
            except (TimeoutError, ssl.SSLWantReadError):
                return False
            except OSError:
                got = b""
            if not got:
                self.closed = True
                break
            self.rest += got
            self.take()
        return until() or self.closed

    def take(self):
        while len(self.rest) >= 9:
            size = int.from_bytes(self.rest[:3], "big")
            if len(self.rest) < 9 + size:
                return
            kind, flags, stream = self.rest[3], self.rest[4], int.from_bytes(self.rest[5:9], "big") & 0x7FFFFFFF
            payload, self.rest = self.rest[9 : 9 + size], self.rest[9 + size :]
            answer = self.answers.setdefault(stream, Answer())
            if kind == HEADERS:
                # The node's own headers come whole: they are short.
                for name, value in self.decoder.decode(payload):
                    answer.fields[name if isinstance(name, str) else name.decode()] = (
                        value if isinstance(value, str) else value.decode()
                    )
            elif kind == DATA:
                answer.data += payload
                if payload:
                    self.took(stream, len(payload))
            elif kind == RST:
                answer.ended, answer.reset = True, int.from_bytes(payload, "big")
            elif kind == WINDOW:
                more = int.from_bytes(payload, "big") & 0x7FFFFFFF
                if stream:
                    self.rooms[stream] = self.rooms.get(stream, 0) + more
                else:
                    self.room += more
            elif kind == SETTINGS and not flags & ACK:
                for at in range(0, len(payload) - 5, 6):
                    name, value = struct.unpack(">HI", payload[at : at + 6])
                    self.initial = value if name == 4 else self.initial
                self.mute or self.send(frame(SETTINGS, ACK))
            elif kind == PING and not flags & ACK and not self.mute:
                self.send(frame(PING, ACK, 0, payload))
            elif kind == GOAWAY:
                self.goaway = int.from_bytes(payload[4:8], "big")
            if kind in (HEADERS, DATA) and flags & END_STREAM:
                answer.ended = True

    def took(self, stream, size):
        """Opens the stream's window again; a slow reader does not."""
        self.send(frame(WINDOW, 0, stream, struct.pack(">I", size)))

    def answer(self, stream, seconds=GUARD):
        """-> the stream's answer once it has ended, or as it stands when time is over"""
        self.read(seconds, lambda: stream in self.answers and self.answers[stream].ended)
        return self.answers.get(stream, Answer())

    def ask(self, path, token=None, body=b"", seconds=GUARD, more=()):
        return self.answer(self.call(path, token, body, more=more), seconds)

    def close(self, reset=False):
        if reset:
            # No time to linger: TCP's own reset.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
