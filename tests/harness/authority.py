"""Certificates and time-stamps by openssl: authorities, signers of any purpose, and an RFC 3161 time-stamp authority on loopback."""

import subprocess
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

EXTENSIONS = """[signer]
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage={purpose}
authorityKeyIdentifier=keyid
subjectKeyIdentifier=hash
"""
TIMES = """[tsa]
default_tsa=own
[own]
dir=.
serial={folder}/serial
signer_digest=sha256
default_policy=1.2.3.4
digests=sha256,sha384,sha512
ess_cert_id_alg=sha256
accuracy=secs:1
"""


def openssl(*words):
    return subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True).stdout


def pair(folder, name="signer", purpose="emailProtection", days=30, kind="EC"):
    """(chain, key, root) of a signer that an authority of its own has issued."""
    of_kind = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"] if kind == "EC" else ["-algorithm", kind]
    folder.mkdir(exist_ok=True)
    at = lambda ending: folder / f"{name}{ending}"
    openssl("genpkey", *of_kind, "-out", at("-root.key"))
    openssl("req", "-x509", "-new", "-key", at("-root.key"), "-subj", f"/CN={name} root/O=Tests", "-days", 60, "-out", at("-root.pem"))
    openssl("genpkey", *of_kind, "-out", at(".key"))
    openssl("req", "-new", "-key", at(".key"), "-subj", f"/CN={name}/O=Tests", "-out", at(".csr"))
    at(".cnf").write_text(EXTENSIONS.format(purpose=purpose))
    issue = ["x509", "-req", "-in", at(".csr"), "-CA", at("-root.pem"), "-CAkey", at("-root.key"), "-CAcreateserial", "-days", days]
    openssl(*issue, "-extfile", at(".cnf"), "-extensions", "signer", "-out", at(".crt"))
    at(".pem").write_text(at(".crt").read_text() + at("-root.pem").read_text())
    at(".key").chmod(0o600)
    return at(".pem"), at(".key"), at("-root.pem")


@contextmanager
def time_authority(folder):
    """Its address, and the list of what it was asked; `refuse` among it makes it answer 503."""
    chain, key, root = pair(folder, "times", purpose="critical,timeStamping")
    (folder / "serial").write_text("01\n")
    (folder / "times-tsa.cnf").write_text(TIMES.format(folder=folder))
    asked = []

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self):
            query = folder / "query.tsq"
            query.write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
            if "refuse" in asked:
                return self.send_error(503)
            asked.append(self.headers["Content-Type"])
            words = ["ts", "-reply", "-config", folder / "times-tsa.cnf", "-queryfile", query, "-signer", folder / "times.crt", "-inkey", key]
            reply = openssl(*words, "-chain", root)
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/tsa", asked, Path(root)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
