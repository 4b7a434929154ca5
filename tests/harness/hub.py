"""A hub on loopback that behaves as Hugging Face's does: it says what files are and redirects to a second host for the bytes of
large ones. What goes wrong is arranged: answers that fail, connections that end, bytes that are wrong or slow."""

import hashlib, json, random, socket, threading, time
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_of_this_test"
BLOCK = 16 << 10


@dataclass
class Repository:
    """Files at one commit. What `large` holds the names of lies on the second host."""

    files: dict
    commit: str = "0123456789abcdef0123456789abcdef01234567"
    large: set = field(default_factory=set)
    gated: bool = False


@dataclass
class Asked:
    """A request that came, and the bytes of its answer that were sent."""

    host: str
    method: str
    path: str
    range: str
    token: str
    sent: int = 0


@dataclass
class Fault:
    """What happens to requests instead, `times` times: a status, an end after some bytes, other bytes, few bytes a second."""

    host: str
    path: str = ""
    times: int = 1
    method: str = "GET"
    status: int = 0
    headers: dict = field(default_factory=dict)
    cut_after: int = -1
    flip_at: int = -1
    trickle: bool = False
    no_ranges: bool = False


@lru_cache(maxsize=16)
def sha256(data):
    return hashlib.sha256(data).hexdigest()


def git_sha1(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Hub:
    """Two servers: `hub` and `files`. `repositories` may be changed while they serve."""

    def __init__(self):
        self.repositories, self.faults, self.log, self.lock = {}, [], [], threading.Lock()
        self.sent = 0  # Bytes of large files.
        self.at_once = 0
        # While it is paused no file's bytes are sent. It pauses by itself once so many bytes of large files were sent in all, so
        # that no pull ends before a test has done what it does in the middle of one.
        self.paused, self.pause_at = threading.Event(), None
        # Bytes that are sent at a time; and whether each block waits until the one before has been read by the client's process,
        # so that what a killed client loses is bounded, however busy the machine is.
        self.block, self.waits_for_reader = BLOCK, False
        self.expired = set()
        self.servers = {name: self.serve(name, host) for name, host in {"hub": "127.0.0.1", "files": "127.0.0.2"}.items()}
        self.url = "http://127.0.0.1:%d" % self.servers["hub"].server_port

    def serve(self, name, host):
        handler = type("Handler", (Handler,), {"hub": self, "name": name})
        server = Server((host, 0), handler)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return server

    def close(self):
        self.paused.clear()
        for server in self.servers.values():
            server.shutdown()
            server.server_close()

    def may_send(self):
        with self.lock:
            if self.pause_at is not None and self.sent >= self.pause_at:
                self.pause_at = None
                self.paused.set()
        return not self.paused.is_set()

    def requests(self, host=None, method=None, path=""):
        with self.lock:
            return [r for r in self.log if host in (None, r.host) and method in (None, r.method) and path in r.path]

    def blobs(self):
        repositories = list(self.repositories.values())
        return {sha256(repo.files[name]): repo.files[name] for repo in repositories for name in repo.large}

    def fault(self, host, method, path):
        with self.lock:
            for fault in self.faults:
                if fault.times and fault.host == host and fault.method == method and fault.path in path:
                    fault.times -= 1
                    return fault
        return None


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """Clients that are killed are no error here."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self):
        # What is sent and not received yet is little, so that what a killed client loses is what it had not kept.
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BLOCK)
        super().setup()

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        self.answer()

    def answer(self):
        hub = self.hub
        self.asked = Asked(self.name, self.command, self.path, self.headers.get("Range", ""), self.headers.get("Authorization", ""))
        with hub.lock:
            hub.log.append(self.asked)
        fault = hub.fault(self.name, self.command, self.path)
        if fault and fault.status:
            return self.plain(fault.status, b"no", fault.headers)
        url = urlsplit(self.path)
        parts = [unquote(part) for part in url.path.strip("/").split("/")]
        if self.name == "files":
            return self.large(parts, url.query, fault)
        if parts[:2] == ["api", "models"]:
            return self.listing(parts[2:], parse_qs(url.query))
        return self.resolve(parts, fault)

    def plain(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in {"Content-Length": len(body), **dict(headers)}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status, code):
        self.plain(status, b"", {"X-Error-Code": code, "X-Error-Message": f"{code} in words"})

    def repository(self, name):
        """The repository, if whoever asks may see it; else it was refused."""
        repo, token = self.hub.repositories.get(name), self.headers.get("Authorization")
        if repo is None:
            return self.refuse(401 if token is None else 404, "RepoNotFound")
        if repo.gated and token is None:
            return self.refuse(401, "GatedRepo")
        if repo.gated and token != f"Bearer {TOKEN}":
            return self.refuse(403, "GatedRepo")
        return repo

    def resolve(self, parts, fault):
        if len(parts) < 5 or parts[2] != "resolve":
            return self.refuse(404, "EntryNotFound")
        if (repo := self.repository("/".join(parts[:2]))) is None:
            return
        revision, path = parts[3], "/".join(parts[4:])
        if revision not in ("main", repo.commit):
            return self.refuse(404, "RevisionNotFound")
        if path not in repo.files:
            return self.refuse(404, "EntryNotFound")
        data, said = repo.files[path], {"X-Repo-Commit": repo.commit}
        if path in repo.large:
            where = "http://127.0.0.2:%d/%s?signature=%x" % (self.hub.servers["files"].server_port, sha256(data), random.getrandbits(64))
            of_it = {"X-Linked-Etag": f'"{sha256(data)}"', "X-Linked-Size": len(data), "ETag": '"of-the-redirection"', "Location": where}
            return self.plain(302, b"Found", {**said, **of_it})
        self.body(data, {**said, "ETag": f'"{git_sha1(data)}"'}, fault)

    def listing(self, parts, query):
        if (repo := self.repository("/".join(parts[:2]))) is None:
            return
        names = sorted(repo.files)
        if parts[2] == "revision":
            info = {"id": "/".join(parts[:2]), "sha": repo.commit, "siblings": [{"rfilename": name} for name in names], "tags": []}
            return self.plain(200, json.dumps(info).encode(), {"Content-Type": "application/json"})
        entries = [{"type": "directory", "path": "sub", "oid": "0" * 40, "size": 0}]
        for name in names:
            data = repo.files[name]
            entry = {"type": "file", "path": name, "size": len(data), "oid": git_sha1(data)}
            if name in repo.large:
                entry["lfs"] = {"oid": sha256(data), "size": len(data), "pointerSize": 134}
            entries.append(entry)
        # Pages of two, so that whoever asks has to go on.
        at = int(query.get("cursor", ["0"])[0])
        page, headers = entries[at : at + 2], {"Content-Type": "application/json", "X-Repo-Commit": repo.commit}
        if at + 2 < len(entries):
            headers["Link"] = f'<{self.hub.url}{self.path.split("?")[0]}?recursive=true&cursor={at + 2}>; rel="next"'
        self.plain(200, json.dumps(page).encode(), headers)

    def large(self, parts, query, fault):
        data = self.hub.blobs().get(parts[0])
        if data is None or query in self.hub.expired:
            return self.plain(403)
        hub = self.hub
        with hub.lock:
            hub.at_once += 1
        try:
            self.body(data, {"ETag": '"of-the-storage"'}, fault, counted=True)
        finally:
            with hub.lock:
                hub.at_once -= 1

    def unread(self):
        """Bytes that the client's system has received and its process has not read."""
        (client, client_port), (own, own_port) = self.request.getpeername(), self.request.getsockname()

        def written(address, port):
            return f"{int.from_bytes(socket.inet_aton(address), 'little'):08X}:{port:04X}"

        ends = f" {written(client, client_port)} {written(own, own_port)} "
        with open("/proc/net/tcp") as table:
            line = next((line for line in table if ends in line), None)
        return int(line.split()[4].split(":")[1], 16) if line else 0

    def client_is_gone(self):
        """Whether the connection's other end was closed: what is sent after that is fetched by nobody."""
        try:
            gone = self.request.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            gone = False
        except OSError:
            gone = True
        self.close_connection |= gone
        return gone

    def body(self, data, headers, fault, counted=False):
        start, end, status = 0, len(data), 200
        ranges = self.headers.get("Range")
        if ranges and not (fault and fault.no_ranges):
            first, last = ranges.removeprefix("bytes=").split("-")
            start, end, status = int(first), min(int(last) + 1 if last else end, end), 206
            headers = {**headers, "Content-Range": f"bytes {start}-{end - 1}/{len(data)}"}
        self.send_response(status)
        for name, value in {**headers, "Content-Length": end - start, "Accept-Ranges": "bytes"}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command == "HEAD":
            return
        stop = start + fault.cut_after if fault and fault.cut_after >= 0 else end
        at = start
        while at < min(stop, end):
            while not self.hub.may_send():
                if self.client_is_gone():
                    return
                time.sleep(0.01)
            block = data[at : min(at + self.hub.block, stop, end)]
            while self.hub.waits_for_reader and self.unread():
                time.sleep(0.0005)
            if fault and fault.trickle:
                block = block[:1]
                time.sleep(0.2)
            if fault and at <= fault.flip_at < at + len(block):
                block = bytes(b ^ (i + at == fault.flip_at) for i, b in enumerate(block))
            if self.client_is_gone():
                return
            self.request.sendall(block)
            at += len(block)
            with self.hub.lock:
                self.asked.sent += len(block)
                self.hub.sent += len(block) if counted else 0
        if at < end:
            self.close_connection = True
            self.request.shutdown(socket.SHUT_RDWR)


class Proxy:
    """A proxy for http:// that says what went through it."""

    def __init__(self):
        proxy = self
        self.seen = Counter()

        class Through(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                to = urlsplit(self.path)
                proxy.seen[to.netloc] += 1
                with socket.create_connection((to.hostname, to.port)) as there:
                    lines = [f"{self.command} {to.path}?{to.query} HTTP/1.1", *(f"{k}: {v}" for k, v in self.headers.items())]
                    there.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode())
                    answer = b"".join(iter(lambda: there.recv(1 << 16), b""))
                # Said, that the client does not ask again on a connection that is just closed.
                self.wfile.write(answer.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
                self.close_connection = True

            do_HEAD = do_GET

        self.server = Server(("127.0.0.1", 0), Through)
        self.url = "http://127.0.0.1:%d" % self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
