"""Nodes whose NATS servers want TLS and to know who they are: what opens them, and what a node says that cannot."""

import base64, binascii, json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from harness.authority import pair
from harness.command import said
from harness.nats import Nats
from harness.node import QUICK
from harness.paths import MODELS, TLS
from harness.requests import small

# What an NKey begins with: a seed, and whose it is.
SEED, OPERATOR, ACCOUNT, USER = 18 << 3, 14 << 3, 0, 20 << 3
# Of an account: no limits.
UNLIMITED = {name: -1 for name in ("subs", "data", "payload", "imports", "exports", "conn", "leaf", "mem_storage", "disk_storage", "streams", "consumer")}


class Key:
    """An NKey: who somebody is to NATS, and what they sign."""

    def __init__(self, kind):
        self.key = Ed25519PrivateKey.generate()
        self.public = written(bytes([kind]), self.key.public_key().public_bytes_raw())
        self.seed = written(bytes([SEED | kind >> 5, (kind & 31) << 3]), self.key.private_bytes_raw())

    def vouches(self, of, kind, **more):
        """A JWT that says what another key may."""
        claims = {"jti": of.public, "iat": 1, "iss": self.public, "name": kind, "sub": of.public, "nats": {**more, "type": kind, "version": 2}}
        url = lambda body: base64.urlsafe_b64encode(body).decode().rstrip("=")
        signed = ".".join(url(json.dumps(part).encode()) for part in ({"typ": "JWT", "alg": "ed25519-nkey"}, claims))
        return f"{signed}.{url(self.key.sign(signed.encode()))}"


def written(*parts):
    """As NATS writes keys: base32 with a checksum."""
    body = b"".join(parts)
    return base64.b32encode(body + binascii.crc_hqx(body, 0).to_bytes(2, "little")).decode().rstrip("=")


def kept(path, text):
    """A file that nobody else may read."""
    path.write_text(text)
    path.chmod(0o600)
    return path


def by_nkey(folder):
    """What a server asks for, how a node answers, its secret, and answers that are refused, each with a word of what is said then."""
    user = Key(USER)
    tls = f'tls {{ cert_file: "{TLS}/localhost.pem", key_file: "{TLS}/localhost.key" }}'
    asks = f"{tls}\nauthorization {{ users: [ {{ nkey: {user.public} }} ] }}"
    trusted, key = f"cluster.tls_ca={TLS}/localhost.pem", f"cluster.nkey_file={kept(folder / 'seed', user.seed)}"
    return asks, "tls", (trusted, key), user.seed, [((key,), "certificate"), ((trusted,), "authorization")]


def by_credentials(folder):
    operator, system, account, user = Key(OPERATOR), Key(ACCOUNT), Key(ACCOUNT), Key(USER)
    accounts = (
        f"{system.public}: {operator.vouches(system, 'account', limits={'conn': -1})}",
        f"{account.public}: {operator.vouches(account, 'account', limits={**UNLIMITED, 'wildcards': True})}",
    )
    asks = f"""
        operator: {operator.vouches(operator, "operator")}
        system_account: {system.public}
        resolver: MEMORY
        resolver_preload: {{ {", ".join(accounts)} }}
    """
    dashed = lambda what, text: f"-----BEGIN {what}-----\n{text}\n------END {what}------\n"
    may = account.vouches(user, "user", pub={}, sub={}, **{name: -1 for name in ("subs", "data", "payload")})
    credentials = dashed("NATS USER JWT", may) + dashed("USER NKEY SEED", user.seed)
    return asks, "nats", (f"cluster.credentials_file={kept(folder / 'credentials', credentials)}",), user.seed, [((), "authorization")]


def by_certificate(folder):
    chain, key, root = pair(folder / "client", "client", purpose="clientAuth")
    tls = f'tls {{ cert_file: "{TLS}/localhost.pem", key_file: "{TLS}/localhost.key", ca_file: "{root}", verify: true }}'
    trusted, own = f"cluster.tls_ca={TLS}/localhost.pem", (f"cluster.tls_cert={chain}", f"cluster.tls_key={key}")
    # Of the same name, by another authority.
    other, its_key, _ = pair(folder / "other", "client", purpose="clientAuth")
    others = (trusted, f"cluster.tls_cert={other}", f"cluster.tls_key={its_key}")
    secret = key.read_text().splitlines()[1]
    return tls, "tls", (trusted, *own), secret, [(own, "certificate"), ((trusted,), "certificate"), (others, "certificate")]


@pytest.mark.parametrize("by", [by_nkey, by_credentials, by_certificate])
def test_a_node_says_who_it_is(tmp_path, nodes, by):
    asks, scheme, settings, secret, wrong = by(tmp_path)
    with Nats(tmp_path / "nats", configuration=asks) as nats:
        servers = (f"cluster.servers={scheme}://localhost:{nats.ports[0]}", "cluster.service=secured")
        node = nodes(*QUICK, *servers, *settings)
        with node.client() as client:
            assert client.finished(small(3)).mark.frames_sha256
        words = ["serve", f"--data-dir={tmp_path / 'refused'}", "--listen=127.0.0.1:0", f"--models-dir={MODELS}", "--model=ltx-2.3-tiny"]
        for others, says in wrong:
            refused = said(*words, *(f"--set={setting}" for setting in (*servers, *others)))
            assert refused.returncode != 0 and says in refused.stderr, refused.stderr
            assert secret not in refused.stderr
        assert secret not in node.log()
